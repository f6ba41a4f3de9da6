// Package transport carries calls over one connection after its handshake, the same at
// both ends. It sends requests and replies, splits long messages into chunks, decides
// which goroutine reads and which one writes, detects dead peers, and closes. It knows
// frames, and no methods, types or sessions.
package transport

import (
	"cmp"
	"context"
	"math"
	"net"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Conn is one connection after its handshake. It makes calls (Do), passes requests to
// its Handler and sends their replies (Reply). Its methods are safe for concurrent use
// unless they say otherwise.
//
// The goroutine of Run is the leader. Other goroutines of the connection live for one
// handler expected to take long, or while the peer is slow to read.
//
// Lock order: Conn.mu, then the locks of the Handler (serverConn.mu, then
// that of callctx.Context). The lock of a Receiver is held together with no other. Deadlines of nc are set with Conn.mu held, so the locks of a guarded
// net.Conn come after it. The locks of watchdog and keepalive are held together with no
// other.
type Conn struct {
	cfg    Config
	nc     net.Conn
	limits *limits.Conn // of this end
	peer   peerLimits

	reader    reader
	writer    writer
	requests  requests
	watchdog  watchdog
	keepalive keepalive

	mu    sync.Mutex // guards calls, streams, the send queue of writer, and the faults in end
	calls calls
	end   closeState

	streams streams
}

// A Config describes a connection to New.
type Config struct {
	NetConn net.Conn // after the handshake; owned by the Conn from New on
	Limits  *limits.Conn
	Peer    *wire.Hello // the peer's INIT
	Handler Handler
	Sent    []*Call        // BINDs written in the flight of the handshake, with ids from SentID; for Await
	Serves  bool           // a server: the leader runs jobs, and waits for room before the next one
	Budget  *limits.Budget // of all connections of a server; may be nil
	Turns   *limits.Turns  // of all connections of a server; nil unless Serves
	Lane    *tally.Lane    // counts bytes, and the calls of this end; nil for none

	// SharesLease lets waiting callers hold the read lease. Called says that the peer may call this end
	// at any time: then they do so only after many reads without a request.
	SharesLease, Called bool

	OnViolation func(error)        // called when the peer violates the protocol
	OnEnd       func(*fault.Fault) // called once with the reason, before Done is closed; may be nil
	OnClosed    func()             // called once after NetConn is closed; may be nil

	// EndOf returns why the connection ends if that has ended ctx, the context of a call by
	// this end, and nil for any other context. It may be nil.
	EndOf func(ctx context.Context) *fault.Fault

	// Leased reports whether Lease still applies. It is called without a lock. Nil on a
	// connection without calls of Lease.
	Leased func() bool

	// Load is kept at the number of open and waiting calls of this end, plus EndedLoad after
	// the end, with Conn.mu held; nil for a connection that nothing chooses among others.
	Load *int32

	// OnRefused is called by the lease holder for each request refused before
	// Handler.Request, with its header; may be nil.
	OnRefused func(head *wire.Frame, why *fault.Fault)
}

// EndedLoad is above the load of every connection that lives.
const EndedLoad = 1 << 30

// New returns a connection. It reads and runs nothing before Run.
func New(cfg Config) *Conn {
	c := &Conn{cfg: cfg, nc: cfg.NetConn, limits: cfg.Limits, peer: peerLimitsOf(cfg.Peer)}
	c.end.init()
	c.calls.init(c)
	c.streams.init(c)
	c.requests.init(c)
	c.writer.init(c)
	c.reader.init(c)
	c.watchdog.init(c)
	c.keepalive.init(c)
	netconn.LimitLocalBuffers(c.writer.socket)
	return c
}

// peerLimits are the limits announced by the peer in its INIT.
type peerLimits struct {
	MaxMessage  uint64
	ConnBytes   uint64
	MaxInflight int
	Streams     wire.StreamLimits
	Evolves     bool
}

// The limits of a peer announcing none.
const (
	defaultMaxMessage  = 16 << 20
	defaultConnBytes   = 32 << 20
	defaultMaxInflight = 1024
)

func peerLimitsOf(peer *wire.Hello) peerLimits {
	return peerLimits{
		MaxMessage:  cmp.Or(peer.MaxMessage, defaultMaxMessage),
		ConnBytes:   cmp.Or(peer.ConnBytes, defaultConnBytes),
		MaxInflight: int(min(cmp.Or(peer.MaxInflight, defaultMaxInflight), mostInflight)),
		Streams:     peer.Streams,
		Evolves:     peer.Evolves,
	}
}

// Hello returns the INIT of an end with these limits.
func Hello(l *limits.Conn) *wire.Hello {
	h := &wire.Hello{
		Evolves:     true,
		Version:     wire.NativeVersion,
		MaxMessage:  uint64(l.MaxMessage),
		ConnBytes:   uint64(l.ConnBytes),
		MaxInflight: uint32(min(l.MaxInflight, mostInflight)),
		Streams:     wire.StreamLimits{Window: uint32(l.StreamWindow), Most: uint32(min(l.MaxStreams, math.MaxInt32))},
	}
	if after := min(l.PingAfter, l.Lease/2); after < unannouncedPing { // the latter with exclusive groups
		h.PingAfter = uint32(after.Milliseconds())
	}
	return h
}

// Run makes the calling goroutine the leader, until the connection ends or another
// goroutine becomes the leader. It is called once.
func (c *Conn) Run() {
	netconn.WhenBroken(c.nc, func(why error) { c.Fail(fault.Lost("using it", why)) })
	c.reader.lead(c.reader.lease.current())
}

// Wait waits for the end of the connection and of its goroutines. It does not wait for
// running handlers.
func (c *Conn) Wait() {
	<-c.end.done
	c.end.running.Wait()
}

// Done returns a channel closed at the end of the connection.
func (c *Conn) Done() <-chan struct{} { return c.end.done }

// Err returns the reason for the end of the connection, nil before.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.why == nil {
		return nil
	}
	return c.end.why
}

// Ended returns the fault of a call on a connection that has ended.
func (c *Conn) Ended(outcome fault.Outcome) *fault.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end.faultLocked(outcome)
}

// endOf returns why the connection ends if that has ended ctx, and nil otherwise.
func (c *Conn) endOf(ctx context.Context) *fault.Fault {
	if c.cfg.EndOf == nil {
		return nil
	}
	return c.cfg.EndOf(ctx)
}

// contextFault returns the fault of a call whose context has ended. A context that ends with the
// connection does not hide the reason.
func (c *Conn) contextFault(ctx context.Context, t *limits.Timeout, outcome fault.Outcome) *fault.Fault {
	if why := c.endOf(ctx); why != nil {
		return why.WithOutcome(outcome)
	}
	return t.ContextFault(ctx.Err(), outcome)
}

// Now is limits.Monotonic for the beginning of a call. Among calls answered by one read it costs
// no clock.
func (c *Conn) Now() time.Duration { return c.reader.woken.now() }

// PeerMaxMessage returns the peer's MaxMessage.
func (c *Conn) PeerMaxMessage() uint64 { return c.peer.MaxMessage }

// LastRead returns the arrival time of the newest bytes, by limits.Monotonic. Only methods of
// the Handler may call it.
func (c *Conn) LastRead() time.Duration { return c.reader.in.lastRead() }
