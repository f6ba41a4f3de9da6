package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The steps of a client: connect, handshake, and wait for admission.

// dial implements Dial.
func dial(ctx context.Context, network, address string, opts *ClientOptions) (*Client, error) {
	if err := needContext(ctx, "dial"); err != nil {
		return nil, err
	}
	s, err := opts.settings()
	if err != nil {
		return nil, err
	}
	d, stop := newDialState(ctx, "dial "+network+" "+address, s.dialTimeout)
	defer stop()
	d.network, d.address = network, address
	var dialer net.Dialer
	nc, err := dialer.DialContext(d.timed, network, address)
	if err == nil {
		return newClient(d, nc, s, opts)
	}
	if e := d.timeoutError("no connection", err); e != nil {
		return nil, e
	}
	return nil, fault.New(fault.Unavailable, fault.NotRun, "%w", err)
}

// dialOver implements NewClient.
func dialOver(ctx context.Context, nc net.Conn, opts *ClientOptions) (*Client, error) {
	if nc == nil {
		return nil, fault.Refusal(fault.InvalidArgument, "new client: nil connection")
	}
	if err := needContext(ctx, "new client"); err != nil {
		nc.Close()
		return nil, err
	}
	s, err := opts.settings()
	if err != nil {
		nc.Close()
		return nil, err
	}
	d, stop := newDialState(ctx, "", s.dialTimeout)
	defer stop()
	return newClient(d, nc, s, opts)
}

// connect makes a connection with the server at the other end of nc: TLS, INIT, AUTH,
// and the answer. If it fails, it closes nc.
func (d *dialState) connect(nc net.Conn, s *settings, r *report.Log) (net.Conn, *wire.Hello, error) {
	nc, err := secure.Client(nc, s.access.tls, secure.HostOf(d.network, d.address))
	if err == nil {
		err = hello.ConnectTLS(d.timed, nc, r)
	}
	var peer *wire.Hello
	if err == nil {
		peer, err = clientHandshake(d.timed, nc, s, r)
	}
	if err != nil {
		return nil, nil, d.handshakeError(nc, err)
	}
	return nc, peer, nil
}

// newClient makes a client of a connection: handshake and wait for admission. If it
// fails, it closes nc.
func newClient(d *dialState, nc net.Conn, s *settings, opts *ClientOptions) (*Client, error) {
	r := report.New(opts.logger())
	nc, peer, err := d.connect(nc, s, r)
	switch {
	case err != nil:
		return nil, err
	case peer.Version == 0:
		return newBasicClient(d, nc, s, peer, opts)
	}
	w := newAdmissionWait(peer)
	h := newClientHandler(nc, w.Control, opts.handlers(), s, r)
	link := &nativeLink{settings: s, log: r, onewayErrors: &h.served.onewayErrors, remote: d.remote(nc)}
	link.Conn = transport.New(transport.Config{
		NetConn: nc, Limits: &s.Conn, Peer: peer, Handler: h, SharesLease: true, Budget: &h.served.budget,
		OnViolation: r.Violations(nc.RemoteAddr()), OnEnd: h.served.end, OnRefused: h.refused, Leased: h.served.session.owner.Busy, OnClosed: func() {
			go func() {
				link.Wait()
				h.awaitHandlers()
				h.served.session.owner.Leave()
			}()
		},
	})
	link.remote.metadata, link.remote.now = true, link.Conn.Now
	h.Conn, h.served.session.caller = link.Conn, link
	h.served.session.owner.OnBusy = link.Lease
	go link.Run()
	if peer.Waiting {
		if err := w.await(d.ctx, link.Conn, opts.waitHook(r)); err != nil {
			return nil, fault.About(d.what, err)
		}
	}
	return &Client{conn: link, native: link}, nil
}

// settings returns the settings for o and its Handlers. o may be nil.
func (o *ClientOptions) settings() (*settings, error) {
	s, err := o.resolve()
	h := o.handlers()
	if err == nil {
		err = checkHandlers(h)
	}
	if err == nil && h != nil {
		s.MaxInflight, s.MaxStreams = h.settings.MaxInflight, h.settings.MaxStreams
	}
	return s, err
}

// waitHook returns the hook for OnWait. o may be nil.
func (o *ClientOptions) waitHook(r *report.Log) *waitHook {
	h := &waitHook{log: r}
	if o != nil {
		h.onWait = o.OnWait
	}
	return h
}

// handlers returns Handlers. o may be nil.
func (o *ClientOptions) handlers() *Server {
	if o == nil {
		return nil
	}
	return o.Handlers
}

// logger returns the user's Logger or the default. o may be nil.
func (o *ClientOptions) logger() *slog.Logger {
	if o != nil && o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}

// A dialState is the state of one call of Dial or NewClient, for its time limits and
// errors. The wait for admission uses ctx; everything before uses timed, which also
// ends after DialTimeout.
type dialState struct {
	what  string // "dial tcp 127.0.0.1:7", the prefix of errors; "" for NewClient
	ctx   context.Context
	timed context.Context
	limit time.Duration // DialTimeout

	network, address string // "" for NewClient
}

// remote returns the other end of nc, which has no metadata on the basic wire.
func (d *dialState) remote(nc net.Conn) remoteEnd {
	return remoteEnd{addr: nc.RemoteAddr(), network: d.network, address: d.address, now: limits.Monotonic}
}

// newDialState returns the state of a dial beginning now. The caller must call stop.
func newDialState(ctx context.Context, what string, limit time.Duration) (d *dialState, stop func()) {
	d = &dialState{what: what, ctx: ctx, limit: limit}
	d.timed, stop = context.WithTimeout(ctx, limit)
	return d, stop
}

// timeoutError returns the error of a dial ended by its context or by DialTimeout, or
// nil if err has another cause. missing describes the step not completed.
func (d *dialState) timeoutError(missing string, err error) *fault.Fault {
	cause := d.timed.Err()
	if cause == nil && errors.Is(err, context.DeadlineExceeded) {
		cause = context.DeadlineExceeded // package net has a timer of its own, and may be first
	}
	if cause == nil {
		return nil
	}
	e := contextFault(missing, cause)
	if e.Code == fault.DeadlineExceeded && !d.callerEndsFirst() {
		e.Message = fault.Prefix + missing + " in " + d.limit.String() + " (DialTimeout)"
	}
	return fault.About(d.what, e).(*fault.Fault)
}

// callerEndsFirst reports whether the caller's deadline is before the end of
// DialTimeout.
func (d *dialState) callerEndsFirst() bool {
	own, ok := d.ctx.Deadline()
	end, _ := d.timed.Deadline()
	return ok && !own.After(end)
}

// contextFault returns the error of a wait ended by a context with cause. missing
// describes the event not seen.
func contextFault(missing string, cause error) *fault.Fault {
	e := fault.FromContext(cause, fault.NotRun)
	e.Message = fault.Prefix + missing + ": " + cause.Error()
	return e
}

// handshakeError closes a connection after a failed handshake, and returns the error of
// Dial.
func (d *dialState) handshakeError(nc net.Conn, err error) error {
	nc.Close()
	if e, ok := err.(*fault.Fault); ok {
		return fault.About(d.what, e)
	}
	if e := d.timeoutError("no answer to INIT", nil); e != nil {
		return e
	}
	return fault.About(d.what, fault.New(fault.Unavailable, fault.NotRun, "handshake: %w", fault.WithoutContextErrors(err)))
}

// An admissionWait receives the WAITING and ADMITTED frames of a server until the client is
// admitted.
type admissionWait struct {
	positions chan int      // capacity 1: the newest position in the queue
	admitted  chan struct{} // closed by ADMITTED
	waiting   bool          // not admitted yet; only for the holder of the read lease
}

// newAdmissionWait returns the handler of a client. hello is the server's INIT.
func newAdmissionWait(hello *wire.Hello) *admissionWait {
	w := &admissionWait{positions: make(chan int, 1), admitted: make(chan struct{}), waiting: hello.Waiting}
	if hello.Position > 0 {
		w.positions <- int(hello.Position)
	}
	return w
}

// Control handles a WAITING or ADMITTED frame. It never blocks: the channel has room
// after an older position has been removed.
func (w *admissionWait) Control(m *transport.Message) error {
	if !w.waiting {
		return fmt.Errorf("unexpected %v", m.Type)
	}
	if m.Type == wire.Admitted {
		w.waiting = false
		close(w.admitted)
		return nil
	}
	select { // discard an older position, not received yet
	case <-w.positions:
	default:
	}
	w.positions <- int(min(m.ID, 1<<31-1))
	return nil
}

// await waits until the server has admitted the client on c, and calls the hook with its
// positions. It closes c if it fails.
func (w *admissionWait) await(ctx context.Context, c *transport.Conn, h *waitHook) error {
	position := 0
	for {
		positions := w.positions
		if h.running != nil {
			positions = nil // keep the newest in the channel until the hook returns
		}
		select {
		case <-w.admitted:
			return failOn(c, h.settle())
		case position = <-positions:
			h.call(position)
		case err := <-h.running:
			h.running = nil
			if err != nil {
				return failOn(c, err)
			}
		case <-c.Done():
			return c.Ended(fault.NotRun)
		case <-ctx.Done():
			err := contextFault(notAdmittedAt(position), ctx.Err())
			c.Fail(err)
			c.Wait()
			return err
		}
	}
}

// notAdmittedAt describes the wait of a client at a position of the queue, 0 for unknown.
func notAdmittedAt(position int) string {
	if position == 0 {
		return "not admitted yet"
	}
	return fmt.Sprintf("not admitted yet, at position %d of the queue", position)
}

// failOn closes the connection if OnWait has panicked with err, and returns err.
func failOn(c *transport.Conn, err error) error {
	if e, ok := err.(*fault.Fault); ok {
		c.Fail(e)
		c.Wait()
	}
	return err
}

// waitHookGrace is the time for the last call of OnWait to return before Dial does.
const waitHookGrace = 500 * time.Millisecond

// A waitHook calls OnWait, one call at a time, each on a new goroutine: a hook that hangs
// must not delay Dial beyond its context.
type waitHook struct {
	onWait  func(position int) // nil for none
	log     *report.Log
	running <-chan error // receives the result of the running call; nil for none
}

// call starts a call of OnWait. h.running must be nil.
func (h *waitHook) call(position int) {
	if h.onWait != nil {
		h.running = h.log.Start("OnWait", func() error { h.onWait(position); return nil })
	}
}

// settle waits for the last call to return, at most for waitHookGrace.
func (h *waitHook) settle() error {
	if h.running == nil {
		return nil
	}
	select {
	case err := <-h.running:
		return err
	case <-time.After(waitHookGrace):
		return nil
	}
}

// pause waits for d, or until ctx ends or OnWait panics.
func (h *waitHook) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case err := <-h.running:
			h.running = nil
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return contextFault(notAdmittedAt(0), ctx.Err())
		}
	}
}
