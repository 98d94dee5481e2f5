package api

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
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
	total  int
	pool   sync.Pool
}

const (
	// freeBody is what a body may take without standing in line.
	freeBody = 64 << 10
	// lineTime bounds the wait for memory.
	lineTime = 5 * time.Second
	// bodyTime bounds the time a body takes to arrive.
	bodyTime = 60 * time.Second
)

func newBodies(most, total int) *bodies {
	return &bodies{most: most, total: total, memory: semaphore.NewWeighted(int64(total))}
}

// read returns a request's JSON, decompressed. release must be called when the bytes are not needed any more.
func (b *bodies) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	if err := wantJSON(r.Header.Get("Content-Type")); err != nil {
		return nil, nil, err
	}
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
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // not every connection has deadlines
	return b.collect(r.Context(), in, expected)
}

func (b *bodies) collect(ctx context.Context, in io.Reader, expected int64) (body []byte, release func(), err error) {
	buf, _ := b.pool.Get().([]byte)
	if buf == nil {
		buf = make([]byte, 0, freeBody)
	}
	buf = buf[:0]
	var reserved int64
	free := func() {
		if cap(buf) == freeBody { // larger ones are rare, and not worth keeping
			b.pool.Put(buf) //nolint:staticcheck // a slice header is small against what it holds
		}
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
			if reserved == 0 {
				if expected < 0 || expected > int64(b.most) {
					expected = int64(b.most)
				}
				wait, cancel := context.WithTimeout(ctx, lineTime)
				err := b.memory.Acquire(wait, expected)
				cancel()
				if err != nil {
					return nil, nil, &skill.Error{
						Kind: skill.Unavailable, Code: skill.CodeUnknown, RetryAfter: 2 * time.Second, Err: err,
						Message: "The server is reading as many large requests as it has memory for. Nothing of this one was kept.",
					}
				}
				reserved = expected
			}
			// One byte more than expected shows the end without growing again; past the limit it shows the excess.
			size := min(2*cap(buf), int(expected)+1)
			if size <= cap(buf) {
				size = 2 * cap(buf)
			}
			grown := make([]byte, len(buf), min(size, b.most+1))
			copy(grown, buf)
			if cap(buf) == freeBody {
				b.pool.Put(buf[:0]) //nolint:staticcheck // as above
			}
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
		return &httpError{status: http.StatusRequestTimeout, err: invalid("The body did not arrive within %s.", bodyTime)}
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
