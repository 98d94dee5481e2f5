package api

import (
	"context"
	"errors"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// A database that hangs must not hang its callers. So a request has a patience: what all its calls of the store may take
// together. The time in which a body arrives, or stands in line, is not counted.

// patience is what is left of it. The calls of a request come one after the other, so it needs no lock.
type patience struct {
	left time.Duration
	rec  *recorder // of the answer; nil if there is none
}

type patienceKey struct{}

// awayTime is when to try again after a database did not answer.
const awayTime = 2 * time.Second

// impatient gives a request its patience. A client that has closed its side, or is gone, ends nothing: the first still
// waits for the answer, the two cannot be told apart, and every wait has a bound of its own.
func impatient(ctx context.Context, most time.Duration) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), patienceKey{}, &patience{left: most})
}

// within calls the store for a request.
func within[T any](ctx context.Context, call func(ctx context.Context) (T, error)) (T, error) {
	p := ctx.Value(patienceKey{}).(*patience)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.left)
	defer cancel()
	v, err := call(ctx)
	p.left -= time.Since(began)
	if err == nil || ctx.Err() == nil {
		return v, err
	}
	if _, told := errors.AsType[*skill.Error](err); told {
		return v, err
	}
	return v, &skill.Error{
		Kind: skill.Unavailable, Code: skill.CodeUnknown, RetryAfter: awayTime, Err: err,
		Message: "The database did not answer in time. Send the request again later; should it have been kept all the same, that does no harm.",
	}
}

// patient stands between the handlers and whatever asks the store.
type patient struct {
	engine Submitter
	store  Reader
	keys   Authenticator
}

func (p patient) Submit(ctx context.Context, s store.Submission) (store.Accepted, error) {
	return within(ctx, func(ctx context.Context) (store.Accepted, error) { return p.engine.Submit(ctx, s) })
}

func (p patient) Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error) {
	return within(ctx, func(ctx context.Context) (store.TaskView, error) {
		return p.store.Task(ctx, environmentID, integrationID, taskID)
	})
}

func (p patient) Integration(ctx context.Context, environmentID, id string) (store.Integration, error) {
	return within(ctx, func(ctx context.Context) (store.Integration, error) {
		return p.store.Integration(ctx, environmentID, id)
	})
}

func (p patient) Away(ctx context.Context, environmentID string) ([]store.Away, error) {
	return within(ctx, func(ctx context.Context) ([]store.Away, error) { return p.store.Away(ctx, environmentID) })
}

func (p patient) Authenticate(ctx context.Context, authorization string) (auth.Principal, error) {
	who, err := within(ctx, func(ctx context.Context) (auth.Principal, error) { return p.keys.Authenticate(ctx, authorization) })
	if err == nil {
		ctx.Value(patienceKey{}).(*patience).rec.knows(who)
	}
	return who, err
}

func (p patient) Wish(ctx context.Context, wish store.Wish, keyID string) (store.Skill, error) {
	return within(ctx, func(ctx context.Context) (store.Skill, error) { return p.engine.Wish(ctx, wish, keyID) })
}

func (p patient) RequestSync(ctx context.Context, r store.SyncRequest) (store.SyncQueued, error) {
	return within(ctx, func(ctx context.Context) (store.SyncQueued, error) { return p.engine.RequestSync(ctx, r) })
}

func (p patient) ReadSkills(ctx context.Context, q store.SkillQuery) (store.SkillPage, error) {
	return within(ctx, func(ctx context.Context) (store.SkillPage, error) { return p.store.ReadSkills(ctx, q) })
}

func (p patient) SkillsByOrigin(ctx context.Context, environmentID, integrationID string, originIDs []string) ([]store.SkillRow, error) {
	return within(ctx, func(ctx context.Context) ([]store.SkillRow, error) {
		return p.store.SkillsByOrigin(ctx, environmentID, integrationID, originIDs)
	})
}

func (p patient) RemoteByName(ctx context.Context, environmentID, integrationID string, names []string) ([]store.RemoteSkill, error) {
	return within(ctx, func(ctx context.Context) ([]store.RemoteSkill, error) {
		return p.store.RemoteByName(ctx, environmentID, integrationID, names)
	})
}

func (p patient) ReadByName(ctx context.Context, environmentID, integrationID string, names []string) ([]store.SkillRow, error) {
	return within(ctx, func(ctx context.Context) ([]store.SkillRow, error) {
		return p.store.ReadByName(ctx, environmentID, integrationID, names)
	})
}

func (p patient) SetEnabled(ctx context.Context, id string, enabled bool) (store.Integration, error) {
	return within(ctx, func(ctx context.Context) (store.Integration, error) { return p.store.SetEnabled(ctx, id, enabled) })
}

func (p patient) DeleteIntegration(ctx context.Context, id string) (store.Integration, error) {
	return within(ctx, func(ctx context.Context) (store.Integration, error) { return p.store.DeleteIntegration(ctx, id) })
}

func (p patient) CreateLink(ctx context.Context, link store.Link, hash [32]byte, good time.Duration) (store.Link, error) {
	return within(ctx, func(ctx context.Context) (store.Link, error) { return p.store.CreateLink(ctx, link, hash, good) })
}

func (p patient) IntegrationByToken(ctx context.Context, environmentID string, token [32]byte) (store.Integration, error) {
	return within(ctx, func(ctx context.Context) (store.Integration, error) {
		return p.store.IntegrationByToken(ctx, environmentID, token)
	})
}

func (p patient) Record(ctx context.Context, entry store.AuditEntry) (store.AuditEntry, error) {
	return within(ctx, func(ctx context.Context) (store.AuditEntry, error) { return p.store.Record(ctx, entry) })
}

func (p patient) RecordFailed(ctx context.Context, id, why string) error {
	_, err := within(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.store.RecordFailed(ctx, id, why) })
	return err
}
