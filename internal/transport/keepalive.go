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

// A pulse finds out whether a quiet peer is alive: after PingAfter without a
// byte it sends a PING, and after PingTimeout more the connection is lost.
type pulse struct {
	heard atomic.Int64 // when bytes last came, in nanoseconds since began
	began time.Time

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	stopped bool
	asked   int64 // the value of heard that the last PING was sent for; -1: none
	spared  bool  // the peer has been given more time, as this end was writing

	// the holder of the turn's
	rate     float64 // PINGs that the peer may send in a second
	pings    float64 // PINGs that the peer may send now
	pingTime time.Time
	excess   int // those that it has sent beyond
}

// What a peer may send of PINGs: twice as many as its INIT lets expect, and so
// many at once. Those beyond are forgiven when it has been quiet for as long as it
// takes to have all at once again.
const (
	pingRate   = 1 // in a second, of a peer whose INIT does not say
	pingBurst  = 10
	pingSlack  = 3               // the one too many that ends the connection
	UnsaidPing = 2 * time.Second // what is above is not said
	leastPing  = 10 * time.Millisecond
)

// pingsOf returns how many PINGs a second a peer may send that says so of itself.
func pingsOf(peer *wire.Hello) float64 {
	if peer.PingAfter == 0 {
		return pingRate
	}
	after := max(time.Duration(peer.PingAfter)*time.Millisecond, leastPing)
	return max(pingRate, 2/after.Seconds())
}

func (p *pulse) init(c *Conn, rate float64) {
	p.began, p.asked, p.rate, p.pings = time.Now(), -1, rate, pingBurst
	p.pingTime = p.began
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.limits.PingAfter < math.MaxInt64 {
		p.timer = time.AfterFunc(c.limits.PingAfter, c.onPulse)
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
		p.asked, p.spared = heard, false
		p.timer.Reset(timeout)
		return true, false
	case p.spared:
		p.spared = false
		p.timer.Reset(timeout)
	default:
		return false, true
	}
	return false, false
}

// onPulse runs when the peer may have been quiet for long.
func (c *Conn) onPulse() {
	after, timeout := c.limits.PingAfter, c.limits.PingTimeout
	ask, dead := c.pulse.next(after, timeout)
	switch {
	case ask:
		c.Control(&wire.Frame{Type: wire.Ping})
	case dead && c.isWriting():
		// It may be reading what this end sends, and its answer to the PING
		// stands behind that: Limits.WriteStall looks after it. A PING each time
		// would pile up.
		c.pulse.spare(timeout)
	case dead:
		c.Fail(fault.Lost("waiting for a sign of life", c.limits.Silent()))
	}
}

// spare gives the peer the time for its answer once more, and then again.
func (p *pulse) spare(timeout time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.spared = true
		p.timer.Reset(timeout)
	}
}

// isWriting says whether something is still on its way to the peer.
func (c *Conn) isWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.isWritingLocked() || c.out.waitingLocked()
}

// Control sends a frame without a body, ahead of nothing and waiting for
// nothing.
func (c *Conn) Control(f *wire.Frame) {
	c.mu.Lock()
	c.out.headLocked(f)
	c.mu.Unlock()
	c.flushBehind()
}

// servePing answers a PING, if there are not too many. A server waits for room
// before that: a client that reads nothing is not read further.
func (c *Conn) servePing(m *Message) error {
	p := &c.pulse
	now := c.in.lastRead()
	p.pings = min(pingBurst, p.pings+p.rate*now.Sub(p.pingTime).Seconds())
	p.pingTime = now
	switch {
	case p.pings == pingBurst:
		p.excess = 0
		p.pings--
	case p.pings >= 1:
		p.pings--
	default:
		if p.excess++; p.excess >= pingSlack {
			return fmt.Errorf("PINGs that come faster than %g a second", p.rate)
		}
	}
	c.AwaitRoom()
	c.Control(&wire.Frame{Type: wire.Pong, ID: m.ID})
	return nil
}
