package skill

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
)

// alphabet is base 58 in ASCII order, so that identifiers sort as they were made.
const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

const (
	// IDLength is the length of an object's identifier.
	IDLength = 24
	// timeLength characters carry the millisecond of creation: good until the year 6030.
	timeLength = 8

	taskPrefix = "task_"
)

// NewID returns a fresh identifier: 8 characters of time, so that index pages fill one after the other, and 16 random
// ones (93 bits).
func NewID(now time.Time) string { return NewIDs(now, 1)[0] }

// NewIDs returns n fresh identifiers in order, so that an index of them grows at its end. One read of random bytes serves
// them all.
func NewIDs(now time.Time, n int) []string {
	const random = IDLength - timeLength
	stamp := stampOf(now)
	var all strings.Builder
	all.Grow(n * IDLength)
	// Six bits make one of 64 values; the six values without a letter are drawn again, hence the spare bytes.
	pool := make([]byte, n*random+n*random/6+32)
	next := len(pool)
	for range n {
		all.Write(stamp[:])
		for made := 0; made < random; {
			if next == len(pool) {
				_, _ = rand.Read(pool) // never fails: it ends the process instead
				next = 0
			}
			if v := pool[next] & 63; v < 58 {
				all.WriteByte(alphabet[v])
				made++
			}
			next++
		}
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = all.String()[i*IDLength : (i+1)*IDLength]
	}
	slices.Sort(ids)
	return ids
}

// stampOf is the beginning of an identifier: its time.
func stampOf(now time.Time) (stamp [timeLength]byte) {
	ms := uint64(max(now.UnixMilli(), 0))
	for i := timeLength - 1; i >= 0; i-- {
		stamp[i] = alphabet[ms%58]
		ms /= 58
	}
	return stamp
}

// TimeOf is when an identifier was made; zero for a text that is none.
func TimeOf(id string) time.Time {
	if !IsID(id) {
		return time.Time{}
	}
	var ms int64
	for i := range timeLength {
		ms = ms*58 + int64(strings.IndexByte(alphabet, id[i]))
	}
	return time.UnixMilli(ms).UTC()
}

// IDOf is the identifier of a time and a seed: always the same one, and as hard to guess as the seed.
func IDOf(at time.Time, seed [32]byte) string {
	stamp := stampOf(at)
	id := append(make([]byte, 0, IDLength), stamp[:]...)
	for ; len(id) < IDLength; seed = sha256.Sum256(seed[:]) {
		for _, b := range seed {
			if v := b & 63; v < 58 && len(id) < IDLength {
				id = append(id, alphabet[v])
			}
		}
	}
	return string(id)
}

// FirstID is where the identifiers made from that millisecond on begin: all earlier ones sort before it, and no other
// after it.
func FirstID(from time.Time) string {
	stamp := stampOf(from)
	return string(stamp[:])
}

// FirstTaskID is FirstID of tasks.
func FirstTaskID(from time.Time) string { return taskPrefix + FirstID(from) }

// TimeOfID is when an identifier was made, to the millisecond. The zero time if it is none.
func TimeOfID(id string) time.Time {
	if !IsID(id) {
		return time.Time{}
	}
	var ms int64
	for i := range timeLength {
		ms = ms*58 + int64(strings.IndexByte(alphabet, id[i]))
	}
	return time.UnixMilli(ms).UTC()
}

// NewTaskID returns a fresh identifier of a task.
func NewTaskID(now time.Time) string { return taskPrefix + NewID(now) }

// TaskIDOf is the identifier of a task from a time and a seed, as IDOf.
func TaskIDOf(at time.Time, seed [32]byte) string { return taskPrefix + IDOf(at, seed) }

// NewIntegrationID returns a fresh identifier of an integration with a tool.
func NewIntegrationID(tool string, now time.Time) string { return tool + ":" + NewID(now) }

// IntegrationIDOf is the identifier of an integration from a time and a seed, as IDOf.
func IntegrationIDOf(tool string, at time.Time, seed [32]byte) string {
	return tool + ":" + IDOf(at, seed)
}

// IsID reports whether the text has the shape of an object's identifier.
func IsID(text string) bool {
	if len(text) != IDLength {
		return false
	}
	for i := range len(text) {
		if strings.IndexByte(alphabet, text[i]) < 0 {
			return false
		}
	}
	return true
}

// IsTaskID reports whether the text has the shape of a task's identifier.
func IsTaskID(text string) bool {
	rest, ok := strings.CutPrefix(text, taskPrefix)
	return ok && IsID(rest)
}

// IsIntegrationID reports whether the text has the shape of an integration's identifier.
func IsIntegrationID(text string) bool {
	tool, rest, ok := strings.Cut(text, ":")
	return ok && tool != "" && IsID(rest)
}
