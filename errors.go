package bsrpc

import (
	"cmp"
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
// end has closed, also if the connection had ended before for another reason.
var ErrClosed = errors.New("bsrpc: client closed")

// A Code says what kind of failure an error is. The numbers are gRPC's
// (https://grpc.io/docs/guides/status-codes/).
type Code uint16

// The codes. A handler chooses by returning an *Error. The library itself uses
// CodeCanceled and CodeDeadlineExceeded for what their names say, at either end,
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
// find it with errors.As.
//
// errors.Is finds context.Canceled in it only where the caller's own context was
// cancelled, and context.DeadlineExceeded only where the call's own time was over:
// that of its context, its timeout= or DefaultCallTimeout. An error of the other
// end may have CodeCanceled or CodeDeadlineExceeded for a reason of its own.
//
// A handler that returns an *Error chooses Code, Name and Message; no other field
// travels, they are always those of the call at the caller's end. That includes an
// *Error which the handler got from a further server: code, name and text go on as
// the handler's own. When a method returns an error, its other results do not
// travel.
//
// A Message that the library made begins with "bsrpc: " and names the method:
// "bsrpc: Shop.Put: connection lost: ...". A handler's is as the handler wrote it.
type Error struct {
	Code    Code    // CodeUnknown if the handler returned any other error
	Name    string  // what the error calls itself: its ExceptionName(), else its exported type's name, else ""
	Message string  // the error's text, cut to Limits.MaxErrorText
	ID      string  // of the line in the server's log, for a panic
	Detail  string  // a basic peer's traceback; never sent
	Outcome Outcome // whether the handler ran
	Remote  bool    // the peer decided it
	Err     error   // the cause at this end, for errors.Is and errors.As
}

// Error returns the message, or the code in words where there is none, and the
// id of the line in the server's log.
func (e *Error) Error() string {
	text := cmp.Or(e.Message, e.Code.String())
	if e.ID != "" {
		text += " (id " + e.ID + " in " + e.logger() + " log)"
	}
	return text
}

// logger says in whose log the line is that ID names.
func (e *Error) logger() string {
	if e.Remote {
		return "the server's"
	}
	return "this end's"
}

// Unwrap returns the cause at this end.
func (e *Error) Unwrap() error { return e.Err }

// prefix begins every text that the library makes, and no text of a user's. It
// travels on the native wire. Texts towards a basic peer are without it.
const prefix = "bsrpc: "

// errorf makes the error of a call that this end decides.
func errorf(code Code, outcome Outcome, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Outcome: outcome, Message: prefix + err.Error(), Err: errors.Unwrap(err)}
}

// plain returns the message as a basic peer gets it.
func (e *Error) plain() string { return strings.TrimPrefix(e.Message, prefix) }

// about names a method, or what else was to be done, in the error of it, unless
// a handler made the error or the text has the name already. An *Error may be that
// of many calls: about changes a copy.
func about(what string, err error) error {
	e, ok := err.(*Error)
	if !ok || e.Remote && e.Outcome == OutcomeAnswered {
		return err
	}
	text, made := strings.CutPrefix(e.Message, prefix)
	if !made || strings.Contains(text, what) {
		return err
	}
	named := *e
	named.Message = prefix + what + ": " + text
	return &named
}

// An explained error has a better text than its cause, or wraps another.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.cause }

// notOfCaller returns an error of a connection so that errors.Is finds none of
// the context's in it, which say that a call's own context has ended: a net.Conn of
// the user's may return them.
func notOfCaller(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &explained{err.Error(), nil}
	}
	return err
}

// exceptionNamer lets an error type or sentinel choose the name by which the
// other end tells it.
type exceptionNamer interface{ ExceptionName() string }

// errorFrom returns what travels of a handler's error.
func errorFrom(err error, maxText int) (Code, wire.Failure) {
	var e *Error
	if errors.As(err, &e) {
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
// made e and returned it, else the whole text, which also has the id of a further
// server's log.
func (e *Error) text(err error) string {
	if err == error(e) && !e.Remote {
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
