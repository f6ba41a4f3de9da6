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
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Clients over a RoundTripper, such as a broker, or HTTP.

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
	remote := remoteEnd{addr: apart.Addr{}, metadata: true, now: limits.Monotonic}
	l := &overLink{callerState: newCallerState(s, s.chain, report.New(own.logger()), new(atomic.Uint64), new(tally.Set), remote), rt: rt, credentials: s.access.credentials}
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

// An overLink is a client over a RoundTripper. It is safe for concurrent use: its calls share
// counters and the end of the client, and those of one method its versions.
type overLink struct {
	callerState
	apart.Client
	rt          RoundTripper
	credentials func(context.Context) (Credentials, error) // nil for none
	closes      sync.Once
}

func (l *overLink) ended() <-chan struct{} { return l.Done() }
func (l *overLink) openApart() int         { return l.Open() } // for Client.Stats

// close implements link. The contexts of all calls end before the RoundTripper is closed, so its
// Close need not end calls. It may hang: the wait for it has a limit.
func (l *overLink) close(why *fault.Fault) {
	l.Client.Close(why)
	l.closes.Do(func() {
		if c, ok := l.rt.(io.Closer); ok {
			ctx, stop := context.WithTimeout(context.Background(), netconn.CloseTime)
			defer stop()
			l.Log.Await(ctx, "Close of the RoundTripper", c.Close)
		}
	})
}

// call implements link. Each method has an overMethod for its calls.
func (l *overLink) call(context.Context, *boundMethod, *binding, *method.Values) error {
	return errNoLink
}

// bindMethods implements link. It refuses at once what no server could handle. The versions found
// are those of one server, and only where the first call begins: each call is compared again.
func (l *overLink) bindMethods(ctx context.Context, service string, methods []*boundMethod) error {
	var problems []method.Problem
	b := &numbering.Binding{Service: service, Peer: l.Settings.Peer(), Evolves: true}
	for _, m := range methods {
		if why := apart.NeedsConnection(m.Sig); why != "" {
			problems = append(problems, method.Problem{Path: m.Name, Text: why + "; use Dial, or leave the method out of the contract"})
		}
		b.Methods = append(b.Methods, m.Wanted())
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
	x.Time.Begin(ctx, l.Settings.DefaultCallTimeout, limits.ByDefault)
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
	x.Ctx = m.BeginTimeout(ctx, &x.Time, v)
	var err error
	switch {
	case m.Streams != nil:
		err = o.stream(m, v, x, out)
	case m.Eager:
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
			x.Count(m.Tally, nil)
		}
	}
	return o.Identified(&m.Method, err)
}

// encode encodes the arguments of a call, and finds the versions of the method that they may go
// to: each may lack what others have. The caller's own version comes last, because its bytes are
// those to be sent.
func (o *overMethod) encode(m *boundMethod, v *method.Values, x *exchange) error {
	for _, known := range o.versions.All() {
		if o.appendArgs(m, v, known.Sig) == nil {
			x.knows = slices.Concat(x.knows, []numbering.Version{known})
		}
	}
	if err := o.appendArgs(m, v, m.Sig); err != nil {
		return err
	}
	v.ArgsSize = len(v.Enc.Buf)
	x.request.Body = bytes.Clone(v.Enc.Buf) // the RoundTripper may keep it
	return nil
}

// usable returns why the arguments of a call cannot go to a server with another signature. The
// values of the call may be gone, so they are decoded.
func (o *overMethod) usable(m *boundMethod, x *exchange, sig *method.Signature) (err error) {
	v := m.Sig.NewValues()
	defer v.Free()
	defer func() { // user code of a type
		if what := recover(); what != nil {
			err = m.CodecPanicked(o.Log, fault.NotRun, what, "decoding", v.Dec.UserType)
		}
	}()
	o.Settings.Bounds.Begin(&v.Dec, x.request.Body, false)
	if err := v.ReadArgs(); err != nil {
		return m.EncodeError(err, "this end's MaxMessage", uint64(o.Settings.MaxMessage))
	}
	return o.appendArgs(m, v, sig)
}

// appendArgs encodes the arguments for a server with sig, in place of what v.Enc has.
func (o *overMethod) appendArgs(m *boundMethod, v *method.Values, sig *method.Signature) error {
	v.ResetEncoder()
	v.Enc.Max, v.Enc.MinCut, v.Enc.Depth = o.Settings.MaxMessage, 0, o.Settings.Bounds.Depth
	if err := m.AppendArgs(o.Log, sig, &v.Enc, v); err != nil {
		return m.EncodeError(err, "this end's MaxMessage", uint64(o.Settings.MaxMessage))
	}
	return nil
}

// negotiate makes the call, again if its server has another version of the method. Each attempt
// may reach another server. On success x.sig is that of the server of the last one.
func (o *overMethod) negotiate(m *boundMethod, x *exchange) error {
	n := &numbering.Negotiation{
		Wanted:   m.Wanted(),
		Peer:     o.Settings.Peer(),
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
		x.sig, err = apart.Read(x.reply.Hash, numbering.Version{Hash: m.Hash, Sig: m.Sig}, known, x.reply.Items != nil, m.Streams != nil)
		return "", err
	}
	_, found, err := n.Run(x.knows)
	if found == nil {
		return err
	}
	why, _ := mismatchOf(m.Name[:strings.LastIndexByte(m.Name, '.')], found)
	return why
}

// readReply decodes the results of the call.
func (o *overMethod) readReply(m *boundMethod, v *method.Values, x *exchange) error {
	o.Settings.Bounds.Begin(&v.Dec, x.reply.Body, true)
	v.ResultsSize = len(x.reply.Body)
	return m.ReadResults(o.Log, x.sig, v)
}

// start makes a call whose caller does not wait for the answer. The count of Oneway comes before
// the check whether the client ends: Close waits for a oneway call that passes the check.
func (o *overMethod) start(m *boundMethod, v *method.Values, x *exchange, out *callctx.Outgoing) error {
	if err := x.Ctx.Err(); err != nil {
		return x.Time.ContextFault(err, fault.NotRun)
	}
	if m.Oneway {
		x.Ctx = context.WithoutCancel(x.Ctx) // most callers end it when the func has returned
	}
	if o.Oneway.Begin(); o.Oneway.Refuses(false) != nil || o.Why() != nil {
		o.Oneway.Done(1)
		return cmp.Or(o.Why(), errClosing)
	}
	e := caller.NewEager(&o.End, &m.Method, nil, x, out)
	e.HandTo(v)
	if !m.Oneway { // Close does not wait for it
		o.Oneway.Done(1)
	}
	end := x.Begin()
	go func() {
		err := o.negotiate(m, x)
		e.Sig = x.sig
		end()
		if err == nil {
			x.Count(m.Tally, nil)
		}
		e.EndWith(x.Began(), err)
		if m.Oneway {
			o.Oneway.Done(1)
		}
	}()
	return nil
}

// errClosing is shared, and must not be changed.
var errClosing = &fault.Fault{Code: fault.Canceled, Outcome: fault.NotRun, Message: fault.ErrClosed.Error(), Err: fault.ErrClosed}

// stream makes a call with a result stream. The end of its Pipe ends the call, and counts it,
// for each cause: the server, the caller, the time, the end of the client. With
// Eager the caller ranges over the stream while the call is still negotiated.
func (o *overMethod) stream(m *boundMethod, v *method.Values, x *exchange, out *callctx.Outgoing) error {
	s := apart.NewStream(&x.Exchange, m.Tally)
	v.Sent = true // the end of the stream counts the call
	e := streamEnd{End: streams.End{Method: m.Name, Limits: &o.Settings.Conn, Received: func() *method.Stream { return x.sig.ResultStream() }}, settings: o.Settings, log: o.Log}
	if c, ok := v.Ctx.(*callContext); ok {
		e.seen, c.call.streams = c.call, &clientStreams{s}
	}
	end := newStreamEnd(e)
	answer := x.Time
	if m.TimeoutBy != limits.ByMethod { // only the wait for the func is limited by default
		x.Time = limits.Timeout{}
		x.Time.Begin(x.Ctx, 0, 0)
	}
	s.Begin(o.Settings.PingAfter)
	if m.Streams.Eager {
		streams.Store(s.Pipe, end, m.Streams.Result, v)
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
		s.Pipe.Fail(fault.Of(err), true)
		return err
	}
	streams.Store(s.Pipe, end, m.Streams.Result, v)
	go x.move(s, m, nil)
	return nil
}
