package basic

import (
	"net"
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Client is the connection of an admitted client. A writer sends the requests in the
// order of the calls. Answers have no ids and arrive in the same order, so a sent call
// keeps its place until it is answered, even after its caller has left. All methods are
// safe for concurrent use.
type Client struct {
	Lane *tally.Lane // counts bytes; nil for none

	nc     net.Conn
	limits *limits.Conn
	done   chan struct{} // closed after err is set

	running sync.WaitGroup // reader and writer
	more    chan struct{}  // capacity 1: wakes the writer

	mu         sync.Mutex   // guards the rest
	queue      []*call      // not sent
	unanswered []*call      // sent, or being sent
	ahead      int          // bytes of the requests in unanswered
	err        *fault.Fault // why the connection has ended
}

// The bounds of unanswered; further calls stay in the queue. A Python server reads
// nothing while it runs a command, and a socket with full buffers is given up by the
// system, if not after Limits.WriteStall. Requests must not fill the buffers: a long one
// waits for the answers to all calls before it.
const (
	maxUnanswered = 1024     // calls
	maxAhead      = 64 << 10 // bytes of more than one request
)

// NewClient returns a Client over nc, whose server has answered INIT by admission. The
// goroutines of the Client run until its end. lane counts bytes; nil for none.
func NewClient(nc net.Conn, b *limits.Conn, lane *tally.Lane) *Client {
	c := &Client{nc: nc, limits: b, Lane: lane, done: make(chan struct{}), more: make(chan struct{}, 1)}
	netconn.WhenBroken(nc, func(why error) { c.fail(fault.Lost("using it", why)) })
	c.running.Add(2)
	go c.read()
	go c.write()
	return c
}

// read delivers each answer to the oldest unanswered call.
func (c *Client) read() {
	defer c.running.Done()
	r := newReader(c.nc, c.limits, 0)
	r.in.lane = c.Lane
	r.exception = MaxTraceback // not limited by MaxMessage
	for {
		f, err := r.next()
		if err != nil {
			c.fail(fault.Lost("reading", err))
			return
		}
		if why := c.deliver(f); why != nil {
			c.fail(why)
			return
		}
	}
}

// deliver gives an answer to its call. A non-nil result ends the connection.
func (c *Client) deliver(f Frame) *fault.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case f.Refused != nil:
		return fault.Violation("%s", f.Refused.Message)
	case f.Type != wire.BasicResponse && f.Type != wire.Exception:
		return fault.Violation("unexpected %v", f.Type)
	case len(c.unanswered) == 0:
		return unsolicited(f, c.limits.MaxErrorText)
	}
	k := popFirst(&c.unanswered)
	c.ahead -= k.size
	c.wakeWriter() // unanswered has room
	if !k.abandoned {
		k.reply = f
		close(k.answered)
	}
	return nil
}

// unsolicited returns why a connection ends with an answer to no call. A Python server
// announces its shutdown by such an exception.
func unsolicited(f Frame, maxText int) *fault.Fault {
	if f.Type != wire.Exception {
		return fault.Violation("%v that answers no call", f.Type)
	}
	name, text, err := wire.ReadException(f.Payload)
	if err != nil || name != serverShutdown {
		return fault.Violation("%v %q that answers no call", f.Type, fault.Cut(name, fault.MaxName))
	}
	return faultOf(name, text, maxText).WithOutcome(fault.OutcomeUnknown)
}

// write sends the calls of the queue.
func (c *Client) write() {
	defer c.running.Done()
	for {
		k := c.nextCall()
		if k == nil {
			select {
			case <-c.more:
				continue
			case <-c.done:
				return
			}
		}
		c.Lane.Send(len(k.request))
		if err := write(c.nc, net.Buffers{k.request}, c.limits.WriteStall, func() bool { return c.isBusy(k) }); err != nil {
			netconn.AwaitEnd(c.done) // the server may have sent its reason
			c.fail(fault.Lost("writing", err))
			return
		}
		k.request = nil // the answer may take long
	}
}

// nextCall moves a call from queue to unanswered, if there is room.
func (c *Client) nextCall() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || len(c.queue) == 0 || !c.hasRoomLocked(c.queue[0]) {
		return nil
	}
	k := popFirst(&c.queue)
	c.unanswered = append(c.unanswered, k)
	c.ahead += k.size
	return k
}

// hasRoomLocked reports whether a call may be sent now.
func (c *Client) hasRoomLocked(k *call) bool {
	n := len(c.unanswered)
	return n == 0 || n < maxUnanswered && c.ahead+k.size <= maxAhead
}

// isBusy reports whether the server has calls to run before k.
func (c *Client) isBusy(k *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unanswered) > 0 && c.unanswered[0] != k
}

// wakeWriter makes the writer look for a call.
func (c *Client) wakeWriter() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// fail ends the connection, and all calls with the same reason. The first reason counts.
func (c *Client) fail(why *fault.Fault) {
	if c.failCalls(why) {
		c.nc.Close() // which may take long, with TLS
	}
}

// failCalls ends all calls. It reports whether why is the first reason.
func (c *Client) failCalls(why *fault.Fault) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.err = c.err.Then(why)
		return false
	}
	c.err = why
	close(c.done)
	for _, k := range c.unanswered {
		k.failLocked(why.WithOutcome(fault.OutcomeUnknown))
	}
	for _, k := range c.queue {
		k.failLocked(why.WithOutcome(fault.NotRun))
	}
	c.unanswered, c.queue = nil, nil
	return true
}

// Close ends the connection at once, and all calls with why, and waits for the
// goroutines of the Client.
func (c *Client) Close(why *fault.Fault) {
	c.fail(why)
	c.running.Wait()
}

// Done returns a channel that is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the connection has ended, nil before.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return c.err
}
