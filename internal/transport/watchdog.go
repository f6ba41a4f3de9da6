package transport

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// WatchdogPeriod is how long a goroutine may keep the read lease or the writer role of
// a connection undisturbed.
const WatchdogPeriod = time.Millisecond

// A watchdog is the timer of a busy connection. One period after it was armed it ends
// everything that has lasted since the period before. It is not armed on an idle
// connection.
type watchdog struct {
	c     *Conn
	armed atomic.Bool

	mu      sync.Mutex // guards timer and stopped
	timer   *time.Timer
	stopped bool

	// used by check only
	epoch epoch  // of the read lease, at the end of the last period
	write uint64 // the number of the caller's write, at the end of the last period
}

func (w *watchdog) init(c *Conn) {
	w.c = c
	w.timer = time.AfterFunc(math.MaxInt64, w.check)
	w.timer.Stop()
}

// arm makes sure a period ends in the future. It costs one load if the watchdog is
// armed already.
func (w *watchdog) arm() {
	if w.armed.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(WatchdogPeriod)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

// check runs at the end of a period. It stops a caller still reading or writing,
// replaces a leader still running a job, passes an unused read lease to the leader, and
// makes calls long after parkedPeriods.
func (w *watchdog) check() {
	c := w.c
	r := &c.reader
	e := r.lease.current()
	unchanged := e == w.epoch
	w.epoch = e
	switch {
	case unchanged && e.holder() == nobody:
		r.wakeLeader()
	case unchanged && e.holder() == caller:
		r.interrupt(e)
	case unchanged && e.holder() == handling:
		r.replaceLeader(e)
	}
	write, writing := c.writer.callerWrite.current()
	if writing && write == w.write {
		c.writer.socket.SetWriteDeadline(netconn.LongAgo)
	}
	w.write = write
	c.mu.Lock()
	if c.calls.countPeriodLocked() && e.holder() != caller { // the one that reads counts for all
		c.calls.becameLongLocked()
	}
	c.mu.Unlock()
	// A goroutine with work for the watchdog does its part first and then calls arm.
	w.armed.Store(false)
	if _, writing = c.writer.callerWrite.current(); writing || r.lease.current().holder() != leader || w.anyParked() {
		w.arm()
	}
}

// anyParked reports whether a caller is parked, waiting for its answer.
func (w *watchdog) anyParked() bool {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return w.c.calls.anyParkedLocked()
}
