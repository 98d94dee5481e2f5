package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
)

//go:embed static/*
var static embed.FS

// asset is a file that pages refer to by an address that changes with it, so that it may be kept for ever.
type asset struct {
	Path    string
	content []byte
	kind    string
}

func loadAssets() map[string]asset {
	files, err := static.ReadDir("static")
	if err != nil {
		panic(err) // they are part of the program
	}
	assets := map[string]asset{}
	for _, f := range files {
		content, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(f.Name())
		kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[ext]
		name := strings.TrimSuffix(f.Name(), ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		assets[f.Name()] = asset{"/static/" + name, content, kind}
	}
	return assets
}

func (d *Dashboard) static(w http.ResponseWriter, r *http.Request) {
	for _, a := range d.assets {
		if a.Path == r.URL.Path {
			w.Header().Set("Content-Type", a.kind)
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			_, _ = w.Write(a.content) // the client has gone: there is nobody to tell
			return
		}
	}
	http.NotFound(w, r)
}
