package transport

import (
	"errors"
	"runtime"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// What the holder of the writing role does; role.go says who that is. On a socket
// it is the caller (or the leader, with its replies) itself, so that a call costs
// no change of goroutine; but it writes for others only a few times, and never
// waits: after a tick inside one system call it is stopped by a deadline and
// leaves the rest to a goroutine of the connection, which may wait. On any
// other net.Conn, TLS among them, where a stopped write is the connection's
// end, that goroutine writes from the start.

// callerRounds is how many batches a caller writes before it hands over.
const callerRounds = 8

// fullBatch is how many bytes of frames are worth a system call: they do not wait
// for others to join, so that the two ends work side by side.
const fullBatch = 8 << 10

var ErrStalled = errors.New("the peer has taken no byte for Limits.WriteStall")

// Flush makes sure that what waits is written, by this goroutine or by the writer at
// work.
func (c *Conn) Flush() { c.flush(nil) }

// flush makes sure that what waits in the outbox is written: by this
// goroutine, or by whoever is at it. own is the caller's own message in pieces,
// if it has one: it stays until that is out.
func (c *Conn) flush(own *parcel) {
	if !c.direct {
		c.flushBehind()
		return
	}
	c.mu.Lock()
	writes := c.wantsWriterLocked()
	if writes {
		c.out.passLocked(nobodyWrites, callerWrites)
	}
	c.mu.Unlock()
	if writes {
		c.write(own)
	}
}

// flushBehind is flush for a goroutine that must not wait.
func (c *Conn) flushBehind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wantsWriterLocked() {
		c.writeBehindLocked(nobodyWrites)
	}
}

// wantsWriterLocked says whether there is something to write, and nobody writes.
func (c *Conn) wantsWriterLocked() bool { return c.out.wantsWriterLocked() && c.err == nil }

// writeBehindLocked gives the role to a goroutine of the connection.
func (c *Conn) writeBehindLocked(from role) {
	c.out.passLocked(from, connWrites)
	c.spawnLocked(c.writeBehind)
}

// write is the writing role, held by a caller.
func (c *Conn) write(own *parcel) {
	for round := 0; c.nextBatch(round, own); round++ {
		c.out.beginCall()
		c.tick.arm() // each time: a tick between two calls does not see a reason for another
		err := c.out.writeTo(c.nc)
		c.out.endCall()
		if err == nil {
			continue
		}
		if c.writeStopped(err) {
			c.handOver()
		}
		return
	}
}

// handOver gives the role, with a batch that is not all written, to a goroutine
// of the connection. On one that has ended nobody writes, or needs the batch's
// memory, any more.
func (c *Conn) handOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBehindLocked(callerWrites)
	if c.err != nil {
		c.out.releaseLocked()
	}
}

// nextBatch prepares a caller's next batch. It reports whether there is one:
// if not, the role has been given up, or handed over.
func (c *Conn) nextBatch(round int, own *parcel) (more bool) {
	c.mu.Lock()
	if own != nil || c.calls.open > 1 && !c.out.worthWritingLocked() {
		c.mu.Unlock()
		runtime.Gosched() // lets every caller that can run join the batch, and others run between pieces
		c.mu.Lock()
	}
	c.out.finishLocked()
	stays := own != nil && own.remainsLocked() // until its own message is out
	if round >= callerRounds && !stays && c.out.waitingLocked() {
		c.writeBehindLocked(callerWrites)
	} else {
		more = c.takeLocked(callerWrites)
	}
	c.mu.Unlock()
	return more
}

// takeLocked makes the next batch for who has the role. Where there is none, it gives
// the role up.
func (c *Conn) takeLocked(who role) bool {
	more := c.out.nextLocked(who, !c.direct)
	if more {
		c.calls.takenLocked()
	}
	return more
}

// writeBehind is the writing role, held by a goroutine of the connection. It
// begins with what a stopped caller left of its batch.
func (c *Conn) writeBehind() {
	for {
		start, ok := c.nextBatchBehind()
		if !ok {
			return
		}
		before := c.out.size()
		var err error
		if c.direct {
			err = c.out.writeTo(c.nc)
		} else {
			err = c.out.writeSome(c.nc)
		}
		if err == nil {
			continue
		}
		// A deadline in the past may be left on a socket; and what is no socket may
		// write nothing more, at once.
		if netconn.IsTimeout(err) && c.out.size() == before && (!c.direct || time.Since(start) >= c.limits.WriteStall) {
			err = ErrStalled
		}
		if !c.writeStopped(err) {
			return
		}
	}
}

// nextBatchBehind prepares a batch, or goes on with what is left of one, and
// begins to time it. With the lock: withdraw, which wants its piece back, sets a
// deadline of its own after it has told so.
func (c *Conn) nextBatchBehind() (start time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.size() > 0 {
		c.out.reclaimLocked()
	} else {
		c.out.finishLocked()
		c.nc.SetWriteDeadline(time.Time{}) // before the role is free
		if !c.takeLocked(connWrites) {
			return start, false
		}
	}
	start = time.Now()
	c.nc.SetWriteDeadline(start.Add(c.limits.WriteStall))
	return start, true
}

// writeStopped looks at why a write ended before its batch did. It reports
// whether the writing goes on; if not, the connection ends, and nobody
// becomes the writer again.
func (c *Conn) writeStopped(err error) bool {
	goesOn := netconn.IsTimeout(err)
	if goesOn {
		c.nc.SetWriteDeadline(time.Time{})
	} else {
		c.failUnwritten(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.reclaimLocked()
	if !goesOn {
		c.out.releaseLocked()
	}
	return goesOn
}

// withdraw takes back k's message in pieces, that nobody waits for. Pieces not begun are
// dropped; one that is being written is stopped, and its rest copied. When
// withdraw returns, the message's memory is its caller's again.
func (c *Conn) withdraw(k *Call) {
	c.mu.Lock()
	if k.parcel.begunLocked() && k.parcel.remainsLocked() && c.err == nil {
		c.cancelLocked(k.id) // the peer refused it while it was on its way
		defer c.flushBehind()
	}
	released := c.out.withdrawLocked(k.parcel)
	c.mu.Unlock()
	if released != nil {
		c.nc.SetWriteDeadline(netconn.LongAgo)
		<-released
	}
}
