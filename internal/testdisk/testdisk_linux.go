package testdisk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A test with a disk runs in another process, which has mounts of its own. There is nothing to unmount, even after a kill,
// and who is not root may do it too, in a user namespace.

const (
	// inside names, in that process, the test that it runs for.
	inside = "CROSSWALK_TESTDISK_INSIDE"
	// passed names a file that the process writes when the test has been run to its end: a process that runs no test at
	// all ends well, too.
	passed = "CROSSWALK_TESTDISK_PASSED"

	capSysAdmin = 21 // CAP_SYS_ADMIN: may mount
)

// Run runs the test, or subtest, t in a process that sees a new disk of the given size. It must be all that t does:
// what comes before it is done twice, what comes after it is done without a disk.
func Run(t *testing.T, size int64, test func(t *testing.T, disk *Disk)) {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		test(t, mount(t, size))
		if !t.Failed() {
			if err := os.WriteFile(os.Getenv(passed), nil, 0o600); err != nil { //nolint:gosec // Run has chosen the name
				t.Fatal(err)
			}
		}
		return
	}
	report := filepath.Join(t.TempDir(), "passed")
	args := []string{"-test.run=" + pattern(t.Name()), "-test.v", "-test.count=1"}
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(deadline).String())
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...) //nolint:gosec // this program itself
	cmd.Env = append(os.Environ(), inside+"="+t.Name(), passed+"="+report)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{capSysAdmin}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("a process with a disk of its own cannot be had: %v. Run the tests as one who may mount: sudo make test; in a container, start it with --privileged.", err)
	}
	if _, absent := os.Stat(report); err != nil || absent != nil {
		t.Fatalf("in a process with a disk of its own: %v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("in a process with a disk of its own:\n%s", out)
	}
}

func mount(t *testing.T, size int64) *Disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "crosswalk-disk-") //nolint:usetesting // its parent is closed to PostgreSQL's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // an empty folder of the temporary one
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d,mode=1777", size)); err != nil {
		t.Fatalf("mount a disk: %v. Run the tests as one who may: sudo make test; in a container, start it with --privileged.", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // it ends with the process anyway
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return &Disk{Path: dir, tb: t}
}

// pattern is what -test.run wants for a test or subtest.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
