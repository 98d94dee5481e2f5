//go:build !linux

package testdisk

import "testing"

// Run fails: only Linux lets a test have a disk of its own.
func Run(t *testing.T, _ int64, _ func(t *testing.T, disk *Disk)) {
	t.Helper()
	t.Fatal("a small disk of its own for a test can be had on Linux only. Run the tests in a container of it: docker run --rm --privileged -v \"$PWD\":/src -w /src golang make test")
}
