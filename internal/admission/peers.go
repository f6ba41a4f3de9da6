package admission

import (
	"math"
	"sync"
	"time"
)

// PeerLimits limit what one peer may have of a server, on all its connections together. The
// greatest value of int means no limit.
type PeerLimits struct {
	Conns    int // connections
	Waiting  int // of these, connections that wait for admission
	CallRate int // calls a second, and calls at once
}

// Peers count the connections of each peer of a server. They are safe for concurrent use.
type Peers struct {
	limits PeerLimits

	mu    sync.Mutex // guards the rest, and every peer but its bucket
	byKey map[string]*peer
}

// A peer is the clients with one proved identity, or with one address.
type peer struct {
	conns, waiting int
	bucket         bucket
}

// Init sets the limits. It must be called before all other methods.
func (p *Peers) Init(l PeerLimits) { p.limits, p.byKey = l, make(map[string]*peer) }

// A PeerConn is a connection counted by Peers. A nil one is not counted.
type PeerConn struct {
	of    *Peers
	key   string
	peer  *peer
	waits bool // guarded by Peers.mu
}

// Enter counts a connection of the peer with a key. It reports false at the limit of Conns.
func (p *Peers) Enter(key string) (c *PeerConn, ok bool) {
	if p.limits == (PeerLimits{math.MaxInt, math.MaxInt, math.MaxInt}) {
		return nil, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.byKey[key]
	if of == nil {
		of = &peer{}
		p.byKey[key] = of
	}
	if of.conns >= p.limits.Conns {
		return nil, false
	}
	of.conns++
	return &PeerConn{of: p, key: key, peer: of}, true
}

// wait counts the connection as one that waits for admission. It reports false at the limit of
// Waiting.
func (c *PeerConn) wait() bool {
	if c == nil {
		return true
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.peer.waiting >= c.of.limits.Waiting {
		return false
	}
	c.waits = true
	c.peer.waiting++
	return true
}

// waited ends the count of wait, if there is one.
func (c *PeerConn) waited() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.waits {
		c.waits = false
		c.peer.waiting--
	}
}

// Leave ends the count of the connection. It is called once, after its ticket has left.
func (c *PeerConn) Leave() {
	if c == nil {
		return
	}
	p := c.of
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.peer.conns--; c.peer.conns > 0 {
		return
	}
	if !c.Limited() {
		delete(p.byKey, c.key)
		return
	}
	// Its bucket is full after a second. Forgotten earlier, it would be full at once.
	time.AfterFunc(time.Second, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if c.peer.conns == 0 && p.byKey[c.key] == c.peer {
			delete(p.byKey, c.key)
		}
	})
}

// Limited reports whether TakeCall must be asked. It takes no lock.
func (c *PeerConn) Limited() bool { return c != nil && c.of.limits.CallRate < noRate }

// TakeCall counts a call at a time. It reports false if the peer has made too many.
func (c *PeerConn) TakeCall(now time.Time) bool { return c.peer.bucket.take(now, c.of.limits.CallRate) }

// TakeCall counts a call, at a time, of a peer that may have no connection. It reports false if the
// peer has made too many.
func (p *Peers) TakeCall(key string, now time.Time) bool {
	if p.limits.CallRate >= noRate {
		return true
	}
	p.mu.Lock()
	of := p.byKey[key]
	if of == nil {
		of = &peer{}
		p.byKey[key] = of
		time.AfterFunc(time.Second, func() { p.forget(key, of) })
	}
	p.mu.Unlock()
	return of.bucket.take(now, p.limits.CallRate)
}

// forget forgets a peer without connections, once its bucket is full.
func (p *Peers) forget(key string, of *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.byKey[key] != of || of.conns > 0: // Leave will do it
	case of.bucket.isFull(time.Now()):
		delete(p.byKey, key)
	default:
		time.AfterFunc(time.Second, func() { p.forget(key, of) })
	}
}

// noRate and more are no limit: a bucket needs no nanosecond for a call.
const noRate = int(time.Second)

// A bucket has as many tokens as calls may be made at once, and gets as many each second. Its
// zero value is full. It stores the time at which it would be full without a further call,
// so that a token is an addition.
type bucket struct {
	mu   sync.Mutex
	full time.Time
}

// take takes a token, if there is one.
func (b *bucket) take(now time.Time, rate int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(time.Second / time.Duration(rate))
	if full.Sub(now) > time.Second {
		return false
	}
	b.full = full
	return true
}

// isFull reports whether the bucket has all of its tokens.
func (b *bucket) isFull(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !now.Before(b.full)
}
