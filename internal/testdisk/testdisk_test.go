package testdisk_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crosswalk-hr/crosswalk/internal/testdisk"
)

const mib = 1 << 20

func TestADiskIsFullAndIsNot(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{mib, 8 * mib} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			testdisk.Run(t, size, func(t *testing.T, disk *testdisk.Disk) {
				write := func(name string, size int64) error {
					return os.WriteFile(filepath.Join(disk.Path, name), make([]byte, size), 0o600)
				}
				if err := write("kept", size/2); err != nil {
					t.Fatal(err)
				}
				for _, round := range []string{"first", "second"} {
					disk.Fill()
					if err := write(round, 1); !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("%s byte on the full disk: %v, want no space", round, err)
					}
					disk.Free()
					if err := write(round, size/4); err != nil {
						t.Errorf("%s byte after space came back: %v", round, err)
					}
				}
				if err := write("too large", size/2); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("more than the disk holds: %v, want no space", err)
				}
			})
		})
	}
}

// The disk is there for the test alone.
func TestADiskIsOfItsTestAlone(t *testing.T) {
	mounts := func() string {
		content, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	before := mounts()
	t.Run("inside", func(t *testing.T) {
		testdisk.Run(t, mib, func(t *testing.T, disk *testdisk.Disk) {
			if !strings.Contains(mounts(), disk.Path) {
				t.Error("the test does not see its disk")
			}
		})
	})
	if after := mounts(); after != before {
		t.Errorf("others see the disk:\n%s", after)
	}
}

// A test that fails in the other process, or does not get to its end, fails in this one. Tests that fail on purpose are run
// in a process, too.
func TestWhatFailsInsideFails(t *testing.T) {
	for name, how := range map[string]func(t *testing.T){
		"fails":  func(t *testing.T) { t.Error("on purpose") },
		"ends":   func(*testing.T) { syscall.Exit(0) },
		"passes": func(*testing.T) {},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(again) == t.Name() {
				testdisk.Run(t, mib, func(t *testing.T, _ *testdisk.Disk) { how(t) })
				return
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhatFailsInsideFails$/^"+name+"$")
			cmd.Env = append(os.Environ(), again+"="+t.Name(), "TMPDIR="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if passes := err == nil; passes != (name == "passes") {
				t.Errorf("passes: %v (%v)\n%s", passes, err, out)
			}
		})
	}
}

// again marks a run of this binary for TestWhatFailsInsideFails.
const again = "CROSSWALK_TESTDISK_AGAIN"
