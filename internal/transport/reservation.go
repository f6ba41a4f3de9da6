package transport

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Answers wait for room in the outbox before they are encoded: what a peer does
// not read takes Limits.OutQueue bytes and one answer, not the results of all
// the calls that it has open.

// A claim is an answer's place in the line for room. conn.mu guards held.
type claim struct {
	size    uint64        // bytes of the answer, as far as they are known
	granted chan struct{} // closed when the answer may be encoded
	held    bool          // its bytes are among outbox.promised
}

// claims are the answers of a connection that wait for room, first come, first
// served. conn.mu guards them, but for full.
type claims struct {
	lines    [2][]*claim // those that travel in one frame, and those in pieces
	promised uint64      // bytes of answers that are being encoded, in room that has been granted
	full     atomic.Bool // another request is not to begin: its answer would have to wait
}

// mostWaiting is how many answers in pieces may wait before no request begins.
// Those do not bound it by their bytes: short answers pass them.
const mostWaiting = 4

// claimPatience is how long user code that encodes may keep others from the
// room that it has been granted.
const claimPatience = 2 * TickTime

func lineOf(size uint64) int {
	if size <= wire.MaxUnchunked {
		return 0
	}
	return 1
}

// takesLocked says whether an answer of so many bytes may be queued now. Those
// in line are first.
func (o *outbox) takesLocked(size uint64) bool {
	if size <= wire.MaxUnchunked {
		return !o.isFull() // as it is while one of them is in line
	}
	return len(o.claims.lines[1]) == 0 && !o.fullLocked(size)
}

// claimLocked puts an answer in line.
func (o *outbox) claimLocked(size uint64) *claim {
	k := &claim{size: size, granted: make(chan struct{})}
	line := &o.claims.lines[lineOf(size)]
	*line = append(*line, k)
	o.grantLocked()
	return k
}

// grantLocked grants room to the answers that are next, as far as there is any,
// and lets the others that wait for room look again. It is called whenever bytes
// have come to the outbox or left it.
func (o *outbox) grantLocked() {
	if o.claims.anyLocked() {
		o.grantClaimsLocked()
	}
	if full := o.waitsLocked(0); full != o.claims.full.Load() {
		o.claims.full.Store(full)
	}
	if o.taken != nil {
		close(o.taken)
		o.taken = nil
	}
}

func (c *claims) anyLocked() bool { return len(c.lines[0])+len(c.lines[1]) > 0 }

func (o *outbox) grantClaimsLocked() {
	for i := range o.claims.lines {
		line := &o.claims.lines[i]
		for len(*line) > 0 && !o.fullLocked((*line)[0].size) {
			k := popFirst(line)
			k.held = true
			o.claims.promised += k.size
			close(k.granted)
		}
	}
}

// waitsLocked says whether a message of so many bytes waits that is to be queued
// before another request begins.
func (o *outbox) waitsLocked(size uint64) bool {
	return o.fullLocked(size) || len(o.claims.lines[1]) >= mostWaiting
}

// isFull says whether no request is to begin. It takes no lock.
func (o *outbox) isFull() bool { return o.claims.full.Load() }

// settleLocked ends what was granted to k. It reports whether k had it still.
func (o *outbox) settleLocked(k *claim) bool {
	held := k.held
	if held {
		k.held = false
		o.claims.promised -= k.size
	}
	return held
}

// giveBack lets others have what was granted to k.
func (c *Conn) giveBack(k *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.settleLocked(k) {
		c.out.grantLocked()
	}
}

// awaitClaim waits in line for room for the answer of so many bytes, or for
// the connection's end.
func (c *Conn) awaitClaim(size uint64) *claim {
	c.mu.Lock()
	k := c.out.claimLocked(size)
	c.mu.Unlock()
	c.flushBehind()
	select {
	case <-k.granted:
	case <-c.done:
	}
	return k
}

// AwaitRoom waits, at an end that serves, until another request may begin. The
// leader calls it.
func (c *Conn) AwaitRoom() {
	if c.cfg.Serves && c.out.isFull() {
		c.handler.Rest()
		c.WaitForRoom()
	}
}

// WaitForRoom waits until the outbox takes a short message.
func (c *Conn) WaitForRoom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitForRoomLocked(0)
}

// Respond queues a response that no Answer encodes, when there is room for it. The
// Handler calls it, as AwaitRoom.
func (c *Conn) Respond(head *wire.Frame, body *wire.Body) {
	size := body.Size()
	c.AwaitRoom()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitForRoomLocked(size)
	c.out.messageLocked(head, body, size)
}

// waitForRoomLocked waits, without the lock, until the outbox takes a message of
// so many bytes, and another request may begin.
func (c *Conn) waitForRoomLocked(size uint64) {
	for c.err == nil && c.out.waitsLocked(size) {
		taken := c.out.takenLocked()
		c.mu.Unlock()
		c.flushBehind()
		select {
		case <-taken:
		case <-c.done:
		}
		c.mu.Lock()
	}
	c.out.grantLocked()
}
