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

// A keepalive detects a dead peer. After PingAfter without a byte it sends a PING, and
// after PingTimeout more the connection is lost.
type keepalive struct {
	c        *Conn
	began    time.Time
	lastRead atomic.Int64 // arrival of the newest bytes, in nanoseconds since began
	allowed  pingLimit    // PINGs of the peer

	mu        sync.Mutex // guards what follows
	timer     *time.Timer
	stopped   bool
	pingedFor int64 // the value of lastRead at the last PING; -1 before the first
	extended  bool  // the peer has more time, as this end is still writing
}

func (k *keepalive) init(c *Conn) {
	k.c, k.began, k.pingedFor = c, time.Now(), -1
	k.allowed = pingLimit{rate: pingRateOf(c.cfg.Peer), tokens: pingBurst, at: k.began}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.limits.PingAfter < math.MaxInt64 {
		k.timer = time.AfterFunc(c.limits.PingAfter, k.check)
	}
}

// noteRead notes the arrival of bytes.
func (k *keepalive) noteRead(at time.Time) { k.lastRead.Store(int64(at.Sub(k.began))) }

func (k *keepalive) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// check runs when the peer may have been silent for too long.
func (k *keepalive) check() {
	c := k.c
	if c.streams.anyDropped() {
		c.streams.closeDropped()
	}
	after, timeout := c.limits.PingAfter, c.limits.PingTimeout
	ping, dead := k.next(after, timeout)
	switch {
	case ping:
		c.Control(&wire.Frame{Type: wire.Ping})
	case dead && c.writer.isBusy():
		// The peer may still be reading the bytes before the PING. Limits.WriteStall
		// applies to them. Further PINGs would pile up in the send queue.
		k.extend(timeout)
	case dead:
		c.Fail(fault.Lost("keepalive", c.limits.SilenceError()))
	}
}

// next decides what is due now, and sets the timer for the next check.
func (k *keepalive) next(after, timeout time.Duration) (ping, dead bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return false, false
	}
	lastRead := k.lastRead.Load()
	silent := time.Since(k.began) - time.Duration(lastRead)
	switch {
	case silent < after:
		k.timer.Reset(after - silent)
	case k.pingedFor != lastRead:
		k.pingedFor, k.extended = lastRead, false
		k.timer.Reset(timeout)
		return true, false
	case k.extended:
		k.extended = false
		k.timer.Reset(timeout)
	default:
		return false, true
	}
	return false, false
}

// extend gives the peer twice timeout more to answer.
func (k *keepalive) extend(timeout time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stopped {
		k.extended = true
		k.timer.Reset(timeout)
	}
}

// Control sends a frame without a body. It never waits.
func (c *Conn) Control(f *wire.Frame) {
	c.mu.Lock()
	c.writer.queue.addHeaderLocked(f)
	c.mu.Unlock()
	c.writer.flushAsync()
}

// answerPing answers a PING. A server waits for room in the send queue first, so a
// client reading nothing is not read any further.
func (k *keepalive) answerPing(m *Message) error {
	c := k.c
	if !k.allowed.take(c.reader.in.lastRead()) {
		return fmt.Errorf("more than %g PINGs a second", k.allowed.rate)
	}
	c.AwaitRoom()
	c.Control(&wire.Frame{Type: wire.Pong, ID: m.ID})
	return nil
}

// A pingLimit is a token bucket for the PINGs of a peer, guarded by the read lease. A
// full bucket forgives earlier excess.
type pingLimit struct {
	rate   float64 // tokens a second
	tokens float64
	at     time.Time // of the last PING
	excess int       // PINGs without a token
}

// A peer may send twice as many PINGs as its INIT announces, and pingBurst at once.
const (
	defaultPingRate = 1 // in a second, for a peer announcing no PingAfter
	pingBurst       = 10
	maxExcessPings  = 3 // PINGs without a token, the last of which ends the connection
	minPingAfter    = 10 * time.Millisecond
)

// UnannouncedPing is the shortest PingAfter not announced in INIT.
const UnannouncedPing = 2 * time.Second

// pingRateOf returns how many PINGs a second a peer may send.
func pingRateOf(peer *wire.Hello) float64 {
	if peer.PingAfter == 0 {
		return defaultPingRate
	}
	after := max(time.Duration(peer.PingAfter)*time.Millisecond, minPingAfter)
	return max(defaultPingRate, 2/after.Seconds())
}

// take counts a PING. It reports false if the peer has sent too many.
func (p *pingLimit) take(now time.Time) bool {
	p.tokens = min(pingBurst, p.tokens+p.rate*now.Sub(p.at).Seconds())
	p.at = now
	if p.tokens < 1 {
		p.excess++
		return p.excess < maxExcessPings
	}
	if p.tokens == pingBurst {
		p.excess = 0
	}
	p.tokens--
	return true
}
