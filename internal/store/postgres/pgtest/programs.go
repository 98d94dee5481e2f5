package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// programs are PostgreSQL's own, and the user that they run as.
type programs struct {
	bin string              // the folder
	as  *syscall.Credential // nil: whoever runs the tests. PostgreSQL refuses to be root
}

func findPrograms() (programs, error) {
	var p programs
	var err error
	if p.bin, err = binaries(); err != nil {
		return p, err
	}
	if os.Geteuid() == 0 {
		p.as, err = somebody()
	}
	return p, err
}

// binaries finds the folder of initdb, postgres, pg_ctl and pg_dump: the one on the PATH, else the newest where packages put them.
func binaries() (string, error) {
	var folders []string
	if found, err := exec.LookPath("initdb"); err == nil {
		if found, err = filepath.EvalSymlinks(found); err == nil {
			folders = append(folders, filepath.Dir(found))
		}
	}
	var packaged []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		matches, _ := filepath.Glob(pattern) // the patterns are good
		packaged = append(packaged, matches...)
	}
	slices.Reverse(packaged)
	folders = append(folders, packaged...)
	for _, folder := range folders {
		if !slices.ContainsFunc([]string{"initdb", "postgres", "pg_ctl", "pg_dump"}, func(name string) bool {
			_, err := exec.LookPath(filepath.Join(folder, name))
			return err != nil
		}) {
			return folder, nil
		}
	}
	return "", errors.New("PostgreSQL's initdb, postgres, pg_ctl and pg_dump are not installed")
}

// somebody is who PostgreSQL runs as when the tests are root's.
func somebody() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// command is one of the programs, in a process group of its own, so that Ctrl-C is for the tests alone.
func (p programs) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir = "/" // a folder that the user may enter
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Setpgid: true}
	return cmd
}

// folder makes a folder that belongs to the user.
func (p programs) folder(in string) (string, error) {
	dir, err := os.MkdirTemp(in, "crosswalk-pg-")
	if err != nil {
		return "", err
	}
	if p.as != nil {
		if err := os.Chown(dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return "", errors.Join(err, os.Remove(dir))
		}
	}
	return dir, nil
}

// childrenOf lists the children of a process. Where there is no /proc it finds none: PostgreSQL's end by themselves when
// their parent does.
func childrenOf(parent int) []int {
	var children []int
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		if fields := stat(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children
}

// lives says whether a process still runs; a zombie does not.
func lives(pid int) bool {
	fields := stat(pid)
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}

// stat is what /proc says of a process behind its name: state, parent, …
func stat(pid int) []string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
}

// Program is the path of one of PostgreSQL's programs, of the version that NewCluster starts.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	p, err := findPrograms()
	if err != nil {
		tb.Fatal(fmt.Errorf("pgtest: %w. PostgreSQL is installed with: sudo apt-get install -y postgresql", err))
	}
	return filepath.Join(p.bin, name)
}
