//go:build linux || darwin || freebsd

package sqlite

import "syscall"

// freeBytes is how much a process without special rights may still write into a folder.
func freeBytes(folder string) (free int64, known bool) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(folder, &disk); err != nil {
		return 0, false
	}
	return int64(disk.Bavail) * int64(disk.Bsize), true //nolint:unconvert // other systems have other types
}
