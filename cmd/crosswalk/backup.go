package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// keySuffix is added to the name of a backup for that of the master key beside it.
const keySuffix = ".master.key"

type backupCommand struct {
	database
	masterKey
	asJSON
	File          string `arg:"" help:"File to write." type:"path"`
	Force         bool   `help:"Replace the file if it exists."`
	WithMasterKey bool   `help:"Write the master key beside it, as FILE.master.key. Whoever has both can open the credentials of the tools."`
}

func (c *backupCommand) Help() string {
	return examplesOf("crosswalk backup /var/backups/crosswalk.db", "crosswalk backup crosswalk.db --with-master-key --force --json")
}

func (c *backupCommand) Run(a *app) error {
	path, err := embedded(c.where(), "crosswalk backup is for SQLite. PostgreSQL is backed up by its own program, while servers run:\n\n"+
		"    pg_dump --format=directory --jobs=4 --file=%s '%s'\n\nIt has no master key in it: keep that apart. docs/operations.md says more.", c.File, c.where())
	if err != nil {
		return err
	}
	var key []byte
	if c.WithMasterKey {
		if key, err = c.key(a.ctx); err != nil {
			return err
		}
	}
	bar := newProgress(a, "backup", 0)
	s, err := sqlite.Backup(a.ctx, path, c.File, c.Force, func(done, all int) {
		bar.of(all)
		bar.set(done)
	})
	bar.finish()
	if err != nil {
		return refused(err, "--force")
	}
	keyFile := ""
	if c.WithMasterKey {
		keyFile = c.File + keySuffix
		if err := writeKey(keyFile, key); err != nil {
			return err
		}
	}
	out := struct {
		File      string   `json:"file"`
		Bytes     int64    `json:"bytes"`
		MasterKey *string  `json:"master_key"`
		Contents  contents `json:"contents"`
	}{c.File, s.Bytes, orNull(keyFile), contentsOf(s)}
	return c.print(a, out, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s, checked: %s\n", c.File, store.Bytes(s.Bytes), out.Contents)
		switch {
		case keyFile != "":
			fmt.Fprintf(w, "The master key %s is in %s: keep it apart from the backup.\n", s.MasterKey, keyFile)
		case s.MasterKey != "":
			fmt.Fprintf(w, "The master key %s is not in it: keep it apart. Without it a server does not start on what is restored, and the credentials of tools are lost.\n", s.MasterKey)
		}
	})
}

// contents of a backup, for people and programs.
type contents struct {
	Schema       int64   `json:"schema"`
	Integrations int     `json:"integrations"`
	Skills       int     `json:"skills"`
	Unfinished   int     `json:"unfinished_tasks"`
	Newest       *string `json:"newest_task_at"`
	MasterKey    *string `json:"master_key_id"`

	newest string
}

func contentsOf(s sqlite.Snapshot) contents {
	return contents{s.Schema, s.Integrations, s.Skills, s.Unfinished, atJSON(s.Newest), orNull(s.MasterKey), at(s.Newest)}
}

func (c contents) String() string {
	return fmt.Sprintf("%s, %s, %s; the last task was accepted %s",
		counted(c.Integrations, "integration"), skills(c.Skills), counted(c.Unfinished, "unfinished task"), c.newest)
}

// embedded is where the embedded database lies; for another one it explains what to do instead.
func embedded(d server.Database, instead string, args ...any) (string, error) {
	if d.IsPostgres() {
		return "", misuse(instead, args...)
	}
	path, ok := d.File()
	if !ok {
		_, _, err := d.Versions(context.Background()) // says what an address looks like
		return "", err
	}
	return path, nil
}

// refused tells with which flag a file may be replaced.
func refused(err error, flag string) error {
	if exists, ok := errors.AsType[*sqlite.ExistsError](err); ok {
		return misuse("%w. %s replaces it", exists, flag)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &exitError{exitMisuse, err}
	}
	return err
}

// key is the text of the master key that the database has noted.
func (c *backupCommand) key(ctx context.Context) ([]byte, error) {
	c.own = c.where().MasterKeyFile()
	key, from, err := c.source().Given()
	switch {
	case err != nil:
		return nil, err
	case key == nil:
		return nil, misuse("there is no master key to write: %s does not exist, and none is given", c.own)
	}
	s, err := c.where().Open(ctx, false, "", nil, nil)
	if err != nil {
		return nil, err
	}
	noted, err := s.MasterKey(ctx)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	if !key.Is(noted) {
		return nil, misuse("the database has noted the master key %s, and %s holds %s", noted.ID, from, key.ID())
	}
	if from == auth.MasterKeyVariable {
		return []byte(os.Getenv(from) + "\n"), nil
	}
	return os.ReadFile(from)
}

// writeKey writes a file for its owner alone, whole and on disk, or not at all.
func writeKey(name string, key []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), ".master-*.key") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // the first error is the one to tell
		}
	}()
	_, err = file.Write(key)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

type restoreCommand struct {
	database
	masterKey
	asJSON
	File          string `arg:"" help:"A file that crosswalk backup has written." type:"path"`
	Force         bool   `help:"Replace the database that is there. It stays beside the new one, under another name."`
	WithMasterKey bool   `help:"Take the master key from FILE.master.key, too."`
}

func (c *restoreCommand) Help() string {
	return "Everything that happened after the backup is lost: tasks that were accepted since answer 404 and have to be sent again, and " +
		"tasks that went on then go on once more. Skills are written again with the next upload, since the tools may hold something newer.\n\n" +
		examplesOf("crosswalk restore /var/backups/crosswalk.db --data /var/lib/crosswalk", "crosswalk restore crosswalk.db --with-master-key --force --json")
}

func (c *restoreCommand) Run(a *app) error {
	path, err := embedded(c.where(), "crosswalk restore is for SQLite. PostgreSQL is restored by its own program, into a new database:\n\n"+
		"    createdb NEW && pg_restore --jobs=4 --exit-on-error --no-owner --dbname=NEW %s\n    crosswalk integrations doubt --all --database '%s'\n\n"+
		"The second command has the skills written again with the next upload: the tools may hold something newer. docs/operations.md says more.", c.File, "postgres://…/NEW")
	if err != nil {
		return err
	}
	c.own = c.where().MasterKeyFile()
	var key []byte
	if c.WithMasterKey {
		if key, err = c.beside(); err != nil {
			return err
		}
	}
	r, err := sqlite.Restore(a.ctx, c.File, path, c.Force)
	if err != nil {
		return refused(err, "--force")
	}
	if key != nil {
		if err := writeKey(c.own, key); err != nil {
			return fmt.Errorf("the database is restored, but not its master key: %w", err)
		}
	}
	out := struct {
		Database string   `json:"database"`
		Before   *string  `json:"before"`
		Doubted  int      `json:"doubted"`
		Contents contents `json:"contents"`
	}{path, orNull(r.Before), r.Doubted, contentsOf(r.Snapshot)}
	return c.print(a, out, func(w io.Writer) {
		fmt.Fprintf(w, "%s  restored: %s\n", path, out.Contents)
		if r.Before != "" {
			fmt.Fprintf(w, "What was there before is %s.\n", r.Before)
		}
		fmt.Fprintf(w, "Whatever was accepted after the backup is lost: its tasks answer 404. Have it sent again.\n"+
			"The skills are written again with the next upload, since their tools may hold something newer.\n")
		if r.Unfinished > 0 {
			fmt.Fprintln(w, "With the next crosswalk serve the unfinished tasks go on, with what was to be written then. crosswalk integrations disable holds them back.")
		}
		c.tellKey(w, r.MasterKey)
	})
}

// beside reads the key that lies beside the backup; nil if it is in its place already.
func (c *restoreCommand) beside() ([]byte, error) {
	text, err := os.ReadFile(c.File + keySuffix)
	if err != nil {
		return nil, misuse("there is no master key beside the backup: %w", err)
	}
	key, err := auth.ParseMasterKey(string(text))
	if err != nil {
		return nil, misuse("%s holds no master key", c.File+keySuffix)
	}
	old, _, err := auth.MasterKeySource{Own: c.own}.Given()
	switch {
	case err != nil:
		return nil, err
	case old != nil && old.Is(key.Noted()):
		return nil, nil
	case old != nil:
		return nil, misuse("%s holds another master key, %s: move it away first, it may be needed", c.own, old.ID())
	}
	return text, nil
}

// tellKey says whether the key is there that the next server wants.
func (c *restoreCommand) tellKey(w io.Writer, noted string) {
	key, from, err := c.source().Given()
	switch {
	case noted == "":
	case err != nil:
		fmt.Fprintf(w, "The master key %s is needed, and the given one cannot be used: %v.\n", noted, err)
	case key == nil:
		fmt.Fprintf(w, "The master key %s was not in the backup: put it into %s, or give it to crosswalk serve. Without it no server starts.\n", noted, c.own)
	case key.ID() != noted:
		fmt.Fprintf(w, "The master key %s is needed, and %s holds %s: no server starts with that.\n", noted, from, key.ID())
	default:
		fmt.Fprintf(w, "The master key %s is there, in %s.\n", noted, from)
	}
}
