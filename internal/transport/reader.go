package transport

import (
	"context"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
)

// awaitReply waits for k's answer. For the first moments the caller reads for
// itself if nobody does, or parks until its answer is delivered or it is its
// turn to read. A call that lasts longer than a watchdog period or two waits with its
// context and a timer, and leaves the reading to the leader.
func (c *Conn) awaitReply(ctx context.Context, k *Call) error {
	for !k.long && !k.answered() {
		if s := c.lease.current(); s.holder() == nobody {
			if s, ok := c.lease.pass(s, caller); ok {
				c.readAsCaller(k, s)
			}
			continue
		}
		c.park(k)
	}
	if k.answered() {
		return nil
	}
	return c.awaitLong(ctx, k)
}

// park sleeps until k is answered, has waited for some watchdog periods, or is to look
// again whether it can read.
func (c *Conn) park(k *Call) {
	if !k.state.CompareAndSwap(callRunning, callParked) {
		return
	}
	// Whoever left the lease to nobody may have looked for parked calls before
	// this one was.
	if c.lease.current().holder() == nobody && k.state.CompareAndSwap(callParked, callRunning) {
		return
	}
	c.watchdog.arm()
	if counted := <-k.wake; counted {
		c.batch.resumed()
	}
	if k.state.CompareAndSwap(callLong, callRunning) {
		k.long = true
	}
}

// awaitLong waits with k's context and timer.
func (c *Conn) awaitLong(ctx context.Context, k *Call) error {
	c.calls.long.Add(1)
	defer c.calls.long.Add(-1)
	c.wakeLeader()
	if !k.state.CompareAndSwap(callRunning, callSelecting) {
		return nil
	}
	expired := k.Timeout.Expired()
	defer k.Timeout.Stop()
	var over func(fault.Outcome) *fault.Fault
	select {
	case <-k.wake:
		return nil
	case <-ctx.Done():
		over = func(o fault.Outcome) *fault.Fault { return fault.OfContext(ctx.Err(), o) }
	case <-expired:
		over = k.Timeout.Fault
	}
	if !k.state.CompareAndSwap(callSelecting, callRunning) {
		<-k.wake
		return nil
	}
	if outcome, ok := c.abandon(k); ok {
		return over(outcome)
	}
	// The answer, or the connection's end, is on its way.
	if k.state.CompareAndSwap(callRunning, callSelecting) {
		<-k.wake
	}
	return nil
}

// readAsCaller reads, as the caller that holds epoch s, until k is answered
// and everything that came with the answer is handled, or the watchdog stops it.
func (c *Conn) readAsCaller(k *Call, s epoch) {
	c.watchdog.arm()
	for {
		if !c.handleAll(&s) {
			return
		}
		if k.answered() {
			c.releaseLease(s)
			return
		}
		if c.batch.woke {
			c.coalesceWrites()
		}
		if err := c.fill(); err != nil {
			if !c.continueReading(err) {
				return
			}
			if epoch(c.interrupted.Load()) == s {
				k.long = true
				c.passToLeader(s)
				return
			}
		}
	}
}

// releaseLease passes the lease on from the holder of epoch s: to the leader if a
// call waits long, else to whoever takes it.
func (c *Conn) releaseLease(s epoch) {
	if c.calls.long.Load() > 0 {
		c.passToLeader(s)
		return
	}
	c.lease.mustPass(s, nobody)
	c.watchdog.arm() // it gives the lease to the leader if nobody takes it
	if c.calls.long.Load() > 0 {
		c.wakeLeader()
	}
	c.mu.Lock()
	c.calls.unparkOneLocked()
	c.mu.Unlock()
}

// passToLeader gives the leader the lease of epoch s.
func (c *Conn) passToLeader(s epoch) {
	c.lease.mustPass(s, leader)
	c.leaderWake <- struct{}{}
}

// wakeLeader gives the leader the lease if nobody has it.
func (c *Conn) wakeLeader() {
	if s := c.lease.current(); s.holder() == nobody {
		if _, ok := c.lease.pass(s, leader); ok {
			c.leaderWake <- struct{}{}
		}
	}
}

// lead reads as the leader, from epoch s on, until the connection ends or
// another leader has taken over, which then stands for it in c.running.
func (c *Conn) lead(s epoch) {
	ended := false
	defer func() {
		if !ended { // a handler called runtime.Goexit: that ends a goroutine, not the leadership
			if s != leaseLost {
				go c.lead(s)
			}
		} else if s != leaseLost {
			c.handler.Idle()
			c.running.Done()
		}
	}()
	c.readAsLeader(&s)
	ended = true
}

// readAsLeader handles what has arrived and waits for more, until this goroutine is
// the leader no longer. On a connection that shares the lease, the lease is anybody's
// whenever all that a read has brought is handled: fresh says that there was one
// in this epoch, for a leader that is woken reads first, for the call that
// waits long.
func (c *Conn) readAsLeader(s *epoch) {
	for fresh := false; c.handleAll(s); {
		c.handler.Idle()
		c.coalesceWrites()
		if fresh && c.cfg.SharesLease && c.calls.long.Load() == 0 && !c.in.incomplete() {
			c.releaseLease(*s)
			select {
			case <-c.leaderWake:
				*s = c.lease.current()
			case <-c.done:
				return
			}
			fresh = false
			continue
		}
		if err := c.fill(); err != nil && !c.continueReading(err) {
			return
		}
		fresh = true
	}
}

// fill waits for bytes.
func (c *Conn) fill() error {
	if c.timed {
		c.readBegan = time.Now()
	}
	return c.in.fill()
}

// coalesceWrites writes what waits, with what those ask who have just been answered.
func (c *Conn) coalesceWrites() {
	c.batch.wait()
	c.flush(nil)
}

// handleAll handles every message that has arrived. It reports false when the
// turn is no longer the caller's, or the connection has ended.
func (c *Conn) handleAll(s *epoch) bool {
	m, err := c.in.next()
	for ok := true; m != nil && err == nil; m, err = c.in.next() {
		if ok, err = c.handle(m, s); !ok {
			return false // what is answered is woken by the leader that has taken over
		}
		if err != nil {
			break
		}
	}
	c.batch.wakeAnswered(c.in.lastRead())
	if err != nil {
		c.failViolation(err)
		return false
	}
	if c.in.incomplete() {
		c.watchIncomplete()
	}
	return true
}

// continueReading looks at why a read ended without bytes. It reports whether the
// reading goes on.
func (c *Conn) continueReading(err error) bool {
	if !netconn.IsTimeout(err) {
		c.Fail(fault.Lost("reading", err))
		return false
	}
	c.nc.SetReadDeadline(time.Time{})
	return c.dropStale()
}

// shortTimeout is the time left, in microseconds, of a call that is timed exactly
// from its beginning: it is over before a few watchdog periods are.
const shortTimeout = 4 * uint64(WatchdogPeriod/time.Microsecond)

// interruptReader stops whoever reads as a caller in epoch s.
func (c *Conn) interruptReader(s epoch) {
	c.interrupted.Store(uint64(s))
	c.nc.SetReadDeadline(netconn.LongAgo)
}
