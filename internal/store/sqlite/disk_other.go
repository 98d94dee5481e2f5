//go:build !linux && !darwin && !freebsd

package sqlite

func freeBytes(string) (free int64, known bool) { return 0, false }
