package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// A process that cannot open an integration's credentials leaves it to one that can, at once; alone, it waits and tries
// again.
func TestNotHere(t *testing.T) {
	set := settings()
	run(t, nil, func(t *testing.T, f *fixture) {
		tries, can := 0, false
		f.account = func(in store.Integration) (connector.Account, error) {
			if !can {
				tries++
				return connector.Account{}, fmt.Errorf("%w: no key", engine.ErrNotHere)
			}
			return connector.Account{ID: in.ID, Settings: in.Settings}, nil
		}
		f.start(set)
		in := f.integration(`{}`)
		task := f.submit(in, active("a")...)
		wait(2*time.Minute - time.Second)
		if view := f.view(in, task); view.Done != 0 || tries < 3 || tries > 5 {
			t.Errorf("after two minutes: %+v, %d tries", view, tries)
		}
		first := f.stop
		f.account = nil
		f.start(set) // beside the other
		r := f.ended(in, task)
		r.want(t, "COMPLETED", ok)
		if r.Took > 2*time.Minute+10*time.Second {
			t.Errorf("the other one took it up after %v", r.Took)
		}
		first()
	})
}
