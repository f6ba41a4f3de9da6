package transport

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A keepalive finds out whether a quiet peer is alive: after PingAfter without a
// byte it sends a PING, and after PingTimeout more the connection is lost.
type keepalive struct {
	lastRead atomic.Int64 // when bytes last came, in nanoseconds since began
	began    time.Time

	mu        sync.Mutex // guards the rest
	timer     *time.Timer
	stopped   bool
	pingedFor int64 // the value of heard that the last PING was sent for; -1: none
	extended  bool  // the peer has been given more time, as this end was writing

	// guarded by the read lease
	pingRate    float64 // PINGs that the peer may send in a second
	pings       float64 // PINGs that the peer may send now
	pingTime    time.Time
	excessPings int // those that it has sent beyond
}

// What a peer may send of PINGs: twice as many as its INIT lets expect, and so
// many at once. Those beyond are forgiven when it has been quiet for as long as it
// takes to have all at once again.
const (
	defaultPingRate = 1 // in a second, of a peer whose INIT does not say
	pingBurst       = 10
	maxExcessPings  = 3               // the one too many that ends the connection
	UnannouncedPing = 2 * time.Second // what is above is not said
	minPingAfter    = 10 * time.Millisecond
)

// pingRateOf returns how many PINGs a second a peer may send that says so of itself.
func pingRateOf(peer *wire.Hello) float64 {
	if peer.PingAfter == 0 {
		return defaultPingRate
	}
	after := max(time.Duration(peer.PingAfter)*time.Millisecond, minPingAfter)
	return max(defaultPingRate, 2/after.Seconds())
}

func (p *keepalive) init(c *Conn, rate float64) {
	p.began, p.pingedFor, p.pingRate, p.pings = time.Now(), -1, rate, pingBurst
	p.pingTime = p.began
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.limits.PingAfter < math.MaxInt64 {
		p.timer = time.AfterFunc(c.limits.PingAfter, c.checkKeepalive)
	}
}

// noteRead notes that bytes have come.
func (p *keepalive) noteRead(at time.Time) { p.lastRead.Store(int64(at.Sub(p.began))) }

func (p *keepalive) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// next returns what is to be done now, and sets the timer for what comes then.
func (p *keepalive) next(after, timeout time.Duration) (ask, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return false, false
	}
	heard := p.lastRead.Load()
	quiet := time.Since(p.began) - time.Duration(heard)
	switch {
	case quiet < after:
		p.timer.Reset(after - quiet)
	case p.pingedFor != heard:
		p.pingedFor, p.extended = heard, false
		p.timer.Reset(timeout)
		return true, false
	case p.extended:
		p.extended = false
		p.timer.Reset(timeout)
	default:
		return false, true
	}
	return false, false
}

// checkKeepalive runs when the peer may have been quiet for long.
func (c *Conn) checkKeepalive() {
	after, timeout := c.limits.PingAfter, c.limits.PingTimeout
	ask, dead := c.keepalive.next(after, timeout)
	switch {
	case ask:
		c.Control(&wire.Frame{Type: wire.Ping})
	case dead && c.isWriting():
		// It may be reading what this end sends, and its answer to the PING
		// stands behind that: Limits.WriteStall looks after it. A PING each time
		// would pile up.
		c.keepalive.extend(timeout)
	case dead:
		c.Fail(fault.Lost("waiting for a sign of life", c.limits.Silent()))
	}
}

// extend gives the peer the time for its answer once more, and then again.
func (p *keepalive) extend(timeout time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.extended = true
		p.timer.Reset(timeout)
	}
}

// isWriting says whether something is still on its way to the peer.
func (c *Conn) isWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.hasWriterLocked() || c.queue.anyLocked()
}

// Control sends a frame without a body, ahead of nothing and waiting for
// nothing.
func (c *Conn) Control(f *wire.Frame) {
	c.mu.Lock()
	c.queue.addHeaderLocked(f)
	c.mu.Unlock()
	c.flushAsync()
}

// servePing answers a PING, if there are not too many. A server waits for room
// before that: a client that reads nothing is not read further.
func (c *Conn) servePing(m *Message) error {
	p := &c.keepalive
	now := c.in.lastRead()
	p.pings = min(pingBurst, p.pings+p.pingRate*now.Sub(p.pingTime).Seconds())
	p.pingTime = now
	switch {
	case p.pings == pingBurst:
		p.excessPings = 0
		p.pings--
	case p.pings >= 1:
		p.pings--
	default:
		if p.excessPings++; p.excessPings >= maxExcessPings {
			return fmt.Errorf("PINGs that come faster than %g a second", p.pingRate)
		}
	}
	c.AwaitRoom()
	c.Control(&wire.Frame{Type: wire.Pong, ID: m.ID})
	return nil
}
