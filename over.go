package bsrpc

import (
	"context"
	"errors"
	"io"
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
	remote := remoteEnd{addr: apart.Addr{}, metadata: true}
	l := &overLink{callerState: newCallerState(s, s.chain, report.New(own.logger()), new(atomic.Uint64), new(tally.Set), remote), rt: rt, credentials: s.access.credentials}
	_, l.prompt = rt.(PromptRoundTripper)
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
	prompt      bool                                       // rt is a PromptRoundTripper
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
		b.Methods = append(b.Methods, caller.Wanted(&m.Method))
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
		o := l.newOverMethod(m)
		if f.Sig != nil {
			o.Versions.Add(method.DescriptionOf("", texts[m.Name[len(service)+1:]]).Hash, f.Sig)
		}
		m.bind(o, 0)
	})
}

// bindDescribed implements describer.
func (l *overLink) bindDescribed(m *boundMethod, _ uint16) {
	o := l.newOverMethod(m)
	o.Outdated = true // Client.Call asks for the new layout
	m.bind(o, 0)
}

// ask implements describer. The flags stand before the body of a BIND frame.
func (l *overLink) ask(ctx context.Context, r *wire.BindRequest) ([]wire.BindResult, error) {
	if len(r.Names) == 0 {
		return nil, nil
	}
	x := &exchange{link: l, method: BindMethod}
	x.Init(&apart.Method{End: &l.End, Client: &l.Client}, x, nil)
	x.Ctx, x.Args = ctx, r.Append([]byte{byte(r.Flags())})
	x.Time.Begin(ctx, l.Settings.DefaultCallTimeout, limits.ByDefault)
	x.Begin()
	defer x.End()
	if err := x.Try("", nil); err != nil {
		return nil, err
	}
	answers, err := wire.ReadBindResponse(x.Reply.Body, len(r.Names))
	if err != nil {
		return nil, fault.New(fault.Internal, fault.OutcomeUnknown, "answer to %s: %w", BindMethod, err)
	}
	return answers, nil
}

// An overMethod is the link of one method. The layouts that its servers have differ from call
// to call.
type overMethod struct {
	*overLink
	apart.Method
}

// newOverMethod returns the link of m.
func (l *overLink) newOverMethod(m *boundMethod) *overMethod {
	return &overMethod{l, apart.Method{Method: &m.Method, End: &l.End, Client: &l.Client}}
}

// call implements link. The exchange is kept with v for the next call, to avoid an allocation.
func (o *overMethod) call(ctx context.Context, m *boundMethod, _ *binding, v *method.Values) error {
	out := callctx.OutgoingOf(ctx)
	if out != nil {
		if err := out.Begin(); err != nil {
			return err
		}
	}
	x, ok := v.State.(*exchange)
	if ok {
		v.State = nil
	} else {
		x = new(exchange)
	}
	x.link, x.method, x.hash, x.metadata = o.overLink, m.Name, m.Hash, out.Apart()
	x.Init(&o.Method, x, out)
	if err := x.Encode(v); err != nil {
		return err
	}
	x.Ctx = caller.BeginTimeout(&m.Method, ctx, &x.Time, v)
	var err error
	switch {
	case m.Streams != nil:
		err = o.stream(x, v)
	case m.Eager:
		return x.Start(v)
	default:
		if err = x.Do(v); err == nil { // otherwise the RoundTripper may still use x
			*x = exchange{}
			v.State = x
		}
	}
	return caller.Identified(o.End, &m.Method, err)
}

// stream makes a call with a result stream, which its interceptors see.
func (o *overMethod) stream(x *exchange, v *method.Values) error {
	s := x.NewStream()
	e := streamEnd{End: streams.End{Method: o.Name, Limits: &o.Settings.Conn, Received: x.ResultStream}, settings: o.Settings, log: o.Log}
	if c, ok := v.Ctx.(*callContext); ok {
		e.seen, c.call.streams = c.call, &clientStreams{s}
	}
	return x.Stream(s, newStreamEnd(e), v)
}
