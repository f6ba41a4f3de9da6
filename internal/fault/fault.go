// Package fault describes failed calls and ended connections below the public
// package, which turns a Fault into its Error.
package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Fault is why a call has failed or a connection has ended. A Fault that several
// calls share is not changed.
type Fault struct {
	Code    Code
	Outcome Outcome
	Name    string // of a handler's error
	Message string
	LogID   string // of a line in the log of the end that made the fault
	Detail  string // a traceback of the basic wire; never sent
	Remote  bool   // the peer decided it
	Err     error  // the cause at this end
}

// Error returns the message, or the code in words, and the id of the line in the log.
func (f *Fault) Error() string {
	text := cmp.Or(f.Message, f.Code.String())
	switch {
	case f.LogID == "":
		return text
	case f.Remote:
		return text + " (id " + f.LogID + " in the server's log)"
	}
	return text + " (id " + f.LogID + " in this end's log)"
}

// Unwrap returns the cause at this end.
func (f *Fault) Unwrap() error { return f.Err }

// A Code is a kind of failure. The numbers are those of the public package.
type Code uint16

// The codes used by the library itself.
const (
	OK                 Code = 0
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	OutOfRange         Code = 11
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
)

var codeNames = [...]string{
	"ok", "canceled", "unknown", "invalid argument", "deadline exceeded", "not found", "already exists",
	"permission denied", "resource exhausted", "failed precondition", "aborted", "out of range", "unimplemented",
	"internal", "unavailable", "data loss", "unauthenticated",
}

// String returns the code in words.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint16(c))
}

// An Outcome is what is known of a failed call. The numbers are those of the public
// package.
type Outcome uint8

// The outcomes.
const (
	OutcomeUnknown Outcome = iota
	NotRun
	Answered
)

// Prefix begins every message made by the library.
const Prefix = "bsrpc: "

// MaxName is the most bytes of a Name that is sent or received.
const MaxName = 256

// ErrClosed is the cause of a connection closed by its own user.
var ErrClosed = errors.New(Prefix + "client closed")

// New returns a fault decided by this end. The message gets the Prefix; the cause is
// the error wrapped by %w.
func New(code Code, outcome Outcome, format string, args ...any) *Fault {
	err := fmt.Errorf(format, args...)
	return &Fault{Code: code, Outcome: outcome, Message: Prefix + err.Error(), Err: errors.Unwrap(err)}
}

// Refusal returns the fault of a call that is not run.
func Refusal(code Code, format string, args ...any) *Fault { return New(code, NotRun, format, args...) }

// OfContext returns the fault of a call whose context has ended with err.
func OfContext(err error, outcome Outcome) *Fault {
	code := Canceled
	if errors.Is(err, context.DeadlineExceeded) {
		code = DeadlineExceeded
	}
	return New(code, outcome, "%w", err)
}

// Violation returns why a connection ends on which the peer broke the protocol.
func Violation(format string, args ...any) *Fault {
	return New(Internal, OutcomeUnknown, "protocol violation: "+format, args...)
}

// Lost returns why a connection ends whose net.Conn has failed.
func Lost(doing string, err error) *Fault {
	if errors.Is(err, io.EOF) {
		return New(Unavailable, OutcomeUnknown, "connection lost: %w", ErrLeft)
	}
	return New(Unavailable, OutcomeUnknown, "connection lost: %s: %w", doing, NotOfCaller(err))
}

// WithOutcome returns f with another outcome.
func (f *Fault) WithOutcome(outcome Outcome) *Fault {
	other := *f
	other.Outcome = outcome
	return &other
}

// About names a method, or whatever else failed, in a fault made by this library,
// unless the text contains the name already. Any other error it returns unchanged.
func About(what string, err error) error {
	f, ok := err.(*Fault)
	if !ok || f.Remote && f.Outcome == Answered {
		return err
	}
	text, made := strings.CutPrefix(f.Message, Prefix)
	if !made || strings.Contains(text, what) {
		return err
	}
	named := *f
	named.Message = Prefix + what + ": " + text
	return &named
}

// Then returns why a connection has ended that ended first by f and then by next. The
// first reason stands, except that ErrClosed is found from the moment at which the
// user closes the connection.
func (f *Fault) Then(next *Fault) *Fault {
	if !errors.Is(next, ErrClosed) || errors.Is(f, ErrClosed) {
		return f
	}
	closed := *next
	closed.Message += "; before that: " + f.Plain()
	closed.Err = errors.Join(next.Err, f)
	return &closed
}

// Plain returns the message without the Prefix.
func (f *Fault) Plain() string { return strings.TrimPrefix(f.Message, Prefix) }

// ErrLeft is the end of the incoming bytes. For users it is io.ErrUnexpectedEOF, as
// io.EOF in the error of a call could end a loop of theirs.
var ErrLeft error = leftError{}

type leftError struct{}

func (leftError) Error() string { return "closed by the peer" }
func (leftError) Unwrap() error { return io.ErrUnexpectedEOF }

// WithoutEOF returns err, or ErrLeft in place of io.EOF.
func WithoutEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return ErrLeft
	}
	return err
}

// NotOfCaller returns err without the errors of package context in its tree. Those
// mean that the context of the call has ended, and a user's net.Conn may return them.
func NotOfCaller(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New(err.Error())
	}
	return err
}

// Cut shortens s to at most n bytes, at the end of a character.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
