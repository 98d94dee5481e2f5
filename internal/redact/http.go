package redact

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// shown are the headers that are kept, without secrets. What is not here may be a secret of a tool that nobody thought of.
//
//nolint:gochecknoglobals // a constant, were maps allowed to be
var shown = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Allow": true, "Concurrency-Limit": true, "Concurrency-Remaining": true, "Content-Encoding": true,
	"Content-Length": true, "Content-Type": true, "Date": true, "Link": true, "Location": true, "Retry-After": true, "Server": true,
	"Soapaction": true, "User-Agent": true, "X-Integration-Id": true, "X-Ratelimit-Limit": true, "X-Ratelimit-Remaining": true,
	"X-Ratelimit-Reset": true, "X-Request-Id": true, "360-Api-Version": true,
}

// Header copies a header. Values that may be secret are a Mark.
func (r *Redactor) Header(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		if !shown[name] {
			out[name] = []string{Mark}
			continue
		}
		for _, v := range values {
			out[name] = append(out[name], r.Text(v))
		}
	}
	return out
}

// secretParameter tells by its name that a parameter of an address is secret.
func secretParameter(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "pass") || strings.Contains(name, "key") ||
		slices.ContainsFunc(words, func(w []byte) bool { return strings.Contains(name, string(w)) })
}

// URL writes an address without what is secret in it.
func (r *Redactor) URL(u *url.URL) string {
	address := *u
	if address.User != nil {
		address.User = url.User(Mark)
	}
	if address.RawQuery != "" {
		parts := strings.Split(address.RawQuery, "&")
		for i, part := range parts {
			name, _, _ := strings.Cut(part, "=")
			if plain, err := url.QueryUnescape(name); err != nil || secretParameter(plain) {
				parts[i] = name + "=" + Mark
			}
		}
		address.RawQuery = strings.Join(parts, "&")
	}
	return r.Text(address.String())
}
