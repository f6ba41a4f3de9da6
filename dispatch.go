package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/wire"
)

const (
	apartSize   = 8 << 10  // requests of this many bytes run on a goroutine of their own
	apartAgain  = 1000     // requests of a method run so after one of them was slow
	maxRefusals = 1000     // of calls above MaxInflight, until the connection is closed
	cutSize     = 32 << 10 // memory of this many bytes is sent from where it lies
)

// A dispatcher is what the connections of a server share to serve calls.
type dispatcher struct {
	registry *registry
	bounds   *bounds
	log      *slog.Logger
	handlers atomic.Int64 // handlers on goroutines of their own
	booked   atomic.Int64 // bytes of messages in pieces
	panics   atomic.Uint64
}

// serving is what a connection keeps to serve calls. The turn's holder alone
// touches what no lock or atomic guards.
type serving struct {
	*dispatcher
	bound    []*method          // by number
	numbers  map[*method]uint16 // the way back
	lastID   uint64
	refusals int
	inflight atomic.Int64
	draining atomic.Bool
	inline   atomic.Pointer[frame] // what the leader runs itself, while the turn is a handler's

	mu      sync.Mutex        // guards running
	running map[uint64]*frame // what runs elsewhere, by the call's id
}

// admit is asked by the inbox whether the message that f begins is wanted.
func (c *conn) admit(f *wire.Frame) (bool, error) {
	if f.Type == wire.Response {
		return c.admitResponse(f)
	}
	if c.served == nil {
		return false, fmt.Errorf("unexpected %v", f.Type)
	}
	if ok, err := c.accept(f); !ok {
		return false, err
	}
	if err := c.reserve(f.Total); err != nil {
		c.refuse(f.ID, err)
		c.landed()
		return false, nil
	}
	return true, nil
}

func (c *conn) admitResponse(f *wire.Frame) (bool, error) {
	c.mu.Lock()
	k, unused := c.calls.findLocked(f.ID)
	wanted := k != nil && !k.abandoned
	unused = unused && c.err == nil // at the end the table is emptied
	c.mu.Unlock()
	switch {
	case unused:
		return false, fmt.Errorf("%v for call %d, which was never made", f.Type, f.ID)
	case !wanted:
		return false, nil
	case f.Total > uint64(c.bounds.maxMessage):
		c.giveUp(k, errorf(CodeResourceExhausted, OutcomeUnknown, "answer of %d bytes, this end's MaxMessage is %d", f.Total, c.bounds.maxMessage))
		return false, nil
	}
	if err := c.reserve(f.Total); err != nil {
		err.Outcome = OutcomeUnknown
		c.giveUp(k, err)
		return false, nil
	}
	return true, nil
}

// giveUp ends a call of this end before its answer is there.
func (c *conn) giveUp(k *call, err *Error) {
	c.mu.Lock()
	open := c.err == nil && c.calls.slots[k.slot] == k && !k.abandoned
	if open {
		// The caller's goroutine is done with k now; a stand-in keeps the slot.
		c.calls.slots[k.slot] = &call{id: k.id, slot: k.slot, abandoned: true}
		c.cancelLocked(k.id)
	}
	c.mu.Unlock()
	if open {
		c.flushBehind()
		k.err = err
		k.finish()
	}
}

// reserve books what a message in pieces may come to hold, or says why it
// cannot be booked.
func (c *conn) reserve(size uint64) *Error {
	if b := c.bounds; uint64(c.booked)+size > uint64(b.connBytes) {
		return refusalf(CodeResourceExhausted, "the messages under way on the connection are above Limits.ConnBytes (%d)", b.connBytes)
	}
	c.booked += int64(size)
	if c.served == nil {
		return nil
	}
	// Booked before looking, as other connections do the same.
	if b := c.bounds; c.served.booked.Add(int64(size)) > b.serverBytes {
		c.release(size)
		return refusalf(CodeResourceExhausted, "the messages under way at the server are above Limits.ServerBytes (%d)", b.serverBytes)
	}
	return nil
}

// release gives back what has been reserved.
func (c *conn) release(size uint64) {
	c.booked -= int64(size)
	if c.served != nil {
		c.served.booked.Add(-int64(size))
	}
}

// accept judges a request by its head. An accepted one is in flight from here
// on; one that is not has been answered.
func (c *conn) accept(f *wire.Frame) (bool, error) {
	v := c.served
	if err := v.rises(f); err != nil {
		return false, err
	}
	if err := wire.ReadFields(f.Meta, noMetadata); err != nil {
		c.refuse(f.ID, refusalf(CodeUnimplemented, "metadata: %v", err))
		return false, nil
	}
	// Counted before looking at draining, as shutdown does the reverse: either
	// this call is refused, or shutdown waits for it.
	refusal, err := c.judge(f, v.inflight.Add(1))
	if refusal == nil {
		return true, nil
	}
	if err == nil {
		c.refuse(f.ID, refusal)
	}
	c.landed()
	return false, err
}

// landed counts out a request that was in flight and is not run. The last one
// ends a connection that drains.
func (c *conn) landed() {
	if c.served.inflight.Add(-1) == 0 && c.served.draining.Load() {
		c.farewellDrained()
	}
}

func (c *conn) judge(f *wire.Frame, inflight int64) (*Error, error) {
	v := c.served
	switch {
	case v.draining.Load():
		return refusalf(CodeUnavailable, "the server is shutting down"), nil
	case int(f.Arg) >= len(v.bound):
		return refusalf(CodeUnimplemented, "no method is bound to the number %d on this connection", f.Arg), nil
	case f.Total > uint64(v.bounds.maxMessage):
		return refusalf(CodeResourceExhausted, "message of %d bytes, MaxMessage is %d", f.Total, v.bounds.maxMessage), nil
	case inflight > int64(v.bounds.maxInflight):
		refusal := refusalf(CodeResourceExhausted, "%d calls are open on the connection, MaxInflight is that", v.bounds.maxInflight)
		if v.refusals++; v.refusals > maxRefusals {
			return refusal, fmt.Errorf("%d calls above MaxInflight (%d)", v.refusals, v.bounds.maxInflight)
		}
		return refusal, nil
	}
	return nil, nil
}

func refusalf(code Code, format string, args ...any) *Error {
	return errorf(code, OutcomeNotRun, format, args...)
}

// rises holds a request's id against the last.
func (v *serving) rises(f *wire.Frame) error {
	if f.ID <= v.lastID {
		return fmt.Errorf("%v %d after %d: ids must rise", f.Type, f.ID, v.lastID)
	}
	v.lastID = f.ID
	return nil
}

func noMetadata(wire.FieldType, []byte) (bool, error) { return false, nil }

// refuse answers a call that is not run.
func (c *conn) refuse(id uint64, err *Error) {
	frame := errorFrame(id, wire.NotRun, err.Code, wire.Failure{Message: cut(err.Message, c.bounds.maxErrorText)})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitForRoomLocked()
	c.out.frames = append(c.out.frames, frame...)
}

// reject refuses a call that has been accepted.
func (c *conn) reject(f *frame, err *Error) {
	f.refusal = err
	c.answer(f, err)
}

// serveRequest runs a request: here, if that promises to be quick, else on a
// goroutine of its own. ok is false when the leader has been deposed meanwhile.
func (c *conn) serveRequest(m *message, s *stamp) (ok bool, err error) {
	if c.served == nil {
		return true, fmt.Errorf("unexpected %v", m.Type)
	}
	if m.Flags&wire.Pieces == 0 {
		if ok, err := c.accept(&m.Frame); !ok {
			return true, err
		}
	}
	method := c.served.bound[m.Arg]
	f := method.sig.newFrame()
	f.id, f.method = m.ID, method
	if method.ctx {
		f.call = &callContext{Context: c.ctx, deadline: c.deadline(m.Timeout)}
		f.ctx = f.call
	}
	if len(m.body) >= apartSize || method.sig.args.UserCode() || method.isSlow() {
		c.serveApart(f, m)
		return true, nil
	}
	if err := c.readArgs(f, m); err != nil {
		c.reject(f, err)
		f.free()
		return true, nil
	}
	return c.serveHere(f, s), nil
}

// deadline turns the time left on the wire into a moment.
func (c *conn) deadline(us uint64) time.Time {
	if us == 0 || us >= uint64((24*time.Hour)/time.Microsecond) {
		return time.Time{}
	}
	return c.in.at.Add(time.Duration(us) * time.Microsecond)
}

// isSlow says whether a request of m is to run on a goroutine of its own, and
// counts it.
func (m *method) isSlow() bool { return m.slow.Load() > 0 && m.slow.Add(-1) >= 0 }

// serveHere runs f on the leader. A handler that has not returned by the
// second tick costs this goroutine the leadership.
func (c *conn) serveHere(f *frame, s *stamp) bool {
	c.served.inline.Store(f)
	*s = c.turn.must(*s, handler)
	if !c.hasEnded() { // else fail may have looked at the turn before it was a handler's, and would not depose this one
		c.tick.arm()
		c.run(f)
	}
	next, ok := c.turn.pass(*s, leader)
	if ok {
		*s = next
		f.free()
		return true
	}
	*s = deposed
	c.served.leaveRunning(f)
	f.free()
	c.flush(nil)
	return false
}

// depose ends the leader's tenure s while it runs a handler, and makes another
// goroutine the leader. On a connection that has ended there is none: nobody
// waits for the handler.
func (c *conn) depose(s stamp) {
	v := c.served
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.inline.Load()
	next, ok := c.turn.pass(s, leader)
	if !ok {
		return
	}
	v.enterLocked(f)
	f.method.slow.Store(apartAgain)
	if c.hasEnded() {
		c.running.Done()
		return
	}
	go c.lead(next)
}

// serveApart runs f on a goroutine of its own, which also decodes.
func (c *conn) serveApart(f *frame, m *message) {
	v := c.served
	if v.handlers.Add(1) > int64(v.bounds.maxHandlers) {
		v.handlers.Add(-1)
		c.reject(f, refusalf(CodeResourceExhausted, "the server is busy: it runs Limits.MaxHandlers (%d) handlers", v.bounds.maxHandlers))
		f.free()
		return
	}
	v.mu.Lock()
	v.enterLocked(f)
	v.mu.Unlock()
	if !m.own {
		m.body = slices.Clone(m.body)
		m.own = true
	}
	message := *m
	go func() {
		defer c.finishApart(f)
		c.runApart(f, &message)
	}()
}

func (c *conn) runApart(f *frame, m *message) {
	defer c.recoverPanic(f) // user code may decode
	if err := c.readArgs(f, m); err != nil {
		c.reject(f, err)
		return
	}
	c.run(f)
}

func (c *conn) finishApart(f *frame) {
	c.served.leaveRunning(f)
	c.flush(nil)
	c.served.handlers.Add(-1)
	f.free()
}

func (v *serving) enterLocked(f *frame) {
	if v.running == nil {
		v.running = make(map[uint64]*frame)
	}
	v.running[f.id] = f
}

func (v *serving) leaveRunning(f *frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.running, f.id)
}

// readArgs decodes the arguments.
func (c *conn) readArgs(f *frame, m *message) *Error {
	f.dec = codec.Decoder{Data: m.body, Own: m.own, Budget: c.bounds.decodeBudget, Depth: c.bounds.maxDepth, BudgetName: "Limits.DecodeBudget"}
	if err := f.sig.args.Read(&f.dec, f.argsRef); err != nil {
		return refusalf(CodeInvalidArgument, "%s, %v", f.method.Name, err)
	}
	return nil
}

// run calls the handler and answers. A panic, or runtime.Goexit, is an answer
// too.
func (c *conn) run(f *frame) {
	defer c.recoverPanic(f)
	err := f.method.invoke(f)
	if err == nil {
		err = c.encodeResults(f)
	}
	c.answer(f, err)
}

// encodeResults puts the results into the frame's encoder.
func (c *conn) encodeResults(f *frame) error {
	f.enc.Max = int(min(c.peer.maxMessage, 1<<30))
	f.enc.Cut, f.enc.Depth = cutSize, c.bounds.maxDepth
	if err := f.sig.rets.Append(&f.enc, f.retsRef); err != nil {
		c.log.Error("bsrpc: result cannot be sent", "method", f.method.Name, "err", err)
		return errorf(CodeInternal, OutcomeAnswered, "%s, %v", f.method.Name, err)
	}
	return nil
}

// recoverPanic, deferred around a handler, answers for one that did not
// return.
func (c *conn) recoverPanic(f *frame) {
	if f.answered {
		return
	}
	r := recover()
	id := fmt.Sprintf("%016x", rand.Uint64())
	c.served.panics.Add(1)
	if r == nil {
		c.log.Error("bsrpc: handler ended its goroutine", "method", f.method.Name, "id", id)
		c.served.leaveRunning(f)
	} else {
		c.log.Error("bsrpc: handler panicked", "method", f.method.Name, "id", id, "panic", r, "stack", string(debug.Stack()))
	}
	c.answer(f, &panicError{id})
}

// A panicError stands for a panic on its way to the caller.
type panicError struct{ id string }

func (e *panicError) Error() string { return "panic in the handler" }

// answer sends the one answer to f's call: the encoded results, or err. The
// call ends being in flight as its answer is queued, neither before nor after.
func (c *conn) answer(f *frame, err error) {
	f.answered = true
	if f.call != nil {
		f.call.end(context.Canceled)
	}
	if err == nil && f.canceled.Load() {
		err = context.Canceled
	}
	var failure []byte
	if err != nil {
		failure = c.failureOf(f, err)
	}
	c.mu.Lock()
	c.waitForRoomLocked()
	left := c.served.inflight.Add(-1)
	if err != nil {
		c.out.frames = append(c.out.frames, failure...)
	} else {
		c.queueResultsLocked(f)
	}
	c.mu.Unlock()
	if left == 0 && c.served.draining.Load() {
		c.farewellDrained()
	}
}

func (c *conn) queueResultsLocked(f *frame) {
	head := wire.Frame{Type: wire.Response, ID: f.id}
	size := bodySize(&f.enc)
	if size > wire.MaxWhole {
		c.out.enqueueLocked(newParcel(head, segments(&f.enc), size))
		f.enc = codec.Encoder{} // its memory is the parcel's
		return
	}
	head.Body = int(size)
	c.out.frames = appendBody(wire.AppendHead(c.out.frames, &head), &f.enc)
}

// failureOf returns the ERROR frame that answers f.
func (c *conn) failureOf(f *frame, err error) []byte {
	var p *panicError
	if errors.As(err, &p) {
		return errorFrame(f.id, 0, CodeInternal, wire.Failure{Message: p.Error(), LogID: p.id})
	}
	code, failure := errorFrom(err, c.bounds.maxErrorText)
	var flags wire.Flags
	if f.refusal != nil {
		flags = wire.NotRun
	}
	return errorFrame(f.id, flags, code, failure)
}

func errorFrame(id uint64, flags wire.Flags, code Code, failure wire.Failure) []byte {
	body := failure.Append(nil)
	frame := wire.AppendHead(nil, &wire.Frame{Type: wire.Error, Flags: flags, Arg: uint16(code), ID: id, Body: len(body)})
	return append(frame, body...)
}

// serveCancel ends a call whose caller has gone, wherever it is: still
// arriving, running, or answered with pieces that have not been sent.
func (c *conn) serveCancel(m *message) error {
	v := c.served
	if v == nil {
		return fmt.Errorf("unexpected %v", m.Type)
	}
	if p := c.in.parcels[parcelKey{false, m.ID}]; p != nil {
		c.in.remove(p)
		if !p.unwanted {
			c.refuse(m.ID, contextError(context.Canceled, OutcomeNotRun))
			c.landed()
		}
		return nil
	}
	v.cancelRunning(m.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.dropResponseLocked(m.ID) {
		c.out.frames = append(c.out.frames, errorFrame(m.ID, 0, CodeCanceled, wire.Failure{Message: context.Canceled.Error()})...)
	}
	return nil
}

func (v *serving) cancelRunning(id uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := v.running[id]; f != nil {
		f.canceled.Store(true)
		if f.call != nil {
			f.call.end(context.Canceled)
		}
	}
}

// serveBind tells a client the numbers of methods, or what differs.
func (c *conn) serveBind(m *message) error {
	v := c.served
	if v == nil {
		return fmt.Errorf("unexpected %v", m.Type)
	}
	if err := v.rises(&m.Frame); err != nil {
		return err
	}
	r, err := wire.ReadBindRequest(m.body, m.Flags)
	if err != nil {
		return fmt.Errorf("BIND: %w", err)
	}
	answers := make([]wire.BoundMethod, len(r.Names))
	var size uint64 // a name may come many times, and a text is long
	for i, name := range r.Names {
		answers[i] = v.bind(v.registry.find(r.Service+"."+name), r, i)
		size += uint64(len(answers[i].Text))
	}
	if most := min(c.peer.maxMessage, uint64(c.bounds.maxMessage)); size > most {
		c.refuse(m.ID, refusalf(CodeResourceExhausted, "answer to BIND with texts of %d bytes, MaxMessage is %d; ask for fewer methods", size, most))
		return nil
	}
	body := wire.AppendBound(nil, answers)
	head := wire.Frame{Type: wire.Response, ID: m.ID}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitForRoomLocked()
	if len(body) > wire.MaxWhole {
		c.out.enqueueLocked(newParcel(head, [][]byte{body}, uint64(len(body))))
		return nil
	}
	head.Body = len(body)
	c.out.frames = append(wire.AppendHead(c.out.frames, &head), body...)
	return nil
}

// bind gives m a number on this connection, if the client means the same by it.
func (v *serving) bind(m *method, r *wire.BindRequest, i int) wire.BoundMethod {
	switch {
	case m == nil:
		return wire.BoundMethod{Status: wire.Unknown}
	case r.Hashes == nil:
		return wire.BoundMethod{Number: v.number(m), Text: m.Layout}
	case r.Hashes[i] != m.Hash:
		return wire.BoundMethod{Status: wire.Differs, Text: m.Layout}
	}
	return wire.BoundMethod{Number: v.number(m)}
}

func (v *serving) number(m *method) uint16 {
	n, ok := v.numbers[m]
	if !ok {
		if v.numbers == nil {
			v.numbers = make(map[*method]uint16)
		}
		n = uint16(len(v.bound))
		v.bound, v.numbers[m] = append(v.bound, m), n
	}
	return n
}

// drain lets the connection end when its last call has been answered.
func (c *conn) drain() {
	c.served.draining.Store(true)
	if c.served.inflight.Load() == 0 {
		c.farewellDrained()
	}
}

// logRunning names the handlers that a close does not wait for.
func (v *serving) logRunning() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.running {
		v.log.Warn("bsrpc: closing while a handler runs", "method", f.method.Name)
	}
}
