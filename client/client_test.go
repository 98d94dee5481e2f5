package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// script answers requests with what it was told, one after the other.
type script struct {
	answers []func(http.ResponseWriter)
	at      []time.Time
}

func (s *script) RoundTrip(*http.Request) (*http.Response, error) {
	s.at = append(s.at, time.Now())
	answer := httptest.NewRecorder()
	s.answers[len(s.at)-1](answer)
	return answer.Result(), nil
}

func refuse(status int, patience string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if patience != "" {
			w.Header().Set("Retry-After", patience)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"status":"error","error":{"code":"PLATFORM.X","title":"x","message":"no","log_url":null}}`))
	}
}

func accept(w http.ResponseWriter) {
	_, _ = w.Write([]byte(`{"status":"success","data":{"task_id":"task_1"},"warnings":[]}`))
}

// A client comes back after the time it was asked for and a little more, not at once, and not for ever.
func TestPatience(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers    []func(http.ResponseWriter)
		want       []time.Duration // the least wait before each further attempt; the most is a quarter more
		status     int             // of the error at last; 0 for none
		retryAfter time.Duration
	}{
		"seconds": {
			answers: []func(http.ResponseWriter){refuse(429, "7"), refuse(503, "2"), accept},
			want:    []time.Duration{7 * time.Second, 2 * time.Second},
		},
		"a moment": {
			answers: []func(http.ResponseWriter){func(w http.ResponseWriter) {
				refuse(503, time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat))(w)
			}, accept},
			want: []time.Duration{30 * time.Second},
		},
		"no word": {
			answers: []func(http.ResponseWriter){refuse(503, ""), refuse(503, "soon"), refuse(503, "-1"), accept},
			want:    []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond},
		},
		"less than the client's own": {
			answers: []func(http.ResponseWriter){refuse(503, "0"), accept},
			want:    []time.Duration{200 * time.Millisecond},
		},
		"too much": {
			answers: []func(http.ResponseWriter){refuse(429, "3600")},
			status:  429, retryAfter: time.Hour,
		},
		"for ever": {
			answers: []func(http.ResponseWriter){refuse(429, "1"), refuse(429, "1"), refuse(429, "1")},
			want:    []time.Duration{time.Second, time.Second},
			status:  429, retryAfter: time.Second,
		},
		"an answer that stays": {
			answers: []func(http.ResponseWriter){refuse(400, "1")},
			status:  400, retryAfter: time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: test.answers}
				c := New("http://server", "key", "sandbox:1")
				c.HTTP = &http.Client{Transport: s}
				if name == "for ever" {
					c.Retries = 2
				}
				_, err := c.UpsertSkills(t.Context(), []Item{{OriginID: "1", Name: "x"}})
				e, _ := errors.AsType[*Error](err)
				switch {
				case test.status == 0 && err != nil:
					t.Fatal(err)
				case test.status != 0 && (e == nil || e.HTTPStatus != test.status || e.RetryAfter != test.retryAfter):
					t.Errorf("error %+v; want %d, to be tried after %s", e, test.status, test.retryAfter)
				}
				if len(s.at) != len(test.want)+1 {
					t.Fatalf("%d attempts, want %d", len(s.at), len(test.want)+1)
				}
				for i, least := range test.want {
					if waited := s.at[i+1].Sub(s.at[i]); waited < least || waited > least*5/4+1 {
						t.Errorf("waited %s before attempt %d; want %s and up to a quarter more", waited, i+2, least)
					}
				}
			})
		})
	}
}

// A client that is told to stop does not sit out the wait.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := New("http://server", "key", "sandbox:1")
		c.HTTP = &http.Client{Transport: &script{answers: []func(http.ResponseWriter){refuse(503, "60")}}}
		began := time.Now()
		if _, err := c.Check(ctx); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s; want the refusal after 1 s", err, time.Since(began))
		}
	})
}

// A skill that the server is to give an origin_id is asked for once: another request might make another one.
func TestCreateSkillIsNotRepeatedBlindly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		item Item
		want int
	}{
		"without an origin_id": {Item{Name: "TypeScript"}, 1},
		"with one":             {Item{Name: "TypeScript", OriginID: "ts"}, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &script{answers: []func(http.ResponseWriter){refuse(503, "1"), refuse(503, "1"), refuse(503, "1")}}
			c := New("http://x", "key", "in")
			c.HTTP, c.Retries = &http.Client{Transport: server}, 2
			if _, err := c.CreateSkill(t.Context(), test.item); err == nil || len(server.at) != test.want || c.Retries != 2 {
				t.Errorf("%s: sent %d times: %v", name, len(server.at), err)
			}
		})
	}
}
