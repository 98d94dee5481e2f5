// Package odootest is a server of Odoo in memory, with as much of it as skills need: version 17, which speaks through
// /jsonrpc, or 19, which speaks through /json/2 too. It answers as servers that were tried did, odd as that may be, and reports
// to the test what harms there or cannot be meant.
package odootest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
)

// Server is a server with one database that skills are in, and one user.
type Server struct {
	// Version is 17 or 19.
	Version              int
	Database, Login, Key string
	// Several: the server has other databases, so that requests through /json/2 must say which they mean.
	Several bool
	// Outage: Odoo runs, and its database does not. Discreet: nobody may ask which databases there are.
	Outage, Discreet bool
	// API is the setting of that name.
	API string
	// May is what the user may do.
	May Rights
	// Refuse is a name that a rule of this company does not allow. Breaks makes such a name break the transaction instead, of
	// which nobody can say where it came from.
	Refuse string
	Breaks bool
	// Conflicts is how many loads from now on meet a change at the same time. German: PostgreSQL says so in German.
	Conflicts int
	German    bool
	// Lenient: what is wrong with a request is answered, and not reported to the test.
	Lenient bool
	// Language is the user's, and is installed beside English.
	Language string
	// Module, SkillType and ArchivedType are what the integration's settings say.
	Module, SkillType, ArchivedType string

	t      testing.TB
	mu     sync.Mutex
	types  []*Type
	skills []*Skill
	byID   map[int64]*Skill
	names  map[string]reference // external ids
	rowIDs map[string]int64     // of the table of external ids
	denied int
	lastID int64
}

// Rights are what a user may do. What concerns skills and their types comes with the role "Officer: Manage all employees"; an
// ordinary employee may only create skills.
type Rights struct {
	CreateSkills, ChangeSkills, CreateTypes bool
	// ReadExternalIDs and CreateExternalIDs is what administrators may do.
	ReadExternalIDs, CreateExternalIDs bool
}

// Type is a skill type.
type Type struct {
	ID   int64
	Name string
	// Archived types are not shown unless one asks for them. Odoo 19 has them.
	Archived bool
	// Translated is the name in the other language, if there is one.
	Translated string
}

// Skill is a skill.
type Skill struct {
	ID        int64
	Name      string
	Type      *Type
	WriteDate time.Time
}

type reference struct {
	model string
	id    int64
}

// New makes a server of that version with a user who may do all.
func New(t testing.TB, version int) *Server {
	s := &Server{
		Version: version, Database: "acme", Login: "crosswalk@example.com", Key: "0f1e2d3c4b5a69788796a5b4c3d2e1f001234567",
		API: "auto", May: Rights{true, true, true, true, true},
		Language: "en_US",
		Module:   "crosswalk", SkillType: "Skills", ArchivedType: "Archived skills",
		t: t, byID: map[int64]*Skill{}, names: map[string]reference{}, rowIDs: map[string]int64{},
	}
	if version < 19 {
		s.API = "jsonrpc"
	}
	return s
}

// Settings are those of an integration with the server at an address.
func (s *Server) Settings(address string) json.RawMessage {
	set := map[string]any{"address": address, "api_key": s.Key, "api": s.API, "inactive": "move"}
	if s.Several || s.Version < 19 {
		set["database"] = s.Database
	}
	if s.Version < 19 {
		set["login"] = s.Login
	}
	settings, err := json.Marshal(set)
	if err != nil {
		s.t.Fatal(err)
	}
	return settings
}

// Account is the server for the conformance suite. Its address is connectortest.Base.
func (s *Server) Account() connectortest.Account {
	return connectortest.Account{
		Account:    connector.Account{ID: "odoo:1", Settings: s.Settings(connectortest.Base)},
		Tool:       s,
		Records:    func(*testing.T) []connector.Record { return s.Records() },
		MakeByHand: func(_ *testing.T, name string) string { return s.MakeByHand(name) },
	}
}

// Harness is the connector with such a server, for the conformance suite. The server is as change makes it.
func Harness(version int, change func(*Server)) connectortest.Harness {
	return connectortest.Harness{
		Connector: odoo.New(),
		HTTP:      true,
		// A load for each five hundred, and a question for the skill type. Before Odoo 19 one must sign in.
		Fewest: func(skills int) int {
			fewest := 1 + (skills+499)/500
			if version < 19 {
				fewest++
			}
			return fewest
		},
		NewAccount: func(t *testing.T, situation connectortest.Situation) (connectortest.Account, bool) {
			s := New(t, version)
			change(s)
			account := s.Account()
			switch situation {
			case connectortest.Normal:
			case connectortest.RefusesOne, connectortest.RefusesBatch:
				s.Refuse, s.Breaks = connectortest.RefusedName, situation == connectortest.RefusesBatch
				account.Relax = func(*testing.T) connector.Account { s.Refuse = ""; return account.Account }
			case connectortest.Credentials:
				s.Key = "expired" + s.Key
				account.Relax = func(*testing.T) connector.Account {
					return connector.Account{ID: account.ID, Settings: s.Settings(connectortest.Base)}
				}
			case connectortest.Permission:
				may := s.May
				s.May = Rights{}
				account.Relax = func(*testing.T) connector.Account { s.May = may; return account.Account }
			default:
				return account, false
			}
			return account, true
		},
		BadSettings: map[string]string{
			`{}`:                                  "address is required",
			`{"address":"https://acme.odoo.com"}`: "api_key is required",
			`{"address":"acme.odoo.com","api_key":"k"}`:                                    "address",
			`{"address":"https://a.test","api_key":"k","api":"jsonrpc"}`:                   "database and login",
			`{"address":"https://a.test","api_key":"k","api":"xmlrpc"}`:                    "api",
			`{"address":"https://a.test","api_key":"k","inactive":"delete"}`:               "inactive",
			`{"address":"https://a.test","api_key":"k","skill_type":" "}`:                  "skill_type",
			`{"address":"https://a.test","api_key":"k","skill_type":"Archived skills"}`:    "archived_skill_type",
			`{"address":"https://a.test","api_key":"k","external_id_module":"cross.walk"}`: "external_id_module",
			`{"address":"https://a.test","api_key":"k","batch_size":1001}`:                 "batch_size",
			`{"address":"https://a.test","api_key":"k","batch_size":0}`:                    "batch_size",
			`{"address":"https://a.test","api_key":4711}`:                                  "api_key",
		},
	}
}

// Records are all skills.
func (s *Server) Records() []connector.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := map[int64]string{}
	for name, ref := range s.names {
		if escaped, ours := strings.CutPrefix(name, s.Module+"."); ours && ref.model == "hr.skill" {
			origin, err := url.PathUnescape(escaped)
			if err != nil {
				s.t.Errorf("external id %q: %v", name, err)
			}
			owners[ref.id] = origin
		}
	}
	records := make([]connector.Record, len(s.skills))
	for i, sk := range s.skills {
		records[i] = connector.Record{
			RemoteID: strconv.FormatInt(sk.ID, 10), OriginID: owners[sk.ID], Name: sk.Name, Active: sk.Type.Name != s.ArchivedType, UpdatedAt: sk.WriteDate,
		}
	}
	return records
}

// Types are all skill types.
func (s *Server) Types() []Type {
	s.mu.Lock()
	defer s.mu.Unlock()
	types := make([]Type, len(s.types))
	for i, t := range s.types {
		types[i] = *t
	}
	return types
}

// MakeByHand makes a skill in Odoo's pages, of the integration's skill type. Neither has an external id.
func (s *Server) MakeByHand(name string) string {
	return strconv.FormatInt(s.Make(s.SkillType, name), 10)
}

// Make makes a skill of any type, and the type if there is none of that name.
func (s *Server) Make(typeName, name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.typeNamed(typeName)
	if of == nil {
		of = s.addType(typeName)
	}
	return s.add(name, of).ID
}

// Remove deletes a skill in Odoo's pages, with its external ids.
func (s *Server) Remove(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.skills[:0]
	for _, sk := range s.skills {
		if sk.ID != id {
			kept = append(kept, sk)
		}
	}
	s.skills = kept
	delete(s.byID, id)
	s.forget(reference{"hr.skill", id})
}

// AddType makes a skill type in Odoo's pages, whether or not there is one of that name.
func (s *Server) AddType(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addType(name).ID
}

// ArchiveType archives a skill type in Odoo's pages.
func (s *Server) ArchiveType(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typeNamed(name).Archived = true
}

// RenameType renames a skill type in Odoo's pages.
func (s *Server) RenameType(id int64, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typeOf(id).Name = name
}

// TranslateType names a skill type in the user's language.
func (s *Server) TranslateType(id int64, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typeOf(id).Translated = name
}

// TypeOf is the skill type of a skill.
func (s *Server) TypeOf(remoteID string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sk := range s.skills {
		if strconv.FormatInt(sk.ID, 10) == remoteID {
			return sk.Type.ID
		}
	}
	return 0
}

// RemoveType deletes a skill type in Odoo's pages. Its skills are deleted by the database, so their external ids stay behind.
func (s *Server) RemoveType(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.typeNamed(name)
	kept := s.skills[:0]
	for _, sk := range s.skills {
		if sk.Type == of {
			delete(s.byID, sk.ID)
		} else {
			kept = append(kept, sk)
		}
	}
	s.skills = kept
	for i, t := range s.types {
		if t == of {
			s.types = append(s.types[:i], s.types[i+1:]...)
			break
		}
	}
	s.forget(reference{"hr.skill.type", of.ID})
}

func (s *Server) forget(ref reference) {
	for name, of := range s.names {
		if of == ref {
			delete(s.names, name)
			delete(s.rowIDs, name)
		}
	}
}

// Name gives a record an external id, as an export or a module does.
func (s *Server) Name(external, model string, id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[external] = reference{model, id}
}

// ExternalIDs are the external ids of a skill's record.
func (s *Server) ExternalIDs(model string, id int64) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.namesOf(reference{model, id})
}

func (s *Server) add(name string, of *Type) *Skill {
	s.lastID++
	sk := &Skill{ID: s.lastID, Name: name, Type: of, WriteDate: now()}
	s.skills = append(s.skills, sk)
	s.byID[sk.ID] = sk
	return sk
}

func (s *Server) addType(name string) *Type {
	of := &Type{ID: int64(len(s.types)) + 3, Name: name}
	for _, t := range s.types {
		of.ID = max(of.ID, t.ID+1)
	}
	s.types = append(s.types, of)
	return of
}

func (s *Server) typeNamed(name string) *Type {
	for _, t := range s.types {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// now is as Odoo tells it, in seconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// complain reports what a request should not hold.
func (s *Server) complain(format string, args ...any) {
	if !s.Lenient {
		s.t.Errorf("odoo: "+format, args...)
	}
}

// exception is what is raised in Odoo.
type exception struct {
	name    string
	message string
	status  int // of /json/2
}

// Error implements error.
func (e *exception) Error() string { return e.name + ": " + e.message }

func raise(status int, name, format string, args ...any) *exception {
	return &exception{name, fmt.Sprintf(format, args...), status}
}

// userError reports whether Odoo takes the exception for one that is meant for people.
func (e *exception) userError() bool { return strings.HasPrefix(e.name, "odoo.exceptions.") }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodPost || r.URL.RawQuery != "" {
		s.complain("%s %s", r.Method, r.URL)
	}
	if accept := r.Header.Get("Accept"); accept != "application/json" {
		s.complain("accept %q", accept)
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/json/2/")
	database := r.Header.Get("X-Odoo-Database")
	switch {
	case r.URL.Path == "/jsonrpc":
		s.jsonrpc(w, r)
	case !ok || s.Version < 19 || s.Outage, database == "" && s.Several, database != "" && database != s.Database:
		if !ok {
			s.complain("no such page: %s", r.URL.Path)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not found on the server.</p>\n")
	default:
		s.json2(w, r, path)
	}
}

// deny counts the requests with a key that is not accepted: who goes on is locked out.
func (s *Server) deny() {
	if s.denied++; s.denied > 1 {
		s.complain("request %d with a key that is not accepted", s.denied)
	}
}
