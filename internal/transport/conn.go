// Package transport carries calls over one connection after its handshake, the same at
// both ends: it sends requests and answers, splits long messages into chunks, decides
// who reads and who writes, finds dead peers, and closes. It knows frames, and no
// method, type or session.
package transport

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A conn is one connection after its handshake, the same at both ends. It makes
// calls (call.go), hands requests to its handler (request.go) and sends their
// answers (reply.go), writes by the rules of writerrole.go and reads by those of lease.go.
//
// The connection's own goroutine is its leader; others live for one handler
// that may take long, or for as long as a peer is slow to read.
//
// Lock order: conn.mu, then serving.mu, then callContext.mu. Deadlines of nc are set
// with conn.mu held, so the locks of a guardedConn come after it. The locks of watchdog
// and keepalive are held together with no other.
type Conn struct {
	cfg    Config
	nc     net.Conn
	direct bool         // nc is a socket: callers write to it themselves
	limits *limits.Conn // this end's
	peer   peerLimits

	lease       readLease
	batch       wakeBatch
	in          receiveBuffer // guarded by the read lease
	leaderWake  chan struct{} // capacity 1: the leader has been given the lease
	interrupted atomic.Uint64 // the epoch that is to end
	watchdog    watchdog

	booked     int64       // bytes of chunked messages that are to come; guarded by the read lease
	frameTimer *time.Timer // while something is incomplete: FrameTimeout
	timed      bool        // watch is set; with the next two, guarded by the read lease
	timerEnd   time.Time   // when it is over
	readBegan  time.Time   // when the last read began that might end then

	keepalive keepalive

	handler  Handler
	inflight limits.Inflight
	budget   *limits.Budget // of all connections of a server; nil for none
	lastID   uint64         // of a request or BIND; with the next two, guarded by the read lease
	refusals int            // of calls above MaxInflight
	inline   Job            // what the leader runs itself; of who ends a handler's turn

	mu    sync.Mutex // guards what follows, and what calls and send queue say
	calls callTable
	queue sendQueue
	err   *fault.Fault // why the connection ended

	closing *fault.Fault // why it is about to end

	done    chan struct{}  // closed when err has been set
	running sync.WaitGroup // the connection's goroutines, handlers apart
}

// peerLimits are the other end's limits, as its INIT says.
type peerLimits struct {
	MaxMessage  uint64
	ConnBytes   uint64
	MaxInflight int
}

// What a peer takes whose INIT does not say.
const (
	defaultMaxMessage  = 16 << 20
	defaultConnBytes   = 32 << 20
	defaultMaxInflight = 1024
)

// A Config is what a connection is made of.
type Config struct {
	NetConn     net.Conn // after the handshake
	Limits      *limits.Conn
	Peer        *wire.Hello // the peer's INIT
	Handler     Handler
	Serves      bool           // Handler takes requests
	Budget      *limits.Budget // of all connections of a server; may be nil
	SharesLease bool           // callers may read for themselves

	OnViolation func(error)        // called when the peer breaks the protocol
	OnEnd       func(*fault.Fault) // called once with the reason, before Done is closed; may be nil
	OnClosed    func()             // called once after NetConn is closed; may be nil
}

// New returns a connection. Nothing of it runs until Run.
func New(cfg Config) *Conn {
	netconn.LimitLocalBuffers(cfg.NetConn)
	b, peer := cfg.Limits, cfg.Peer
	c := &Conn{
		cfg: cfg, nc: cfg.NetConn, direct: netconn.IsSocket(cfg.NetConn), limits: b, handler: cfg.Handler, budget: cfg.Budget,
		leaderWake: make(chan struct{}, 1),
		batch:      wakeBatch{allResumed: make(chan struct{}, 1)},
		done:       make(chan struct{}),
		peer: peerLimits{
			MaxMessage:  cmp.Or(peer.MaxMessage, defaultMaxMessage),
			ConnBytes:   cmp.Or(peer.ConnBytes, defaultConnBytes),
			MaxInflight: int(min(cmp.Or(peer.MaxInflight, defaultMaxInflight), MostInflight)),
		},
	}
	open := c.peer.MaxInflight // calls with long messages to this end
	if cfg.Serves {
		open = b.MaxInflight
	}
	c.in = newReceiveBuffer(c.nc, maxRefused(b, open), c.acceptChunked, c.unbook, c.keepalive.noteRead)
	c.queue.init(c.peer.ConnBytes, b.OutQueue)
	c.inflight.Init()
	c.calls.limit = c.peer.MaxInflight
	c.lease.pass(0, leader)
	c.running.Add(1) // the leader, before anyone can wait for it
	c.watchdog.init(c.onWatchdog)
	c.frameTimer = time.AfterFunc(math.MaxInt64, func() { c.nc.SetReadDeadline(netconn.LongAgo) })
	c.frameTimer.Stop()
	c.keepalive.init(c, pingRateOf(peer))
	return c
}

// Run makes the calling goroutine the leader, until the connection ends or another
// goroutine takes over.
func (c *Conn) Run() {
	netconn.WhenBroken(c.nc, func(why error) { c.Fail(fault.Lost("using it", why)) })
	c.lead(c.lease.current())
}

// spawnLocked runs f on a goroutine that the connection's end waits for. It
// runs nothing on one that has ended.
func (c *Conn) spawnLocked(f func()) {
	if c.err != nil {
		return
	}
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		f()
	}()
}

// Wait waits for the end of the connection and of its goroutines. It does not wait for
// running handlers.
func (c *Conn) Wait() {
	<-c.done
	c.running.Wait()
}

// handle acts on one message. An error is the peer's violation of the
// protocol, which ends the connection. ok is false when the leader that called
// it has been replaced.
func (c *Conn) handle(m *Message, s *epoch) (ok bool, err error) {
	switch m.Type {
	case wire.Request:
		return c.serveRequest(m, s)
	case wire.Bind:
		return true, c.handler.Bind(m)
	case wire.Cancel:
		return true, c.serveCancel(m)
	case wire.Response, wire.Error:
		return true, c.deliver(m)
	case wire.Ping:
		return true, c.servePing(m)
	case wire.Pong:
		return true, nil // that it has come is all that it says
	case wire.Waiting, wire.Admitted:
		return true, c.handler.Control(m)
	case wire.Close:
		f, err := wire.ReadFailure(m.Body)
		if err != nil {
			return true, fmt.Errorf("CLOSE: %w", err)
		}
		c.Fail(remoteError(fault.Code(m.Arg), &f))
		return true, nil
	}
	return true, fmt.Errorf("unexpected %v", m.Type)
}

// Fail ends the connection: every call gets why, every handler's context ends,
// and whoever reads or writes is woken by the socket's close. Only the first
// reason counts.
func (c *Conn) Fail(why *fault.Fault) {
	c.mu.Lock()
	if c.err != nil {
		c.err = c.err.Then(why)
		c.mu.Unlock()
		return
	}
	if c.err = why; c.closing != nil {
		c.err = c.closing.Then(why)
	}
	why = c.err
	calls, waiting := c.calls.clearLocked()
	for _, k := range calls {
		outcome := fault.OutcomeUnknown
		if !c.calls.writtenLocked(k) {
			outcome = fault.NotRun
		}
		k.err = c.endedLocked(outcome)
	}
	c.mu.Unlock()
	if c.cfg.OnEnd != nil {
		c.cfg.OnEnd(why)
	}
	close(c.done)
	c.nc.Close()
	c.watchdog.stop()
	c.frameTimer.Stop()
	c.keepalive.stop()
	if s := c.lease.current(); s.holder() == handling {
		c.replaceLeader(s)
	}
	c.batch.wake(calls, nil)
	for _, k := range waiting {
		k.wake <- false
	}
	if c.cfg.OnClosed != nil {
		c.cfg.OnClosed()
	}
}

// endedLocked returns the error of a call on a connection that has ended.
func (c *Conn) endedLocked(outcome fault.Outcome) *fault.Fault {
	return c.err.WithOutcome(outcome)
}

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

func (c *Conn) hasEnded() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Err returns why the connection has ended, nil if it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return c.err
}

// Ended returns the fault of a call on a connection that has ended.
func (c *Conn) Ended(outcome fault.Outcome) *fault.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endedLocked(outcome)
}

// PeerMaxMessage returns the peer's MaxMessage.
func (c *Conn) PeerMaxMessage() uint64 { return c.peer.MaxMessage }

// LastRead returns when the newest bytes arrived. Only a Handler may call it.
func (c *Conn) LastRead() time.Time { return c.in.lastRead() }
