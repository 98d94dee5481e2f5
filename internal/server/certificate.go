package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

const (
	// certificateEvery is how often the files are looked at. They are read rather than watched: a link that is swapped, a
	// file that is renamed over another and one on a network all look the same then.
	certificateEvery = 2 * time.Second
	// mostPEM is more than a certificate with its whole chain takes.
	mostPEM = 1 << 20
)

// certificate is the server's own, read again when its files change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	every             time.Duration

	current atomic.Pointer[tls.Certificate]
	// loaded is the content that current was made of, refused the content last seen that made none. Only watch has them.
	loaded, refused []byte
	complained      bool // about refused
}

// loadCertificate reads a pair of files that fit together.
func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, every: certificateEvery}
	pair, content, err := c.read()
	if err != nil {
		e := skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
			"TLS cannot be served: give --tls-cert a PEM file with the certificate and after it those of the issuers, and --tls-key one with its private key, without a passphrase")
		e.Err = err
		return nil, e
	}
	c.use(pair, content)
	return c, nil
}

// read gives nil for content that cannot be read at all.
func (c *certificate) read() (_ *tls.Certificate, content []byte, err error) {
	cert, err := readPEM(c.certFile)
	if err != nil {
		return nil, nil, err
	}
	key, err := readPEM(c.keyFile)
	if err != nil {
		return nil, nil, err
	}
	content = bytes.Join([][]byte{cert, key}, []byte{0})
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, content, fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, content, nil
}

func readPEM(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostPEM+1))
	if err == nil && len(text) > mostPEM {
		err = fmt.Errorf("%s: larger than %d bytes", name, mostPEM)
	}
	return text, err
}

func (c *certificate) use(pair *tls.Certificate, content []byte) {
	c.current.Store(pair)
	c.loaded, c.refused, c.complained = content, nil, false
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		c.log.Warn("the certificate is not valid now; clients will refuse it", "file", c.certFile,
			"not_before", pair.Leaf.NotBefore.UTC(), "not_after", pair.Leaf.NotAfter.UTC())
	}
}

// watch takes up changed files until ctx ends.
func (c *certificate) watch(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look()
		}
	}
}

// look takes up what has changed. Two files cannot be replaced at once, so what does not fit together is complained of
// when it is still there at the next look; the old pair is kept.
func (c *certificate) look() {
	pair, content, err := c.read()
	switch {
	case err == nil && bytes.Equal(content, c.loaded):
		c.refused, c.complained = nil, false
	case err == nil:
		c.use(pair, content)
		c.log.Info("the certificate was replaced", "file", c.certFile, "not_after", pair.Leaf.NotAfter.UTC())
	case c.refused == nil || !bytes.Equal(content, c.refused):
		c.refused, c.complained = append([]byte{}, content...), false
	case !c.complained:
		c.complained = true
		c.log.Warn("the changed certificate cannot be used; the old one is kept", "error", err)
	}
}

// config is what a server that speaks TLS with this certificate needs.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
