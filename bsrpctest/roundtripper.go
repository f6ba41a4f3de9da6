package bsrpctest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// TestRoundTripper tests a bsrpc.RoundTripper with the part of its transport at the server. Each
// check is a subtest with a server and a client of its own. Its errors say what has come out, and
// quote the rule in docs/roundtrip.md:
//
//	func TestConformance(t *testing.T) {
//		bsrpctest.TestRoundTripper(t, func(tb testing.TB, srv *bsrpc.Server, opts *bsrpc.ClientOptions) *bsrpc.Client {
//			return bsrpc.NewClientOver(bsrpctest.Direct(srv), opts)
//		})
//	}
//
// A right transport takes about a second, and somewhat more behind a network. Run the test with -race
// as well: it finds memory that the transport and the handlers use at the same time.
//
// connect serves srv over the transport, and returns a client of it with opts. What it starts, it
// ends in tb.Cleanup; the client and srv are closed before that. It may call tb.Fatal.
//
// The checks of streams are skipped if the transport refuses a stream with an *bsrpc.Error with
// CodeUnimplemented and OutcomeNotRun. What follows from the loss of a connection, a broker or
// a process is not tested: it depends on the transport. Nor are calls that reach another server than
// Bind, nor messages of a peer that breaks the rules; both need tests of your own.
func TestRoundTripper(t *testing.T, connect func(tb testing.TB, srv *bsrpc.Server, opts *bsrpc.ClientOptions) *bsrpc.Client) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.test(t, connect) })
	}
}

// A check tests one rule for transports.
type check struct {
	name    string
	rule    string // a sentence of docs/roundtrip.md
	streams bool   // the check makes calls with streams
	run     func(x *trial)
}

// checks are all checks, from simple calls to their ends. Each should find one kind of mistake, so
// that the names of those that fail lead to the cause.
var checks = []check{
	// Calls that succeed.
	{"values", ruleFields, false, checkValues},
	{"sizes", ruleSizes, false, checkSizes},
	{"once", ruleOnce, false, checkOnce},
	{"parallel", ruleOnce, false, checkParallel},
	{"memory", ruleMemory, false, checkMemory},
	{"request_metadata", ruleFields, false, checkRequestMetadata},
	{"reply_metadata", ruleReply, false, checkReplyMetadata},
	{"credentials", ruleFields, false, checkCredentials},
	{"oneway", ruleOnce, false, checkOneway},
	// Calls that fail, and what is refused.
	{"errors", ruleErrors, false, checkErrors},
	{"panics", ruleErrors, false, checkPanics},
	{"refusals", ruleErrors, false, checkRefusals},
	{"mismatch", ruleReply, false, checkMismatch},
	{"old_client", ruleFields, false, checkOldClient},
	{"new_client", ruleFields, false, checkNewClient},
	{"sessions", ruleNeeds, false, checkSessions},
	// Ends.
	{"timeout", ruleTimeout, false, checkTimeout},
	{"deadline", ruleEnd, false, checkDeadline},
	{"cancel", ruleEnd, false, checkCancel},
	{"close", ruleEnd, false, checkClose},
	{"shutdown", ruleErrors, false, checkShutdown},
	// Streams, and their ends.
	{"stream_items", ruleItems, true, checkItems},
	{"stream_memory", ruleItem, true, checkItemMemory},
	{"stream_reader", ruleItems, true, checkReader},
	{"stream_live", ruleItems, true, checkLive},
	{"stream_flow", ruleFlow, true, checkFlow},
	{"stream_unread", ruleOnce, true, checkUnread},
	{"stream_metadata", ruleReply, true, checkStreamMetadata},
	{"stream_error", ruleItemError, true, checkStreamError},
	{"stream_refused", ruleErrors, true, checkStreamRefused},
	{"stream_break", ruleBreak, true, checkBreak},
	{"stream_cancel", ruleEnd, true, checkStreamCancel},
	{"stream_deadline", ruleEnd, true, checkStreamDeadline},
}

// The rules, in the words of docs/roundtrip.md.
const (
	// Of the section Requests.
	ruleFields  = "Carry every field of `Request` except `Peer`, which the transport sets at the server."
	ruleSizes   = "A body may have any length up to `MaxMessage`."
	ruleOnce    = "Bring each request to one server, once. Requests do not wait for one another."
	ruleMemory  = "What `Handle` gets belongs to the server: do not use its memory again."
	ruleTimeout = "`Timeout` is what is left of the call."
	// Of Replies. The second one is a part of the table, about StatusError.
	ruleReply  = "Carry what the status has. The memory of a reply belongs to the client."
	ruleErrors = "`Err`, by `AppendError` and `ReadError`, and `Metadata`"
	// Of Streams.
	ruleItems     = "Send each item as soon as it is there, and all of them in their order."
	ruleItem      = "An item is valid until the next one."
	ruleFlow      = "Range over the `Items` of `Handle` once, at the speed of the peer: this is the flow control."
	ruleBreak     = "Breaking out cancels the call, and so does the end of the context of `Handle`."
	ruleItemError = "The last error of the items is that of the handler if it is an `*Error` with `OutcomeAnswered`. It travels by `AppendError`."
	// Of Ends, and of What needs a connection.
	ruleEnd   = "The context of `RoundTrip` ends at the latest when the call is over, its stream included. Then end the context of `Handle`."
	ruleNeeds = "Bind and calls refuse them, and say why."
)

// patience is the time in which what should happen at once happens. Right transports never wait for
// it, so it may be long enough for a busy machine.
const patience = 10 * time.Second

// test runs the check. tb is that of the check alone. Calls of a wrong transport may last for ever, so
// all of them have a context that ends.
func (c *check) test(tb testing.TB, connect func(testing.TB, *bsrpc.Server, *bsrpc.ClientOptions) *bsrpc.Client) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 6*patience)
	tb.Cleanup(cancel)
	x := &trial{TB: tb, check: c, connect: connect, ctx: ctx}
	x.server.Logger, x.server.Errors = slog.New(slog.DiscardHandler), checkedErrors
	x.client.Logger, x.client.Errors = slog.New(slog.DiscardHandler), checkedErrors
	c.run(x)
}

// A trial is a check of one transport, under way. Its options may be changed before serve.
type trial struct {
	testing.TB
	check   *check
	connect func(testing.TB, *bsrpc.Server, *bsrpc.ClientOptions) *bsrpc.Client
	ctx     context.Context // of the calls
	server  bsrpc.ServerOptions
	client  bsrpc.ClientOptions
}

// wrong reports a mistake of the transport: what has come out, and the rule.
func (x *trial) wrong(format string, args ...any) {
	x.Helper()
	x.Errorf("%s\n\tdocs/roundtrip.md: %s", fmt.Sprintf(format, args...), x.check.rule)
}

// must ends the check if a call has failed. The rest describes the call.
func (x *trial) must(err error, format string, args ...any) {
	x.Helper()
	if err != nil {
		x.wrong("%s: %v", fmt.Sprintf(format, args...), err)
		x.FailNow()
	}
}

// serviceName is the service of all checks.
const serviceName = "bsrpctest.Probe"

// serve makes a server of a contract of funcs, and connects a client to it. Cleanups run last in first
// out: client and server are closed before what connect has started, whose end may wait for
// the handlers.
func serve[C any](x *trial, handlers *C) (*bsrpc.Server, *bsrpc.Client) {
	x.Helper()
	srv := bsrpc.NewServer(&x.server)
	err := bsrpc.RegisterAs[C](srv, serviceName, handlers)
	if err == nil && x.check.streams {
		err = srv.RegisterFunc("bsrpctest.Stream.Try", func() intStream { return ints(1) })
	}
	if err != nil {
		x.Fatal(err)
	}
	client := x.connect(x, srv, &x.client)
	x.Cleanup(func() {
		client.Close()
		srv.Close()
	})
	if x.check.streams {
		x.tryStream(client)
	}
	return srv, client
}

// tryStream skips the check if the transport has no streams.
func (x *trial) tryStream(client *bsrpc.Client) {
	p, err := bsrpc.Bind[struct {
		Try func(ctx context.Context) intStream
	}](x.ctx, client, "bsrpctest.Stream")
	if err == nil {
		_, err = Collect(p.Try(x.ctx))
	}
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Code == bsrpc.CodeUnimplemented && e.Outcome == bsrpc.OutcomeNotRun {
		x.Skip("the transport refuses streams: ", err)
	}
}

// pair is serve and Bind with the same contract.
func pair[C any](x *trial, handlers *C) *C {
	x.Helper()
	_, client := serve(x, handlers)
	return bind[C](x, client)
}

// bind returns a proxy for the service of the check.
func bind[C any](x *trial, client *bsrpc.Client) *C {
	x.Helper()
	p, err := bsrpc.Bind[C](x.ctx, client, serviceName)
	x.must(err, "Bind")
	return p
}

// await receives from ch. what is the event, for the error if it does not come. It ends the check then:
// all that follows would fail for the same reason.
func await[T any](x *trial, ch <-chan T, what string) (v T) {
	x.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case v = <-ch:
	case <-late.C:
		x.wrong("after %v: %s", patience, what)
		x.FailNow()
	}
	return v
}

// failedAs returns the *Error of a call, which must have a code and an outcome. After a mistake it
// is an empty one, so that the check goes on.
func (x *trial) failedAs(what string, err error, code bsrpc.Code, outcome bsrpc.Outcome) *bsrpc.Error {
	x.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) {
		x.wrong("%s: got the error %v, want one with the code %q", what, err, code)
		return new(bsrpc.Error)
	}
	if e.Code != code || e.Outcome != outcome {
		x.wrong("%s: got code %q, outcome %q, want %q, %q: %v", what, e.Code, e.Outcome, code, outcome, err)
	}
	return e
}
