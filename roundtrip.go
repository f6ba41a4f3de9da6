package bsrpc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/apart"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls apart from connections, at a client: over a broker, or HTTP. handle.go has the server.

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

// receivedFault returns the fault of the caller for an error in a Reply, and whether the time of the
// call was over at the server.
func receivedFault(e *Error) (f *fault.Fault, expired bool) {
	f = &fault.Fault{Code: fault.Code(e.Code), Name: fault.Cut(e.Name, fault.MaxName), Message: fault.Cut(e.Message, maxReplyText), LogID: fault.Cut(e.ID, fault.MaxName), Outcome: fault.Outcome(e.Outcome), Remote: true}
	if f.Code == fault.OK {
		f.Code = fault.Unknown
	}
	if e.sent != nil {
		f.Identities, expired = e.sent.Identities, e.sent.Expired
	}
	return f, expired
}

// NewClientOver returns a client whose calls go through rt, without a connection. Its proxies, its
// options and its errors are those of any client, with these differences:
//
//   - The methods of a contract have no funcs among their parameters and no streams, except a
//     result. They have no exclusive group at the server. Bind refuses others.
//   - Each call is compared with the server that it has reached, which need not be the one of Bind.
//     So a call too may return a *MismatchError; it has not run then.
//   - A func with oneway returns once its call has begun. Oneway calls may overtake each other.
//   - Options for connections, such as TLS and Handlers, are errors. There is no Session at the
//     server, and no State. Credentials are asked for each call, and rt decides where it sends them.
//
// The error of invalid options is that of every call, and of Client.Err. Client.Close ends the
// calls under way. If rt has a method Close() error, it is called too.
func NewClientOver(rt RoundTripper, opts *ClientOptions) *Client {
	var own ClientOptions
	if opts != nil {
		own = *opts
	}
	s, err := own.resolve()
	if err == nil {
		err = own.checkOver(rt)
	}
	l := &overLink{callerState: callerState{s, report.New(own.logger()), new(atomic.Uint64), new(tally.Set)}, rt: rt}
	l.remote = remoteEnd{addr: unknownAddr{}, metadata: true, now: limits.Monotonic}
	l.Init()
	if err != nil {
		l.Fail(&fault.Fault{Code: fault.InvalidArgument, Outcome: fault.NotRun, Message: err.Error(), Err: err})
	}
	return &Client{conn: l}
}

// checkOver returns an error for options that need a connection.
func (o *ClientOptions) checkOver(rt RoundTripper) error {
	unused := ""
	switch {
	case rt == nil:
		return errors.New(fault.Prefix + "NewClientOver: nil RoundTripper")
	case o.TLS != nil:
		unused = "TLS"
	case o.Handlers != nil:
		unused = "Handlers"
	case o.Basic:
		unused = "Basic"
	case o.Endpoints != nil || o.OnReconnect != nil || o.OnState != nil || o.OnWait != nil || o.WaitForReady:
		unused = "Endpoints, OnReconnect, OnState, OnWait or WaitForReady"
	default:
		return nil
	}
	return errors.New(fault.Prefix + "ClientOptions: " + unused + " is an option for connections, which a client from NewClientOver has not; leave it out")
}

// An unknownAddr stands for the address of an end that a transport does not know.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "bsrpc" }
func (unknownAddr) String() string  { return "apart from connections" }

// An overLink is a client over a RoundTripper.
type overLink struct {
	callerState
	apart.Client
	rt     RoundTripper
	remote remoteEnd
	closes sync.Once
}

func (l *overLink) callOptions() callOptions {
	return callOptions{l.settings.defaultCallTimeout, l.settings.chain, l.log, &l.remote, l.tallies}
}
func (l *overLink) ended() <-chan struct{} { return l.Done() }
func (l *overLink) openApart() int         { return l.Open() } // for Client.Stats

// close implements link.
func (l *overLink) close(why *fault.Fault) {
	l.Client.Close(why)
	l.closes.Do(func() {
		if c, ok := l.rt.(io.Closer); ok {
			ctx, stop := context.WithTimeout(context.Background(), netconn.CloseTime)
			defer stop()
			l.log.Await(ctx, "Close of the RoundTripper", c.Close)
		}
	})
}

// call implements link. Each method has an overMethod for its calls.
func (l *overLink) call(context.Context, *boundMethod, *binding, *method.Values) error {
	return errNoLink
}

// bindMethods implements link.
func (l *overLink) bindMethods(ctx context.Context, service string, methods []*boundMethod) error {
	var problems []method.Problem
	b := &numbering.Binding{Service: service, Peer: l.settings.Peer(), Evolves: true}
	for _, m := range methods {
		if len(m.sig.ParamStreams()) > 0 || m.sig.ParamFuncs() != nil {
			problems = append(problems, method.Problem{Path: m.Name, Text: "a parameter that is a stream, a reader or a func needs a connection; use Dial, or leave the method out of the contract"})
		}
		b.Methods = append(b.Methods, numbering.Wanted{Description: &m.Description, Sig: m.sig, Key: m.key, Optional: m.optional})
	}
	if err := method.ServiceError("bind", service, problems); err != nil {
		return err
	}
	texts := make(map[string]string) // of the server, by name
	b.Ask = func(ctx context.Context, r *wire.BindRequest) ([]wire.BindResult, error) {
		answers, err := l.ask(ctx, r)
		for i, a := range answers {
			if a.Status == wire.BindDiffers {
				texts[r.Names[i]] = a.Text
			}
		}
		return answers, err
	}
	found, err := numbering.Bind(ctx, b)
	if err != nil {
		return err
	}
	return bindFound(service, methods, found, func(m *boundMethod, f *numbering.Found) {
		o := &overMethod{overLink: l}
		if f.Sig != nil {
			o.versions.Add(method.DescriptionOf("", texts[m.Name[len(service)+1:]]).Hash, f.Sig)
		}
		m.bind(o, 0)
	})
}

// bindDescribed implements describer.
func (l *overLink) bindDescribed(m *boundMethod, _ uint16) {
	m.bind(&overMethod{overLink: l, named: true}, 0)
}

// ask implements describer. The flags stand before the body of a BIND frame.
func (l *overLink) ask(ctx context.Context, r *wire.BindRequest) ([]wire.BindResult, error) {
	if len(r.Names) == 0 {
		return nil, nil
	}
	x := &exchange{overLink: l, Exchange: apart.Exchange{Client: &l.Client, Ctx: ctx}}
	x.Time.Begin(ctx, l.settings.defaultCallTimeout, limits.ByDefault)
	x.request = Request{Method: BindMethod, Body: r.Append([]byte{byte(r.Flags())})}
	defer x.Begin()()
	if err := x.roundTrip(&x.request); err != nil {
		return nil, err
	}
	answers, err := wire.ReadBindResponse(x.reply.Body, len(r.Names))
	if err != nil {
		return nil, fault.New(fault.Internal, fault.OutcomeUnknown, "answer to %s: %w", BindMethod, err)
	}
	return answers, nil
}

// An overMethod is the link of one method. The layouts that its servers have differ from call
// to call, unless it is named: then the call fails with errOutdated, and Client.Call asks for the
// new layout.
type overMethod struct {
	*overLink
	versions numbering.Versions
	named    bool
}

// An exchange is one call over a RoundTripper, and the answer of an eagerCall.
type exchange struct {
	*overLink
	apart.Exchange
	request Request
	knows   []numbering.Version // those that the arguments may go to

	// set by run
	reply   *Reply
	sig     *method.Signature // that of the server
	entries []byte
}

// Body and Entries implement answer.
func (x *exchange) Body() ([]byte, bool) { return x.reply.Body, true }
func (x *exchange) Entries() []byte      { return x.entries }

// call implements link.
func (o *overMethod) call(ctx context.Context, m *boundMethod, _ *binding, v *method.Values) error {
	out := callctx.OutgoingOf(ctx)
	if out != nil {
		if err := out.Begin(); err != nil {
			return err
		}
	}
	x := &exchange{overLink: o.overLink, Exchange: apart.Exchange{Client: &o.Client}, request: Request{Method: m.Name, Hash: m.Hash, Metadata: out.Apart()}}
	if err := o.encode(m, v, x); err != nil {
		return err
	}
	x.Ctx = m.beginTimeout(ctx, &x.Time, v)
	var err error
	switch {
	case m.streams != nil:
		err = o.stream(m, v, x, out)
	case m.eager:
		return o.start(m, v, x, out)
	default:
		end := x.Begin()
		v.Began = x.Began()
		err = o.negotiate(m, x)
		end()
		if out != nil {
			out.Reply.Set(x.entries)
		}
		if err == nil {
			err = o.readReply(m, v, x)
		}
		if err == nil {
			x.Count(m.tally, nil)
		}
	}
	return o.settings.identified(err, o.log, m.Name)
}

// encode encodes the arguments of a call, and finds the versions of the method that they may go
// to: each may lack what others have.
func (o *overMethod) encode(m *boundMethod, v *method.Values, x *exchange) error {
	append := func(sig *method.Signature) error {
		v.ResetEncoder()
		v.Enc.Max, v.Enc.MinCut, v.Enc.Depth = o.settings.MaxMessage, 0, o.settings.bounds.Depth
		return m.appendArgs(o.log, sig, &v.Enc, v)
	}
	for _, known := range o.versions.All() {
		if append(known.Sig) == nil {
			x.knows = slices.Concat(x.knows, []numbering.Version{known})
		}
	}
	if err := append(m.sig); err != nil {
		return m.encodeError(err, "this end's MaxMessage", uint64(o.settings.MaxMessage))
	}
	v.ArgsSize = len(v.Enc.Buf)
	x.request.Body = bytes.Clone(v.Enc.Buf) // the RoundTripper may keep it
	return nil
}

// usable returns why the arguments of a call cannot go to a server with another signature. The
// values of the call may be gone, so they are decoded.
func (o *overMethod) usable(m *boundMethod, x *exchange, sig *method.Signature) (err error) {
	v := m.sig.NewValues()
	defer v.Free()
	defer func() { // user code of a type
		if what := recover(); what != nil {
			err = m.codecPanicked(o.log, fault.NotRun, what, "decoding", v.Dec.UserType)
		}
	}()
	o.settings.bounds.Begin(&v.Dec, x.request.Body, false)
	if err := v.ReadArgs(); err != nil {
		return m.encodeError(err, "this end's MaxMessage", uint64(o.settings.MaxMessage))
	}
	v.Enc.Max, v.Enc.MinCut, v.Enc.Depth = o.settings.MaxMessage, 0, o.settings.bounds.Depth
	if err := m.appendArgs(o.log, sig, &v.Enc, v); err != nil {
		return m.encodeError(err, "this end's MaxMessage", uint64(o.settings.MaxMessage))
	}
	return nil
}

// negotiate makes the call, again if its server has another version of the method.
func (o *overMethod) negotiate(m *boundMethod, x *exchange) error {
	n := &numbering.Negotiation{
		Wanted:   numbering.Wanted{Description: &m.Description, Sig: m.sig, Key: m.key},
		Peer:     o.settings.Peer(),
		Versions: &o.versions,
		Usable:   func(sig *method.Signature) error { return o.usable(m, x, sig) },
	}
	n.Try = func(known []numbering.Version, layout string) (differs string, err error) {
		r := x.request
		r.Layout, r.Knows = layout, nil
		for _, k := range known {
			r.Knows = append(r.Knows, k.Hash)
		}
		if err := x.roundTrip(&r); err != nil {
			return "", err
		}
		if x.reply.Status == StatusDiffers {
			if o.named {
				return "", fault.Refusal(fault.FailedPrecondition, "%s: %w", m.Name, errOutdated)
			}
			return cmp.Or(x.reply.Layout, "?"), nil
		}
		return "", x.check(m, known)
	}
	_, found, err := n.Run(x.knows)
	if found == nil {
		return err
	}
	mismatch := &MismatchError{Service: m.Name[:strings.LastIndexByte(m.Name, '.')], Methods: 1}
	for _, d := range found {
		mismatch.Differences = append(mismatch.Differences, Difference(d))
	}
	return &fault.Fault{Code: fault.FailedPrecondition, Message: mismatch.Error(), Outcome: fault.NotRun, Err: mismatch}
}

// A tripError is an error that the RoundTripper has returned.
type tripError struct{ *fault.Fault }

// tripFault returns the fault for an error of the RoundTripper. Its methods are user code.
func tripFault(err error) *fault.Fault {
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

// roundTrip makes one attempt. It sets the reply, unless that is nonsense or an error.
func (x *exchange) roundTrip(r *Request) error {
	left, over := x.Attempt()
	if over != nil {
		return over
	}
	r.Timeout = left
	if ask := x.settings.access.credentials; ask != nil {
		s, err := hello.Credentials(x.Within(), x.log, func() (secure.Secret, error) { c, err := ask(x.Within()); return c.secret, err })
		if x.Within().Err() != nil {
			return x.Over(fault.NotRun)
		} else if err != nil {
			return err
		}
		r.Credentials = Credentials{s}
	}
	var reply *Reply
	err := x.log.Await(x.Within(), "RoundTrip", func() (err error) {
		if reply, err = x.rt.RoundTrip(x.Within(), r); err != nil {
			return tripError{tripFault(err)}
		}
		return nil
	})
	switch e := err.(type) {
	case nil:
		return x.accept(reply)
	case tripError:
		if x.Within().Err() != nil {
			return x.Over(e.Outcome)
		}
		return e.Fault
	case *fault.Fault: // a panic
		return e.WithOutcome(fault.OutcomeUnknown)
	}
	return x.Over(fault.OutcomeUnknown)
}

// accept sets the reply. It returns the error in it, or one for a reply that makes no sense.
func (x *exchange) accept(reply *Reply) (err error) {
	if reply == nil {
		return fault.New(fault.Internal, fault.OutcomeUnknown, "the RoundTripper returned neither a reply nor an error")
	}
	own := *reply
	x.reply = &own
	if own.Status == StatusDiffers {
		return nil
	}
	if x.entries, err = callctx.EntriesOf(own.Metadata); err != nil {
		return fault.New(fault.Internal, fault.Answered, "metadata of the reply: %v", err)
	}
	switch {
	case own.Err != nil:
		f, expired := receivedFault(own.Err)
		return x.Received(f, expired)
	case own.Status != StatusOK:
		return fault.New(fault.Internal, fault.OutcomeUnknown, "a reply with %v and without an error", own.Status)
	case len(own.Body) > x.settings.MaxMessage:
		return fault.New(fault.ResourceExhausted, fault.Answered, "answer of %d bytes, this end's MaxMessage is %d", len(own.Body), x.settings.MaxMessage)
	}
	return nil
}

// check accepts results: of a version that the caller reads, with a stream if the method has one.
func (x *exchange) check(m *boundMethod, known []numbering.Version) error {
	at := slices.IndexFunc(known, func(v numbering.Version) bool { return v.Hash == x.reply.Hash })
	switch {
	case x.reply.Hash == m.Hash:
		x.sig = m.sig
	case at >= 0:
		x.sig = known[at].Sig
	default:
		return fault.New(fault.Internal, fault.Answered, "the reply has a layout that the request did not name")
	}
	switch {
	case m.streams == nil && x.reply.Items != nil:
		return fault.New(fault.Internal, fault.Answered, "the reply has a stream, and the method has none")
	case m.streams != nil && x.reply.Items == nil:
		return fault.New(fault.Internal, fault.Answered, "the reply lacks the stream of the method")
	}
	return nil
}

// readReply decodes the results of the call.
func (o *overMethod) readReply(m *boundMethod, v *method.Values, x *exchange) error {
	o.settings.bounds.Begin(&v.Dec, x.reply.Body, true)
	v.ResultsSize = len(x.reply.Body)
	return m.readResults(o.log, x.sig, v)
}

// start makes a call whose caller does not wait for the answer.
func (o *overMethod) start(m *boundMethod, v *method.Values, x *exchange, out *callctx.Outgoing) error {
	if err := x.Ctx.Err(); err != nil {
		return x.Time.ContextFault(err, fault.NotRun)
	}
	if m.oneway {
		x.Ctx = context.WithoutCancel(x.Ctx) // most callers end it when the func has returned
	}
	if o.Oneway.Begin(); o.Oneway.Refuses(false) != nil || o.Why() != nil {
		o.Oneway.Done(1)
		return cmp.Or(o.Why(), errClosing)
	}
	e := &eagerCall{end: &o.callerState, method: m, answer: x, out: out, done: make(chan struct{})}
	if s, ok := v.State.(*sending); ok {
		s.call = e
	}
	if !m.oneway { // Close does not wait for it
		o.Oneway.Done(1)
	}
	end := x.Begin()
	go func() {
		err := o.negotiate(m, x)
		e.sig = x.sig
		end()
		if err == nil {
			x.Count(m.tally, nil)
		}
		e.endWith(x.Began(), err)
		if m.oneway {
			o.Oneway.Done(1)
		}
	}()
	return nil
}

// errClosing is shared, and must not be changed.
var errClosing = &fault.Fault{Code: fault.Canceled, Outcome: fault.NotRun, Message: fault.ErrClosed.Error(), Err: fault.ErrClosed}

// stream makes a call with a result stream.
func (o *overMethod) stream(m *boundMethod, v *method.Values, x *exchange, out *callctx.Outgoing) error {
	s := apart.NewStream(&x.Exchange, m.tally)
	v.Sent = true // the end of the stream counts the call
	end := newStreamEnd(streamEnd{End: streams.End{Method: m.Name, Limits: &o.settings.Conn, Received: func() *method.Stream { return x.sig.ResultStream() }}, settings: o.settings, log: o.log})
	if c, ok := v.Ctx.(*callContext); ok {
		end.seen, c.call.streams = c.call, &clientStreams{s}
	}
	answer := x.Time
	if m.timeoutBy != limits.ByMethod { // only the wait for the func is limited by default
		x.Time = limits.Timeout{}
		x.Time.Begin(x.Ctx, 0, 0)
	}
	s.Begin(o.settings.PingAfter)
	if m.streams.Eager {
		streams.Store(s.Pipe, &end.End, m.streams.Result, v)
		go func() {
			err := o.negotiate(m, x)
			if out != nil {
				out.Reply.Set(x.entries)
			}
			if err == nil && len(x.reply.Body) > 0 {
				err = fault.New(fault.Internal, fault.Answered, "cannot decode the answer: %d trailing bytes", len(x.reply.Body))
			}
			x.move(s, m, err)
		}()
		return nil
	}
	err := s.Await(&answer, func() error { return o.negotiate(m, x) })
	if out != nil {
		out.Reply.Set(x.entries)
	}
	if err == nil {
		err = o.readReply(m, v, x)
	}
	if err != nil {
		s.Pipe.Fail(faultOf(err), true)
		return err
	}
	streams.Store(s.Pipe, &end.End, m.streams.Result, v)
	go x.move(s, m, nil)
	return nil
}

// faultOf returns the fault for the error of a call.
func faultOf(err error) *fault.Fault {
	f, ok := err.(*fault.Fault)
	if !ok {
		f = fault.New(fault.Internal, fault.OutcomeUnknown, "%w", err)
	}
	return f
}

// move moves the items of the reply to the user's range, or ends that with the error of the call.
func (x *exchange) move(s *apart.Stream, m *boundMethod, err error) {
	if err != nil {
		s.Pipe.Fail(faultOf(err), false)
		return
	}
	p := streams.Pump{Pipe: s.Pipe, Max: x.settings.MaxMessage, Owner: x.settings.Owner}
	p.Failed = func(err error) *fault.Fault {
		var e *Error
		if !errors.As(err, &e) || e.Outcome != OutcomeAnswered {
			return tripFault(err)
		}
		f, expired := receivedFault(e)
		return s.Received(f, expired)
	}
	p.Ended = func() *fault.Fault {
		if s.Within().Err() == nil {
			return nil
		}
		return s.Over(fault.OutcomeUnknown)
	}
	p.Panicked = func(what any) *fault.Fault {
		f := fault.New(fault.Internal, fault.OutcomeUnknown, "%s: panic in the Items of a RoundTripper", m.Name)
		f.LogID = x.log.AddPanic(report.Panic, "bsrpc: panic in the Items of a RoundTripper", what, "method", m.Name)
		return f
	}
	p.Run(x.reply.Items)
}
