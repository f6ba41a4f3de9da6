package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// maxRefusals is how many calls above MaxInflight a peer may make on one connection.
const maxRefusals = 1000

// requests are the requests of the peer in flight. A request is either admitted, and
// passed to the handler, or refused: answered as not run.
type requests struct {
	c        *Conn
	inflight limits.Inflight
	booking  booking
	waiting  limits.Waiting

	// guarded by the read lease
	lastID   uint64 // of a request or BIND
	refusals int    // of calls above MaxInflight

	unread int // answers of sendAnswer that wait for room at a client; guarded by Conn.mu
}

func (r *requests) init(c *Conn) {
	r.c = c
	r.inflight.Init()
	r.booking.init(c.limits)
	r.waiting.Init(c.limits.Owner, c.cfg.Budget)
}

// acceptChunked accepts or refuses a chunked request, and books its size.
func (r *requests) acceptChunked(p *reassembly) (bool, error) {
	f := &p.head
	if ok, err := r.accept(f); !ok {
		return false, err
	}
	if err := r.c.reader.book(p); err != nil {
		r.refuse(f, err)
		return false, nil
	}
	return true, nil
}

// accept accepts or refuses a request by its header. An accepted request is in flight
// from here on; a refused one has been answered.
func (r *requests) accept(f *wire.Frame) (bool, error) {
	refusal, err := r.c.cfg.Handler.Admit(f)
	if err == nil {
		err = r.checkID(f)
	}
	if err != nil {
		return false, err
	}
	// Requests whose result streams remain count no more for MaxInflight. They are taken off first: one
	// that ends between the two looks then makes room for a moment, and never refuses a request that
	// fits.
	n := -r.c.streams.answered.Load()
	// Counted before closing is checked, and shutdown does the reverse: either this
	// request is refused, or shutdown waits for it.
	n += r.inflight.Begin()
	if why := r.inflight.Refuses(refusal == nil && f.Flags&wire.Callback != 0); why != nil {
		refusal = why
	} else if refusal == nil {
		refusal, err = r.checkLimits(f, n)
	}
	switch {
	case refusal == nil:
		return true, nil
	case err == nil:
		r.refuse(f, refusal)
	default:
		r.done()
	}
	return false, err
}

// checkLimits refuses a request above MaxMessage or MaxInflight; inflight is without streams that
// remain. After maxRefusals of the latter the next one is a protocol violation.
func (r *requests) checkLimits(f *wire.Frame, inflight int64) (*fault.Fault, error) {
	l := r.c.limits
	switch {
	case f.Total > uint64(l.MaxMessage):
		return fault.Refusal(fault.ResourceExhausted, "message of %d bytes, %s MaxMessage is %d", f.Total, l.Owner, l.MaxMessage), nil
	case inflight > int64(l.MaxInflight):
		refusal := fault.Refusal(fault.ResourceExhausted, "too many open calls on this connection (%s MaxInflight is %d)", l.Owner, l.MaxInflight)
		if r.refusals++; r.refusals > maxRefusals {
			return refusal, fmt.Errorf("%d calls above MaxInflight (%d)", r.refusals, l.MaxInflight)
		}
		return refusal, nil
	}
	return nil, nil
}

// checkID checks that ids of requests and BINDs rise.
func (r *requests) checkID(f *wire.Frame) error {
	if f.ID <= r.lastID {
		return fmt.Errorf("%v %d after %d: ids must rise", f.Type, f.ID, r.lastID)
	}
	r.lastID = f.ID
	return nil
}

// refuse answers a request in flight, with the header f, as not run.
func (r *requests) refuse(f *wire.Frame, err *fault.Fault) {
	if r.c.cfg.OnRefused != nil {
		r.c.cfg.OnRefused(f, err)
	}
	r.c.Refuse(f.ID, err)
	r.done()
}

// done ends a request in flight. The last one closes a draining connection.
func (r *requests) done() {
	if r.inflight.Done(1) && r.inflight.Closing() != nil {
		r.c.closeDrained()
	}
}

// cancel cancels a request in any of its states: incomplete, running, or answered with
// unsent chunks.
func (r *requests) cancel(m *Message) error {
	c := r.c
	if err := c.cfg.Handler.Cancel(m.ID); err != nil {
		return err
	}
	if head, accepted := c.reader.in.cancelRequest(m.ID); head != nil {
		if accepted {
			r.refuse(head, fault.FromContext(context.Canceled, fault.NotRun))
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writer.queue.dropReplyLocked(m.ID) {
		c.writer.queue.addEncodedLocked(errorFrame(m.ID, 0, fault.Canceled, wire.Failure{Message: fault.Prefix + context.Canceled.Error()}))
	}
	return nil
}

// serve passes a request to the handler, and runs it if the handler returns a job. ok
// is false if another leader has taken over meanwhile.
func (r *reader) serve(m *Message, e *epoch) (ok bool, err error) {
	c := r.c
	c.AwaitRoom()
	if m.Flags&wire.Chunked == 0 {
		if ok, err := c.requests.accept(&m.Frame); !ok {
			return true, err
		}
	}
	if j := c.cfg.Handler.Request(m); j != nil {
		return r.runInline(j, e), nil
	}
	r.turn.starts, r.handed = true, r.handed+1
	return true, nil
}

// runInline runs a job on the leader. If the job is still running at the second period
// of the watchdog, this goroutine is replaced as the leader.
func (r *reader) runInline(j Job, e *epoch) (ok bool) {
	c := r.c
	r.inline = j
	*e = r.lease.mustPass(*e, handling)
	full := false
	defer func() { // runs after runtime.Goexit too; lead continues on another goroutine
		if ok = r.endInline(j, e); ok && full {
			c.writer.flush(nil)
		}
	}()
	if c.end.hasEnded() { // Fail may have seen the lease before it was handling, and then does not replace this leader
		j.Refuse(c.Ended(fault.NotRun))
		return
	}
	c.watchdog.arm()
	full = j.Run()
	return
}

// endInline ends a job and makes its goroutine the leader again. It reports false if
// another leader has taken over.
func (r *reader) endInline(j Job, e *epoch) bool {
	next, ok := r.lease.pass(*e, leader)
	if ok {
		*e = next
		j.Free()
		return true
	}
	r.c.mu.Lock() // waits for replaceLeader, which detaches j under the lock
	*e = leaseLost
	r.c.mu.Unlock()
	j.Leave()
	return false
}

// CheckID returns an error, a protocol violation, if the id of a BIND does not follow
// the ids of earlier requests. Only methods of the Handler may call it.
func (c *Conn) CheckID(f *wire.Frame) error { return c.requests.checkID(f) }

// Refuse answers a request or BIND as not run. Only methods of the Handler may call it.
func (c *Conn) Refuse(id uint64, err *fault.Fault) {
	frame := errorFrame(id, wire.NotRun, err.Code, wire.Failure{Message: fault.Cut(err.Message, c.limits.MaxErrorText)})
	c.sendAnswer(0, func() { c.writer.queue.addEncodedLocked(frame) })
}

// sendAnswer calls add, with Conn.mu held, once there is room for size bytes; with size 0, for
// a short message. The reader of a client does not wait: up to MaxInflight answers wait on
// goroutines of their own, and another one ends the connection.
func (c *Conn) sendAnswer(size uint64, add func()) {
	c.AwaitRoom()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.requests
	switch {
	case c.cfg.Serves:
		c.writer.awaitRoomLocked(size)
	case !c.writer.queue.mustWaitLocked(size):
	case r.unread >= c.limits.MaxInflight:
		c.end.spawnLocked(func() {
			c.Fail(fault.Violation("requests while %s Limits.OutQueue of unread replies is full", c.limits.Owner))
		})
		return
	default:
		r.unread++
		c.end.spawnLocked(func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.writer.awaitRoomLocked(size)
			r.unread--
			add()
			c.startWriterLocked()
		})
		return
	}
	add()
	c.startWriterLocked()
}

// startWriterLocked makes sure that a frame queued by the reader of a client is written.
// The leader of a server flushes before it waits.
func (c *Conn) startWriterLocked() {
	if !c.cfg.Serves {
		c.writer.startIfNeededLocked()
	}
}

// RefuseAdmitted answers an admitted request in place of Handler.Request. Only that may call
// it.
func (c *Conn) RefuseAdmitted(f *wire.Frame, why *fault.Fault) { c.requests.refuse(f, why) }

func errorFrame(id uint64, flags wire.Flags, code fault.Code, failure wire.Failure) []byte {
	body := failure.Append(nil)
	frame := wire.AppendHeader(nil, &wire.Frame{Type: wire.Error, Flags: flags, Arg: uint16(code), ID: id, BodySize: len(body)})
	return append(frame, body...)
}

// An Answer is the reply to one request. It is encoded before its size is known. If the
// send queue has no room for it, the bytes are dropped, and the answer is encoded again
// when there is room. Reply calls the methods one at a time.
type Answer interface {
	// Encode encodes the answer and returns the header and the body of its frame. It
	// may be called again, and it may panic.
	Encode() (*wire.Frame, *wire.Body)

	// Refused reports whether the request was refused.
	Refused() bool

	// MayHang reports whether Encode calls user code.
	MayHang() bool

	// Await is called before the answer waits for room.
	Await()

	// Queued is called, with Conn.mu held, when the answer is queued, or dropped on a
	// connection that has ended. If retained is true, the memory of the body belongs to
	// the connection from now on.
	Queued(retained bool)
}

// Reply queues the one answer to a request, on any goroutine. The request stays in flight
// until exactly then. full reports whether the send queue is worth a write of its own. The
// leader flushes before it waits; any other goroutine calls Flush.
//
// If the session has been closed, the CLOSE frame answers all calls already running.
func (c *Conn) Reply(a Answer) (full bool) { return c.reply(a, nil) }

// ReplyBefore is Reply for a request whose results include a stream: if the answer is a
// RESPONSE, the stream s opens behind it, and the request stays in flight until the
// stream ends. Otherwise s is over.
func (c *Conn) ReplyBefore(a Answer, s *Sender) (full bool) { return c.reply(a, s) }

func (c *Conn) reply(a Answer, s *Sender) (full bool) {
	q := &c.writer.queue
	var head *wire.Frame
	var body *wire.Body
	ok := false
	size := uint64(wire.MaxUnchunked) // assumed until it is known
	if !q.isFull() && c.hasOwnReply(a) {
		head, body = a.Encode()
		size = body.Size()
		c.mu.Lock()
		if ok = c.end.why != nil || q.takesLocked(size); !ok {
			c.mu.Unlock()
		}
	}
	for !ok {
		head, body, ok = c.encodeReserved(a, &size)
	}
	// c.mu is held. The request ends in the same step as its answer is queued: a drained
	// connection closes only behind all answers.
	var chunked *chunkedMessage
	queued := c.end.why == nil && c.hasOwnReply(a)
	if queued {
		chunked = q.addMessageLocked(head, body, body.Size())
	}
	last := false
	if s == nil || !c.streams.beginLocked(s, queued && head.Type == wire.Response, chunked) {
		last = c.requests.inflight.Done(1)
	}
	a.Queued(chunked != nil)
	full = q.worthWritingLocked()
	c.mu.Unlock()
	if last && c.requests.inflight.Closing() != nil {
		c.closeDrained()
	}
	return full
}

// hasOwnReply reports whether the CLOSE frame of a closed session does not answer the
// request.
func (c *Conn) hasOwnReply(a Answer) bool {
	return c.requests.inflight.Closing() == nil || c.repliesWhileClosing(a)
}

// repliesWhileClosing is hasOwnReply, apart so that the usual case is inlined.
func (c *Conn) repliesWhileClosing(a Answer) bool {
	return c.requests.inflight.Dismissed() == nil || a.Refused()
}

// encodeReserved waits for a reservation of *size bytes and encodes the answer. If ok is
// true, the answer may be queued, and Conn.mu is held. Otherwise the answer was too long
// for its reservation or took too long, and *size is its size now.
func (c *Conn) encodeReserved(a Answer, size *uint64) (head *wire.Frame, body *wire.Body, ok bool) {
	a.Await()
	w := &c.writer
	r := w.awaitReservation(*size)
	if c.end.hasEnded() || !c.hasOwnReply(a) {
		w.cancelReservation(r)
		c.mu.Lock()
		return nil, nil, true
	}
	defer func() {
		if !ok {
			w.cancelReservation(r) // Encode may have panicked
		}
	}()
	if a.MayHang() {
		defer time.AfterFunc(reservationTime, func() { w.cancelReservation(r) }).Stop()
	}
	head, body = a.Encode()
	*size = body.Size()
	c.mu.Lock()
	w.queue.endReservationLocked(r)
	if ok = c.end.why != nil || !w.queue.fullLocked(*size); !ok {
		w.queue.grantLocked()
		c.mu.Unlock()
	}
	return head, body, ok
}

// AwaitRoom waits, on a connection with Serves, until the send queue has room for the
// reply to another request. The reader of a client does not wait: two ends waiting for
// each other to read would stand still. Only the lease holder may call it.
func (c *Conn) AwaitRoom() {
	if c.cfg.Serves && c.writer.queue.isFull() {
		c.cfg.Handler.Idle()
		c.reader.endTurn()
		c.WaitForRoom()
	}
}

// WaitForRoom waits until the send queue accepts a short message, or the connection
// ends.
func (c *Conn) WaitForRoom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.awaitRoomLocked(0)
}

// Respond queues a response without an Answer, the answer to a BIND, once there is room.
// Only methods of the Handler may call it.
func (c *Conn) Respond(head *wire.Frame, body *wire.Body) {
	size := body.Size()
	c.sendAnswer(size, func() { c.writer.queue.addMessageLocked(head, body, size) })
}
