package api

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// bodies reads request bodies whole, within a limit for each and a bound on the memory they take together. A body may
// take a little memory before it has to stand in line: a client that opens a connection and then says nothing costs no
// more than that.
type bodies struct {
	most   int
	memory *semaphore.Weighted
	// desks bounds how many large bodies are decoded and stored at once: what a body is decoded into takes several times
	// its size, and more of them at once than there are processors would end no sooner.
	desks *semaphore.Weighted
	// first and free hold buffers of firstBody and freeBody.
	first, free sync.Pool
}

const (
	// firstBody is what a body gets before anything of it has come: many connections that say they will send cost little.
	firstBody = 4 << 10
	// freeBody is what a body may take without standing in line.
	freeBody = 64 << 10
	// lineTime bounds the wait for memory, and for a desk.
	lineTime = 20 * time.Second
	// smallTime bounds the time in which a small body arrives; one that takes memory from others has largeTime, and more
	// the larger it is, at slowest bytes a second. So has every answer.
	smallTime = 60 * time.Second
	largeTime = 10 * time.Second
	slowest   = 256 << 10
)

func newBodies(most, total int) *bodies {
	return &bodies{
		most: most, memory: semaphore.NewWeighted(int64(max(most, total))),
		desks: semaphore.NewWeighted(int64(min(runtime.GOMAXPROCS(0)+1, 8))),
	}
}

// desk waits for a place to decode and store a body, and returns how to leave it. Small bodies need none.
func (b *bodies) desk(ctx context.Context, body []byte) (leave func(), err error) {
	if len(body) <= freeBody {
		return func() {}, nil
	}
	if err := wait(ctx, b.desks, 1, fullOfBodies); err != nil {
		return nil, err
	}
	return func() { b.desks.Release(1) }, nil
}

const fullOfBodies = "The server takes in as many large requests as it has memory for. Nothing of this one was kept."

// wait stands in line, for a while; full is what the caller is told when that was not enough.
func wait(ctx context.Context, line *semaphore.Weighted, n int64, full string) error {
	ctx, cancel := context.WithTimeout(ctx, lineTime)
	defer cancel()
	err := line.Acquire(ctx, n)
	if err == nil {
		return nil
	}
	return &skill.Error{
		Kind: skill.Unavailable, Code: skill.CodeUnknown, RetryAfter: 2 * time.Second, Err: err, Message: full,
	}
}

// read returns a request's JSON, decompressed. release must be called when the bytes are not needed any more.
func (b *bodies) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	if err := wantJSON(r.Header.Get("Content-Type")); err != nil {
		return nil, nil, err
	}
	arrive := func(within time.Duration) { arriveWithin(w, within) }
	arrive(smallTime) // before the first byte is waited for
	expected := r.ContentLength
	var in io.Reader = r.Body
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		if expected > int64(b.most) {
			return nil, nil, b.tooLarge()
		}
	case "gzip":
		unzip, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, nil, b.broken(err, "the gzip stream has no valid beginning")
		}
		defer unzip.Close()
		in, expected = unzip, -1
	default:
		return nil, nil, unsupported("The body is compressed as %s; gzip or no compression is understood.", quote(encoding))
	}
	if body, release, err = b.collect(r.Context(), in, expected, arrive); err == nil {
		received(w, body)
	}
	return body, release, err
}

// arriveWithin bounds the wait for what is left of a request.
func arriveWithin(w http.ResponseWriter, within time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(within)) // not every connection has deadlines
}

// absent reports whether a request has no body, not even an empty one. Where that was not told its first byte is waited for.
func absent(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength >= 0 {
		return r.ContentLength == 0
	}
	arriveWithin(w, smallTime)
	in := bufio.NewReader(r.Body)
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return true
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{in, r.Body}
	return false
}

func (b *bodies) collect(ctx context.Context, in io.Reader, expected int64, arrive func(time.Duration)) (body []byte, release func(), err error) {
	buf := take(&b.first, firstBody)
	told := expected >= 0
	var reserved int64
	free := func() {
		b.give(buf)
		b.memory.Release(reserved)
	}
	defer func() {
		if err != nil {
			free()
		}
	}()
	for {
		if len(buf) == cap(buf) {
			if len(buf) > b.most {
				return nil, nil, b.tooLarge()
			}
			if cap(buf) < freeBody {
				larger := append(take(&b.free, freeBody), buf...)
				b.give(buf)
				buf = larger
				continue
			}
			if reserved == 0 {
				if expected < 0 || expected > int64(b.most) {
					expected = int64(b.most)
				}
				if err := wait(ctx, b.memory, expected, fullOfBodies); err != nil {
					return nil, nil, err
				}
				reserved = expected
				arrive(largeTime + time.Duration(expected)*time.Second/slowest)
			}
			// A length that was told is taken at once: it is paid for. One byte more shows the end without growing again;
			// past the limit it shows the excess.
			size := 2 * cap(buf)
			if told && int(expected) >= cap(buf) {
				size = int(expected) + 1
			}
			grown := make([]byte, len(buf), min(size, b.most+1))
			copy(grown, buf)
			b.give(buf)
			buf = grown
		}
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			if len(buf) > b.most {
				return nil, nil, b.tooLarge()
			}
			return buf, free, nil
		}
		if err != nil {
			return nil, nil, b.broken(err, "the gzip stream is damaged")
		}
	}
}

// take returns an empty buffer.
func take(pool *sync.Pool, size int) []byte {
	if buf, ok := pool.Get().([]byte); ok {
		return buf[:0]
	}
	return make([]byte, 0, size)
}

// give keeps a buffer for the next body. Large ones are rare, and not worth keeping.
func (b *bodies) give(buf []byte) {
	switch cap(buf) {
	case firstBody:
		b.first.Put(buf) //nolint:staticcheck // a slice header is small against what it holds
	case freeBody:
		b.free.Put(buf) //nolint:staticcheck // likewise
	}
}

func (b *bodies) tooLarge() error {
	return &httpError{
		status: http.StatusRequestEntityTooLarge,
		err:    invalid("The body is larger than %s, the most this server takes in one request. Split the items over several requests.", mebibytes(b.most)),
	}
}

// broken tells a body that did not arrive from one that is no good.
func (b *bodies) broken(err error, damaged string) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return invalid("The body cannot be decompressed: %s.", damaged)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &httpError{status: http.StatusRequestTimeout, err: invalid("The body did not arrive in the time that a body of its size is given.")}
	}
	return invalid("The body did not arrive whole, or is damaged. Nothing of it was kept.")
}

func mebibytes(n int) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

func wantJSON(contentType string) error {
	kind, _, err := mime.ParseMediaType(contentType)
	if err == nil && kind == "application/json" {
		return nil
	}
	if contentType == "" {
		return unsupported("The request has no Content-Type; send the body as application/json.")
	}
	return unsupported("The body is sent as %s; send it as application/json.", quote(contentType))
}

func unsupported(format string, args ...any) error {
	return &httpError{status: http.StatusUnsupportedMediaType, err: invalid(format, args...)}
}
