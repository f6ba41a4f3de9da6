package bsrpc

import (
	"cmp"
	"context"
	"errors"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/identity"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// ErrServerClosed is returned by Serve, ServeConn and ListenAndServe after a call
// to Shutdown or Close.
var ErrServerClosed = fault.ErrServerClosed

// ErrCallOver is matched by errors.Is in the error of a func or a stream used by a handler
// after its call.
var ErrCallOver = errors.New(fault.Prefix + "the call is over")

// ErrClosed is matched by errors.Is in the error of every call ended by Client.Close
// or made after it, even if the connection had already ended for another reason.
var ErrClosed = fault.ErrClosed

// ErrNoSession is matched by errors.Is in the errors of Session.Acquire, and of Bind over a
// Session, in a call apart from connections, see Server.Handle.
var ErrNoSession = errors.New(fault.Prefix + "the call has no session: it came apart from connections, by Server.Handle")

// A Code is the kind of an error. The numbers are the status codes of gRPC, see
// https://grpc.io/docs/guides/status-codes/.
type Code uint16

// The codes. A handler may return an *Error with any of them. The comments list the
// library's own uses.
const (
	CodeOK                 Code = 0 // not a code of an error; sent as CodeUnknown
	CodeCanceled           Code = 1 // the context was cancelled, or the client was closed
	CodeUnknown            Code = 2 // a handler returned an error without a code
	CodeInvalidArgument    Code = 3 // arguments cannot be encoded or decoded
	CodeDeadlineExceeded   Code = 4 // the time of a call or of Dial is over
	CodeNotFound           Code = 5 // of bsrpc.v1: an unknown service
	CodeAlreadyExists      Code = 6
	CodePermissionDenied   Code = 7  // OnConnect refused the client
	CodeResourceExhausted  Code = 8  // a limit
	CodeFailedPrecondition Code = 9  // client and server disagree about a method
	CodeAborted            Code = 10 // the server closed the session
	CodeOutOfRange         Code = 11
	CodeUnimplemented      Code = 12 // the server has no such method or service
	CodeInternal           Code = 13 // a panic, or a peer violating the protocol
	CodeUnavailable        Code = 14 // the connection is lost, or the server shuts down
	CodeDataLoss           Code = 15
	CodeUnauthenticated    Code = 16
)

// String returns the code in words, such as "deadline exceeded".
func (c Code) String() string { return fault.Code(c).String() }

// CodeOf returns the code of an error as the caller of a method gets it: that of the *Error
// found by errors.As, CodeDeadlineExceeded or CodeCanceled for an error of a context, and
// CodeUnknown for any other one. It returns CodeOK for nil.
func CodeOf(err error) Code {
	var e *Error
	switch err = errtree.Bounded(err); {
	case err == nil:
		return CodeOK
	case errors.As(err, &e):
		return cmp.Or(e.Code, CodeUnknown)
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	}
	return CodeUnknown
}

// An Outcome tells whether the handler of a failed call ran. After OutcomeNotRun the
// call can be repeated safely, whatever the method does.
type Outcome uint8

// The outcomes of a call.
const (
	OutcomeUnknown  Outcome = iota // the handler may have run, completely, partly or not at all
	OutcomeNotRun                  // the handler was not started
	OutcomeAnswered                // the handler ran, and the call ended in this error
)

// String returns the outcome in words, such as "not run".
func (o Outcome) String() string {
	switch o {
	case OutcomeNotRun:
		return "not run"
	case OutcomeAnswered:
		return "answered"
	}
	return "unknown"
}

// An Error describes a failed call. Every failed call returns an *Error, possibly
// wrapped; errors.As finds it.
//
// errors.Is(err, context.Canceled) is true only if the caller's own context was
// cancelled, and errors.Is(err, context.DeadlineExceeded) only if the call's own
// time limit expired: the deadline of its context, its timeout= or
// DefaultCallTimeout. CodeCanceled and CodeDeadlineExceeded alone may also be the
// choice of the other end.
//
// A handler chooses Code, Name and Message by returning an *Error; an empty Message is the text
// of Err. The other fields are never sent; each caller's end sets its own. If a handler returns the
// *Error of a call to another server, the caller gets its code, name, text and
// identities. The other results of a method are not sent together with an error.
//
// An error of a handler that both ends list in the option Errors is found by errors.Is or
// errors.As, and so are standard errors such as fs.ErrNotExist, see ServerOptions.Errors.
// Another error is only its code, name and text.
//
// Messages by the library begin with "bsrpc: " and, where there is one, the name of
// the method:
// "bsrpc: Shop.Put: connection lost: ...". A handler's message is unchanged.
type Error struct {
	Code    Code    // CodeUnknown if the handler returned another type of error
	Name    string  // identity for programs: a key of Errors, ExceptionName() of the error, its exported type's name, or ""
	Message string  // text, at most Limits.MaxErrorText bytes; "" for that of Err
	ID      string  // for a panic: id of the line in the log; "" if the line was suppressed
	Detail  string  // traceback of a basic peer; never sent
	Outcome Outcome // whether the handler ran
	Remote  bool    // the peer reported the error; false: this end did
	Err     error   // cause at this end or identities, for errors.Is and errors.As; may be nil

	byClient bool        // the peer with Remote is a client
	sent     *fault.Sent // of a Reply; nil for the error of a call
}

// Error returns the message, or the text of Err or the code in words if it is empty, and the id of the
// line in the log, if any.
func (e *Error) Error() string {
	return (&fault.Fault{Code: fault.Code(e.Code), Message: e.message(), LogID: e.ID, Remote: e.Remote, ByClient: e.byClient}).Error()
}

// message returns the message, or the text of Err if it is empty.
func (e *Error) message() string {
	if e.Message == "" && e.Err != nil {
		return e.Err.Error()
	}
	return e.Message
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// publicError converts a fault to an *Error and returns any other error unchanged.
// Every exported func passes its errors through it: a *fault.Fault must not reach
// users.
func publicError(err error) error {
	if f, ok := err.(*fault.Fault); ok {
		return errorOf(f)
	}
	return err
}

func errorOf(f *fault.Fault) *Error {
	return &Error{
		Code: Code(f.Code), Name: f.Name, Message: f.Message, ID: f.LogID, Detail: f.Detail,
		Outcome: Outcome(f.Outcome), Remote: f.Remote, Err: f.Err, byClient: f.ByClient,
	}
}

// A MismatchError lists the differences between a client's contract and a server's
// methods. Bind returns it together with a proxy. Methods known only to the server are
// not a difference. If the server lacks the whole service, there is one Difference
// with the service as its Method. If a server binds over a Session, the contract is its own
// and the methods are the client's.
type MismatchError struct {
	Service     string
	Methods     int          // number of methods in the contract
	Differences []Difference // not empty; in the order of the contract
}

// A Difference is one disagreement between client and server. Client and Server are
// texts for people, and may be cut.
type Difference struct {
	Method string // "Shop.PlaceOrder"
	Place  string // "parameter 1, Order.Price", with the client's type names; "" for the method itself
	Client string // the client's layout or field names at Place; "" if it has none
	Server string // the same for the server
	Note   string // a possible cause, such as a misspelt tag key at the client
	Fix    string // a change at one end that would make them fit, by the rules of docs/evolution.md; "" if there is none
	Near   string // for a name unknown to the end with the methods: at most three similar names it has
}

// String returns the difference in one line:
// "Shop.PlaceOrder, parameter 1, Order.Price: client int.le4, server uint.le8".
func (d Difference) String() string { return numbering.Difference(d).String() }

// Error returns all differences, one a line.
func (e *MismatchError) Error() string {
	list := make([]numbering.Difference, len(e.Differences))
	for i, d := range e.Differences {
		list[i] = numbering.Difference(d)
	}
	return numbering.Text(e.Service, e.Methods, list)
}

// An exceptionNamer is an error with a name of its own choice, Error.Name at the
// other end.
type exceptionNamer interface{ ExceptionName() string }

// wireError returns the parts of an error to be sent: a handler's error, or a fault
// in its place. The text is cut to maxText bytes.
func wireError(err error, maxText int) (fault.Code, wire.Failure) {
	err = publicError(err)
	code, name, text := CodeOf(err), "", ""
	var e *Error
	if errors.As(err, &e) {
		name, text = e.Name, e.text(err)
	} else {
		name, text = errorName(err), err.Error()
	}
	return fault.Code(code), wire.Failure{Name: fault.Cut(name, fault.MaxName), Message: fault.Cut(text, maxText)}
}

// text returns the message to send for e, found in the tree of err. Only an *Error
// made and returned by the handler itself is sent as its plain message. If it is
// wrapped, the text of the wrapping error counts, and if it is the error of a call to
// the other end of a connection, the text includes the id in the log of that end.
func (e *Error) text(err error) string {
	if err == error(e) && !e.Remote {
		return e.message()
	}
	return err.Error()
}

// errorName returns the name of an error other than an *Error: its ExceptionName, or
// the name of its exported type, or "".
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

// failureOf returns the code, the failure and the identities to send for an error of user
// code, or for a fault in its place. The identities take at most room bytes.
func failureOf(s *option.Settings, err error, log *report.Log, method string, room int) (fault.Code, wire.Failure, []byte) {
	code, failure := wireError(err, s.MaxErrorText)
	if _, ours := err.(*fault.Fault); ours {
		return code, failure, nil
	}
	found := s.Errors.Find(err, log, method, s.Bounds.Depth, room)
	failure.Name = nameOf(err, failure.Name, found)
	return code, failure, found.IDs
}

// nameOf returns Error.Name for the error of a handler with identities. name is that of an
// error without any. An *Error keeps the name chosen for it.
func nameOf(err error, name string, found *identity.Found) string {
	var e *Error
	switch own := errors.As(err, &e); {
	case own && e.Name != "":
		return name
	case found.Key != "":
		return found.Key
	case name == "" && !own && len(found.Names) > 0:
		return found.Names[0]
	}
	return name
}

// userCode returns what a call of a kind runs, for errors and the log.
func userCode(k Kind) string {
	if k == KindCallback {
		return "callback"
	}
	return "handler"
}

// needContext returns an error for a nil context, instead of a panic deep in the library.
func needContext(ctx context.Context, doing string) error {
	if ctx == nil {
		return fault.Refusal(fault.InvalidArgument, "%s: nil context; use context.Background()", doing)
	}
	return nil
}

// mustContext is needContext for funcs without an error of their own: it panics.
func mustContext(ctx context.Context, doing string) {
	if err := needContext(ctx, doing); err != nil {
		panic(err.Error())
	}
}
