package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// How a client connects: dialling, the handshake, and the wait for admission.

func dial(ctx context.Context, network, address string, opts *ClientOptions) (*Client, error) {
	if err := needContext(ctx, "dial"); err != nil {
		return nil, err
	}
	s, err := opts.resolve()
	if err != nil {
		return nil, err
	}
	d, stop := newDialState(ctx, "dial "+network+" "+address, s.dialTimeout)
	defer stop()
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

// dialOver is dial on a connection that exists.
func dialOver(ctx context.Context, nc net.Conn, opts *ClientOptions) (*Client, error) {
	if nc == nil {
		return nil, fault.Refusal(fault.InvalidArgument, "new client: nil connection")
	}
	if err := needContext(ctx, "new client"); err != nil {
		nc.Close()
		return nil, err
	}
	s, err := opts.resolve()
	if err != nil {
		nc.Close()
		return nil, err
	}
	d, stop := newDialState(ctx, "", s.dialTimeout)
	defer stop()
	return newClient(d, nc, s, opts)
}

// newClient shakes hands and waits for a place.
func newClient(d *dialState, nc net.Conn, s *settings, opts *ClientOptions) (*Client, error) {
	nc = netconn.Wrap(nc)
	peer, err := shakeClient(d.timed, nc, s)
	if err == nil && peer.Version == 0 {
		return newBasicClient(d, nc, s, peer, opts)
	}
	if err != nil {
		return nil, d.handshakeError(nc, err)
	}
	r := report.New(opts.logger())
	w := newAdmissionWait(peer)
	link := &nativeLink{settings: s, log: r}
	link.Conn = transport.New(transport.Config{NetConn: nc, Limits: &s.Conn, Peer: peer, Handler: w, SharesLease: true, OnViolation: r.Violations(nc.RemoteAddr())})
	go link.Run()
	if peer.Waiting {
		if err := w.await(d.ctx, link.Conn, opts.waitHook(r)); err != nil {
			return nil, fault.About(d.what, err)
		}
	}
	return &Client{via: link, native: link}, nil
}

func (o *ClientOptions) waitHook(r *report.Log) *waitHook {
	h := &waitHook{log: r}
	if o != nil {
		h.onWait = o.OnWait
	}
	return h
}

func (o *ClientOptions) logger() *slog.Logger {
	if o != nil && o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}

// needContext refuses a nil context, which would panic far from who passed it.
func needContext(ctx context.Context, doing string) error {
	if ctx == nil {
		return fault.Refusal(fault.InvalidArgument, "%s: nil context; use context.Background()", doing)
	}
	return nil
}

// An attempt is what becomes a client or an error: a way to the server, a
// handshake, and a place. The caller's context bounds all of it, DialTimeout what
// timed is the context of.
type dialState struct {
	what  string // "dial tcp 127.0.0.1:7", which begins its errors; "" for NewClient
	ctx   context.Context
	timed context.Context
	limit time.Duration // DialTimeout
}

// newDialState begins an attempt. stop frees what times it.
func newDialState(ctx context.Context, what string, limit time.Duration) (d *dialState, stop func()) {
	d = &dialState{what: what, ctx: ctx, limit: limit}
	d.timed, stop = context.WithTimeout(ctx, limit)
	return d, stop
}

// over returns the error of an attempt that has ended by its context or by
// DialTimeout, with what was still missing then; nil if err has another cause.
func (d *dialState) timeoutError(missing string, err error) *fault.Fault {
	cause := d.timed.Err()
	if cause == nil && errors.Is(err, context.DeadlineExceeded) {
		cause = context.DeadlineExceeded // package net keeps the time by a clock of its own
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

// callerEndsFirst says whether the caller's context ends before DialTimeout
// would.
func (d *dialState) callerEndsFirst() bool {
	own, ok := d.ctx.Deadline()
	end, _ := d.timed.Deadline()
	return ok && !own.After(end)
}

// stopped is the error of what has waited for something until its context ended.
func contextFault(missing string, cause error) *fault.Fault {
	e := fault.OfContext(cause, fault.NotRun)
	e.Message = fault.Prefix + missing + ": " + cause.Error()
	return e
}

// refused closes a connection whose handshake has failed, and returns the error
// of its attempt.
func (d *dialState) handshakeError(nc net.Conn, err error) error {
	nc.Close()
	if e, ok := err.(*fault.Fault); ok {
		return fault.About(d.what, e)
	}
	if e := d.timeoutError("no answer to INIT", nil); e != nil {
		return e
	}
	return fault.About(d.what, fault.New(fault.Unavailable, fault.NotRun, "handshake: %w", fault.NotOfCaller(err)))
}

// explainHandshake explains the error of a socket in the handshake, if it is the
// connection's end.
func explainHandshake(nc net.Conn, sent bool, err error) error {
	cause := err
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		cause = io.ErrUnexpectedEOF
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
	case !sent && speaksTLS(nc):
		return &explained{err.Error(), err} // it has sent nothing but its part of the TLS handshake
	default:
		return err
	}
	switch {
	case !speaksTLS(nc):
		return &explained{"the server closed the connection before it answered INIT; does it expect TLS?", cause}
	case !sent:
		return &explained{"the server closed the connection in the TLS handshake; does it speak TLS?", cause}
	}
	return &explained{"the server closed the connection before it answered INIT", cause}
}

// speaksTLS says whether nc is a *tls.Conn, or does as one.
func speaksTLS(nc net.Conn) bool {
	_, ok := netconn.Unwrap(nc).(interface{ HandshakeContext(context.Context) error })
	return ok
}

// A admissionWait is where a client waits that its server has not admitted yet. The
// reader tells it what comes. It is the handler of a client's connection, and takes
// nothing else.
type admissionWait struct {
	positions chan int      // capacity 1: the newest position in the queue
	admitted  chan struct{} // closed by ADMITTED
	waiting   bool          // not yet; the reader's
}

// newAdmissionWait returns the admissionWait of a client, whose server has said whether it waits.
func newAdmissionWait(server *wire.Hello) *admissionWait {
	w := &admissionWait{positions: make(chan int, 1), admitted: make(chan struct{}), waiting: server.Waiting}
	if server.Position > 0 {
		w.positions <- int(server.Position)
	}
	return w
}

func (w *admissionWait) Admit(f *wire.Frame) (*fault.Fault, error) {
	return nil, fmt.Errorf("unexpected %v", f.Type)
}
func (w *admissionWait) Request(*transport.Message) transport.Job { return nil }
func (w *admissionWait) Bind(m *transport.Message) error          { return fmt.Errorf("unexpected %v", m.Type) }
func (w *admissionWait) Cancel(uint64) error                      { return fmt.Errorf("unexpected %v", wire.Cancel) }
func (w *admissionWait) Idle()                                    {}

// Control passes on a WAITING or ADMITTED frame.
func (w *admissionWait) Control(m *transport.Message) error {
	if !w.waiting {
		return fmt.Errorf("unexpected %v", m.Type)
	}
	if m.Type == wire.Admitted {
		w.waiting = false
		close(w.admitted)
		return nil
	}
	select { // an older one that has not been looked at
	case <-w.positions:
	default:
	}
	w.positions <- int(min(m.ID, 1<<31-1))
	return nil
}

// await waits until the server has admitted the client of c.
func (w *admissionWait) await(ctx context.Context, c *transport.Conn, h *waitHook) error {
	position := 0
	for {
		places := w.positions
		if h.running != nil {
			places = nil // the newest stays there
		}
		select {
		case <-w.admitted:
			return failOn(c, h.settle())
		case position = <-places:
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

// notYet says what a client at a position of the queue has not got.
func notAdmittedAt(position int) string {
	if position == 0 {
		return "not admitted yet"
	}
	return fmt.Sprintf("not admitted yet, at position %d of the queue", position)
}

// failOn ends the connection if OnWait has fallen.
func failOn(c *transport.Conn, err error) error {
	if e, ok := err.(*fault.Fault); ok {
		c.Fail(e)
		c.Wait()
	}
	return err
}

// waitHookGrace is how long Dial waits for the last call of OnWait.
const waitHookGrace = 500 * time.Millisecond

// A waitHook calls OnWait, one call at a time, on goroutines of their own.
type waitHook struct {
	onWait  func(position int) // nil for none
	log     *report.Log
	running <-chan error // of the call that runs, nil for none
}

func (h *waitHook) call(position int) {
	if h.onWait != nil {
		h.running = h.log.Start("OnWait", func() error { h.onWait(position); return nil })
	}
}

// settle gives the last call a moment to return, before Dial does.
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

// pause waits for a time, unless OnWait falls.
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
