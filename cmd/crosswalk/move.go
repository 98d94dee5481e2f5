package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store/move"
)

type moveCommand struct {
	asJSON
	From string `help:"The embedded database, sqlite:FILE. No server may have it." required:"" placeholder:"sqlite:FILE"`
	To   string `help:"An empty database of PostgreSQL. A password is better given as PGPASSWORD or in a password file." required:"" placeholder:"postgres://…"`
}

func (c *moveCommand) Help() string {
	return "Everything is copied, with all ids, in one transaction. Afterwards the file has another name, so that nobody serves it by mistake. " +
		"The master key is not in a database: give the same one to the servers on PostgreSQL.\n\n" + examplesOf(
		"crosswalk move --from sqlite:/var/lib/crosswalk/crosswalk.db --to postgres://crosswalk@db.example.com/crosswalk",
		"crosswalk move --from sqlite:crosswalk-data/crosswalk.db --to postgres://127.0.0.1/crosswalk --json",
	)
}

func (c *moveCommand) Run(a *app) error {
	from, ok := strings.CutPrefix(c.From, "sqlite:")
	if !ok || from == "" {
		return misuse("--from %q: write it as sqlite:FILE", server.Database{URL: c.From})
	}
	to := server.Database{URL: c.To}
	if !to.IsPostgres() {
		return misuse("--to %q: write it as postgres://USER@HOST/DATABASE", to)
	}
	bar := newProgress(a, "move", 0)
	r, err := move.Run(a.ctx, move.Options{From: from, To: c.To, Progress: func(done, all int) {
		bar.of(all)
		bar.set(done)
	}})
	bar.finish()
	if err != nil {
		return err
	}
	out := struct {
		From   string       `json:"from"`
		To     string       `json:"to"`
		Left   string       `json:"left"`
		Tables []move.Table `json:"tables"`
	}{from, to.String(), r.Left, r.Tables}
	return c.print(a, out, func(w io.Writer) {
		table(w, []string{"TABLE", "ROWS"}, each(r.Tables, func(t move.Table) []string { return []string{t.Name, count(t.Rows)} }))
		fmt.Fprintf(w, "Everything is in %s now. The old file is %s.\nStart the servers with --database %s, and with the master key of the old one.\n", to, r.Left, to)
	})
}
