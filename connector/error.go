package connector

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what the engine does about an error.
type Kind uint8

// All kinds but Ambiguous promise that the skills without a result were not written.
const (
	// Unexpected is any answer that fits nothing else. It is not repeated.
	Unexpected Kind = iota
	// Refused: the tool will not take this skill, however often it is asked. As the error of a whole call it says that
	// the batch holds a skill the tool will not take without saying which: the engine halves the batch to find it.
	Refused
	// Credentials: the tool does not accept the account's credentials. The engine stops at the first, since some vendors
	// lock an account that goes on trying.
	Credentials
	// Permission: the credentials are good, but may not write skills.
	Permission
	// Throttled: later, after RetryAfter if that is set.
	Throttled
	// Away: the tool cannot be reached, or says that it cannot work now.
	Away
	// Ambiguous: the skills may have reached the tool; no answer told.
	Ambiguous
	// Unsupported: the tool has no such action, for example no way to retire a skill.
	Unsupported
)

// String returns the word used in logs and metrics.
func (k Kind) String() string {
	switch k {
	case Unexpected:
		return "unexpected"
	case Refused:
		return "refused"
	case Credentials:
		return "credentials"
	case Permission:
		return "permission"
	case Throttled:
		return "throttled"
	case Away:
		return "away"
	case Ambiguous:
		return "ambiguous"
	case Unsupported:
		return "unsupported"
	default:
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
}

// Error is how a call, or one skill of it, failed.
type Error struct {
	Kind Kind
	// Message is for the caller: the tool's own words where it had any, without anything secret.
	Message string
	// RetryAfter is how long the tool asks to be left alone; 0: it did not say.
	RetryAfter time.Duration
	// Err is the cause, for the log.
	Err error
	// Exchange is the id of the recorded request that the error is about, if it is known. Package rest sets it; where it is empty
	// the last request of the call is meant.
	Exchange string
}

// Error is for the log.
func (e *Error) Error() string {
	text := e.Kind.String()
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a message for the caller.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// AsError classifies any error of a call; nil stays nil. What is no *Error may have happened after the skills had left,
// hence Ambiguous.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Ambiguous, Message: "the call ended without an answer", Err: err}
}
