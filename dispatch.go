package bsrpc

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

const (
	apartSize  = 8 << 10 // requests of this many bytes run on a goroutine of their own
	apartAgain = 1000    // requests of a method run so after one of them was slow
)

// A dispatcher is what the connections of a server share to serve calls.
type dispatcher struct {
	registry *registry
	settings *settings
	handlers atomic.Int64 // those that run, by beginHandler
	budget   limits.Budget
	panics   atomic.Uint64
	log      *report.Log
}

// serving is what a connection keeps to serve calls. The turn's holder alone
// touches what no lock or atomic guards.
type serverConn struct {
	*dispatcher
	bound     []*servedMethod          // by number
	numbers   map[*servedMethod]uint16 // the way back
	conn      connection
	session   *Session
	why       atomic.Pointer[fault.Fault] // why the connection has ended
	ctx       context.Context             // parent of the handlers' contexts
	cancel    context.CancelCauseFunc
	semaphore *admission.Semaphore // of MaxConcurrentCalls; nil for none
	counted   bool                 // the leader is one of the handlers; of who ends a handler's turn

	told  report.Once // what this connection has logged
	binds int         // that it has asked for

	mu      sync.Mutex             // guards running
	running map[uint64]*invocation // what runs elsewhere, by the call's id
}

// newServerConn returns what a connection of the server keeps, for its session.
func (s *Server) newServerConn(v *Session) *serverConn {
	served := &serverConn{dispatcher: &s.dispatcher, session: v}
	served.ctx, served.cancel = context.WithCancelCause(context.WithValue(context.Background(), sessionKey{}, v))
	v.ctx = served.ctx
	if n := s.settings.maxConcurrentCalls; n < math.MaxInt {
		served.semaphore = admission.NewSemaphore(n)
	}
	return served
}

// A nativeConn is a native connection of a server: the handler of the requests
// that its conn brings.
type nativeConn struct {
	*transport.Conn
	served *serverConn
}

// Dismiss is connection.Dismiss.
func (c *nativeConn) Dismiss(why *fault.Fault) {
	c.Conn.Dismiss(why)
	c.served.cancel(errorOf(why))
}

// end notes why the connection has ended, and ends the contexts of its handlers.
func (v *serverConn) end(why *fault.Fault) {
	v.why.Store(why)
	v.cancel(errorOf(why))
}

// Admit is transport.Handler.Admit.
func (c *nativeConn) Admit(f *wire.Frame) (*fault.Fault, error) {
	if _, err := wire.ReadMetadata(f.Meta); err != nil {
		return fault.Refusal(fault.Unimplemented, "metadata: %v", err), nil
	}
	switch v := c.served; {
	case !v.session.admitted.Load():
		return notAdmitted(), nil
	case int(f.Arg) >= len(v.bound):
		return fault.Refusal(fault.Unimplemented, "no method is bound to the number %d on this connection", f.Arg), nil
	}
	return nil, nil
}

func notAdmitted() *fault.Fault {
	return fault.Refusal(fault.FailedPrecondition, "the session is not admitted yet; wait for ADMITTED")
}

// Request is transport.Handler.Request: it runs a request on a goroutine of its own, or
// returns it as a job where that promises to be quick.
func (c *nativeConn) Request(m *transport.Message) transport.Job {
	v := c.served
	v.session.calls.Add(1)
	called := v.bound[m.Arg]
	inv := newInvocation(called, m.ID, v.session.receiver(called))
	inv.conn = c
	waits := v.semaphore != nil || called.group != nil
	if called.TakesContext() || waits {
		inv.setContext(&callContext{Context: v.ctx, deadline: c.deadline(m.Timeout)})
		if len(m.Meta) > 0 {
			inv.call.within, _ = wire.ReadMetadata(m.Meta) // it has been judged
		}
	}
	if waits {
		v.uncount() // it may run at once, and counts for itself
		c.serveWaiting(inv, m)
		return nil
	}
	if !v.count() {
		inv.Refuse(v.busy())
		inv.Free()
		return nil
	}
	if len(m.Body) >= apartSize || called.Sig.Args.UserCode() || called.isSlow() {
		v.counted, inv.counts = false, true // what has been counted is inv from here on
		c.serveApart(inv, m)
		return nil
	}
	if err := inv.decode(m); err != nil {
		v.uncount() // it may wait for room
		inv.Refuse(err)
		inv.Free()
		return nil
	}
	return inv
}

// deadline turns the time left on the wire into a moment.
func (c *nativeConn) deadline(us uint64) time.Time {
	if us == 0 || us >= uint64((24*time.Hour)/time.Microsecond) {
		return time.Time{}
	}
	return c.LastRead().Add(time.Duration(us) * time.Microsecond)
}

// isSlow says whether a request of m is to run on a goroutine of its own, and
// counts it.
func (m *servedMethod) isSlow() bool { return m.slow.Load() > 0 && m.slow.Add(-1) >= 0 }

// serveApart runs inv, which has been counted, on a goroutine of its own. What
// travels whole is decoded here, from the buffer that it has been read into, unless
// that is user code.
func (c *nativeConn) serveApart(inv *invocation, m *transport.Message) {
	c.served.enterRunning(inv)
	if m.Own || inv.method.Sig.Args.UserCode() {
		kept := m.Keep()
		inv.undecoded = &kept
	} else if err := inv.decode(m); err != nil {
		inv.Refuse(err)
		inv.Leave()
		return
	}
	go func() {
		defer inv.Leave()
		inv.Run()
	}()
}

// Idle is transport.Handler.Idle.
func (c *nativeConn) Idle() { c.served.uncount() }

// Control is transport.Handler.Control.
func (c *nativeConn) Control(m *transport.Message) error { return fmt.Errorf("unexpected %v", m.Type) }

// Cancel is transport.Handler.Cancel.
func (c *nativeConn) Cancel(id uint64) error {
	c.served.cancelRunning(id)
	return nil
}

// beginHandler counts a handler, or reports false: Limits.MaxHandlers run.
func (d *dispatcher) beginHandler() bool {
	if d.handlers.Add(1) <= int64(d.settings.maxHandlers) {
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
func (v *serverConn) count() bool {
	v.counted = v.counted || v.beginHandler()
	return v.counted
}

// uncount ends what count began.
func (v *serverConn) uncount() {
	if v.counted {
		v.counted = false
		v.endHandler()
	}
}

// discount counts out an invocation that counts for itself: as its answer is
// queued, before its caller can call again.
func (v *serverConn) discount(inv *invocation) {
	if inv.counts {
		inv.counts = false
		v.endHandler()
	}
}

func (d *dispatcher) busy() *fault.Fault {
	return fault.Refusal(fault.ResourceExhausted, "the server is busy: it runs Limits.MaxHandlers (%d) handlers", d.settings.maxHandlers)
}

func (v *serverConn) enterRunning(inv *invocation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.enterLocked(inv)
}

func (v *serverConn) enterLocked(inv *invocation) {
	if v.running == nil {
		v.running = make(map[uint64]*invocation)
	}
	v.running[inv.id] = inv
}

func (v *serverConn) leaveRunning(inv *invocation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.running, inv.id)
}

func (v *serverConn) cancelRunning(id uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if inv := v.running[id]; inv != nil {
		inv.canceled.Store(true)
		if inv.call != nil {
			inv.call.end(inv.call.whyCanceled())
		}
	}
}

// stuckLog is how often the log says that a session cannot leave.
const stuckLog = 10 * time.Second

// awaitHandlers gives back what the connection, which has ended, has booked,
// and waits until none of its handlers runs.
func (c *nativeConn) awaitHandlers() { c.served.awaitIdle(c.EndRequests()) }

// awaitIdle waits until no handler runs, of which idle tells.
func (v *serverConn) awaitIdle(idle <-chan struct{}) {
	for {
		select {
		case <-idle:
			return
		case <-time.After(stuckLog):
			v.logRunning("bsrpc: a handler runs on after its connection has ended")
		}
	}
}

// logRunning names the handlers that run.
func (v *serverConn) logRunning(text string) {
	var names []string
	v.mu.Lock()
	for _, inv := range v.running {
		names = append(names, inv.method.Name)
	}
	v.mu.Unlock()
	for _, name := range names {
		v.log.Add(report.Running, slog.LevelWarn, text, "session", v.session.id, "method", name)
	}
}

// report logs the first of what this connection's peer can bring about again and
// again.
func (v *serverConn) report(k report.Kind, level slog.Level, text string, args ...any) {
	v.told.Add(v.log, k, level, text, args...)
}
