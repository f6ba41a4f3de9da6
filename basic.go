package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/waiting"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The basic wire, at a server and at a client.

// A basicConn is a server's connection with a client of the basic wire, and its handler.
type basicConn struct {
	*basic.Conn
	sessions *sessions
	served   *serverConn
}

// Dismiss is connection.Dismiss.
func (c *basicConn) Dismiss(why *fault.Fault) {
	c.Conn.Dismiss(why)
	c.served.cancel(errorOf(why)) // not earlier: the handler's own answer is too late now
}

// awaitHandlers is connection.awaitHandlers.
func (c *basicConn) awaitHandlers() { c.served.awaitIdle(c.EndRequests()) }

// Enter is basic.Handler.Enter.
func (c *basicConn) Enter() *fault.Fault {
	_, refuse := c.sessions.enter(c.served.session)
	return refuse
}

// Admitted is basic.Handler.Admitted.
func (c *basicConn) Admitted() bool {
	select {
	case <-c.served.session.ticket.Admitted():
		return true
	default:
		return false
	}
}

// Leave is basic.Handler.Leave.
func (c *basicConn) Leave() { c.served.session.ticket.Leave() }

// Welcome is basic.Handler.Welcome.
func (c *basicConn) Welcome() *fault.Fault {
	v := c.served.session
	err := c.sessions.begin(v)
	if err == nil {
		return nil
	}
	if !v.connected {
		v.ticket.Leave() // OnDisconnect will not run: others need not wait
	}
	e := basic.Exception("PermissionError", "panic in the error of OnConnect or PerSession")
	c.sessions.guard(v, "the error of OnConnect or PerSession", func() error {
		e = refusalException(err, c.served.settings)
		return nil
	})
	return e
}

// TurnedAway is basic.Handler.TurnedAway.
func (c *basicConn) TurnedAway(why *fault.Fault) {
	c.sessions.turnedAway.Add(1)
	c.sessions.logRefusal(c.served.session, why)
}

// Command is basic.Handler.Command.
func (c *basicConn) Command(id uint16, args []byte, kept limits.Kept) {
	v := c.served
	m := v.registry.command(id)
	if m == nil {
		v.refused(v.registry.unknown, fault.Refusal(fault.Unimplemented, "no method has the id %d", id))
		kept.Release()
		c.Refuse(basic.UnknownCommand(id))
		return
	}
	since := time.Now()
	inv := v.newInvocation(m, 0, c, limits.MonotonicAt(since))
	defer inv.Leave()
	inv.setContext(v.ctx, 0, nil)
	inv.call.ReplyWithout()
	inv.undecoded = &transport.Message{Body: args, Own: true, Kept: kept}
	v.enterRunning(inv)
	if v.session.counted.Limited() {
		if why := v.takeCall(since); why != nil {
			inv.Refuse(why)
			return
		}
	}
	switch {
	case m.group != nil && !c.acquire(inv): // the client has left
		v.refused(m, fault.FromContext(context.Canceled, fault.NotRun))
	case inv.waiter != nil && inv.waiter.Refusal() != nil:
		inv.Refuse(denied(inv.waiter.Refusal()))
	case !v.beginHandler():
		inv.Refuse(v.busy())
	default:
		inv.counted = true
		inv.noteWait(since)
		inv.serve()
	}
}

// acquire waits for the exclusive group of a call. It reports false if the connection
// has ended first.
func (c *basicConn) acquire(inv *invocation) bool {
	w := inv.newWaiter(nil)
	acquired := make(chan struct{})
	w.Start(func() { close(acquired) })
	select {
	case <-acquired:
		inv.waiter = w
		return true
	case <-c.served.ctx.Done():
		if _, _, ok := w.GiveUp(); !ok {
			<-acquired
			w.Release()
		}
		return false
	}
}

// reply is replier.reply. It lets other calls run before it writes: the client may read
// slowly.
func (c *basicConn) reply(inv *invocation, err error) {
	inv.call.EndReplied()
	if err == nil {
		err = c.encodeResults(inv)
	}
	inv.err, inv.code = err, fault.OK
	var e *fault.Fault
	if err != nil {
		inv.code = codeOf(err)
		e = c.exceptionOf(inv, err)
	}
	inv.answered = true // until here user code may panic
	c.served.uncountCall(inv)
	if inv.waiter != nil {
		inv.waiter.Release()
	}
	if e != nil {
		c.Refuse(e)
		return
	}
	c.Respond(net.Buffers(wire.Segments(&inv.Enc.Body)))
}

// codeOf returns the code of a call that ends with err.
func codeOf(err error) fault.Code {
	var p *report.PanicError
	if errors.As(err, &p) {
		return fault.Internal
	}
	return fault.Code(CodeOf(publicError(err)))
}

// refused is basic.Config.OnRefused.
func (c *basicConn) refused(command int, why *fault.Fault) {
	m := c.served.registry.command(uint16(max(command, 0)))
	if command < 0 || m == nil {
		m = c.served.registry.unknown
	}
	c.served.refused(m, why)
}

// Flush is replier.Flush. Replies do not wait for others.
func (c *basicConn) Flush() {}

// PeerMaxMessage is replier.PeerMaxMessage. The peer has no limit of its own.
func (c *basicConn) PeerMaxMessage() uint64 { return uint64(c.served.settings.MaxMessage) }

// exceptionOf returns the exception that answers inv with err.
func (c *basicConn) exceptionOf(inv *invocation, err error) *fault.Fault {
	if why := inv.refusal; why != nil {
		name := "RuntimeError"
		if why.Code == fault.InvalidArgument {
			name = "ValueError"
		}
		err = basic.Exception(name, "%s", why.Plain())
	}
	var p *report.PanicError
	if errors.As(err, &p) {
		return basic.Exception("RuntimeError", "%s", p.Located())
	}
	return exceptionFrom(err, c.served.settings)
}

// encodeResults puts a whole frame into the encoder of the call.
func (c *basicConn) encodeResults(inv *invocation) error {
	s := c.served.settings
	inv.Enc.Buf = wire.AppendBasicHeader(inv.Enc.Buf[:0], wire.BasicResponse, 0)
	inv.Enc.Max, inv.Enc.MinCut, inv.Enc.Depth, inv.Enc.Lenient = s.MaxMessage, wire.MinCut, s.Bounds.Depth, true
	err := inv.AppendResults()
	switch {
	case err == nil:
		inv.ResultsSize = int(inv.Enc.Size()) - wire.BasicHeaderSize
		wire.SetBasicSize(inv.Enc.Buf, int(inv.Enc.Size()))
		return nil
	case errors.Is(err, codec.ErrSize):
		err = fmt.Errorf("%w (the server's MaxMessage is %d)", err, s.MaxMessage)
	}
	c.served.report(report.Result, slog.LevelError, "bsrpc: result cannot be sent", "method", inv.method.Name, "err", err)
	if errors.Is(err, codec.ErrRange) {
		return basic.Overflow()
	}
	return basic.Exception("RuntimeError", "%s, %v", inv.method.Name, codec.LimitOf("the server's", err))
}

// exceptionFrom returns the exception for the error of a handler. An error without a name
// of its own gets that of its first identity from the option Errors.
func exceptionFrom(err error, s *settings) *fault.Fault {
	given := err
	if e, ok := publicError(err).(*Error); ok && !e.Remote {
		err = basic.Exception(e.Name, "%s", strings.TrimPrefix(e.message(), fault.Prefix))
	}
	_, f := wireError(err, s.MaxErrorText)
	if f.Name == "" {
		f.Name = s.Errors.Find(given, nil, "", 0, wire.MaxIdentityRoom).Key
	}
	return basic.Exception(basic.SafeName(f.Name, "RuntimeError"), "%s", fault.ValidUTF8(f.Message))
}

// refusalException returns the exception for a client refused by OnConnect or PerSession.
func refusalException(err error, s *settings) *fault.Fault {
	e := exceptionFrom(err, s)
	e.Name = "PermissionError"
	var namer exceptionNamer
	if errors.As(err, &namer) {
		e.Name = basic.SafeName(namer.ExceptionName(), e.Name)
	}
	return e
}

// A basicLink is the link to a server of the basic wire.
type basicLink struct {
	*basic.Client
	callerState
}

// ended and close implement link. The basic wire has no metadata, and one call at a time.
func (l *basicLink) ended() <-chan struct{} { return l.Done() }
func (l *basicLink) close(why *fault.Fault) { l.Close(why) }

// bindMethods is link.bindMethods: the ids in the tags of the contract are the numbers. Each method
// needs one.
func (l *basicLink) bindMethods(_ context.Context, service string, methods []*boundMethod) error {
	var problems []method.Problem
	names := make(map[int]string)
	for _, m := range methods {
		m.bind(l, uint16(m.ID))
		switch other, taken := names[m.ID]; {
		case m.ID < 0:
			problems = append(problems, method.Problem{Path: m.Name, Text: "has no id= in its tag, by which a server that speaks the basic wire knows its methods"})
		case m.Eager:
			problems = append(problems, method.Problem{Path: m.Name, Text: "a server that speaks the basic wire answers each call in turn; leave out oneway, and return a result and an error in place of a future"})
		case taken:
			problems = append(problems, method.Problem{Path: m.Name, Text: fmt.Sprintf("id=%d is %s's", m.ID, other)})
		}
		names[m.ID] = m.Name
	}
	return method.ServiceError("bind", service, problems)
}

// call is link.call.
func (l *basicLink) call(ctx context.Context, m *boundMethod, b *binding, v *method.Values) error {
	if err := ctx.Err(); err != nil {
		return fault.FromContext(err, fault.NotRun)
	}
	if out := callctx.OutgoingOf(ctx); out != nil {
		if err := out.BeginBasic(); err != nil {
			return err
		}
	}
	s := l.Settings
	enc := codec.Encoder{Body: wire.Body{Buf: wire.AppendCommand(nil, b.number, 0)}, Max: s.MaxMessage, Depth: s.Bounds.Depth, Lenient: true}
	if err := caller.AppendArgs(&m.Method, l.Log, b.sig, &enc, v); err != nil {
		return caller.EncodeError(&m.Method, err, "this end's MaxMessage", uint64(s.MaxMessage))
	}
	wire.SetBasicSize(enc.Buf, len(enc.Buf))
	v.ArgsSize = len(enc.Buf) - wire.BasicHeaderSize
	var timeout limits.Timeout
	ctx = caller.BeginTimeout(&m.Method, ctx, &timeout, v)
	v.Began = limits.Monotonic()
	timeout.Start(v.Began)
	results, err := l.Do(ctx, enc.Buf, &timeout)
	if err != nil {
		v.Until = timeout.End()
		return caller.Identified(&l.End, &m.Method, err)
	}
	s.Bounds.Begin(&v.Dec, results, true)
	v.Dec.Lenient, v.ResultsSize = true, len(results)
	err = caller.ReadResults(&m.Method, l.Log, b.sig, v)
	if err == nil {
		m.Tally.Add(l.Lane, 1, fault.OK, limits.Monotonic()-v.Began)
	}
	return err
}

// newBasicClient returns a client over a connection after peer, the first answer of a
// server of the basic wire. It waits for admission.
func newBasicClient(d *dialState, nc net.Conn, s *settings, peer *wire.Hello, opts *ClientOptions) (*Client, error) {
	netconn.KeepAlive(nc, s.PingAfter, s.PingTimeout)
	log := report.New(opts.logger())
	h := &waiting.Hook{OnWait: opts.OnWait, Log: log}
	d.conn.Again = false
	if peer.Waiting {
		d.onWait()
		h.Call(0) // the wire carries no position
	}
	for peer.Waiting {
		err := h.Pause(d.Ctx, s.PollInterval)
		if err != nil {
			nc.Close()
			return nil, fault.About(d.What, err)
		}
		if peer, err = d.pollBasic(nc, s); err != nil {
			return nil, err
		}
	}
	if err := h.Settle(); err != nil {
		nc.Close()
		return nil, fault.About(d.What, err)
	}
	return &Client{conn: &basicLink{basic.NewClient(nc, &s.Conn, d.tallies.NewLane()), newCallerState(s, s.chain, log, nil, d.tallies, d.remote(nc))}}, nil
}

// pollBasic asks once for admission, within DialTimeout.
func (d *dialState) pollBasic(nc net.Conn, s *settings) (*wire.Hello, error) {
	poll, stop := newDialState(d.Ctx, d.What, d.Limit)
	defer stop()
	peer, err := hello.Exchange(poll.Timed, nc, s.accepted(), wire.AppendBasicClientInit(nil), nil)
	if err == nil && peer.Version != 0 {
		err = errors.New("the server has changed from the basic wire to the native one")
	}
	if err != nil {
		return nil, poll.HandshakeError(nc, err)
	}
	return peer, nil
}
