package bsrpc

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

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
	handlers atomic.Int64 // those that run, by beginHandler
	booked   atomic.Int64 // bytes of messages in pieces
	panics   atomic.Uint64
	reports  reports
}

// serving is what a connection keeps to serve calls. The turn's holder alone
// touches what no lock or atomic guards.
type serving struct {
	*dispatcher
	bound    []*servedMethod          // by number
	numbers  map[*servedMethod]uint16 // the way back
	lastID   uint64
	refusals int
	session  *Session
	gate     *gate // of MaxConcurrentCalls; nil for none
	inflight atomic.Int64
	gone     atomic.Bool   // the connection has ended: nothing more comes
	idle     chan struct{} // then closed when nothing runs any more
	idleOnce sync.Once
	closing  atomic.Pointer[Error] // why no new calls are taken
	inline   *invocation           // what the leader runs itself; of who ends a handler's turn
	counted  bool                  // the leader is one of the handlers; likewise

	told  reporter // what this connection has logged
	binds int      // that it has asked for

	mu      sync.Mutex             // guards running
	running map[uint64]*invocation // what runs elsewhere, by the call's id
}

// newServing returns what a connection of the server keeps, for its session.
func (s *Server) newServing(v *Session) *serving {
	served := &serving{dispatcher: &s.dispatcher, session: v, idle: make(chan struct{})}
	if n := s.bounds.maxConcurrentCalls; n < math.MaxInt {
		served.gate = newTurns(n)
	}
	return served
}

// reject refuses a call that has been accepted.
func (c *conn) reject(inv *invocation, err *Error) {
	inv.refusal = err
	c.answer(inv, err)
}

// serveRequest runs a request: here, if that promises to be quick, else on a
// goroutine of its own. ok is false when the leader has been deposed meanwhile.
func (c *conn) serveRequest(m *message, s *stamp) (ok bool, err error) {
	v := c.served
	if v == nil {
		return true, fmt.Errorf("unexpected %v", m.Type)
	}
	c.awaitRoom()
	if m.Flags&wire.Chunked == 0 {
		if ok, err := c.accept(&m.Frame); !ok {
			return true, err
		}
	}
	called := v.bound[m.Arg]
	inv := newInvocation(called, m.ID, v.session.receiver(called))
	gates := v.gates(called)
	if called.TakesContext() || gates != nil {
		inv.setContext(&callContext{Context: c.ctx, deadline: c.deadline(m.Timeout)})
		if len(m.Meta) > 0 {
			inv.call.within, _ = wire.ReadMetadata(m.Meta) // it has been judged
		}
	}
	if gates != nil {
		v.uncount() // it may run at once, and counts for itself
		c.serveGated(inv, m, gates)
		return true, nil
	}
	if !v.count() {
		c.reject(inv, v.busy())
		inv.free()
		return true, nil
	}
	if len(m.body) >= apartSize || called.Sig.Args.UserCode() || called.isSlow() {
		v.counted, inv.counts = false, true // what has been counted is inv from here on
		c.serveApart(inv, m)
		return true, nil
	}
	if err := c.readArgs(inv, m); err != nil {
		v.uncount() // it may wait for room
		c.reject(inv, err)
		inv.free()
		return true, nil
	}
	return c.serveHere(inv, s), nil
}

// deadline turns the time left on the wire into a moment.
func (c *conn) deadline(us uint64) time.Time {
	if us == 0 || us >= uint64((24*time.Hour)/time.Microsecond) {
		return time.Time{}
	}
	return c.in.lastRead().Add(time.Duration(us) * time.Microsecond)
}

// isSlow says whether a request of m is to run on a goroutine of its own, and
// counts it.
func (m *servedMethod) isSlow() bool { return m.slow.Load() > 0 && m.slow.Add(-1) >= 0 }

// serveHere runs inv on the leader. A handler that has not returned by the
// second tick costs this goroutine the leadership.
func (c *conn) serveHere(inv *invocation, s *stamp) bool {
	c.served.inline = inv
	*s = c.turn.must(*s, handler)
	if c.hasEnded() { // fail may have looked at the turn before it was a handler's, and would not depose this one
		c.landed()
		return c.leaveHandler(inv, s)
	}
	c.tick.arm()
	returned := false
	defer func() {
		if !returned { // runtime.Goexit: lead goes on elsewhere
			c.leaveHandler(inv, s)
		}
	}()
	c.run(inv)
	returned = true
	full := inv.full
	ok := c.leaveHandler(inv, s)
	if ok && full {
		c.flush(nil)
	}
	return ok
}

// leaveHandler makes the goroutine that ran inv the leader again. It reports
// false if the tick has made another.
func (c *conn) leaveHandler(inv *invocation, s *stamp) bool {
	next, ok := c.turn.pass(*s, leader)
	if ok {
		*s = next
		inv.free()
		return true
	}
	*s = deposed
	c.finishApart(inv)
	return false
}

// depose ends the leader's tenure s while it runs a handler, and makes another
// goroutine the leader. On a connection that has ended there is none: nobody
// waits for the handler.
func (c *conn) depose(s stamp) {
	v := c.served
	v.mu.Lock()
	defer v.mu.Unlock()
	next, ok := c.turn.pass(s, leader)
	if !ok {
		return
	}
	inv := v.inline
	v.enterLocked(inv)
	c.mu.Lock()
	if !inv.answered { // else the next leader is what has been counted
		v.counted, inv.counts = false, v.counted
	}
	c.mu.Unlock()
	if !inv.waits.Load() {
		inv.method.slow.Store(apartAgain)
	}
	if c.hasEnded() {
		v.uncount()
		c.running.Done()
		return
	}
	go c.lead(next)
}

// serveApart runs inv, which has been counted, on a goroutine of its own. What
// travels whole is decoded here, from the buffer that it has been read into, unless
// that is user code.
func (c *conn) serveApart(inv *invocation, m *message) {
	c.served.enterRunning(inv)
	run := c.run
	if m.own || inv.method.Sig.Args.UserCode() {
		kept := m.keep()
		run = func(inv *invocation) { c.runApart(inv, &kept) }
	} else if err := c.readArgs(inv, m); err != nil {
		c.reject(inv, err)
		c.finishApart(inv)
		return
	}
	go func() {
		defer c.finishApart(inv)
		run(inv)
	}()
}

// beginHandler counts a handler, or reports false: Limits.MaxHandlers run.
func (d *dispatcher) beginHandler() bool {
	if d.handlers.Add(1) <= int64(d.bounds.maxHandlers) {
		return true
	}
	d.endHandler()
	return false
}

// endHandler ends what beginHandler began.
func (d *dispatcher) endHandler() { d.handlers.Add(-1) }

// count counts the leader as a handler, unless it is one. It stays one until it
// waits for bytes, as counting each call would have all processors write one word.
// It reports false if there are too many.
func (v *serving) count() bool {
	v.counted = v.counted || v.beginHandler()
	return v.counted
}

// uncount ends what count began.
func (v *serving) uncount() {
	if v.counted {
		v.counted = false
		v.endHandler()
	}
}

// discount counts out an invocation that counts for itself: as its answer is
// queued, before its caller can call again.
func (v *serving) discount(inv *invocation) {
	if inv.counts {
		inv.counts = false
		v.endHandler()
	}
}

func (d *dispatcher) busy() *Error {
	return refusalf(CodeResourceExhausted, "the server is busy: it runs Limits.MaxHandlers (%d) handlers", d.bounds.maxHandlers)
}

func (c *conn) runApart(inv *invocation, m *message) {
	defer c.recoverPanic(inv) // user code may decode
	if err := c.readArgs(inv, m); err != nil {
		c.reject(inv, err)
		return
	}
	c.run(inv)
}

// finishApart ends what the leader does not run, or has run no longer as the
// leader.
func (c *conn) finishApart(inv *invocation) {
	c.served.leaveRunning(inv)
	c.served.discount(inv) // the connection may have ended before it could answer
	inv.free()
	c.flush(nil)
}

func (v *serving) enterRunning(inv *invocation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.enterLocked(inv)
}

func (v *serving) enterLocked(inv *invocation) {
	if v.running == nil {
		v.running = make(map[uint64]*invocation)
	}
	v.running[inv.id] = inv
}

func (v *serving) leaveRunning(inv *invocation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.running, inv.id)
}

// readArgs decodes the arguments.
func (c *conn) readArgs(inv *invocation, m *message) *Error {
	c.bounds.decode(&inv.Dec, m.body, m.own)
	if err := inv.ReadArgs(); err != nil {
		return refusalf(CodeInvalidArgument, "%s, %v", inv.method.Name, err)
	}
	return nil
}

// run calls the handler and answers. A panic, or runtime.Goexit, is an answer
// too.
func (c *conn) run(inv *invocation) {
	defer c.recoverPanic(inv)
	c.answer(inv, inv.invoke())
}

// serveCancel ends a call whose caller has gone, wherever it is: still
// arriving, running, or answered with pieces that have not been sent.
func (c *conn) serveCancel(m *message) error {
	v := c.served
	if v == nil {
		return fmt.Errorf("unexpected %v", m.Type)
	}
	if begun, wanted := c.in.cancelRequest(m.ID); begun {
		if wanted {
			c.refuse(m.ID, contextError(context.Canceled, OutcomeNotRun))
			c.landed()
		}
		return nil
	}
	v.cancelRunning(m.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.dropResponseLocked(m.ID) {
		c.out.controlLocked(errorFrame(m.ID, 0, CodeCanceled, wire.Failure{Message: prefix + context.Canceled.Error()}))
	}
	return nil
}

func (v *serving) cancelRunning(id uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if inv := v.running[id]; inv != nil {
		inv.canceled.Store(true)
		if inv.call != nil {
			inv.call.end(inv.call.whyCanceled())
		}
	}
}

// drain lets the connection end when its last call has been answered.
func (c *conn) drain() {
	c.served.drain()
	if c.served.inflight.Load() == 0 {
		c.farewellDrained()
	}
}

// landed counts out a request that was in flight. It reports whether it was
// the last.
func (v *serving) landed(n int64) (last bool) {
	if v.inflight.Add(-n) > 0 {
		return false
	}
	if v.gone.Load() {
		v.idleOnce.Do(func() { close(v.idle) })
	}
	return true
}

// stuckLog is how often the log says that a session cannot leave.
const stuckLog = 10 * time.Second

// awaitHandlers gives back what the connection, which has ended, has booked,
// and waits until none of its handlers runs.
func (c *conn) awaitHandlers() {
	c.served.unbook(c.booked)
	c.served.awaitHandlers(c.in.unfinished())
}

func (c *conn) logRunning(text string) { c.served.logRunning(text) }

// awaitHandlers waits, on a connection that has ended, until no handler runs.
// unfinished is how many requests will never be complete.
func (v *serving) awaitHandlers(unfinished int) {
	v.gone.Store(true)
	v.landed(int64(unfinished))
	for {
		select {
		case <-v.idle:
			return
		case <-time.After(stuckLog):
			v.logRunning("bsrpc: a handler runs on after its connection has ended")
		}
	}
}

// logRunning names the handlers that run.
func (v *serving) logRunning(text string) {
	var names []string
	v.mu.Lock()
	for _, inv := range v.running {
		names = append(names, inv.method.Name)
	}
	v.mu.Unlock()
	for _, name := range names {
		v.reports.add(reportRunning, slog.LevelWarn, text, "session", v.session.id, "method", name)
	}
}

// report logs the first of what this connection's peer can bring about again and
// again.
func (v *serving) report(k report, level slog.Level, text string, args ...any) {
	v.told.add(&v.reports, k, level, text, args...)
}
