package learning360

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

const bulkSkills = "/api/v2/bulk/skills"

// input is the body of a bulk request.
type input[T any] struct {
	Input []T `json:"input"`
}

type upsert struct {
	ExternalID string   `json:"externalId"`
	Name       string   `json:"name"`
	Parents    []string `json:"parentExternalIds"`
}

type deletion struct {
	ExternalID string `json:"externalId"`
}

// skill is one of the list.
type skill struct {
	ID         string `json:"_id"`
	ExternalID string `json:"externalId"`
	Name       string `json:"name"`
	Status     string `json:"status"`
	UpdatedAt  moment `json:"updatedAt"`
}

// moment is a time; zero when there is none, or it cannot be read.
type moment struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &m.Time) != nil {
		m.Time = time.Time{}
	}
	return nil
}

// operation is a bulk operation.
type operation struct {
	ID           string `json:"_id"`
	Type         string `json:"type"`
	Status       string `json:"status"`
	ErrorMessage string `json:"errorMessage"`
	CreatedAt    moment `json:"createdAt"`
}

// outcome is what became of one skill of an operation.
type outcome struct {
	Status       string `json:"status"`
	Input        upsert `json:"input"`
	ResourceID   string `json:"resourceId"`
	ErrorMessage string `json:"errorMessage"`
}

// token is what requests are made with. It lives as long as its session, or until it has expired.
type token struct {
	mu    sync.Mutex
	api   *rest.API // nil: there is none
	until time.Time
}

// early is how long before its end a token is not used any more.
const early = time.Minute

// authorized returns the API with a token, and asks for one if there is none.
func (s *session) authorized(ctx context.Context) (*rest.API, error) {
	s.token.mu.Lock()
	defer s.token.mu.Unlock()
	if s.token.api != nil && time.Now().Before(s.token.until) {
		return s.token.api, nil
	}
	answer, err := s.api.Send(ctx, rest.Request{Method: http.MethodPost, Path: "/api/v2/oauth2/token", Body: map[string]string{
		"grant_type": "client_credentials", "client_id": s.set.ClientID, "client_secret": s.set.ClientSecret,
	}})
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		e := problem(answer)
		if answer.Status == http.StatusBadRequest { // of these credentials nothing will come
			e.Kind = connector.Credentials
		}
		return nil, e
	}
	var body struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := answer.JSON(&body); err != nil {
		return nil, err
	}
	if body.AccessToken == "" {
		return nil, connector.Errorf(connector.Away, "360Learning answered with no token")
	}
	header := s.api.Header.Clone()
	header.Set("Authorization", "Bearer "+body.AccessToken)
	s.token.api = &rest.API{HTTP: s.api.HTTP, Base: s.api.Base, Header: header, Secrets: append(slices.Clone(s.api.Secrets), body.AccessToken)}
	s.token.until = time.Now().Add(time.Duration(min(body.ExpiresIn, 24*3600)*float64(time.Second)) - early)
	return s.token.api, nil
}

// expired forgets a token that was refused.
func (s *session) expired(api *rest.API) {
	s.token.mu.Lock()
	defer s.token.mu.Unlock()
	if s.token.api == api {
		s.token.api = nil
	}
}

// send makes a request. A token that is refused is replaced once: nothing was carried out with it.
func (s *session) send(ctx context.Context, r rest.Request) (*rest.Answer, error) {
	for last := false; ; last = true {
		api, err := s.authorized(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := api.Send(ctx, r)
		if err != nil || answer.Status != http.StatusUnauthorized || last {
			return answer, err
		}
		s.expired(api)
	}
}

// get reads something.
func (s *session) get(ctx context.Context, path string, query url.Values) (*rest.Answer, error) {
	answer, err := s.send(ctx, rest.Request{Method: http.MethodGet, Path: path, Query: query})
	if err == nil && !answer.OK() {
		return answer, problem(answer)
	}
	return answer, err
}

// problem makes an error of an answer that is none of success. 360Learning's errors are a text, or a code with a message.
func problem(answer *rest.Answer) *connector.Error {
	code, words := said(answer.Body)
	if words == "" {
		words = answer.Said()
	}
	e := answer.Problem(words)
	switch code {
	case "tooManyRequests", "bulkOperationsConcurrencyLimitReached":
		e.Kind, e.RetryAfter = connector.Throttled, answer.RetryAfter()
	case "invalid_token", "invalid_client", "non_existing_user":
		e.Kind = connector.Credentials
	case "invalid_scope", "skillSolutionNotEnabled":
		e.Kind = connector.Permission
	case "bulkAPIDisabled":
		e.Kind = connector.Away
	case "invalidInput", "inputTooLong", "skillsGraphHasCycles":
		e.Kind = connector.Refused
	}
	return e
}

// said takes an error's body apart.
func said(body []byte) (code, words string) {
	var failure struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &failure) != nil || len(failure.Error) == 0 {
		return "", ""
	}
	if json.Unmarshal(failure.Error, &code) == nil {
		return code, code
	}
	var object struct{ Code, Message string }
	if json.Unmarshal(failure.Error, &object) != nil {
		return "", ""
	}
	if words = object.Message; object.Code != "" {
		words = strings.TrimSuffix(object.Code+": "+object.Message, ": ")
	}
	return object.Code, words
}

// next is the path of the page behind an answer, empty if there is none.
func (s *session) next(answer *rest.Answer) (string, error) {
	link := nextLink(answer.Header.Values("Link"))
	if link == "" {
		return "", nil
	}
	return s.path(link)
}

// path makes the path of an address that 360Learning named. It must be on the host that the request went to.
func (s *session) path(address string) (string, error) {
	base, err := url.Parse(s.set.Address)
	if err != nil {
		return "", err
	}
	there, err := base.Parse(address)
	if err != nil || there.Scheme != base.Scheme || !strings.EqualFold(there.Host, base.Host) || there.User != nil {
		return "", connector.Errorf(connector.Unexpected, "360Learning named an address on another host")
	}
	path, ok := strings.CutPrefix(there.RequestURI(), strings.TrimRight(base.Path, "/"))
	if !ok {
		return "", connector.Errorf(connector.Unexpected, "360Learning named an address outside of its own")
	}
	return path, nil
}

// nextLink finds the address with rel="next" in the values of a Link header, empty if there is none.
func nextLink(values []string) string {
	for _, value := range values {
		for value != "" {
			_, rest, ok := strings.Cut(value, "<")
			if !ok {
				break
			}
			address, after, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			parameters := after
			value = ""
			if at := strings.Index(after, ",<"); at >= 0 {
				parameters, value = after[:at], after[at+1:]
			} else if at := strings.Index(after, ", <"); at >= 0 {
				parameters, value = after[:at], after[at+1:]
			}
			for parameter := range strings.SplitSeq(parameters, ";") {
				name, of, _ := strings.Cut(strings.TrimSpace(parameter), "=")
				if strings.EqualFold(strings.TrimSpace(name), "rel") && strings.EqualFold(strings.Trim(strings.TrimSpace(of), `"`), "next") {
					return address
				}
			}
		}
	}
	return ""
}
