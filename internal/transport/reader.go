package transport

import (
	"context"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
)

// await waits for k's answer. For the first moments the caller reads for
// itself if nobody does, or parks until its answer is delivered or it is its
// turn to read. A call that lasts longer than a tick or two waits with its
// context and a timer, and leaves the reading to the leader.
func (c *Conn) await(ctx context.Context, k *Call) error {
	for !k.long && !k.answered() {
		if s := c.turn.now(); s.holder() == nobody {
			if s, ok := c.turn.pass(s, caller); ok {
				c.readFor(k, s)
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

// park sleeps until k is answered, has waited for some ticks, or is to look
// again whether it can read.
func (c *Conn) park(k *Call) {
	if !k.state.CompareAndSwap(callRunning, callParked) {
		return
	}
	// Whoever left the turn to nobody may have looked for parked calls before
	// this one was.
	if c.turn.now().holder() == nobody && k.state.CompareAndSwap(callParked, callRunning) {
		return
	}
	c.tick.arm()
	if counted := <-k.wake; counted {
		c.muster.ran()
	}
	if k.state.CompareAndSwap(callLong, callRunning) {
		k.long = true
	}
}

// awaitLong waits with k's context and timer.
func (c *Conn) awaitLong(ctx context.Context, k *Call) error {
	c.calls.long.Add(1)
	defer c.calls.long.Add(-1)
	c.callLeader()
	if !k.state.CompareAndSwap(callRunning, callSleeping) {
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
	if !k.state.CompareAndSwap(callSleeping, callRunning) {
		<-k.wake
		return nil
	}
	if outcome, ok := c.abandon(k); ok {
		return over(outcome)
	}
	// The answer, or the connection's end, is on its way.
	if k.state.CompareAndSwap(callRunning, callSleeping) {
		<-k.wake
	}
	return nil
}

// readFor reads, as the caller that holds the tenure s, until k is answered
// and everything that came with the answer is handled, or the tick stops it.
func (c *Conn) readFor(k *Call, s stamp) {
	c.tick.arm()
	for {
		if !c.handleAll(&s) {
			return
		}
		if k.answered() {
			c.leave(s)
			return
		}
		if c.muster.called {
			c.gather()
		}
		if err := c.fill(); err != nil {
			if !c.readStopped(err) {
				return
			}
			if stamp(c.kicked.Load()) == s {
				k.long = true
				c.giveLeader(s)
				return
			}
		}
	}
}

// leave passes the turn on from the holder of tenure s: to the leader if a
// call waits long, else to whoever takes it.
func (c *Conn) leave(s stamp) {
	if c.calls.long.Load() > 0 {
		c.giveLeader(s)
		return
	}
	c.turn.must(s, nobody)
	c.tick.arm() // it gives the turn to the leader if nobody takes it
	if c.calls.long.Load() > 0 {
		c.callLeader()
	}
	c.mu.Lock()
	c.calls.rouseOneLocked()
	c.mu.Unlock()
}

// giveLeader gives the leader the turn of tenure s.
func (c *Conn) giveLeader(s stamp) {
	c.turn.must(s, leader)
	c.summon <- struct{}{}
}

// callLeader gives the leader the turn if nobody has it.
func (c *Conn) callLeader() {
	if s := c.turn.now(); s.holder() == nobody {
		if _, ok := c.turn.pass(s, leader); ok {
			c.summon <- struct{}{}
		}
	}
}

// lead reads as the leader, from tenure s on, until the connection ends or
// another leader has taken over, which then stands for it in c.running.
func (c *Conn) lead(s stamp) {
	ended := false
	defer func() {
		if !ended { // a handler called runtime.Goexit: that ends a goroutine, not the leadership
			if s != deposed {
				go c.lead(s)
			}
		} else if s != deposed {
			c.handler.Rest()
			c.running.Done()
		}
	}()
	c.leadOn(&s)
	ended = true
}

// leadOn handles what has arrived and waits for more, until this goroutine is
// the leader no longer. On a connection that lends, the turn is anybody's
// whenever all that a read has brought is handled: fresh says that there was one
// in this tenure, for a leader that is summoned reads first, for the call that
// waits long.
func (c *Conn) leadOn(s *stamp) {
	for fresh := false; c.handleAll(s); {
		c.handler.Rest()
		c.gather()
		if fresh && c.cfg.Lends && c.calls.long.Load() == 0 && !c.in.incomplete() {
			c.leave(*s)
			select {
			case <-c.summon:
				*s = c.turn.now()
			case <-c.done:
				return
			}
			fresh = false
			continue
		}
		if err := c.fill(); err != nil && !c.readStopped(err) {
			return
		}
		fresh = true
	}
}

// fill waits for bytes.
func (c *Conn) fill() error {
	if c.watching {
		c.readAt = time.Now()
	}
	return c.in.fill()
}

// gather writes what waits, with what those ask who have just been answered.
func (c *Conn) gather() {
	c.muster.wait()
	c.flush(nil)
}

// handleAll handles every message that has arrived. It reports false when the
// turn is no longer the caller's, or the connection has ended.
func (c *Conn) handleAll(s *stamp) bool {
	m, err := c.in.next()
	for ok := true; m != nil && err == nil; m, err = c.in.next() {
		if ok, err = c.handle(m, s); !ok {
			return false // what is answered is woken by the leader that has taken over
		}
		if err != nil {
			break
		}
	}
	c.muster.wakeAnswered(c.in.lastRead())
	if err != nil {
		c.violate(err)
		return false
	}
	if c.in.incomplete() {
		c.watchFrames()
	}
	return true
}

// readStopped looks at why a read ended without bytes. It reports whether the
// reading goes on.
func (c *Conn) readStopped(err error) bool {
	if !netconn.IsTimeout(err) {
		c.Fail(fault.Lost("reading", err))
		return false
	}
	c.nc.SetReadDeadline(time.Time{})
	return c.dropLate()
}

// shortest is the time left, in microseconds, of a call that is timed exactly
// from its beginning: it is over before a few ticks are.
const shortest = 4 * uint64(TickTime/time.Microsecond)

// kick stops whoever reads as a caller in tenure s.
func (c *Conn) kick(s stamp) {
	c.kicked.Store(uint64(s))
	c.nc.SetReadDeadline(netconn.LongAgo)
}
