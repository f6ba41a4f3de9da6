package transport

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// TickTime is how long a goroutine may keep a connection's turn, or its
// writing role, before the tick looks for another.
const TickTime = time.Millisecond

// A ticker calls its function a tick after it has been armed. It belongs to a
// connection that is busy: an idle one has no ticks.
type ticker struct {
	armed atomic.Bool

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	stopped bool

	// of the function
	turn stamp  // as the last tick saw it
	call uint64 // likewise, the system call that writes
}

func (t *ticker) init(f func()) {
	t.timer = time.AfterFunc(math.MaxInt64, f)
	t.timer.Stop()
}

// arm makes sure that a tick follows. It costs one load where one is due.
func (t *ticker) arm() {
	if t.armed.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped && t.armed.CompareAndSwap(false, true) {
		t.timer.Reset(TickTime)
	}
}

func (t *ticker) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	t.timer.Stop()
}

// onTick ends what has lasted since the last tick: it stops a caller that
// reads or writes, deposes a leader that is in a handler, gives a turn that
// nobody wants to the leader, and lets calls that stay parked wait long.
func (c *Conn) onTick() {
	s := c.turn.now()
	stayed := s == c.tick.turn
	c.tick.turn = s
	switch {
	case stayed && s.holder() == nobody:
		c.callLeader()
	case stayed && s.holder() == caller:
		c.kick(s)
	case stayed && s.holder() == handling:
		c.depose(s)
	}
	call, within := c.out.call()
	if within && call == c.tick.call {
		c.nc.SetWriteDeadline(netconn.LongAgo)
	}
	c.tick.call = call
	c.mu.Lock()
	c.calls.tickLocked()
	c.mu.Unlock()
	// Whoever makes work for the tick does so first and then looks at armed.
	c.tick.armed.Store(false)
	if _, within = c.out.call(); within || c.turn.now().holder() != leader || c.anyParked() {
		c.tick.arm()
	}
}

func (c *Conn) anyParked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls.anyParkedLocked()
}
