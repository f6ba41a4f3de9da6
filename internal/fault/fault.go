// Package fault describes failed calls and ended connections in the internal packages.
// Package bsrpc converts a Fault to its public Error, only when a call has failed.
package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/errtree"
)

// A Fault is the reason for the failure of a call or the end of a connection. Several
// calls may share one, so a Fault is never changed: methods return changed copies.
type Fault struct {
	Code    Code
	Outcome Outcome
	Name    string // name of a handler's error
	Message string // begins with Prefix unless a handler or a peer's user wrote it
	LogID   string // id of a line in the log: the peer's if Remote, else this end's
	Detail  string // traceback from the basic wire; never sent
	Remote  bool   // the peer reported the fault
	Err     error  // cause at this end; may be nil

	// ByClient is true if the peer is a client. It reports panics in callbacks, in the methods
	// of ClientOptions.Handlers, and in its iterators.
	ByClient bool

	// Identities are those of a remote fault, in the format of wire.ReadIdentities, which
	// has checked them; nil for none.
	Identities []byte
}

// Sent is what travels of a Fault beside its public fields.
type Sent struct {
	Identities []byte // as in Fault
	Expired    bool   // the time of the request was over
}

// Error returns the message, or the code in words if it is empty, and the id of the
// line in the log, if any.
func (f *Fault) Error() string {
	text := cmp.Or(f.Message, f.Code.String())
	end := "this end's"
	switch {
	case f.LogID == "":
		return text
	case f.Remote && f.ByClient:
		end = "the client's"
	case f.Remote:
		end = "the server's"
	}
	return text + " (id " + f.LogID + " in " + end + " log)"
}

// Unwrap returns f.Err.
func (f *Fault) Unwrap() error { return f.Err }

// A Code is a kind of failure. The numbers equal bsrpc.Code.
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
	Unauthenticated    Code = 16
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

// An Outcome tells whether the handler of a failed call ran. The numbers equal
// bsrpc.Outcome.
type Outcome uint8

// The outcomes.
const (
	OutcomeUnknown Outcome = iota
	NotRun
	Answered
)

// Prefix begins every message made by the library.
const Prefix = "bsrpc: "

// MaxName limits the bytes of a Name sent or received.
const MaxName = 256

// ErrClosed is the cause of all faults after the user has closed a client.
var ErrClosed = errors.New(Prefix + "client closed")

// ErrServerClosed is the cause of the end of a server by Shutdown or Close.
var ErrServerClosed = errors.New(Prefix + "server closed")

// ErrVersion is the cause of a handshake with a peer of another version.
var ErrVersion = errors.New("another version of the native wire")

// New returns a fault at this end. The message is the formatted text after Prefix, the
// cause is the error formatted with %w.
func New(code Code, outcome Outcome, format string, args ...any) *Fault {
	err := fmt.Errorf(format, args...)
	return &Fault{Code: code, Outcome: outcome, Message: Prefix + err.Error(), Err: errors.Unwrap(err)}
}

// Refusal returns a fault at this end with the outcome NotRun.
func Refusal(code Code, format string, args ...any) *Fault { return New(code, NotRun, format, args...) }

// FromContext returns the fault of a call after the end of its context. err is the error
// of the context.
func FromContext(err error, outcome Outcome) *Fault {
	code := Canceled
	if errors.Is(err, context.DeadlineExceeded) {
		code = DeadlineExceeded
	}
	return New(code, outcome, "%w", err)
}

// Waited returns the fault of a call that gave up waiting for what, and is found as the error of its context. holders describes who holds
// it, as far as that is known. cause is the error of its context; nil means that its deadline
// is near.
func Waited(since time.Time, what, holders string, cause error) *Fault {
	if holders != "" {
		what += ", held by " + holders
	}
	code, text, is := DeadlineExceeded, "waited %v for %s", context.DeadlineExceeded
	if errors.Is(cause, context.Canceled) {
		code, text, is = Canceled, "canceled: waited %v for %s", context.Canceled
	}
	f := Refusal(code, text, roundTime(time.Since(since)), what)
	f.Err = is
	return f
}

// roundTime rounds d to about three digits.
func roundTime(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

// Missing returns the fault of a wait ended by a context with cause. what describes the event
// not seen.
func Missing(what string, cause error) *Fault {
	f := FromContext(cause, NotRun)
	f.Message = Prefix + what + ": " + cause.Error()
	return f
}

// Violation returns the reason for closing a connection after the peer violated the
// protocol.
func Violation(format string, args ...any) *Fault {
	return New(Internal, OutcomeUnknown, "protocol violation: "+format, args...)
}

// Lost returns the reason for the end of a connection after an error of its net.Conn.
// doing names the operation, such as "reading".
func Lost(doing string, err error) *Fault {
	if err = errtree.Sound(err); errors.Is(err, io.EOF) {
		return New(Unavailable, OutcomeUnknown, "connection lost: %w", ErrPeerClosed)
	}
	return New(Unavailable, OutcomeUnknown, "connection lost: %s: %w", doing, WithoutContextErrors(err))
}

// WithOutcome returns a copy of f with another outcome.
func (f *Fault) WithOutcome(outcome Outcome) *Fault {
	other := *f
	other.Outcome = outcome
	return &other
}

// Of returns err as a fault: one of the library's own, unless it is a fault already.
func Of(err error) *Fault {
	if f, ok := err.(*Fault); ok {
		return f
	}
	return New(Internal, OutcomeUnknown, "%w", err)
}

// About adds the name of a method or operation to the message of a fault, after Prefix,
// unless the message contains it already. It returns other errors unchanged, and the
// errors of handlers.
func About(what string, err error) error {
	f, ok := err.(*Fault)
	if !ok || f.Remote && f.Outcome == Answered {
		return err
	}
	text, ours := strings.CutPrefix(f.Message, Prefix)
	if !ours || strings.Contains(text, what) {
		return err
	}
	named := *f
	named.Message = Prefix + what + ": " + text
	return &named
}

// Then returns the reason for the end of a connection after a first reason f and a
// second one. The first counts, with one exception: once the user has closed the
// connection, errors.Is must match ErrClosed.
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

// ErrPeerClosed replaces io.EOF from a net.Conn. It wraps io.ErrUnexpectedEOF instead:
// io.EOF in the error of a call could end a read loop of the user.
var ErrPeerClosed error = peerClosedError{}

type peerClosedError struct{}

func (peerClosedError) Error() string { return "closed by the peer" }
func (peerClosedError) Unwrap() error { return io.ErrUnexpectedEOF }

// WithoutEOF returns ErrPeerClosed in place of io.EOF, and any other error unchanged.
func WithoutEOF(err error) error {
	if err = errtree.Sound(err); errors.Is(err, io.EOF) {
		return ErrPeerClosed
	}
	return err
}

// WithoutContextErrors returns err without the errors of package context in its tree. A
// net.Conn may return them, but in the error of a call they mean that the context
// of the call has ended.
func WithoutContextErrors(err error) error {
	if err = errtree.Sound(err); errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New(err.Error())
	}
	return err
}

// Cut returns the longest prefix of s with at most n bytes and no incomplete character.
//
//go:noinline
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ValidUTF8 returns s with U+FFFD in place of each run of invalid bytes, as
// strings.ToValidUTF8 does.
func ValidUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var valid []byte
	after := false // an invalid byte
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		invalid := r == utf8.RuneError && size == 1
		if !invalid || !after {
			valid = utf8.AppendRune(valid, r)
		}
		after = invalid
	}
	return string(valid)
}
