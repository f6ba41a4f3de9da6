package transport

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// askedReads is how many reads the leader keeps a shared lease after a frame that the peer has sent on
// its own. The next one may be that late: two goroutines that call and answer each other can keep a
// third one from running for the ten milliseconds of a time slice.
const askedReads = 1024

// A reader reads a connection, on the goroutine with the read lease: a caller waiting
// for its answer, or the leader (leader.go).
type reader struct {
	c           *Conn
	lease       readLease
	interrupted atomic.Uint64 // the epoch of a caller that must stop reading
	exceeds     atomic.Bool   // dropExcess has something to do
	leaderWake  chan struct{} // capacity 1: the leader has the lease again

	// guarded by the lease
	turn   turn      // of a server's leader
	handed int       // messages of a read that the leader has handed to goroutines of streams and handlers
	asked  int       // reads of the leader until the peer counts as one that only answers
	woken  wakeBatch // callers also use its atomic fields
	in     receiveBuffer
	timer  frameTimer
	excess func() // makes the lease holder call dropExcess; for limits.Budget
	inline Job    // set by the leader; replaceLeader reads it after it has won the lease
}

func (r *reader) init(c *Conn) {
	r.c = c
	open := c.peer.MaxInflight // long answers to calls of this end
	if c.cfg.Serves {
		open = c.limits.MaxInflight
	}
	r.leaderWake = make(chan struct{}, 1)
	r.woken.init(c.cfg.Lane)
	r.in = newReceiveBuffer(c.nc, maxRefused(c.limits, open), r.accept, c.requests.booking.release, func(n int, at time.Duration) {
		c.cfg.Lane.Receive(n)
		c.keepalive.noteRead(at)
	})
	r.timer.init(c.nc)
	r.excess = func() {
		r.exceeds.Store(true)
		c.nc.SetReadDeadline(netconn.LongAgo)
	}
	if c.cfg.Called {
		r.asked = askedReads
	}
	r.lease.pass(0, leader)
}

// await waits for the answer to call. At first the caller reads for itself if the lease
// is free, and otherwise parks until it is answered or may read. A call lasting longer
// than a watchdog period or two waits with its context and a timer, and leaves reading
// to the leader.
func (r *reader) await(ctx context.Context, call *Call) error {
	for !call.long && !call.answered() {
		// Check for a free lease before each sleep, and after each waking.
		if e := r.lease.current(); e.holder() == nobody {
			if e, ok := r.lease.pass(e, caller); ok {
				r.readAsCaller(call, e)
			}
			continue
		}
		r.park(call)
	}
	if call.answered() {
		return nil
	}
	return r.awaitLong(ctx, call)
}

// park sleeps until call is answered, becomes long, or should check for a free lease.
func (r *reader) park(call *Call) {
	if !call.state.CompareAndSwap(callRunning, callParked) {
		return
	}
	// The last holder may have looked for a parked call before this one was parked.
	if r.lease.current().holder() == nobody && call.state.CompareAndSwap(callParked, callRunning) {
		return
	}
	r.c.watchdog.arm()
	if counted := <-call.wake; counted {
		r.woken.resumed()
	}
	if call.state.CompareAndSwap(callLong, callRunning) {
		call.long = true
	}
}

// awaitLong waits for the answer with the context and the timer of call.
func (r *reader) awaitLong(ctx context.Context, call *Call) error {
	// Count first, then check for a free lease; releaseLease does the reverse.
	long := &r.c.calls.long
	long.Add(1)
	defer long.Add(-1)
	r.wakeLeader()
	if !call.state.CompareAndSwap(callRunning, callSelecting) {
		return nil
	}
	expired := call.Timeout.Expired()
	defer call.Timeout.Stop()
	var over func(fault.Outcome) *fault.Fault
	select {
	case <-call.wake:
		return nil
	case <-ctx.Done():
		over = func(o fault.Outcome) *fault.Fault { return r.c.contextFault(ctx, &call.Timeout, o) }
	case <-expired:
		over = call.Timeout.Fault
	}
	// finish may have changed the state already. Its token must not stay in wake.
	if !call.state.CompareAndSwap(callSelecting, callRunning) {
		<-call.wake
		return nil
	}
	if outcome, ok := r.c.calls.abandon(call); ok {
		return over(outcome)
	}
	// The answer, or the end of the connection, is being delivered.
	if call.state.CompareAndSwap(callRunning, callSelecting) {
		<-call.wake
	}
	return nil
}

// readAsCaller reads as the caller with epoch e, until call is answered and all messages
// of the same read are handled, or until the watchdog interrupts it.
func (r *reader) readAsCaller(call *Call, e epoch) {
	r.c.watchdog.arm()
	for {
		if !r.handleAll(&e) {
			return
		}
		if call.answered() {
			r.releaseLease(e)
			return
		}
		if r.woken.woke { // see wakeBatch: before the next wait for bytes
			r.coalesceWrites()
		}
		if err := r.fill(); err != nil {
			if !r.continueAfter(err) {
				return
			}
			// A late interrupt of an earlier caller has another epoch and is ignored.
			if epoch(r.interrupted.Load()) == e {
				r.becameLong(call)
				r.passToLeader(e)
				return
			}
		}
	}
}

// becameLong makes a call long whose goroutine has read for it.
func (r *reader) becameLong(call *Call) {
	call.long = true
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.calls.becameLongLocked()
}

// interrupt makes the caller with epoch e stop reading.
func (r *reader) interrupt(e epoch) {
	r.interrupted.Store(uint64(e))
	r.c.nc.SetReadDeadline(netconn.LongAgo)
}

// releaseLease releases the lease of epoch e: to the leader if a call is long or the peer
// calls this end, and otherwise to the next caller.
func (r *reader) releaseLease(e epoch) {
	c := r.c
	if c.calls.long.Load() > 0 || r.asked > 0 {
		r.passToLeader(e)
		return
	}
	// The order matters: see the invariants of readLease.
	r.lease.mustPass(e, nobody)
	c.watchdog.arm() // passes an unused lease to the leader
	if c.calls.long.Load() > 0 {
		r.wakeLeader()
	}
	c.mu.Lock()
	c.calls.wakeOneLocked()
	c.mu.Unlock()
}

// passToLeader passes the lease of epoch e to the leader.
func (r *reader) passToLeader(e epoch) {
	r.lease.mustPass(e, leader)
	r.leaderWake <- struct{}{}
}

// wakeLeader passes the lease to the leader if it is free.
func (r *reader) wakeLeader() {
	if e := r.lease.current(); e.holder() == nobody {
		if _, ok := r.lease.pass(e, leader); ok {
			r.leaderWake <- struct{}{}
		}
	}
}

// coalesceWrites writes the send queue once all woken callers have run, with their new
// requests.
func (r *reader) coalesceWrites() {
	r.woken.wait()
	r.c.writer.flush(nil)
}

// fill waits for bytes and reads them into the receive buffer.
func (r *reader) fill() error {
	if r.timer.set {
		r.timer.readBegan = limits.Monotonic()
	}
	return r.in.fill()
}

// continueAfter acts on the error of a read without bytes. It reports whether reading
// continues.
func (r *reader) continueAfter(err error) bool {
	if !netconn.IsTimeout(err) {
		r.c.Fail(fault.Lost("reading", err))
		return false
	}
	r.c.nc.SetReadDeadline(time.Time{})
	if r.exceeds.Swap(false) {
		r.dropExcess()
	}
	return r.dropStale()
}

// handleAll handles all complete messages. It reports false if this goroutine has lost
// the lease, or the connection has ended.
func (r *reader) handleAll(e *epoch) bool {
	m, err := r.in.next()
	n := 0
	for ok := true; m != nil && err == nil; m, err = r.in.next() {
		if ok, err = r.handle(m, e); !ok {
			return false // the next leader wakes the calls answered so far
		}
		if n++; n%turnMessages == 0 && r.c.cfg.Serves {
			r.checkTurn(limits.Monotonic())
		}
		if err != nil {
			break
		}
	}
	r.woken.wakeAll(r.in.lastRead())
	if r.c.streams.anyDropped() {
		r.c.streams.closeDropped()
	}
	if err != nil {
		r.c.failViolation(err)
		return false
	}
	if r.in.incomplete() {
		r.watchIncomplete()
	}
	return true
}

// handle acts on one message. An error is a protocol violation by the peer. ok is false
// if this goroutine has been replaced as the leader.
func (r *reader) handle(m *Message, e *epoch) (ok bool, err error) {
	c := r.c
	if m.Type == wire.Response || m.Type == wire.Error {
		return true, c.calls.deliver(m)
	}
	r.asked = askedReads
	switch m.Type {
	case wire.Request:
		return r.serve(m, e)
	case wire.Bind:
		return true, c.cfg.Handler.Bind(m)
	case wire.Cancel:
		return true, c.requests.cancel(m)
	case wire.Items, wire.End, wire.Credit, wire.Stop:
		r.handed++
		return true, c.streams.handle(m)
	case wire.Ping:
		return true, c.keepalive.answerPing(m)
	case wire.Pong:
		return true, nil // its arrival is all it says
	case wire.Waiting, wire.Admitted, wire.Draining, wire.SessionState:
		return true, c.cfg.Handler.Control(m)
	case wire.Position:
		return true, c.calls.moved(m)
	case wire.Close:
		why, err := c.readFault(m.Arg, m.Body)
		if err != nil {
			return true, fmt.Errorf("CLOSE: %w", err)
		}
		if m.Flags&wire.NotRun != 0 {
			why.Outcome = fault.NotRun
		}
		c.Fail(why)
		return true, nil
	}
	return true, fmt.Errorf("unexpected %v", m.Type)
}

// accept decides on a chunked message by the header of its first chunk.
func (r *reader) accept(p *reassembly) (bool, error) {
	if p.head.Type == wire.Response {
		return r.c.calls.acceptReply(p)
	}
	return r.c.requests.acceptChunked(p)
}

// book books an accepted message, or returns why it cannot.
func (r *reader) book(p *reassembly) *fault.Fault {
	c := r.c
	if err := c.requests.booking.book(p.head.Total); err != nil {
		return err
	}
	err := c.cfg.Budget.Begin(&p.unfinished, p.lastRead, c.limits.Owner, r.excess)
	if err != nil {
		c.requests.booking.release(p.head.Total)
	}
	return err
}
