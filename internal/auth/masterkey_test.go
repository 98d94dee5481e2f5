package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// secretBytes has bytes that the two alphabets of base64 write differently.
var secretBytes = append(bytes.Repeat([]byte{0xfb, 0xff, 0xfe}, 10), 1, 2)

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(secretBytes),
		base64.RawStdEncoding.EncodeToString(secretBytes),
		base64.URLEncoding.EncodeToString(secretBytes),
		base64.RawURLEncoding.EncodeToString(secretBytes) + "\n",
		hex.EncodeToString(secretBytes),
		" " + strings.ToUpper(hex.EncodeToString(secretBytes)),
	} {
		key, err := ParseMasterKey(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		ids = append(ids, key.ID())
	}
	for _, id := range ids {
		if id != ids[0] || len(id) < 8 {
			t.Errorf("one key has the ids %q", ids)
		}
	}
	for name, text := range map[string]string{
		"nothing":           "",
		"a password":        "correct horse battery staple secret",
		"31 bytes":          base64.StdEncoding.EncodeToString(secretBytes[1:]),
		"33 bytes":          base64.StdEncoding.EncodeToString(append([]byte{1}, secretBytes...)),
		"31 bytes in hex":   hex.EncodeToString(secretBytes[1:]),
		"two keys":          NewMasterKey() + NewMasterKey(),
		"stray bits at end": base64.RawStdEncoding.EncodeToString(secretBytes)[:42] + "B",
	} {
		if _, err := ParseMasterKey(text); err == nil {
			t.Errorf("%s is taken for a key", name)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error repeats what may be a key: %v", name, err)
		}
	}
}

func master(t *testing.T, text string) *MasterKey {
	t.Helper()
	key, err := ParseMasterKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestMasterKeysAreToldApart(t *testing.T) {
	t.Parallel()
	text := NewMasterKey()
	a, same, b := master(t, text), master(t, text), master(t, NewMasterKey())
	if !a.Is(same.Noted()) || a.Is(b.Noted()) {
		t.Error("keys are not told apart")
	}
	// An id alone, which anybody can read, is not enough.
	if a.Is(store.MasterKey{ID: a.ID(), Check: b.Noted().Check}) || a.Is(store.MasterKey{ID: a.ID()}) {
		t.Error("a note with a wrong check is taken for the key's")
	}
	secret, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if note := a.Noted(); bytes.Contains(note.Check, secret[:8]) || strings.Contains(text, note.ID) {
		t.Error("the note shows the key")
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	const acme, other = "hibob:28KMdr68N8kG9EzLwjsN9aoz", "hibob:28KMdr68N8kG9EzLwjsN9aoy"
	key, plain := master(t, NewMasterKey()), []byte(`{"token":"very secret"}`)
	sealed := key.Seal(acme, plain)
	if got, err := key.Open(acme, sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened %q, %v", got, err)
	}
	if bytes.Contains(sealed, plain[2:8]) {
		t.Error("what is sealed can be read")
	}
	if bytes.Equal(sealed, key.Seal(acme, plain)) {
		t.Error("sealing twice gives the same")
	}
	if got, err := key.Open(acme, key.Seal(acme, nil)); err != nil || len(got) != 0 {
		t.Errorf("nothing, sealed and opened: %q, %v", got, err)
	}
	if _, err := key.Open(other, sealed); err == nil {
		t.Error("it opens for another integration")
	}
	rotated := master(t, NewMasterKey())
	if _, err := rotated.Open(acme, sealed); err == nil || !strings.Contains(err.Error(), key.ID()) || !strings.Contains(err.Error(), rotated.ID()) {
		t.Errorf("under another key: %v; want both ids", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := key.Open(acme, changed); err == nil {
			t.Errorf("it opens with byte %d changed", i)
		}
		if _, err := key.Open(acme, sealed[:i]); err == nil {
			t.Errorf("the first %d bytes open", i)
		}
	}
}

// notes is what a database would keep.
type notes struct {
	noted *store.MasterKey
	err   error
}

func (n *notes) KeepMasterKey(_ context.Context, key store.MasterKey) (store.MasterKey, error) {
	if n.noted == nil {
		n.noted = &key
	}
	return *n.noted, n.err
}

func (n *notes) MasterKey(context.Context) (store.MasterKey, error) {
	switch {
	case n.err != nil:
		return store.MasterKey{}, n.err
	case n.noted == nil:
		return store.MasterKey{}, store.ErrNotFound
	}
	return *n.noted, nil
}

func TestTakeMasterKey(t *testing.T) {
	t.Parallel()
	mine, others := NewMasterKey(), NewMasterKey()
	noted := func(text string) *notes { note := master(t, text).Noted(); return &notes{noted: &note} }
	file := func(content string) string {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	none := filepath.Join(t.TempDir(), "none")
	down := errors.New("the database is away")
	for name, test := range map[string]struct {
		source MasterKeySource
		notes  *notes
		want   string   // the key; empty: none
		words  []string // of the refusal
	}{
		"first, as variable":            {MasterKeySource{Value: mine}, &notes{}, mine, nil},
		"first, as file":                {MasterKeySource{File: file(mine + "\n")}, &notes{}, mine, nil},
		"the same again":                {MasterKeySource{Value: mine}, noted(mine), mine, nil},
		"given beside an own one":       {MasterKeySource{Value: mine, Own: file(others)}, noted(mine), mine, nil},
		"own one":                       {MasterKeySource{Own: file(mine)}, noted(mine), mine, nil},
		"own one of a new database":     {MasterKeySource{Own: file(mine)}, &notes{}, mine, nil},
		"none":                          {MasterKeySource{}, &notes{}, "", nil},
		"none though one is noted":      {MasterKeySource{}, noted(mine), "", nil},
		"another one":                   {MasterKeySource{Value: others}, noted(mine), "", []string{master(t, mine).ID(), master(t, others).ID(), "CROSSWALK_MASTER_KEY holds another"}},
		"another one in a file":         {MasterKeySource{File: file(others)}, noted(mine), "", []string{master(t, mine).ID(), master(t, others).ID(), string(filepath.Separator) + "key holds another"}},
		"another own one":               {MasterKeySource{Own: file(others)}, noted(mine), "", []string{master(t, mine).ID(), master(t, others).ID()}},
		"own one lost":                  {MasterKeySource{Own: none}, noted(mine), "", []string{master(t, mine).ID() + " of this database is missing", none, "CROSSWALK_MASTER_KEY"}},
		"given twice":                   {MasterKeySource{Value: mine, File: file(mine)}, &notes{}, "", []string{"given twice"}},
		"no key in the variable":        {MasterKeySource{Value: mine[1:]}, &notes{}, "", []string{"CROSSWALK_MASTER_KEY is no master key", "crosswalk master-key new"}},
		"no key in the file":            {MasterKeySource{File: file("secret")}, &notes{}, "", []string{"key holds no master key"}},
		"an empty file":                 {MasterKeySource{Own: file("")}, noted(mine), "", []string{"key holds no master key"}},
		"no file":                       {MasterKeySource{File: none}, &notes{}, "", []string{"cannot be read", none}},
		"a database that is away":       {MasterKeySource{Value: mine}, &notes{err: down}, "", []string{down.Error()}},
		"likewise, without a key":       {MasterKeySource{}, &notes{err: down}, "", []string{down.Error()}},
		"likewise, with one to be made": {MasterKeySource{Own: none}, &notes{err: down}, "", []string{down.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := test.source.Take(t.Context(), test.notes)
			switch {
			case test.words != nil && err == nil:
				t.Fatal("it was taken")
			case test.words == nil && err != nil:
				t.Fatal(err)
			case (key != nil) != (test.want != ""), key != nil && !key.Is(master(t, test.want).Noted()):
				t.Errorf("took %v", key)
			}
			for _, w := range test.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v; want %q in it", err, w)
				}
			}
			if err != nil && (strings.Contains(err.Error(), mine) || strings.Contains(err.Error(), others) || strings.Contains(err.Error(), mine[1:])) {
				t.Errorf("the error shows a key: %v", err)
			}
			if err != nil && !errors.Is(err, down) && skill.KindOf(err) != skill.Invalid {
				t.Errorf("%v is not the user's mistake", err)
			}
		})
	}
}

// An embedded database makes its key once, for its owner alone.
func TestOwnMasterKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, n := MasterKeySource{Own: filepath.Join(dir, "master.key")}, &notes{}
	first, err := source.Take(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(source.Own)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	again, err := source.Take(t.Context(), n)
	if err != nil || !again.Is(first.Noted()) {
		t.Errorf("the second time: %v", err)
	}
	if err := os.Remove(source.Own); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Take(t.Context(), n); err == nil {
		t.Error("a lost key was replaced")
	}
	if _, err := os.Stat(source.Own); err == nil {
		t.Error("a file was made although a key is noted")
	}
}
