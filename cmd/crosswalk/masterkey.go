package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// masterKey is embedded in commands that need the key that credentials are sealed under.
type masterKey struct {
	own string // where the embedded database keeps its key

	MasterKeyFile string `help:"File with the master key, which seals the credentials of tools. The key itself can be given as CROSSWALK_MASTER_KEY." env:"CROSSWALK_MASTER_KEY_FILE" type:"path" placeholder:"FILE"`
}

func (k masterKey) source() auth.MasterKeySource {
	return auth.MasterKeySource{
		Value: os.Getenv(auth.MasterKeyVariable), File: k.MasterKeyFile, Own: k.own,
		OtherValue: os.Getenv(auth.OtherKeyVariable), OtherFile: os.Getenv(auth.OtherKeyFileVariable),
	}
}

type masterKeyCommand struct {
	New    masterKeyNew    `cmd:"" help:"Make a master key and print it. Nothing keeps it but you."`
	Status masterKeyStatus `cmd:"" help:"Show which master key a database has noted, and whether the given one is it."`
	Rotate masterKeyRotate `cmd:"" help:"Seal all credentials under another key."`
}

type masterKeyNew struct{ asJSON }

func (c *masterKeyNew) Help() string {
	return examplesOf("crosswalk master-key new > master.key", "crosswalk master-key new --json")
}

func (c *masterKeyNew) Run(a *app) error {
	text := auth.NewMasterKey()
	key, err := auth.ParseMasterKey(text)
	if err != nil {
		return err
	}
	out := struct {
		Key string `json:"key"`
		ID  string `json:"id"`
	}{text, key.ID()}
	return c.print(a, out, func(w io.Writer) {
		fmt.Fprintln(w, text)
		fmt.Fprintf(a.err, "Master key %s. Keep it apart from the database: what is sealed under it is lost with it.\n", key.ID())
	})
}

type masterKeyStatus struct {
	database
	masterKey
	asJSON
}

func (c *masterKeyStatus) Help() string {
	return examplesOf("crosswalk master-key status", "crosswalk master-key status --master-key-file /etc/crosswalk/master.key --json")
}

// Run ends with exitMisuse when the given key is not the one that is noted.
func (c *masterKeyStatus) Run(a *app) error {
	c.own = c.where().MasterKeyFile()
	key, from, err := c.source().Given()
	if err != nil {
		return err
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		noted, err := s.MasterKey(ctx)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		out := struct {
			Noted *string `json:"noted"`
			Given *string `json:"given"`
			From  *string `json:"from"`
			Fits  *bool   `json:"fits"`
		}{Noted: orNull(noted.ID), From: orNull(from)}
		var words string
		switch {
		case key == nil && noted.ID == "":
			words = "No key is noted yet, and none is given."
		case key == nil:
			words = "No key is given: with SQLite a server refuses to start, with PostgreSQL it can use nothing that is sealed."
		case noted.ID == "":
			words = "No key is noted yet: the next server notes the one that is given."
		case key.Is(noted):
			words = "The given key is the noted one."
		default:
			words = "The given key is not the noted one: a server refuses to start with it."
		}
		if key != nil {
			out.Given = orNull(key.ID())
			if noted.ID != "" {
				out.Fits = new(key.Is(noted))
			}
		}
		err = c.print(a, out, func(w io.Writer) {
			table(w, []string{"NOTED", "GIVEN", "FROM"}, [][]string{{orDash(out.Noted), orDash(out.Given), orDash(out.From)}})
			fmt.Fprintln(w, words)
		})
		if err == nil && out.Fits != nil && !*out.Fits {
			return &exitError{code: exitMisuse}
		}
		return err
	})
}

type masterKeyRotate struct {
	database
	masterKey
	asJSON
}

func (c *masterKeyRotate) Help() string {
	return "The next key is given as " + auth.OtherKeyVariable + " or " + auth.OtherKeyFileVariable + ". Give it to every server first, beside the one in use, and restart them: " +
		"so each can open what is sealed under either. Then rotate; then give the servers the next key alone. An embedded database makes its " +
		"next key itself; its server has to be stopped.\n\n" +
		examplesOf("crosswalk master-key rotate", auth.OtherKeyFileVariable+"=next.key crosswalk master-key rotate --master-key-file master.key --database postgres://crosswalk@db.example.com/crosswalk")
}

func (c *masterKeyRotate) Run(a *app) error {
	c.own = c.where().MasterKeyFile()
	source := c.source()
	own := c.own != "" && source.Value == "" && source.File == ""
	return c.withAlone(a, own, func(ctx context.Context, s store.Store) error {
		if own && source.OtherValue == "" && source.OtherFile == "" {
			if err := source.MakeNext(); err != nil {
				return err
			}
		}
		keys, err := source.Ring(ctx, s)
		if err != nil {
			return err
		}
		if keys == nil || keys.Other == nil {
			return misuse("the master key in use and the next one are needed: give the next one as %s or %s", auth.OtherKeyVariable, auth.OtherKeyFileVariable)
		}
		next, err := source.Other()
		if err != nil {
			return err
		}
		n := 0
		if err := recorded(ctx, s, "", "master-key.rotate", next.ID(), "the key "+next.ID(), func() (err error) {
			n, err = s.Reseal(ctx, next.Noted(), func(id string, sealed []byte) ([]byte, error) {
				opened, err := keys.Open(id, sealed)
				if err != nil {
					return nil, err
				}
				return next.Seal(id, opened), nil
			})
			return err
		}); err != nil {
			return err
		}
		if own {
			if err := source.UseNext(); err != nil {
				return err
			}
		}
		out := struct {
			Key          string `json:"key"`
			Integrations int    `json:"integrations"`
		}{next.ID(), n}
		return c.print(a, out, func(w io.Writer) {
			fmt.Fprintf(w, "The credentials of %s are sealed under the master key %s now.\n", counted(n, "integration"), next.ID())
		})
	})
}

// orNull makes no text the null of JSON.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orDash(text *string) string {
	if text == nil {
		return "–"
	}
	return *text
}
