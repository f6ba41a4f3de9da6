package transport

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/sockio"
	"github.com/bsrpc/bsrpc/internal/tlsconn"
)

// A writer writes the send queue of a connection, on the goroutine with the writer role.
//
// On a socket this is a caller, or the leader with its replies: a call needs no change
// of goroutine. It writes only a few batches for others and never waits: first it writes what
// the socket has room for. If it must wait for more, a deadline stops it after a watchdog
// period, and a goroutine of the connection takes over, which may wait. TLS over a socket is the same with a step more: the
// holder of the role encrypts a piece of the batch, and writes the ciphertext to the socket.
// On any other net.Conn a stopped write ends the connection, so the goroutine of the
// connection writes from the start.
type writer struct {
	c           *Conn
	socket      net.Conn       // Conn.nc, or what is below its TLS; it has the write deadlines
	direct      bool           // it is a socket: callers write to it
	sock        *sockio.Writer // writes to the socket without waiting; may be nil
	queue       sendQueue      // guarded by Conn.mu
	callerWrite callerWrite
}

// maxCallerBatches is how many batches a caller writes before it passes the role on.
const maxCallerBatches = 8

// worthWriting is how many bytes of frames are written without waiting for more, so that
// both ends work at the same time.
const worthWriting = 8 << 10

// ErrStalled is the cause of a connection whose peer accepts no bytes.
var ErrStalled = errors.New("the peer accepted no bytes")

func (w *writer) init(c *Conn) {
	w.c, w.socket = c, c.nc
	if t := tlsconn.Detach(c.nc, w.flushAsync); t != nil {
		w.socket, w.queue.batch.tls = t.NetConn(), t
	}
	w.direct = netconn.IsSocket(w.socket)
	w.sock = sockio.NewWriter(w.socket)
	w.queue.init(c.peer.ConnBytes, c.limits.OutQueue)
	w.queue.unread.Init(c.limits.Owner, c.cfg.Budget, c.Close)
}

// Flush makes sure the send queue is written, by this goroutine, by the writer at work, or
// by the leader at the end of its turn.
func (c *Conn) Flush() {
	if !c.reader.turn.flushes.Load() {
		c.writer.flush(nil)
	}
}

// flush makes sure the send queue is written, by this goroutine or by the writer at
// work. It writes all of own, the caller's own chunked message, if it is not nil.
func (w *writer) flush(own *chunkedMessage) {
	if !w.direct {
		w.flushAsync()
		return
	}
	w.c.mu.Lock()
	needed := w.neededLocked()
	if needed {
		w.queue.role.passLocked(noWriter, callerWriter)
	}
	w.c.mu.Unlock()
	if needed {
		w.writeAsCaller(own)
	}
}

// flushAsync is flush for goroutines that must not wait.
func (w *writer) flushAsync() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.startIfNeededLocked()
}

// startIfNeededLocked is flushAsync with Conn.mu held.
func (w *writer) startIfNeededLocked() {
	if w.neededLocked() {
		w.startLocked(noWriter)
	}
}

// neededLocked reports whether the queue has something to write and no writer.
func (w *writer) neededLocked() bool { return w.queue.needsWriterLocked() && w.c.end.why == nil }

// startLocked passes the role to a goroutine of the connection.
func (w *writer) startLocked(from writerRole) {
	w.queue.role.passLocked(from, connWriter)
	w.c.end.spawnLocked(w.writeAsConn)
}

// writeAsCaller writes the queue as a caller with the writer role.
func (w *writer) writeAsCaller(own *chunkedMessage) {
	for round := 0; w.nextCallerBatch(round, own); round++ {
		err := w.writeCallerBatch()
		if err == nil {
			continue
		}
		if w.continueAfter(err) {
			w.passToConn()
		}
		return
	}
}

// writeCallerBatch writes a batch, with TLS piece by piece.
func (w *writer) writeCallerBatch() error {
	b := &w.queue.batch
	for {
		if err := b.seal(); err != nil {
			return err
		}
		var err error
		if !b.tryWrite(w.sock) {
			w.callerWrite.begin()
			w.c.watchdog.arm() // each time: between two writes the watchdog has no reason to stay armed
			err = b.writeTo(w.socket)
			w.callerWrite.end()
		}
		if err != nil || b.tls == nil || b.unwritten() == 0 {
			return err
		}
	}
}

// passToConn passes the role, with an unfinished batch, to a goroutine of the
// connection. On a connection that has ended there is none, and the memory of the batch
// is free.
func (w *writer) passToConn() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.startLocked(callerWriter)
	if w.c.end.why != nil {
		w.queue.batch.releaseLocked()
	}
}

// nextCallerBatch prepares the next batch of a caller. It reports false if there is
// none: the role has been released or passed on.
func (w *writer) nextCallerBatch(round int, own *chunkedMessage) (more bool) {
	c := w.c
	if c.streams.anyDropped() {
		c.streams.closeDropped()
	}
	c.mu.Lock()
	if own != nil || (c.calls.open > 1 || w.queue.joinsLocked(&c.streams)) && !w.queue.worthWritingLocked() {
		c.mu.Unlock()
		runtime.Gosched() // other callers join the batch, or run between chunks
		c.mu.Lock()
	}
	w.queue.endBatchLocked()
	stays := own != nil && own.unfinishedLocked()
	if round >= maxCallerBatches && !stays && w.queue.anyLocked() {
		w.startLocked(callerWriter)
	} else {
		more = w.fillBatchLocked(callerWriter)
	}
	c.mu.Unlock()
	return more
}

// fillBatchLocked makes the next batch for the holder of the role. If the queue is
// empty, it releases the role and reports false. After the end of the connection it is: the callers
// of requests that were queued then know that these have not been written.
func (w *writer) fillBatchLocked(holder writerRole) bool {
	if w.c.end.why != nil {
		w.queue.discardLocked()
		w.queue.role.passLocked(holder, noWriter)
		return false
	}
	more := w.queue.nextBatchLocked(holder, !w.direct)
	if more {
		w.c.cfg.Lane.Send(w.queue.batch.unwritten())
		w.c.calls.markWrittenLocked()
	}
	return more
}

// writeAsConn writes the queue as a goroutine of the connection. It begins with the rest
// of the batch of a stopped caller.
func (w *writer) writeAsConn() {
	batch := &w.queue.batch
	for {
		start, ok := w.nextConnBatch()
		if !ok {
			return
		}
		err := batch.seal()
		before := batch.unwritten()
		switch {
		case err != nil:
		case w.direct && batch.tryWrite(w.sock):
		case w.direct:
			err = batch.writeTo(w.socket)
		default:
			err = batch.writeSome(w.c.nc)
		}
		if err == nil {
			continue
		}
		// A socket may still have a deadline in the past. On any other net.Conn a write
		// may accept nothing before its deadline.
		if netconn.IsTimeout(err) && batch.unwritten() == before && (!w.direct || time.Since(start) >= w.c.limits.WriteStall) {
			err = ErrStalled
		}
		if !w.continueAfter(err) {
			return
		}
	}
}

// nextConnBatch prepares the next batch, or continues the unfinished one, and starts its
// time. The deadline is set under the lock: takeBack marks a chunk under the lock and
// sets its own deadline afterwards.
func (w *writer) nextConnBatch() (start time.Time, ok bool) {
	c := w.c
	if c.streams.anyDropped() {
		c.streams.closeDropped()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.queue.joinsLocked(&c.streams) {
		c.mu.Unlock()
		runtime.Gosched() // items of other streams join the batch
		c.mu.Lock()
	}
	if w.queue.batch.unwritten() > 0 {
		w.queue.batch.copyStoppedLocked()
	} else {
		w.queue.endBatchLocked()
		w.socket.SetWriteDeadline(time.Time{}) // before the role is free
		if !w.fillBatchLocked(connWriter) {
			return start, false
		}
	}
	start = time.Now()
	w.socket.SetWriteDeadline(start.Add(c.limits.WriteStall))
	return start, true
}

// continueAfter acts on the error of an unfinished write. It reports whether writing
// continues. Otherwise the connection ends, and the role stays taken.
func (w *writer) continueAfter(err error) bool {
	continues := netconn.IsTimeout(err)
	if continues {
		w.socket.SetWriteDeadline(time.Time{})
	} else {
		w.fail(err)
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.queue.batch.copyStoppedLocked()
	if !continues {
		w.queue.batch.releaseLocked()
	}
	return continues
}

// takeBack withdraws the chunked request of a call. Chunks not begun are dropped. If one
// is being written, the write is stopped, and the rest of the chunk copied. When
// takeBack returns, the memory of the message belongs to its caller again.
func (w *writer) takeBack(call *Call) {
	c := w.c
	c.mu.Lock()
	if w.cancelRestLocked(call) {
		defer w.flushAsync()
	}
	released := w.queue.takeBackLocked(call.chunked)
	c.mu.Unlock()
	if released != nil {
		w.socket.SetWriteDeadline(netconn.LongAgo)
		<-released
	}
}

// drop is takeBack for a message with memory of its own.
func (w *writer) drop(call *Call) {
	w.c.mu.Lock()
	if w.cancelRestLocked(call) {
		defer w.flushAsync()
	}
	w.queue.dropLocked(call.chunked)
	w.c.mu.Unlock()
}

// cancelRestLocked tells the peer that the rest of a chunked request, which it refused
// halfway, will not come. It reports whether there is a rest.
func (w *writer) cancelRestLocked(call *Call) bool {
	rest := call.chunked.begunLocked() && call.chunked.unfinishedLocked() && w.c.end.why == nil
	if rest {
		w.c.calls.cancelLocked(call.id)
	}
	return rest
}

// isBusy reports whether something is queued or being written.
func (w *writer) isBusy() bool {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return w.queue.hasWriterLocked() || w.queue.anyLocked()
}

// fail ends the connection after a failed write. A peer that has closed it may have sent
// its reason, so the reader gets time to read it.
func (w *writer) fail(err error) {
	c := w.c
	if err == ErrStalled {
		c.Fail(fault.Lost("writing", fmt.Errorf("%w for %s Limits.WriteStall (%v)", err, c.limits.Owner, c.limits.WriteStall)))
		return
	}
	why := fault.Lost("writing", err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end.spawnLocked(func() {
		netconn.AwaitEnd(c.end.done)
		c.Fail(why)
	})
}

// A callerWrite numbers the system calls of callers, for the watchdog.
type callerWrite struct {
	n atomic.Uint64 // odd during a system call
}

func (w *callerWrite) begin() { w.n.Add(1) }
func (w *callerWrite) end()   { w.n.Add(1) }

// current returns the number of the system call in progress. It reports false if there
// is none.
func (w *callerWrite) current() (n uint64, ok bool) {
	n = w.n.Load()
	return n, n%2 == 1
}
