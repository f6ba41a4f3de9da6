package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// ErrServerClosed is returned by Serve, ServeConn and ListenAndServe after
// Shutdown or Close.
var ErrServerClosed = errors.New("bsrpc: server closed")

// ErrClosed is found, by errors.Is, in the error of a call on a Client that this
// end has closed. A connection that is lost has another cause.
var ErrClosed = errors.New("bsrpc: client closed")

// A Code says what kind of failure an error is. The numbers are gRPC's
// (https://grpc.io/docs/guides/status-codes/).
type Code uint16

// The codes. A handler chooses by returning an *Error. The library itself uses
// CodeCanceled and CodeDeadlineExceeded for what their names say,
// CodeInvalidArgument for arguments that do not fit, CodeResourceExhausted for a
// limit, CodeFailedPrecondition for a contract that differs, CodeUnimplemented for
// a method that is not there, CodeInternal for a panic, and CodeUnavailable for a
// connection that is lost and a server that shuts down.
const (
	CodeOK                 Code = 0
	CodeCanceled           Code = 1
	CodeUnknown            Code = 2
	CodeInvalidArgument    Code = 3
	CodeDeadlineExceeded   Code = 4
	CodeNotFound           Code = 5
	CodeAlreadyExists      Code = 6
	CodePermissionDenied   Code = 7
	CodeResourceExhausted  Code = 8
	CodeFailedPrecondition Code = 9
	CodeAborted            Code = 10
	CodeOutOfRange         Code = 11
	CodeUnimplemented      Code = 12
	CodeInternal           Code = 13
	CodeUnavailable        Code = 14
	CodeDataLoss           Code = 15
	CodeUnauthenticated    Code = 16
)

var codeNames = [...]string{
	"ok", "canceled", "unknown", "invalid argument", "deadline exceeded", "not found", "already exists",
	"permission denied", "resource exhausted", "failed precondition", "aborted", "out of range", "unimplemented",
	"internal", "unavailable", "data loss", "unauthenticated",
}

// String returns the code in words: "deadline exceeded".
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint16(c))
}

// An Outcome says what is known of a failed call. Where it is OutcomeNotRun,
// calling again is safe whatever the method does.
type Outcome uint8

// The outcomes of a call.
const (
	OutcomeUnknown  Outcome = iota // it may have run, wholly, in part or not at all
	OutcomeNotRun                  // its handler was not started
	OutcomeAnswered                // it ran, and ended in this error
)

// String returns the outcome in words.
func (o Outcome) String() string {
	switch o {
	case OutcomeNotRun:
		return "not run"
	case OutcomeAnswered:
		return "answered"
	}
	return "unknown"
}

// An Error is how a call fails. Every error of a call is one or wraps one:
// find it with errors.As. context.Canceled and context.DeadlineExceeded are
// found in it by errors.Is.
//
// A handler that returns an *Error chooses Code, Name and Message; no other field
// travels, they are always those of the call at the caller's end. When a method
// returns an error, its other results do not travel.
type Error struct {
	Code    Code    // CodeUnknown if the handler returned any other error
	Name    string  // what the error calls itself: its ExceptionName(), else its exported type's name, else ""
	Message string  // the error's text, cut to Limits.MaxErrorText
	ID      string  // of the line in the peer's log, for a panic
	Detail  string  // a basic peer's traceback; never sent
	Outcome Outcome // whether the handler ran
	Remote  bool    // the peer decided it
	Err     error   // the cause at this end, for errors.Is and errors.As
}

// Error returns the message, or the code in words where there is none, and the
// id of the peer's log line. What does not come from a handler begins with
// "bsrpc: ".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Outcome != OutcomeAnswered || e.Code == CodeInternal {
		b.WriteString("bsrpc: ")
	}
	b.WriteString(e.Message)
	if e.Message == "" {
		b.WriteString(e.Code.String())
	}
	if e.ID != "" {
		fmt.Fprintf(&b, " (id %s in the peer's log)", e.ID)
	}
	return b.String()
}

// Unwrap returns the cause at this end.
func (e *Error) Unwrap() error { return e.Err }

// Is makes the context's errors be found in an Error that stands for them,
// whichever end decided it.
func (e *Error) Is(target error) bool {
	return target == context.DeadlineExceeded && e.Code == CodeDeadlineExceeded ||
		target == context.Canceled && e.Code == CodeCanceled
}

// errorf makes the error of a call that this end decides.
func errorf(code Code, outcome Outcome, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Outcome: outcome, Message: err.Error(), Err: errors.Unwrap(err)}
}

// exceptionNamer lets an error type or sentinel choose the name by which the
// other end tells it.
type exceptionNamer interface{ ExceptionName() string }

// errorFrom returns what travels of a handler's error.
func errorFrom(err error, maxText int) (Code, wire.Failure) {
	var e *Error
	if errors.As(err, &e) && !e.Remote {
		code, name := e.Code, e.Name
		if code == CodeOK {
			code = CodeUnknown
		}
		return code, wire.Failure{Name: cut(name, maxName), Message: cut(e.text(err), maxText)}
	}
	code := CodeUnknown
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = CodeCanceled
	}
	return code, wire.Failure{Name: cut(errorName(err), maxName), Message: cut(err.Error(), maxText)}
}

// text is the message of e as its handler meant it: e's own where the handler
// returned e itself, the whole chain's where e was wrapped.
func (e *Error) text(err error) string {
	if err == error(e) {
		return e.Message
	}
	return err.Error()
}

const maxName = 256

// errorName returns how an error calls itself.
func errorName(err error) string {
	var n exceptionNamer
	if errors.As(err, &n) {
		return n.ExceptionName()
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name := t.Name(); name != "" && name[0] >= 'A' && name[0] <= 'Z' {
		return name
	}
	return ""
}

// cut shortens s to at most n bytes, at the end of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
