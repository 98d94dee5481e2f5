package api

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// Large bodies stand in line, for a while; small ones pass.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBodies(1<<20, 1<<20)
		large := make([]byte, freeBody+1)
		var leave []func()
		for b.desks.TryAcquire(1) {
			leave = append(leave, func() { b.desks.Release(1) })
		}
		if len(leave) == 0 {
			t.Fatal("there are no desks")
		}
		if _, err := b.desk(t.Context(), large[:freeBody]); err != nil {
			t.Errorf("a small body had to wait: %v", err)
		}
		began := time.Now()
		_, err := b.desk(t.Context(), large)
		var e *skill.Error
		if !errors.As(err, &e) || e.Kind != skill.Unavailable || e.RetryAfter <= 0 {
			t.Errorf("without a desk: %v; want unavailable, with a time to come again", err)
		}
		if waited := time.Since(began); waited != lineTime {
			t.Errorf("waited %s for a desk; want %s", waited, lineTime)
		}
		go func() {
			time.Sleep(lineTime / 2) // of the bubble's clock
			leave[0]()
		}()
		if _, err := b.desk(t.Context(), large); err != nil {
			t.Errorf("a desk became free, but: %v", err)
		}
	})
}

// A body that takes the memory of all holds up the large ones, not the small ones; once it is released they go on.
func TestBodyMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBodies(1<<20, 1<<20)
		read := func(size int, expected int64) (func(), error) {
			body, release, err := b.collect(t.Context(), bytes.NewReader(make([]byte, size)), expected, func(time.Duration) {})
			if err == nil && len(body) != size {
				t.Errorf("read %d bytes of %d", len(body), size)
			}
			return release, err
		}
		release, err := read(1<<20, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read(freeBody-1, freeBody-1); err != nil {
			t.Errorf("a small body: %v", err)
		}
		if body, _, err := b.collect(t.Context(), strings.NewReader("{}"), freeBody, nil); err != nil || cap(body) != firstBody {
			t.Errorf("%d bytes are taken for 2, %v; want %d", cap(body), err, firstBody)
		}
		var e *skill.Error
		if _, err := read(100<<10, 100<<10); !errors.As(err, &e) || e.Kind != skill.Unavailable {
			t.Errorf("a large body without memory: %v; want unavailable", err)
		}
		release()
		for _, expected := range []int64{1 << 20, -1, 512 << 10} { // known, unknown, and understated
			release, err := read(1<<20, expected)
			if err != nil {
				t.Fatalf("expected %d: %v", expected, err)
			}
			release()
		}
		if _, err := read(1<<20+1, -1); err == nil {
			t.Error("a body over the limit was taken")
		}
		if !b.memory.TryAcquire(1 << 20) {
			t.Error("memory was not given back")
		}
	})
}

// The time for a body grows with what it takes from others.
func TestBodyTime(t *testing.T) {
	t.Parallel()
	b := newBodies(16<<20, 16<<20)
	var granted []time.Duration
	_, release, err := b.collect(t.Context(), io.LimitReader(zeroes{}, 4<<20), 4<<20, func(d time.Duration) { granted = append(granted, d) })
	if err != nil {
		t.Fatal(err)
	}
	release()
	if want := largeTime + 16*time.Second; len(granted) != 1 || granted[0] != want {
		t.Errorf("granted %v for 4 MiB; want %v once", granted, want)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
