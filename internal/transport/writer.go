package transport

import (
	"errors"
	"runtime"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// What the holder of the writer role does; writerrole.go says who that is. On a socket
// it is the caller (or the leader, with its replies) itself, so that a call costs
// no change of goroutine; but it writes for others only a few times, and never
// waits: after a watchdog period inside one system call it is stopped by a deadline and
// leaves the rest to a goroutine of the connection, which may wait. On any
// other net.Conn, TLS among them, where a stopped write is the connection's
// end, that goroutine writes from the start.

// maxCallerBatches is how many batches a caller writes before it hands over.
const maxCallerBatches = 8

// worthWriting is how many bytes of frames are worth a system call: they do not wait
// for others to join, so that the two ends work side by side.
const worthWriting = 8 << 10

var ErrStalled = errors.New("the peer has taken no byte for Limits.WriteStall")

// Flush makes sure that what waits is written, by this goroutine or by the writer at
// work.
func (c *Conn) Flush() { c.flush(nil) }

// flush makes sure that what waits in the send queue is written: by this
// goroutine, or by whoever is at it. own is the caller's own chunked message,
// if it has one: it stays until that is out.
func (c *Conn) flush(own *chunkedMessage) {
	if !c.direct {
		c.flushAsync()
		return
	}
	c.mu.Lock()
	writes := c.needsWriterLocked()
	if writes {
		c.queue.passRoleLocked(noWriter, callerWriter)
	}
	c.mu.Unlock()
	if writes {
		c.writeAsCaller(own)
	}
}

// flushAsync is flush for a goroutine that must not wait.
func (c *Conn) flushAsync() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.needsWriterLocked() {
		c.startWriterLocked(noWriter)
	}
}

// needsWriterLocked says whether there is something to write, and nobody writes.
func (c *Conn) needsWriterLocked() bool { return c.queue.needsWriterLocked() && c.err == nil }

// startWriterLocked gives the role to a goroutine of the connection.
func (c *Conn) startWriterLocked(from writerRole) {
	c.queue.passRoleLocked(from, connWriter)
	c.spawnLocked(c.writeAsConn)
}

// writeAsCaller is the writer role, held by a caller.
func (c *Conn) writeAsCaller(own *chunkedMessage) {
	for round := 0; c.nextBatch(round, own); round++ {
		c.queue.beginWrite()
		c.watchdog.arm() // each time: a watchdog period between two calls does not see a reason for another
		err := c.queue.writeTo(c.nc)
		c.queue.endWrite()
		if err == nil {
			continue
		}
		if c.continueWriting(err) {
			c.passToConn()
		}
		return
	}
}

// passToConn gives the role, with a batch that is not all written, to a goroutine
// of the connection. On one that has ended nobody writes, or needs the batch's
// memory, any more.
func (c *Conn) passToConn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startWriterLocked(callerWriter)
	if c.err != nil {
		c.queue.releaseBatchLocked()
	}
}

// nextBatch prepares a caller's next batch. It reports whether there is one:
// if not, the role has been given up, or handed over.
func (c *Conn) nextBatch(round int, own *chunkedMessage) (more bool) {
	c.mu.Lock()
	if own != nil || c.calls.open > 1 && !c.queue.worthWritingLocked() {
		c.mu.Unlock()
		runtime.Gosched() // lets every caller that can run join the batch, and others run between chunks
		c.mu.Lock()
	}
	c.queue.endBatchLocked()
	stays := own != nil && own.unfinishedLocked() // until its own message is out
	if round >= maxCallerBatches && !stays && c.queue.anyLocked() {
		c.startWriterLocked(callerWriter)
	} else {
		more = c.fillBatchLocked(callerWriter)
	}
	c.mu.Unlock()
	return more
}

// fillBatchLocked makes the next batch for who has the role. Where there is none, it gives
// the role up.
func (c *Conn) fillBatchLocked(who writerRole) bool {
	more := c.queue.nextBatchLocked(who, !c.direct)
	if more {
		c.calls.markWrittenLocked()
	}
	return more
}

// writeAsConn is the writer role, held by a goroutine of the connection. It
// begins with what a stopped caller left of its batch.
func (c *Conn) writeAsConn() {
	for {
		start, ok := c.nextConnBatch()
		if !ok {
			return
		}
		before := c.queue.unwritten()
		var err error
		if c.direct {
			err = c.queue.writeTo(c.nc)
		} else {
			err = c.queue.writeSome(c.nc)
		}
		if err == nil {
			continue
		}
		// A deadline in the past may be left on a socket; and what is no socket may
		// write nothing more, at once.
		if netconn.IsTimeout(err) && c.queue.unwritten() == before && (!c.direct || time.Since(start) >= c.limits.WriteStall) {
			err = ErrStalled
		}
		if !c.continueWriting(err) {
			return
		}
	}
}

// nextConnBatch prepares a batch, or goes on with what is left of one, and
// begins to time it. With the lock: withdraw, which wants its chunk back, sets a
// deadline of its own after it has told so.
func (c *Conn) nextConnBatch() (start time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue.unwritten() > 0 {
		c.queue.copyStoppedLocked()
	} else {
		c.queue.endBatchLocked()
		c.nc.SetWriteDeadline(time.Time{}) // before the role is free
		if !c.fillBatchLocked(connWriter) {
			return start, false
		}
	}
	start = time.Now()
	c.nc.SetWriteDeadline(start.Add(c.limits.WriteStall))
	return start, true
}

// continueWriting looks at why a write ended before its batch did. It reports
// whether the writing goes on; if not, the connection ends, and nobody
// becomes the writer again.
func (c *Conn) continueWriting(err error) bool {
	goesOn := netconn.IsTimeout(err)
	if goesOn {
		c.nc.SetWriteDeadline(time.Time{})
	} else {
		c.failWrite(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.copyStoppedLocked()
	if !goesOn {
		c.queue.releaseBatchLocked()
	}
	return goesOn
}

// takeBack takes back k's chunked message, that nobody waits for. Pieces not begun are
// dropped; one that is being written is stopped, and its rest copied. When
// withdraw returns, the message's memory is its caller's again.
func (c *Conn) takeBack(k *Call) {
	c.mu.Lock()
	if k.chunked.begunLocked() && k.chunked.unfinishedLocked() && c.err == nil {
		c.cancelLocked(k.id) // the peer refused it while it was on its way
		defer c.flushAsync()
	}
	released := c.queue.takeBackLocked(k.chunked)
	c.mu.Unlock()
	if released != nil {
		c.nc.SetWriteDeadline(netconn.LongAgo)
		<-released
	}
}
