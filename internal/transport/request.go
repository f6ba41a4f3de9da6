package transport

import (
	"context"
	"fmt"

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

	// guarded by the read lease
	booking  booking
	lastID   uint64 // of a request or BIND
	refusals int    // of calls above MaxInflight
}

func (r *requests) init(c *Conn) {
	r.c = c
	r.inflight.Init()
	r.booking = booking{limit: c.limits.ConnBytes, budget: c.cfg.Budget}
}

// acceptChunked accepts or refuses a chunked request, and books its size.
func (r *requests) acceptChunked(f *wire.Frame) (bool, error) {
	if ok, err := r.accept(f); !ok {
		return false, err
	}
	if err := r.booking.book(f.Total); err != nil {
		r.refuse(f.ID, err)
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
	// Counted before closing is checked, and shutdown does the reverse: either this
	// request is refused, or shutdown waits for it.
	n := r.inflight.Begin()
	if why := r.inflight.Closing(); why != nil {
		refusal = why
	} else if refusal == nil {
		refusal, err = r.checkLimits(f, n)
	}
	switch {
	case refusal == nil:
		return true, nil
	case err == nil:
		r.refuse(f.ID, refusal)
	default:
		r.done()
	}
	return false, err
}

// checkLimits refuses a request above MaxMessage or MaxInflight. After maxRefusals of
// the latter the next one is a protocol violation.
func (r *requests) checkLimits(f *wire.Frame, inflight int64) (*fault.Fault, error) {
	l := r.c.limits
	switch {
	case f.Total > uint64(l.MaxMessage):
		return fault.Refusal(fault.ResourceExhausted, "message of %d bytes, the server's MaxMessage is %d", f.Total, l.MaxMessage), nil
	case inflight > int64(l.MaxInflight):
		refusal := fault.Refusal(fault.ResourceExhausted, "too many open calls on this connection (the server's MaxInflight is %d)", l.MaxInflight)
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

// refuse answers a request in flight as not run.
func (r *requests) refuse(id uint64, err *fault.Fault) {
	r.c.Refuse(id, err)
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
	if begun, accepted := c.reader.in.cancelRequest(m.ID); begun {
		if accepted {
			r.refuse(m.ID, fault.FromContext(context.Canceled, fault.NotRun))
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
	c.AwaitRoom()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.queue.addEncodedLocked(frame)
}

// EndRequests releases the bookings of a connection that has ended. The channel receives
// once no request is in flight. It is called once, after Wait.
func (c *Conn) EndRequests() <-chan struct{} {
	c.requests.booking.releaseAll()
	return c.requests.inflight.End(c.reader.in.unfinishedRequests())
}

func errorFrame(id uint64, flags wire.Flags, code fault.Code, failure wire.Failure) []byte {
	body := failure.Append(nil)
	frame := wire.AppendHeader(nil, &wire.Frame{Type: wire.Error, Flags: flags, Arg: uint16(code), ID: id, BodySize: len(body)})
	return append(frame, body...)
}

// A booking is the total size of the incomplete chunked messages from the peer. It is
// guarded by the read lease.
type booking struct {
	limit  int64 // Limits.ConnBytes
	budget *limits.Budget
	bytes  int64
}

// book books the size of a message, or returns why it cannot.
func (b *booking) book(size uint64) *fault.Fault {
	if uint64(b.bytes)+size > uint64(b.limit) {
		return fault.Refusal(fault.ResourceExhausted, "unfinished messages on this connection exceed Limits.ConnBytes (%d)", b.limit)
	}
	b.bytes += int64(size)
	err := b.budget.Book(int64(size))
	if err != nil {
		b.bytes -= int64(size)
	}
	return err
}

// release releases the size of a message.
func (b *booking) release(size uint64) {
	b.bytes -= int64(size)
	b.budget.Release(int64(size))
}

// releaseAll returns everything to the budget of the server. Later bookings would leak.
func (b *booking) releaseAll() { b.budget.Release(b.bytes) }

// maxRefused returns how many refused messages may be incomplete at a time: as many as a
// peer can have begun within ConnBytes and its open calls. Each refused call may be
// followed by another at once.
func maxRefused(l *limits.Conn, open int) int {
	begun := min(l.ConnBytes/wire.MaxUnchunked, int64(2*min(open, 1<<slotBits)))
	return max(maxRefusals, int(begun))
}
