package transport

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// TickTime is how long a goroutine may keep a connection's turn, or its
// writer role, before the watchdog looks for another.
const WatchdogPeriod = time.Millisecond

// A watchdog calls its function a watchdog period after it has been armed. It belongs to a
// connection that is busy: an idle one has no watchdog periods.
type watchdog struct {
	armed atomic.Bool

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	stopped bool

	// of the function
	epoch epoch  // as the last watchdog period saw it
	write uint64 // likewise, the system call that writes
}

func (t *watchdog) init(f func()) {
	t.timer = time.AfterFunc(math.MaxInt64, f)
	t.timer.Stop()
}

// arm makes sure that a watchdog period follows. It costs one load where one is due.
func (t *watchdog) arm() {
	if t.armed.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped && t.armed.CompareAndSwap(false, true) {
		t.timer.Reset(WatchdogPeriod)
	}
}

func (t *watchdog) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	t.timer.Stop()
}

// onWatchdog ends what has lasted since the last watchdog period: it stops a caller that
// reads or writes, replaces a leader that is in a handler, gives a lease that
// nobody wants to the leader, and lets calls that stay parked wait long.
func (c *Conn) onWatchdog() {
	s := c.lease.current()
	stayed := s == c.watchdog.epoch
	c.watchdog.epoch = s
	switch {
	case stayed && s.holder() == nobody:
		c.wakeLeader()
	case stayed && s.holder() == caller:
		c.interruptReader(s)
	case stayed && s.holder() == handling:
		c.replaceLeader(s)
	}
	call, within := c.queue.callerWrite()
	if within && call == c.watchdog.write {
		c.nc.SetWriteDeadline(netconn.LongAgo)
	}
	c.watchdog.write = call
	c.mu.Lock()
	c.calls.markLongLocked()
	c.mu.Unlock()
	// Whoever makes work for the watchdog does so first and then looks at armed.
	c.watchdog.armed.Store(false)
	if _, within = c.queue.callerWrite(); within || c.lease.current().holder() != leader || c.anyParked() {
		c.watchdog.arm()
	}
}

func (c *Conn) anyParked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls.anyParkedLocked()
}
