package transport

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A keepalive detects a dead peer. After PingAfter without a byte it sends a PING, and
// after PingTimeout more the connection is lost.
type keepalive struct {
	c        *Conn
	lastRead atomic.Int64 // arrival of the newest bytes; times here are those of limits.Monotonic
	allowed  pingLimit    // PINGs of the peer

	mu        sync.Mutex // guards what follows
	timer     *time.Timer
	stopped   bool
	pingedFor int64         // the value of lastRead at the last PING; math.MinInt64 before the first
	pinged    time.Duration // the time of that, or of more time for the answer
	extended  bool          // the peer has more time, as this end is still writing

	leased atomic.Bool // see Lease
}

func (k *keepalive) init(c *Conn) {
	now := limits.Monotonic()
	k.c, k.pingedFor = c, math.MinInt64
	k.lastRead.Store(int64(now))
	k.allowed = pingLimit{rate: pingRateOf(c.cfg.Peer), tokens: pingBurst, at: now}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.limits.PingAfter < math.MaxInt64 {
		k.timer = time.AfterFunc(c.limits.PingAfter, k.check)
	}
}

// noteRead notes the arrival of bytes.
func (k *keepalive) noteRead(at time.Duration) { k.lastRead.Store(int64(at)) }

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
	after, timeout := k.times()
	ping, dead := k.next(after, timeout)
	switch {
	case ping:
		c.Control(&wire.Frame{Type: wire.Ping})
	case dead && c.writer.isBusy():
		// The peer may still be reading the bytes before the PING. Limits.WriteStall
		// applies to them. Further PINGs would pile up in the send queue.
		k.extend(timeout)
	case dead:
		silence := *c.limits
		if after != silence.PingAfter || timeout != silence.PingTimeout {
			silence.PingAfter, silence.PingTimeout, silence.SessionLease = after, timeout, true
		}
		c.Fail(fault.Lost("keepalive", silence.SilenceError()))
	}
}

// Lease makes Limits.SessionLease apply to the silence of the peer at once, while
// Config.Leased is true. It never waits.
func (c *Conn) Lease() {
	k := &c.keepalive
	if c.limits.Lease == math.MaxInt64 || k.leased.Swap(true) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.stopped:
	case k.timer == nil:
		k.timer = time.AfterFunc(1, k.check)
	default:
		k.timer.Reset(1)
	}
}

// times returns the times to PING and to PONG.
func (k *keepalive) times() (after, timeout time.Duration) {
	l := k.c.limits
	if k.leased.Load() {
		// Forget first, then ask; a session that others wait for does the reverse.
		k.leased.Store(false)
		if k.c.cfg.Leased() {
			k.leased.Store(true)
			return min(l.PingAfter, l.Lease/2), min(l.PingTimeout, l.Lease/2)
		}
	}
	return l.PingAfter, l.PingTimeout
}

// next decides what is due now, and sets the timer for the next check.
func (k *keepalive) next(after, timeout time.Duration) (ping, dead bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return false, false
	}
	lastRead, now := k.lastRead.Load(), limits.Monotonic()
	silent := now - time.Duration(lastRead)
	switch {
	case silent < after:
		k.timer.Reset(after - silent)
	case k.pingedFor != lastRead:
		k.pingedFor, k.pinged, k.extended = lastRead, now, false
		k.timer.Reset(timeout)
		return true, false
	case now-k.pinged < timeout: // Lease has set the timer
		k.timer.Reset(timeout - (now - k.pinged))
	case k.extended:
		k.pinged, k.extended = now, false
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
		k.pinged, k.extended = limits.Monotonic(), true
		k.timer.Reset(timeout)
	}
}

// Position sends the place of a call of the peer in the line of an exclusive group. It never
// waits: it reports false, and sends nothing, if the send queue is full.
func (c *Conn) Position(id uint64, group string, position int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.writer.queue
	if q.mustWaitLocked(0) {
		return false
	}
	q.addEncodedLocked(wire.AppendPosition(nil, id, group, position))
	c.writer.startIfNeededLocked()
	return true
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
	at     time.Duration // of the last PING
	excess int           // PINGs without a token
}

// A peer may send twice as many PINGs as its INIT announces, and pingBurst at once.
const (
	defaultPingRate = 1 // in a second, for a peer announcing no PingAfter
	pingBurst       = 10
	maxExcessPings  = 3 // PINGs without a token, the last of which ends the connection
	minPingAfter    = 10 * time.Millisecond
)

// unannouncedPing is the shortest PingAfter not announced in INIT.
const unannouncedPing = 2 * time.Second

// pingRateOf returns how many PINGs a second a peer may send.
func pingRateOf(peer *wire.Hello) float64 {
	if peer.PingAfter == 0 {
		return defaultPingRate
	}
	after := max(time.Duration(peer.PingAfter)*time.Millisecond, minPingAfter)
	return max(defaultPingRate, 2/after.Seconds())
}

// take counts a PING. It reports false if the peer has sent too many.
func (p *pingLimit) take(now time.Duration) bool {
	p.tokens = min(pingBurst, p.tokens+p.rate*(now-p.at).Seconds())
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
