package bsrpc

import (
	"context"
	"errors"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// ErrServerClosed is returned by Serve, ServeConn and ListenAndServe after
// Shutdown or Close.
var ErrServerClosed = errors.New("bsrpc: server closed")

// ErrClosed is found, by errors.Is, in the error of a call on a Client that this
// end has closed, also if the connection had ended before for another reason.
var ErrClosed = fault.ErrClosed

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

// String returns the code in words: "deadline exceeded".
func (c Code) String() string { return fault.Code(c).String() }

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
	return (&fault.Fault{Code: fault.Code(e.Code), Message: e.Message, LogID: e.ID, Remote: e.Remote}).Error()
}

// Unwrap returns the cause at this end.
func (e *Error) Unwrap() error { return e.Err }

// publicError returns err as users see it: a fault as an *Error. Every func of a user's
// that can meet a fault returns its error through publicError.
func publicError(err error) error {
	if f, ok := err.(*fault.Fault); ok {
		return errorOf(f)
	}
	return err
}

func errorOf(f *fault.Fault) *Error {
	return &Error{
		Code: Code(f.Code), Name: f.Name, Message: f.Message, ID: f.LogID, Detail: f.Detail,
		Outcome: Outcome(f.Outcome), Remote: f.Remote, Err: f.Err,
	}
}

// An explained error has a better text than its cause, or wraps another.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.cause }

// exceptionNamer lets an error type or sentinel choose the name by which the
// other end tells it.
type exceptionNamer interface{ ExceptionName() string }

// wireError returns what travels of a handler's error, or of a fault that answers
// its call.
func wireError(err error, maxText int) (fault.Code, wire.Failure) {
	err = publicError(err)
	var e *Error
	if errors.As(err, &e) {
		code, name := e.Code, e.Name
		if code == CodeOK {
			code = CodeUnknown
		}
		return fault.Code(code), wire.Failure{Name: fault.Cut(name, fault.MaxName), Message: fault.Cut(e.text(err), maxText)}
	}
	code := CodeUnknown
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = CodeCanceled
	}
	return fault.Code(code), wire.Failure{Name: fault.Cut(errorName(err), fault.MaxName), Message: fault.Cut(err.Error(), maxText)}
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
