package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// policyFlags is embedded in commands that make or change an integration.
type policyFlags struct {
	Adopt    *bool  `help:"Take over a skill of the same name that people made in the tool, instead of making a second one. Not every tool can." negatable:""`
	Inactive string `help:"What becomes of inactive skills: deactivate retires them in the tool, refuse fails them and leaves the tool as it is. The first unless the tool cannot." enum:",deactivate,refuse" default:"" placeholder:"WORD"`
}

// apply is the policy with what was given.
func (f policyFlags) apply(tool string, p store.Policy) (store.Policy, error) {
	p, err := account.Policy(describe(tool), p, f.Adopt, f.Inactive)
	if err != nil {
		return p, &exitError{exitMisuse, err}
	}
	return p, nil
}

func (f policyFlags) given() bool { return f.Adopt != nil || f.Inactive != "" }

// describe is what is known of a tool; its slug alone if there is no connector for it any more.
func describe(tool string) connector.Description {
	if c, ok := server.Connectors(nil).Find(tool); ok {
		return c.Describe()
	}
	return connector.Description{Slug: tool, Label: tool}
}

type awayJSON struct {
	Since    *string `json:"since"`
	Failures int     `json:"failures"`
	NextAt   *string `json:"next_at"`
}

// awayOf are the integrations whose tool does not answer, by id.
func awayOf(ctx context.Context, s store.Store, environmentID string) (map[string]store.Away, error) {
	list, err := s.Away(ctx, environmentID)
	if err != nil {
		return nil, err
	}
	by := make(map[string]store.Away, len(list))
	for _, w := range list {
		by[w.IntegrationID] = w
	}
	return by, nil
}

// withAway adds to what is shown of an integration that its tool does not answer, if so.
func withAway(in store.Integration, away map[string]store.Away) integrationJSON {
	out := integrationOut(in)
	if w, ok := away[in.ID]; ok {
		out.Away = &awayJSON{atJSON(w.Since), w.Failures, atJSON(w.Next)}
	}
	return out
}

// stateWith is the state for people.
func stateWith(in store.Integration, away map[string]store.Away) string {
	if w, ok := away[in.ID]; ok {
		return fmt.Sprintf("%s, away since %s", state(in), at(w.Since))
	}
	return state(in)
}

// awayText says of a tool that does not answer what is known.
func awayText(w store.Away) string {
	text := fmt.Sprintf("since %s, %s in a row without an answer", at(w.Since), counted(w.Failures, "call"))
	if w.Next.After(time.Now()) {
		text += "; the next one not before " + at(w.Next)
	}
	return text
}

type integrationsCheck struct {
	database
	asJSON
	masterKey
	AllowPrivateTools bool   `help:"Let the tool be at a private or loopback address, as serve does." env:"CROSSWALK_ALLOW_PRIVATE_TOOLS"`
	ID                string `arg:"" help:"The integration's id."`
}

func (c *integrationsCheck) Help() string {
	return "Asks the tool whether it takes the credentials and lets them write skills, as far as it can be asked that without " +
		"writing, and tells what it says. Nothing is changed, here or there.\n\nExit codes: 0 it does; 1 it refuses, the settings cannot " +
		"be used, or its connector cannot ask; 2 it could not be asked: it is away, throttles, or answers oddly.\n\n" +
		examplesOf("crosswalk integrations check hibob:28KMdr68N8kG9EzLwjsN9aoz", "crosswalk integrations check hibob:28KMdr68N8kG9EzLwjsN9aoz --json")
}

// checkMost bounds a check.
const checkMost = time.Minute

func (c *integrationsCheck) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		in, err := s.Integration(ctx, "", c.ID)
		if err != nil {
			return err
		}
		tool, ok := server.Connectors(s.Sandbox()).Find(in.Tool)
		if !ok {
			return misuse("there is no connector for %q; crosswalk tools lists those there are", in.Tool)
		}
		c.own = c.where().MasterKeyFile()
		var keys *account.Keyring
		if len(in.Credentials) > 0 {
			if keys, err = c.source().Ring(ctx, s); err != nil {
				return err
			}
		}
		opened, err := server.Account(tool, keys, c.AllowPrivateTools, in)
		if err != nil {
			return &exitError{exitMisuse, err}
		}
		session, err := tool.Open(opened)
		if err != nil {
			return &exitError{exitMisuse, err}
		}
		checker, ok := session.(connector.Checker)
		if !ok {
			return misuse("%s cannot be asked: its connector has no check", tool.Describe().Label)
		}
		ctx, cancel := context.WithTimeout(ctx, checkMost)
		defer cancel()
		return c.tell(a, in, tool.Describe().Label, connector.AsError(checker.Check(ctx)))
	})
}

// tell prints how a check ended, in the tool's words, and turns it into an exit code.
func (c *integrationsCheck) tell(a *app, in store.Integration, label string, found *connector.Error) error {
	out := struct {
		ID      string `json:"id"`
		OK      bool   `json:"ok"`
		Kind    string `json:"kind,omitempty"`
		Message string `json:"message,omitempty"`
	}{ID: in.ID, OK: found == nil}
	code, says := exitOK, label+" accepts the credentials"
	if found != nil {
		out.Kind, out.Message = found.Kind.String(), found.Message
		code, says = exitTrouble, "could not be asked"
		switch found.Kind {
		case connector.Credentials:
			code, says = exitMisuse, "refuses the credentials"
		case connector.Permission:
			code, says = exitMisuse, "does not let its user write skills"
		case connector.Refused, connector.Unsupported:
			code, says = exitMisuse, "refuses"
		case connector.Throttled:
			says = "throttles"
		case connector.Away:
			says = "is away"
		case connector.Ambiguous:
			says = "did not answer"
		case connector.Unexpected:
			says = "answers oddly"
			if _, ok := errors.AsType[interface {
				error
				Forbidden() string
			}](found); ok { // here, before anything was sent
				says = "was not asked"
			}
		}
		says = label + " " + says
		if found.Message != "" {
			says += ": " + found.Message
		}
	}
	if err := c.print(a, out, func(w io.Writer) { fmt.Fprintf(w, "%s  %s\n", in.ID, says) }); err != nil || code == exitOK {
		return err
	}
	return &exitError{code: code}
}
