package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/crosswalk-hr/crosswalk/internal/dashboard"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type usersCommand struct {
	Create usersCreate `cmd:"" help:"Let somebody sign in to the dashboard."`
	Passwd usersPasswd `cmd:"" help:"Set somebody's password. All their sessions end."`
	List   usersList   `cmd:"" help:"List who may sign in."`
	Delete usersDelete `cmd:"" help:"Let somebody sign in no more."`
}

// passwordFlags is embedded in commands that set a password.
type passwordFlags struct {
	PasswordFile string `help:"File with the password; - reads standard input. On a terminal it is asked for." placeholder:"FILE"`
}

// password reads one: it is no flag, since other users of the machine can see flags.
func (p passwordFlags) password(a *app) (string, error) {
	switch {
	case p.PasswordFile != "":
		return readValue(a.in, p.PasswordFile)
	case !a.asking:
		return "", misuse("give the password as --password-file FILE, or - for standard input")
	}
	ask := func(what string) ([]byte, error) {
		fmt.Fprintf(a.err, "%s: ", what)
		defer fmt.Fprintln(a.err)
		return term.ReadPassword(int(os.Stdin.Fd()))
	}
	first, err := ask("Password")
	if err != nil {
		return "", err
	}
	second, err := ask("Again")
	if err == nil && !bytes.Equal(first, second) {
		err = misuse("the two are not the same")
	}
	return string(first), err
}

type usersCreate struct {
	database
	asJSON
	passwordFlags
	Name string `arg:"" help:"What they sign in with: a name, or an e-mail address."`
	Role string `help:"viewer (looks), member (keys, integrations, retries) or owner (users and environments, too)." enum:"viewer,member,owner" default:"member"`
}

func (c *usersCreate) Help() string {
	return examplesOf("crosswalk users create ada@example.com --role owner", "crosswalk users create bob --role viewer --password-file - < password.txt")
}

type userJSON struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Role       string  `json:"role"`
	CreatedAt  *string `json:"created_at"`
	SignedInAt *string `json:"signed_in_at"`
}

func userOut(u store.User) userJSON {
	return userJSON{u.ID, u.Name, u.Role.String(), atJSON(u.CreatedAt), atJSON(u.SignedInAt)}
}

func (c *usersCreate) Run(a *app) error {
	role, _ := store.ParseRole(c.Role) // the flag is one of them
	name, err := dashboard.UserName(c.Name)
	if err != nil {
		return err
	}
	password, err := c.password(a)
	if err != nil {
		return err
	}
	hash, err := dashboard.HashPassword(password)
	if err != nil {
		return err
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		var user store.User
		if err := recorded(ctx, s, "", "user.create", name, name+", "+role.String(), func() (err error) {
			user, err = s.CreateUser(ctx, store.User{Name: name, Role: role, Password: hash})
			return err
		}); err != nil {
			return err
		}
		return c.print(a, userOut(user), func(w io.Writer) { fmt.Fprintf(w, "%s, %s, can sign in\n", user.Name, user.Role) })
	})
}

type usersPasswd struct {
	database
	asJSON
	passwordFlags
	Name string `arg:"" help:"Whose it is."`
}

func (c *usersPasswd) Help() string {
	return examplesOf("crosswalk users passwd ada@example.com", "crosswalk users passwd bob --password-file - < password.txt")
}

func (c *usersPasswd) Run(a *app) error {
	password, err := c.password(a)
	if err != nil {
		return err
	}
	hash, err := dashboard.HashPassword(password)
	if err != nil {
		return err
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		user, err := userNamed(ctx, s, c.Name)
		if err != nil {
			return err
		}
		if err := recorded(ctx, s, "", "user.password", user.ID, user.Name, func() (err error) {
			user, err = s.SetPassword(ctx, user.ID, hash)
			return err
		}); err != nil {
			return err
		}
		return c.print(a, userOut(user), func(w io.Writer) {
			fmt.Fprintf(w, "the password of %s is changed, and all sessions are over\n", user.Name)
		})
	})
}

func userNamed(ctx context.Context, s store.Store, name string) (store.User, error) {
	return s.UserByName(ctx, strings.ToLower(strings.TrimSpace(name)))
}

type usersList struct {
	database
	asJSON
}

func (c *usersList) Help() string {
	return examplesOf("crosswalk users list", "crosswalk users list --json")
}

func (c *usersList) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		users, err := s.Users(ctx)
		if err != nil {
			return err
		}
		out := struct {
			Users []userJSON `json:"users"`
		}{each(users, userOut)}
		return c.print(a, out, func(w io.Writer) {
			if len(users) == 0 {
				fmt.Fprintln(w, "Nobody can sign in to the dashboard. Open the set-up link that crosswalk serve prints, or: crosswalk users create NAME --role owner")
				return
			}
			table(w, []string{"NAME", "ROLE", "ID", "CREATED", "LAST SIGN-IN"}, each(users, func(u store.User) []string {
				return []string{u.Name, u.Role.String(), u.ID, at(u.CreatedAt), at(u.SignedInAt)}
			}))
		})
	})
}

type usersDelete struct {
	database
	asJSON
	Name string `arg:"" help:"Who it is."`
}

func (c *usersDelete) Help() string {
	return examplesOf("crosswalk users delete bob", "crosswalk users delete bob --json")
}

func (c *usersDelete) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		user, err := userNamed(ctx, s, c.Name)
		if err != nil {
			return err
		}
		err = recorded(ctx, s, "", "user.delete", user.ID, user.Name, func() error { return s.DeleteUser(ctx, user.ID) })
		if errors.Is(err, store.ErrLastOwner) {
			return misuse("%s is the last owner: make somebody else one first", user.Name)
		}
		if err != nil {
			return err
		}
		return c.print(a, userOut(user), func(w io.Writer) { fmt.Fprintf(w, "%s is deleted, and signed out\n", user.Name) })
	})
}
