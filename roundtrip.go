package bsrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/apart"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/secure"
)

// Calls apart from connections: what a transport carries, and one call of a client. over.go has
// the client, and handle.go the server.

// A RoundTripper carries calls in place of a connection, for NewClientOver. docs/roundtrip.md has
// the rules in full, and bsrpctest.Direct is an example.
//
// RoundTrip brings r to Server.Handle of any server with the method, and returns its Reply. It
// must be safe for concurrent use, and must not change r, but may keep it. The Reply
// belongs to the library. ctx ends when the caller has lost interest: at the latest when the call
// is over, its stream included. RoundTrip then tells the server, which cancels the context of the
// handler.
//
// An error of RoundTrip means that it is unknown whether the call has run, with
// CodeUnavailable, unless an *Error in it has another code, or OutcomeNotRun. A client guards
// itself: a RoundTrip that panics, hangs or returns nonsense fails its own call only.
type RoundTripper interface {
	RoundTrip(ctx context.Context, r *Request) (*Reply, error)
}

// A PromptRoundTripper is a RoundTripper that promises two things more: RoundTrip returns soon after
// the end of its context, and never ends its goroutine by runtime.Goexit. The client then calls it
// on the goroutine of the caller. This spares each call a goroutine, some microseconds of a lone one.
type PromptRoundTripper interface {
	RoundTripper

	// Prompt does nothing. It stands for the promise.
	Prompt()
}

// A Hash is the SHA-256 of a layout, see Method.
type Hash = [32]byte

// BindMethod is the Method of a Request that compares a contract, and does not call a method. Every
// server handles it. Its Body and that of the Reply belong to the library; an empty Body gets
// an empty one, or the reason why the server refuses Handle.
const BindMethod = "bsrpc.v1.Bind"

// A Request is a call on its way from a RoundTripper to Server.Handle. The transport carries all
// fields except Peer, which it sets at the server.
type Request struct {
	Method string // service and method: "Greeter.Hello"

	// Hash is that of the caller's layout of the method. Layout is its text, usually "": it is
	// sent after a server has not known the hash. Knows are other layouts of servers that the
	// caller understands.
	Hash   Hash
	Layout string
	Knows  []Hash

	Body        []byte        // the encoded arguments
	Timeout     time.Duration // left for the call; 0 for no limit. A transport subtracts what the request has waited
	Peer        Peer          // the caller, as the transport knows it. Nil CertificateNames are those of the Certificate
	Credentials Credentials   // for ServerOptions.Authenticate; to be sent to a trusted server only
	Metadata    Metadata
}

// LogValue implements slog.LogValuer, without the values of Metadata, Credentials and Body.
func (r Request) LogValue() slog.Value {
	return slog.GroupValue(slog.String("method", r.Method), slog.Int("body", len(r.Body)),
		slog.Duration("timeout", r.Timeout), slog.Any("metadata", r.Metadata))
}

// Service returns the service of Method, and of the contract that BindMethod compares, for transports with
// an address for each. It returns "" if there is none.
func (r *Request) Service() string {
	if r.Method == BindMethod {
		return apart.BoundService(r.Body)
	}
	service, _, _ := method.SplitName(r.Method)
	return service
}

// A Status says what a Reply contains.
type Status uint8

// The statuses of a Reply.
const (
	StatusOK      Status = iota // Body has the results, and Items their stream
	StatusError                 // Err says why the call has failed
	StatusDiffers               // the call has not run: Layout is the server's, and its caller has another one
)

// String returns the status in words, such as "ok".
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "ok"
	case StatusError:
		return "error"
	case StatusDiffers:
		return "differs"
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// A Reply is the answer to a Request.
type Reply struct {
	Status Status
	Hash   Hash   // of the server's layout of the method
	Layout string // its text, with StatusDiffers
	Body   []byte // the encoded results

	// Items are the stream among the results: encoded items, or for an io.ReadCloser pieces of
	// any length. It is nil without one. An item is valid until the next one. The last error, if
	// there is one, ends the stream. That of a handler is an *Error with OutcomeAnswered, and
	// any other one means that the rest is lost.
	//
	// A transport ranges over the Items of Handle once, at the speed of its peer: this is the
	// flow control of the stream. Breaking out, or the end of the context of Handle, cancels
	// the call. At a client, breaking out means that the caller wants no more items.
	Items iter.Seq2[[]byte, error]

	Err      *Error // with StatusError. AppendError appends all that travels of it
	Metadata Metadata
}

// LogValue implements slog.LogValuer, without the values of Metadata and Body.
func (r Reply) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("status", r.Status.String()), slog.Int("body", len(r.Body)), slog.Any("metadata", r.Metadata)}
	if r.Err != nil {
		attrs = append(attrs, slog.Any("err", r.Err))
	}
	return slog.GroupValue(attrs...)
}

// AppendError appends what travels of the error of a Reply, or of its Items: the code, the name, the
// text, the outcome, the id in the log, and the identities with their fields. ReadError reads it at
// the other end of a transport.
func AppendError(b []byte, e *Error) []byte {
	f, expired := receivedFault(e)
	return apart.AppendError(b, f, expired)
}

// ReadError reads an error from AppendError, the whole of b. It is for the Reply of a RoundTripper:
// the client makes of it what a caller gets.
func ReadError(b []byte) (*Error, error) {
	f, expired, err := apart.ReadError(b)
	if err != nil {
		return nil, fmt.Errorf("bsrpc: error of a reply: %w", err)
	}
	return sentError(f, expired), nil
}

// failedReply returns the reply to a call that has not run, or has ended before its answer. until is
// the end of its time, as apart.Until.
func failedReply(why *fault.Fault, until time.Duration) *Reply {
	return &Reply{Status: StatusError, Err: sentError(why, why.Code == fault.DeadlineExceeded && apart.IsOver(until))}
}

// sentError returns an error for a Reply.
func sentError(f *fault.Fault, expired bool) *Error {
	e := errorOf(f)
	e.Remote, e.Err, e.sent = false, nil, &fault.Sent{Identities: f.Identities, Expired: expired}
	return e
}

// receivedFault returns the fault of the caller for an error in a Reply, and whether the time of the
// call was over at the server.
func receivedFault(e *Error) (f *fault.Fault, expired bool) {
	f = apart.Received(&fault.Fault{Code: fault.Code(e.Code), Name: e.Name, Message: e.Message, LogID: e.ID, Outcome: fault.Outcome(e.Outcome)})
	if e.sent != nil {
		f.Identities, expired = e.sent.Identities, e.sent.Expired
	}
	return f, expired
}

// An exchange is one call over a RoundTripper. It implements apart.Carrier.
type exchange struct {
	apart.Call
	link     *overLink
	method   string
	hash     Hash
	metadata Metadata

	request *Request // of the last attempt
	carried *Reply   // valid if that has no error
	reply   apart.Reply
}

// RoundTrip makes one attempt. The RoundTripper may keep the Request, so each attempt has one of its
// own. Credentials are asked for each, because they may expire, and each may reach another server.
func (x *exchange) RoundTrip(layout string, knows []Hash) (*apart.Reply, error) {
	left, over := x.Attempt()
	if over != nil {
		return nil, over
	}
	r := &Request{Method: x.method, Hash: x.hash, Layout: layout, Knows: knows, Body: x.Args, Timeout: left, Metadata: x.metadata}
	if ask := x.link.credentials; ask != nil {
		s, err := hello.Credentials(x.Within(), x.link.Log, func() (secure.Secret, error) { c, err := ask(x.Within()); return c.secret, err })
		if x.Within().Err() != nil {
			return nil, x.Over(fault.NotRun)
		} else if err != nil {
			return nil, err
		}
		r.Credentials = Credentials{s}
	}
	x.request = r
	err := x.Carry(x.link.Log, x.link.prompt)
	if err != nil || x.carried == nil {
		return nil, err
	}
	x.reply = replyOf(*x.carried)
	return &x.reply, nil
}

// Trip implements apart.Carrier.
func (x *exchange) Trip() (err error) {
	if x.carried, err = x.link.rt.RoundTrip(x.Within(), x.request); err != nil {
		return apart.Carried{Fault: tripFault(err)}
	}
	return nil
}

// replyOf returns a reply as the call sees it. It takes a copy of the struct: a RoundTripper may
// change its own all the same. The memory of the fields is the library's.
func replyOf(r Reply) apart.Reply {
	own := apart.Reply{
		Status: r.Status, OK: r.Status == StatusOK, Differs: r.Status == StatusDiffers,
		Hash: r.Hash, Layout: r.Layout, Body: r.Body, Items: r.Items, Metadata: r.Metadata,
	}
	if r.Err != nil {
		own.Failed, own.Expired = receivedFault(r.Err)
	}
	return own
}

// tripFault returns the fault for an error of the RoundTripper. Its methods are user code. An *Error
// in it has the code, the name, and whether the call may be sent again. Errors of contexts in it
// do not count: the RoundTripper may have its own, and those of the caller are known here.
func tripFault(err error) *fault.Fault {
	err = errtree.Bounded(err)
	f := fault.New(fault.Unavailable, fault.OutcomeUnknown, "round trip: %w", fault.WithoutContextErrors(fault.WithoutEOF(err)))
	var e *Error
	if errors.As(err, &e) {
		if f.Code, f.Name = fault.Code(cmp.Or(e.Code, CodeUnknown)), e.Name; e.Outcome == OutcomeNotRun {
			f.Outcome = fault.NotRun
		}
		if text := f.Err.Error(); strings.HasPrefix(text, fault.Prefix) {
			f.Message = text
		}
	}
	return f
}

// ItemFault implements apart.Carrier. Only an *Error with OutcomeAnswered is from the handler. Any
// other one is of the RoundTripper, and means that the rest of the items is lost.
func (x *exchange) ItemFault(err error) *fault.Fault {
	var e *Error
	switch err = errtree.Bounded(err); {
	case errors.As(err, &e) && e.Outcome == OutcomeAnswered:
		f, expired := receivedFault(e)
		return x.Received(f, expired)
	case x.Within().Err() != nil: // most errors then only say so
		return x.Over(fault.OutcomeUnknown)
	}
	return tripFault(err)
}

// Differs implements apart.Carrier.
func (x *exchange) Differs(found []numbering.Difference) error {
	service, _, _ := method.SplitName(x.method)
	why, _ := mismatchOf(service, found)
	return why
}
