package skill

import (
	"errors"
	"fmt"
	"time"
)

// Code is one of the contract's error codes.
type Code string

// The codes this server gives. PLATFORM codes are about the request, INTEGRATION codes about the link to the tool,
// REMOTE codes are the tool's doing.
const (
	CodeAuthenticationInvalid Code = "PLATFORM.AUTHENTICATION_INVALID"
	CodeIntegrationNotFound   Code = "PLATFORM.INTEGRATION_NOT_FOUND"
	CodeInputInvalid          Code = "PLATFORM.INPUT_INVALID"
	CodeRateLimitExceeded     Code = "PLATFORM.RATE_LIMIT_EXCEEDED"
	CodeConcurrencyLimit      Code = "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED"
	CodeTaskTimedOut          Code = "PLATFORM.TASK_TIMED_OUT"
	CodeIPNotWhitelisted      Code = "PLATFORM.IP_NOT_WHITELISTED"
	CodeUnknown               Code = "PLATFORM.UNKNOWN_ERROR"

	CodeToolAuthentication Code = "INTEGRATION.AUTHENTICATION_INVALID"
	CodeToolPermission     Code = "INTEGRATION.PERMISSION_MISSING"
	CodeIntegrationOff     Code = "INTEGRATION.INACTIVE"
	CodeSetupIncomplete    Code = "INTEGRATION.SETUP_INCOMPLETE"
	CodeActionNotAvailable Code = "INTEGRATION.ACTION_NOT_AVAILABLE"
	CodeActionDisabled     Code = "INTEGRATION.ACTION_DISABLED"
	// CodeTaskCancelled is the one that comes closest: people did not want it, and sending it again by itself is no help.
	CodeTaskCancelled = CodeActionDisabled

	CodeRemoteUnavailable Code = "REMOTE.SERVICE_UNAVAILABLE"
	CodeRemoteRateLimit   Code = "REMOTE.RATE_LIMIT_EXCEEDED"
	CodeRemoteInput       Code = "REMOTE.INPUT_INVALID"
	CodeRemoteUnknown     Code = "REMOTE.UNKNOWN_HTTP_ERROR"
)

// Title is the short form of a code for people. An unknown code has none.
func (c Code) Title() string {
	switch c {
	case CodeAuthenticationInvalid:
		return "API key not accepted"
	case CodeIntegrationNotFound:
		return "Integration not found"
	case CodeInputInvalid:
		return "Invalid request"
	case CodeRateLimitExceeded:
		return "Too many requests"
	case CodeConcurrencyLimit:
		return "Too much work waiting"
	case CodeTaskTimedOut:
		return "Task timed out"
	case CodeIPNotWhitelisted:
		return "Address not allowed"
	case CodeUnknown:
		return "Internal error"
	case CodeToolAuthentication:
		return "The tool refused the credentials"
	case CodeToolPermission:
		return "The tool's user may not do this"
	case CodeIntegrationOff:
		return "Integration switched off"
	case CodeSetupIncomplete:
		return "Integration not set up"
	case CodeActionNotAvailable:
		return "The tool cannot do this"
	case CodeActionDisabled:
		return "Not allowed, or called off"
	case CodeRemoteUnavailable:
		return "The tool could not be reached"
	case CodeRemoteRateLimit:
		return "The tool is throttling"
	case CodeRemoteInput:
		return "The tool refused the item"
	case CodeRemoteUnknown:
		return "Unexpected answer of the tool"
	default:
		return ""
	}
}

// Kind sorts errors by what a caller can do about them. The API turns a kind into an HTTP status by one table.
type Kind uint8

// The zero Kind is Internal: an error nobody classified is ours, and its text stays in the log.
const (
	Internal        Kind = iota
	Invalid              // the request is wrong; sending it again will not help
	Unauthenticated      // who is asking is not known
	Forbidden            // known, and not allowed
	NotFound             // does not exist, or not for this caller
	Conflict             // the object's state does not allow it
	TooMany              // later, after RetryAfter
	Unavailable          // a part of ours is away; later, after RetryAfter
)

// Error is an error that a caller may read. Anything else is internal.
type Error struct {
	Kind       Kind
	Code       Code
	Message    string        // what, where, what to do; never anything secret
	RetryAfter time.Duration // for TooMany and Unavailable
	Err        error         // the cause, for the log alone
}

// Error holds the cause too: it is for the log. Message is for the caller.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a message for the caller.
func Errorf(kind Kind, code Code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// KindOf classifies any error.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
