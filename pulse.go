package bsrpc

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A pulse finds out whether a quiet peer is alive: after PingAfter without a
// byte it sends a PING, and after PingTimeout more the connection is lost.
type pulse struct {
	heard atomic.Int64 // when bytes last came, in nanoseconds since began
	began time.Time

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	stopped bool
	asked   int64 // the value of heard that the last PING was sent for; -1: none

	// the holder of the turn's
	pings    float64 // PINGs that the peer may send now
	pingTime time.Time
	excess   int // those that it has sent beyond
}

// What a peer may send of PINGs: so many a second, and so many at once.
const (
	pingRate  = 1
	pingBurst = 10
	pingSlack = 3 // the one too many that ends the connection
)

func (p *pulse) init(c *conn) {
	p.began, p.asked, p.pings = time.Now(), -1, pingBurst
	p.pingTime = p.began
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.bounds.pingAfter < math.MaxInt64 {
		p.timer = time.AfterFunc(c.bounds.pingAfter, c.onPulse)
	}
}

// beat notes that bytes have come.
func (p *pulse) beat(at time.Time) { p.heard.Store(int64(at.Sub(p.began))) }

func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// next returns what is to be done now, and sets the timer for what comes then.
func (p *pulse) next(after, timeout time.Duration) (ask, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return false, false
	}
	heard := p.heard.Load()
	quiet := time.Since(p.began) - time.Duration(heard)
	switch {
	case quiet < after:
		p.timer.Reset(after - quiet)
	case p.asked != heard:
		p.asked = heard
		p.timer.Reset(timeout)
		return true, false
	default:
		return false, true
	}
	return false, false
}

// onPulse runs when the peer may have been quiet for long.
func (c *conn) onPulse() {
	after, timeout := c.bounds.pingAfter, c.bounds.pingTimeout
	ask, dead := c.pulse.next(after, timeout)
	switch {
	case ask:
		c.control(&wire.Frame{Type: wire.Ping})
	case dead && c.isWriting():
		// It may be reading what this end sends, and its answer to the PING
		// stands behind that: Limits.WriteStall looks after it.
		c.pulse.again(after)
	case dead:
		c.fail(lost("waiting for a sign of life", c.bounds.silent()))
	}
}

// again lets the pulse ask anew.
func (p *pulse) again(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.asked = -1
		p.timer.Reset(after)
	}
}

// isWriting says whether something is still on its way to the peer.
func (c *conn) isWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.role != nobodyWrites || c.out.waitingLocked()
}

// control sends a frame without a body, ahead of nothing and waiting for
// nothing.
func (c *conn) control(f *wire.Frame) {
	c.mu.Lock()
	c.out.frames = wire.AppendHead(c.out.frames, f)
	c.out.grantLocked()
	c.mu.Unlock()
	c.flushBehind()
}

// servePing answers a PING, if there are not too many. A server waits for room
// before that: a client that reads nothing is not read further.
func (c *conn) servePing(m *message) error {
	p := &c.pulse
	p.pings = min(pingBurst, p.pings+pingRate*c.in.at.Sub(p.pingTime).Seconds())
	if p.pingTime = c.in.at; p.pings < 1 {
		if p.excess++; p.excess >= pingSlack {
			return fmt.Errorf("PINGs that come faster than %d a second", pingRate)
		}
	} else {
		p.pings--
	}
	if c.served != nil {
		c.awaitRoom()
	}
	c.control(&wire.Frame{Type: wire.Pong, ID: m.ID})
	return nil
}

// silence returns a channel for the moment when a peer that cannot be asked has been
// silent for too long. stop gives it up.
func (b *bounds) silence() (over <-chan time.Time, stop func()) {
	if b.pingAfter == math.MaxInt64 || b.pingTimeout == math.MaxInt64 {
		return nil, func() {}
	}
	timer := time.NewTimer(b.pingAfter + b.pingTimeout)
	return timer.C, func() { timer.Stop() }
}

// silent is why a connection is lost then.
func (b *bounds) silent() error {
	return fmt.Errorf("the peer has been silent for %v (Limits.PingAfter, PingTimeout)", b.pingAfter+b.pingTimeout)
}
