package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/examples"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skillfile"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type demoCommand struct {
	Keep   bool   `help:"Stay up afterwards, to try the API by hand and the dashboard."`
	Listen string `help:"Address to listen on; port 0 takes a free one." default:"127.0.0.1:0" env:"CROSSWALK_LISTEN" placeholder:"HOST:PORT"`
}

func (c *demoCommand) Help() string {
	return examplesOf("crosswalk demo", "crosswalk demo --keep --listen 127.0.0.1:8080")
}

// Run starts a real server on a fresh database and speaks to it over HTTP, as any client would.
func (c *demoCommand) Run(a *app) (err error) {
	dir, err := os.MkdirTemp("", "crosswalk-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// What the dashboard says of how long things are kept is meant: they are for as long as the demo stays up.
	const day = 24 * time.Hour
	s, err := server.Start(a.ctx, server.Config{
		Listen: c.Listen, Database: server.Database{Data: dir}, Dashboard: c.Keep, Version: version(),
		Engine: engine.Settings{TaskTimeout: day, KeepTasks: 30 * day, KeepTombstones: 365 * day, KeepLogs: 14 * day},
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(a.ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-stopped)
	}()
	d := &demo{a: a, server: s}
	if err := d.prepare(ctx, filepath.Join(dir, "crosswalk.db")); err != nil {
		return err
	}
	summary, err := d.show(ctx)
	if err != nil {
		if a.ctx.Err() != nil {
			return &exitError{code: exitInterrupted}
		}
		return err
	}
	if c.Keep {
		fmt.Fprintf(a.out, "\nThe server stays up until Ctrl-C. In a browser, make the dashboard's first user:\n\n  %s\n\nIn another terminal:\n\n"+
			"  export CROSSWALK_URL=%s CROSSWALK_API_KEY=%s CROSSWALK_INTEGRATION=%s\n"+
			"  curl -s $CROSSWALK_URL/v1/hris/skills/bulk/%s -H \"Authorization: Bearer $CROSSWALK_API_KEY\" -H \"X-Integration-Id: $CROSSWALK_INTEGRATION\" | head -c 300\n\n",
			s.SetupLink, s.URL, d.client.APIKey, d.client.IntegrationID, d.lastTask)
	}
	fmt.Fprintln(a.out, summary)
	if c.Keep {
		<-a.ctx.Done()
	}
	return nil
}

// demo is the three pushes.
type demo struct {
	a        *app
	server   *server.Server
	client   *client.Client
	env      store.Environment
	lastTask string
}

// prepare makes what a new user would make with the command line.
func (d *demo) prepare(ctx context.Context, file string) error {
	var err error
	if d.env, err = d.server.Store.Environment(ctx, store.DefaultEnvironment); err != nil {
		return err
	}
	secret, shown, hash := auth.NewKey()
	if _, err := d.server.Store.CreateKey(ctx, store.Key{EnvironmentID: d.env.ID, Name: "demo", Prefix: shown}, hash); err != nil {
		return err
	}
	in, err := d.integration(ctx, `{}`)
	if err != nil {
		return err
	}
	d.client = client.New(d.server.URL, secret, in.ID)
	fmt.Fprintf(d.a.out, "Crosswalk %s\n  server       %s\n  database     %s\n  API key      %s… of the environment %s\n  integration  %s\n",
		version(), d.server.URL, file, shown, d.env.Name, in.ID)
	return nil
}

func (d *demo) integration(ctx context.Context, settings string) (store.Integration, error) {
	return d.server.Store.CreateIntegration(ctx, store.Integration{
		EnvironmentID: d.env.ID, Tool: sandbox.Slug, Settings: []byte(settings), EndUser: store.EndUser{OrganisationName: "Acme GmbH"},
	})
}

// show does the pushes and returns the line that sums the first one up.
func (d *demo) show(ctx context.Context) (string, error) {
	sources, err := exampleSkills()
	if err != nil {
		return "", err
	}
	d.say("1. Real skills: %s", list(sources))
	first, err := d.push(ctx, sources)
	if err != nil {
		return "", err
	}
	succeeded, failed, _ := first.counts()
	d.say("2. The same again: what the tool holds already is not sent")
	if _, err := d.push(ctx, sources); err != nil {
		return "", err
	}
	d.say("3. A few bad rows, for a tool that refuses test data and names that are taken")
	picky, err := d.integration(ctx, `{"refuse_names":"(?i)^test","unique_names":true}`)
	if err != nil {
		return "", err
	}
	d.client.IntegrationID = picky.ID
	const mixed = "origin_id,name\nskill-1,TypeScript\nskill-2,Go\nskill-3,test please ignore\nskill-4,COBOL\nskill-5,Go\n"
	result, err := skillfile.Read("mixed.csv", strings.NewReader(mixed), skillfile.CSV)
	if err != nil {
		return "", err
	}
	if _, err := d.push(ctx, []source{{"mixed.csv", result.Rows}}); err != nil {
		return "", err
	}
	fmt.Fprintln(d.a.out)
	status := client.Completed
	for _, t := range first.tasks {
		if t.done.Status != client.Completed {
			status = t.done.Status
		}
	}
	return fmt.Sprintf("%s %s in %s (%s skills/s), %s failed",
		status, skills(succeeded+failed), seconds(first.took), perSecond(succeeded+failed, first.took), count(failed)), nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.a.out, "\n"+format+"\n", args...) }

func (d *demo) push(ctx context.Context, sources []source) (*push, error) {
	total := 0
	p := &push{a: d.a, client: d.client, began: time.Now()}
	for _, s := range sources {
		total += len(s.rows)
	}
	for _, s := range sources {
		if err := p.submit(ctx, s.rows); err != nil {
			return nil, err
		}
	}
	if err := p.wait(ctx, total); err != nil {
		return nil, err
	}
	d.lastTask = p.tasks[len(p.tasks)-1].id
	p.tell(d.a.out, "")
	return p, nil
}

func exampleSkills() ([]source, error) {
	entries, err := examples.Skills.ReadDir("skills")
	if err != nil {
		return nil, err
	}
	var sources []source
	for _, e := range entries {
		content, err := examples.Skills.ReadFile(path.Join("skills", e.Name()))
		if err != nil {
			return nil, err
		}
		result, err := skillfile.Read(e.Name(), bytes.NewReader(content), skillfile.CSV)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source{e.Name(), result.Rows})
	}
	return sources, nil
}

func list(sources []source) string {
	texts := each(sources, func(s source) string { return fmt.Sprintf("%s (%s)", s.name, count(len(s.rows))) })
	return strings.Join(texts, ", ")
}
