package bsrpc

import (
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basicConn is a connection of a client that speaks the basic wire. Its
// reader reads ahead, also to see when the client has gone; its servant, a
// goroutine of its own, takes one frame after another and gives each exactly
// one answer. Nothing is sent that has not been asked for.
type basicConn struct {
	nc       net.Conn
	server   *Server
	served   *serverConn
	inflight limits.Inflight
	session  *Session
	in       *intake
	lease    pollLease   // until admission
	waiting  atomic.Bool // it has been told to wait

	away     chan struct{}  // closed when it begins to leave
	done     chan struct{}  // closed when err has been set
	running  sync.WaitGroup // its goroutines, the servant apart
	onClosed func()

	mu      sync.Mutex   // guards the rest
	asked   bool         // the servant has a frame, and has not answered it
	leaving *fault.Fault // why the connection is about to end
	err     *fault.Fault // why it has ended
}

func (s *Server) newBasicConn(nc net.Conn, v *Session) *basicConn {
	netconn.KeepAlive(nc, s.settings.PingAfter, s.settings.PingTimeout)
	c := &basicConn{nc: nc, server: s, session: v, in: newIntake(), away: make(chan struct{}), done: make(chan struct{})}
	c.served = s.newServerConn(v)
	c.served.conn = c
	c.inflight.Init()
	v.end = c.Dismiss
	c.running.Add(1) // the reader, before anyone can wait for it
	return c
}

// Run reads until the connection ends.
func (c *basicConn) Run() {
	defer c.running.Done()
	netconn.WhenBroken(c.nc, func(why error) { c.Fail(fault.Lost("using it", why)) })
	go c.serve()
	r := newBasicReader(c.nc, c.served.settings, wire.CommandIDSize)
	r.book, r.release = c.book, c.served.budget.Release
	r.max = c.longest
	for {
		f, err := r.next()
		if errors.Is(err, errTooLong) {
			c.refuseLong(r, err)
			return
		}
		if err != nil {
			c.readEnd(err)
			return
		}
		if !c.in.put(f) {
			return
		}
	}
}

// readEnd ends the connection when nothing more can be read. A client that has
// closed only its half waits for its answers: all that has been read is served
// first. One that has gone looks the same until something is written, so this lasts
// no longer than a silent peer may.
func (c *basicConn) readEnd(err error) {
	why := fault.Lost("reading", err)
	if isEOF(err) && canHalfClose(c.nc) {
		over, stop := c.served.settings.Silence()
		defer stop()
		select {
		case <-c.in.finish():
		case <-c.done:
		case <-over:
			why = fault.Lost("waiting for a sign of life", c.served.settings.Silent())
		}
	}
	c.Fail(why)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// canHalfClose says whether an end of nc can be closed for writing alone.
func canHalfClose(nc net.Conn) bool {
	_, ok := netconn.Unwrap(nc).(interface{ CloseWrite() error })
	return ok
}

// longest returns the longest message that the client may send now.
func (c *basicConn) longest() int64 {
	if c.waiting.Load() {
		return wire.MaxInit
	}
	return int64(c.served.settings.MaxMessage)
}

// book asks whether there is room for a long frame.
func (c *basicConn) book(size int64) *fault.Fault {
	if e := c.served.budget.Book(size); e != nil {
		return exception("RuntimeError", "%s", e.Plain())
	}
	return nil
}

// refuseLong answers a frame that is not read, behind those before it, and
// takes what follows from the socket until the client has read that.
func (c *basicConn) refuseLong(r *basicReader, err error) {
	c.in.put(basicFrame{refused: exception("ValueError", "%v", err), last: true})
	select {
	case <-c.away:
		_, err := io.Copy(io.Discard, r.in)
		c.Fail(fault.Lost("reading", cmp.Or(err, io.EOF)))
	case <-c.done:
	}
}

// serve is the servant. A handler that calls runtime.Goexit ends a goroutine,
// not the connection.
func (c *basicConn) serve() {
	ended := false
	defer func() {
		if !ended {
			go c.serve()
		}
	}()
	for c.serveNext() {
	}
	ended = true
}

func (c *basicConn) serveNext() bool {
	f, ok := c.in.take()
	if !ok || !c.begin() {
		return false
	}
	defer c.finish()
	c.serveFrame(&f)
	return true
}

// begin is called with a frame in hand. It reports false if that is not to be
// served.
func (c *basicConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving != nil {
		return false
	}
	c.asked = true
	c.inflight.Begin()
	return true
}

func (c *basicConn) finish() {
	c.in.done()
	c.inflight.Done(1)
	if c.inflight.Closing() != nil {
		c.Drain()
	}
}

func (c *basicConn) serveFrame(f *basicFrame) {
	switch {
	case c.inflight.Closing() != nil:
		c.refuse(errShutdown)
	case f.refused != nil && f.last:
		c.leave(f.refused, f.refused)
	case !c.session.admitted.Load():
		c.poll(f)
	case f.refused != nil:
		c.refuse(f.refused)
	case f.typ == wire.Init:
		c.refuse(errInitialized)
	case f.typ != wire.BasicRequest:
		c.refuse(unexpected(f))
	default:
		c.serveCommand(f.payload)
	}
}

func unexpected(f *basicFrame) *fault.Fault {
	return exception("ProtocolError", "Unexpected msg_type: %d", uint8(f.typ))
}

// refuse answers the frame that is served with an exception.
func (c *basicConn) refuse(e *fault.Fault) { c.answer(exceptionFrame(e)) }

func exceptionFrame(e *fault.Fault) net.Buffers {
	return net.Buffers{wire.AppendException(nil, e.Name, e.Message)}
}

// answer writes the one answer to the frame that is served.
func (c *basicConn) answer(parts net.Buffers) {
	c.mu.Lock()
	asked := c.asked && c.err == nil // else fail has cancelled the handler, and not its caller
	c.asked = false
	c.mu.Unlock()
	if asked {
		c.write(parts)
	}
}

func (c *basicConn) write(parts net.Buffers) {
	if err := writeBasic(c.nc, parts, c.served.settings.WriteStall, never); err != nil {
		c.Fail(fault.Lost("writing", err))
	}
}

// Drain lets the connection end when what has been asked is answered.
func (c *basicConn) Drain() {
	c.inflight.Drain()
	if c.in.isIdle() {
		c.leave(fault.New(fault.Unavailable, fault.OutcomeUnknown, "%s", errShutdown.Message), nil)
	}
}

// Dismiss ends the session under its call. The reason is the answer to what the
// client waits for.
func (c *basicConn) Dismiss(why *fault.Fault) {
	c.leave(why, exceptionFrom(exception("ConnectionError", "%s", why.Plain()), c.served.settings.MaxErrorText))
	c.served.cancel(errorOf(why)) // now a handler's answer is too late
}

// leave ends the connection when the client has read its last answer, or soon.
// tell answers what is still asked, unless it is nil. leave does not wait.
func (c *basicConn) leave(why, tell *fault.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving != nil {
		return
	}
	c.leaving = why
	close(c.away)
	tells := tell != nil && c.asked
	c.asked = c.asked && !tells
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		if tells {
			c.write(exceptionFrame(tell))
		}
		netconn.Linger(c.nc, c.done)
		c.Fail(why)
	}()
}

// Fail ends the connection at once. Only the first reason counts.
func (c *basicConn) Fail(why *fault.Fault) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = cmp.Or(c.leaving, why)
	why = c.err
	c.mu.Unlock()
	c.served.end(why)
	close(c.done)
	c.nc.Close()
	c.in.end()
	c.lease.end()
	c.onClosed()
}

func (c *basicConn) Wait() {
	<-c.done
	c.running.Wait()
}

func (c *basicConn) awaitHandlers() { c.served.awaitIdle(c.inflight.End(0)) }
