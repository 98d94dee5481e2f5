package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// recorder is an audit log of one entry.
type recorder struct {
	action, why    string
	broken, failed error
}

func (r *recorder) Record(_ context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	r.action, e.ID = e.Action, "1"
	return e, r.broken
}

func (r *recorder) RecordFailed(ctx context.Context, id, why string) error {
	r.why = id + ": " + why
	return errors.Join(r.failed, ctx.Err())
}

func TestAct(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	for name, test := range map[string]struct {
		log    recorder
		err    error // of the act
		why    string
		untold bool
	}{
		"done":                     {},
		"told to people":           {err: skill.Errorf(skill.Invalid, skill.CodeInputInvalid, "It has no name."), why: "1: It has no name."},
		"refused by the store":     {err: fmt.Errorf("erase environment: %w", store.ErrNotFound), why: "1: refused"},
		"for nobody's eyes":        {err: errors.New("dial tcp 10.0.0.1: password=x"), why: "1: it failed"},
		"the log is away":          {log: recorder{broken: away}},
		"the log cannot be told":   {log: recorder{failed: away}, err: store.ErrInUse, why: "1: refused", untold: true},
		"the caller has gone away": {err: context.Canceled, why: "1: it failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, did, untold := test.log, false, false
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := store.Act(ctx, &log, store.AuditEntry{Action: "key.create"}, func(context.Context) error {
				if did = true; errors.Is(test.err, context.Canceled) {
					cancel()
				}
				return test.err
			}, func(string, error) { untold = true })
			if want := cmp.Or(test.log.broken, test.err); !errors.Is(err, want) || did == (test.log.broken != nil) {
				t.Errorf("did %t, error = %v, want %v", did, err, want)
			}
			if log.action != "key.create" || log.why != test.why || untold != test.untold {
				t.Errorf("the log has %q, untold %t; want %q, %t", log.why, untold, test.why, test.untold)
			}
		})
	}
}
