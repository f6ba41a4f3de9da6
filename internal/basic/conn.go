package basic

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
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Handler acts for the client of a connection. The worker calls its methods, one at a
// time; Leave may be called by a timer instead.
type Handler interface {
	// Command runs the command with an id, and answers it once, by Respond or Refuse. It
	// may end its goroutine, after it has answered. args are the Handler's, which releases
	// kept once they are decoded.
	Command(id uint16, args []byte, kept limits.Kept)

	// Enter puts the client at the end of the admission queue, or returns the reason for
	// a refusal.
	Enter() *fault.Fault

	// Admitted reports whether the queue has admitted the client.
	Admitted() bool

	// Leave takes the client out of the queue. An admission is given up.
	Leave()

	// Welcome begins the session of an admitted client, or returns the exception for it.
	Welcome() *fault.Fault

	// TurnedAway is called before the connection of a refused client is closed.
	TurnedAway(why *fault.Fault)
}

// A Config describes a connection of a server.
type Config struct {
	NetConn net.Conn // after the first frame
	Limits  *limits.Conn
	Budget  *limits.Budget // of all connections of a server; may be nil
	Lane    *tally.Lane    // counts bytes; nil for none
	Handler Handler

	OnEnd    func(*fault.Fault) // called once with the reason, before Done is closed
	OnClosed func()             // called once after NetConn is closed

	// OnRefused is called by the worker for each request refused before Handler.Command,
	// with its command, -1 if it was not read; may be nil.
	OnRefused func(command int, why *fault.Fault)
}

// A Conn is a server's connection with a client. A reader fills the request queue, and so
// notices early when the client leaves. A worker, one goroutine, takes one frame after
// another. Each frame gets one answer, and nothing else is sent.
//
// Lock order: with pollLease.mu held, the Handler may take further locks. No other lock
// is held while taking one.
type Conn struct {
	cfg      Config
	nc       net.Conn
	limits   *limits.Conn
	inflight limits.Inflight
	frames   limits.Waiting // long frames in the queue, until they are decoded
	queue    *requestQueue
	lease    pollLease   // until admission
	admitted bool        // the worker's
	waiting  atomic.Bool // the client has been told to wait

	away    chan struct{}  // closed when leaving is set
	done    chan struct{}  // closed after err is set
	running sync.WaitGroup // the goroutines of the connection, the worker excepted

	mu      sync.Mutex   // guards the rest
	asked   bool         // the worker has a frame without an answer
	leaving *fault.Fault // why the connection is about to end
	err     *fault.Fault // why it has ended
}

// NewConn returns a connection whose first frame, from AwaitInit, was init. It reads
// nothing before Run.
func NewConn(cfg Config, init Frame) *Conn {
	netconn.KeepAlive(cfg.NetConn, cfg.Limits.PingAfter, cfg.Limits.PingTimeout)
	c := &Conn{
		cfg: cfg, nc: cfg.NetConn, limits: cfg.Limits, queue: newRequestQueue(),
		away: make(chan struct{}), done: make(chan struct{}),
	}
	c.inflight.Init()
	c.frames.Init(cfg.Limits.Owner, cfg.Budget)
	c.running.Add(1) // the reader, before Wait
	c.queue.put(init)
	return c
}

// Run makes the calling goroutine the reader, until the connection ends.
func (c *Conn) Run() {
	defer c.running.Done()
	netconn.WhenBroken(c.nc, func(why error) { c.Fail(fault.Lost("using it", why)) })
	go c.serve()
	r := newReader(c.nc, c.limits, wire.CommandIDSize)
	r.in.lane = c.cfg.Lane
	r.budget, r.owner, r.waiting = c.cfg.Budget, c.limits.Owner, &c.frames
	r.longest, r.whose = c.longest, "" // a client gets this text
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
		if !c.queue.put(f) {
			f.kept.Release()
			return
		}
	}
}

// Open returns the number of frames without a complete answer.
func (c *Conn) Open() int { return int(c.inflight.Count()) }

// readEnd ends the connection after the last bytes of the client. After a half-close the
// client still waits for answers, so all requests read are served first. A client that
// has left looks the same until something is written: this may last as long as a silent
// peer is tolerated.
func (c *Conn) readEnd(err error) {
	why := fault.Lost("reading", err)
	if isEOF(err) && canHalfClose(c.nc) {
		over, stop := c.limits.SilenceTimer()
		defer stop()
		select {
		case <-c.queue.finish():
		case <-c.done:
		case <-over:
			why = fault.Lost("keepalive", c.limits.SilenceError())
		}
	}
	c.Fail(why)
}

// isEOF reports whether err is the end of the input.
func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// canHalfClose reports whether one direction of nc can be closed alone.
func canHalfClose(nc net.Conn) bool {
	_, ok := netconn.Unwrap(nc).(interface{ CloseWrite() error })
	return ok
}

// longest returns the length of the longest message the client may send now.
func (c *Conn) longest() int64 {
	if c.waiting.Load() {
		return wire.MaxInit
	}
	return int64(c.limits.MaxMessage)
}

// refuseLong answers a frame too long to be read, after the frames before it, and
// discards bytes until the client has read the answer.
func (c *Conn) refuseLong(r *reader, err error) {
	c.queue.put(Frame{Refused: Exception("ValueError", "%v", err), last: true})
	select {
	case <-c.away:
		_, err := io.Copy(io.Discard, &r.in)
		c.Fail(fault.Lost("reading", cmp.Or(err, io.EOF)))
	case <-c.done:
	}
}

// serve is the worker. A handler may end its goroutine by runtime.Goexit. Then another
// one continues.
func (c *Conn) serve() {
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

// serveNext serves the next frame of the queue.
func (c *Conn) serveNext() bool {
	f, ok := c.queue.take()
	defer f.kept.Release()
	if !ok || !c.begin() {
		return false
	}
	defer c.finish()
	c.serveFrame(&f)
	return true
}

// begin counts a frame as in flight, unless the connection is ending.
func (c *Conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving != nil {
		return false
	}
	c.asked = true
	c.inflight.Begin()
	return true
}

func (c *Conn) finish() {
	c.queue.done()
	c.inflight.Done(1)
	if c.inflight.Closing() != nil {
		c.Drain()
	}
}

func (c *Conn) serveFrame(f *Frame) {
	switch {
	case c.inflight.Closing() != nil:
		c.refuseRequest(f, fault.Unavailable, errShutdown)
	case f.Refused != nil && f.last:
		c.reportRefused(f, fault.ResourceExhausted, f.Refused)
		c.leave(f.Refused, f.Refused)
	case !c.admitted:
		c.poll(f)
	case f.Refused != nil:
		c.refuseRequest(f, fault.ResourceExhausted, f.Refused)
	case f.Type == wire.Init:
		c.Refuse(errInitialized)
	case f.Type != wire.BasicRequest:
		c.Refuse(unexpected(f))
	default:
		id, args, ok := wire.ReadCommand(f.Payload)
		if !ok {
			c.Refuse(errShortCommand)
			return
		}
		kept := f.kept
		f.kept = limits.Kept{}
		c.cfg.Handler.Command(id, args, kept)
	}
}

// refuseRequest answers the current frame, which does not reach the Handler.
func (c *Conn) refuseRequest(f *Frame, code fault.Code, e *fault.Fault) {
	c.reportRefused(f, code, e)
	c.Refuse(e)
}

// reportRefused calls OnRefused, if f is a request or too long to tell.
func (c *Conn) reportRefused(f *Frame, code fault.Code, e *fault.Fault) {
	if c.cfg.OnRefused == nil || f.Type != wire.BasicRequest && !f.last {
		return
	}
	command := -1
	if id, _, ok := wire.ReadCommand(f.Payload); ok {
		command = int(id)
	}
	c.cfg.OnRefused(command, fault.Refusal(code, "%s", e.Plain()))
}

// Refuse answers the current frame by an exception.
func (c *Conn) Refuse(e *fault.Fault) { c.Respond(exceptionFrame(e)) }

func exceptionFrame(e *fault.Fault) net.Buffers {
	return net.Buffers{wire.AppendException(nil, e.Name, e.Message)}
}

// Respond answers the current frame by the parts of a frame, unless Dismiss has answered
// it. It returns after the frame is written.
func (c *Conn) Respond(parts net.Buffers) {
	c.mu.Lock()
	asked := c.asked && c.err == nil // after Fail the handler was cancelled, not its caller
	c.asked = false
	c.mu.Unlock()
	if asked {
		c.write(parts)
	}
}

func (c *Conn) write(parts net.Buffers) {
	for _, part := range parts {
		c.cfg.Lane.Send(len(part))
	}
	if err := write(c.nc, parts, c.limits.WriteStall, neverExcused); err != nil {
		c.Fail(fault.Lost("writing", err))
	}
}

// Drain ends the connection after the answers to all frames read.
func (c *Conn) Drain() {
	c.inflight.Drain()
	if c.queue.isIdle() {
		c.leave(fault.New(fault.Unavailable, fault.OutcomeUnknown, "%s", errShutdown.Message), nil)
	}
}

// Dismiss ends the connection of a session under its call. The reason answers the
// current frame.
func (c *Conn) Dismiss(why *fault.Fault) {
	c.leave(why, Exception("ConnectionError", "%s", cut(why.Plain(), c.limits.MaxErrorText)))
}

// leave ends the connection once the client has read its last answer, or soon. answer,
// if not nil, is for the current frame. leave does not wait.
func (c *Conn) leave(why, answer *fault.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving != nil {
		return
	}
	c.leaving = why
	close(c.away)
	answers := answer != nil && c.asked
	c.asked = c.asked && !answers
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		if answers {
			c.write(exceptionFrame(answer))
		}
		netconn.Linger(c.nc, c.done)
		c.Fail(why)
	}()
}

// Fail ends the connection at once. The first reason counts.
func (c *Conn) Fail(why *fault.Fault) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = cmp.Or(c.leaving, why)
	why = c.err
	c.mu.Unlock()
	c.cfg.OnEnd(why)
	close(c.done)
	c.nc.Close()
	c.queue.end()
	c.lease.end()
	c.cfg.OnClosed()
}

// Wait waits for the end of the connection and its goroutines, the worker excepted.
func (c *Conn) Wait() {
	<-c.done
	c.running.Wait()
}

// EndRequests follows Wait. The channel receives once no frame is being served.
func (c *Conn) EndRequests() <-chan struct{} { return c.inflight.End(0) }

// NetConn returns the connection given to NewConn.
func (c *Conn) NetConn() net.Conn { return c.nc }
