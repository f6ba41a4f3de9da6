package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basicConn is a server's connection with a client of the basic wire, and its handler.
type basicConn struct {
	*basic.Conn
	sessions *sessions
	served   *serverConn
}

// Dismiss is connection.Dismiss.
func (c *basicConn) Dismiss(why *fault.Fault) {
	c.Conn.Dismiss(why)
	c.served.cancel(errorOf(why)) // not earlier: the handler's own answer is too late now
}

// awaitHandlers is connection.awaitHandlers.
func (c *basicConn) awaitHandlers() { c.served.awaitIdle(c.EndRequests()) }

// Enter is basic.Handler.Enter.
func (c *basicConn) Enter() *fault.Fault {
	_, refuse := c.sessions.enter(c.served.session)
	return refuse
}

// Admitted is basic.Handler.Admitted.
func (c *basicConn) Admitted() bool {
	select {
	case <-c.served.session.ticket.Admitted():
		return true
	default:
		return false
	}
}

// Leave is basic.Handler.Leave.
func (c *basicConn) Leave() { c.served.session.ticket.Leave() }

// Welcome is basic.Handler.Welcome.
func (c *basicConn) Welcome() *fault.Fault {
	v := c.served.session
	err := c.sessions.begin(v)
	if err == nil {
		return nil
	}
	if !v.connected {
		v.ticket.Leave() // OnDisconnect will not run: others need not wait
	}
	e := basic.Exception("PermissionError", "panic in the error of OnConnect or PerSession")
	c.sessions.guard(v, "the error of OnConnect or PerSession", func() error {
		e = turnedAway(err, c.served.settings.MaxErrorText)
		return nil
	})
	return e
}

// TurnedAway is basic.Handler.TurnedAway.
func (c *basicConn) TurnedAway(why *fault.Fault) { c.sessions.turnAway(c.served.session, why) }

// Command is basic.Handler.Command.
func (c *basicConn) Command(id uint16, args []byte) {
	v := c.served
	m := v.registry.command(id)
	if m == nil {
		c.Refuse(basic.UnknownCommand(id))
		return
	}
	v.session.calls.Add(1)
	inv := newInvocation(m, 0, v.session.receiver(m))
	defer inv.Free()
	inv.setContext(&callContext{Context: v.ctx})
	v.enterRunning(inv)
	defer v.leaveRunning(inv)
	w, ok := c.acquire(inv)
	if !ok {
		return // the client has left
	}
	if !v.beginHandler() {
		c.fault(inv, basic.Exception("RuntimeError", "%s", v.busy().Plain()), w.Release)
		return
	}
	release := sync.OnceFunc(func() {
		v.endHandler()
		w.Release()
	})
	defer release()
	c.run(inv, args, release)
}

// acquire waits for the exclusive group of a call. It reports false if the connection
// has ended first.
func (c *basicConn) acquire(inv *invocation) (w *admission.Waiter, ok bool) {
	g := inv.method.group
	if g == nil {
		return new(admission.Waiter), true
	}
	acquired := make(chan struct{})
	w = admission.NewWaiter(nil, g)
	inv.call.within = []uint64{g.ID}
	w.Start(func() { close(acquired) })
	select {
	case <-acquired:
		return w, true
	case <-c.served.ctx.Done():
		if _, ok := w.GiveUp(); !ok {
			<-acquired
			w.Release()
		}
		return nil, false
	}
}

// run runs the handler and answers, also after a panic or runtime.Goexit. release lets
// other calls run. It is called before the answer is written: the client may read slowly.
func (c *basicConn) run(inv *invocation, args []byte, release func()) {
	defer func() {
		if !inv.answered {
			p := c.served.panicked(inv.method, recover())
			inv.call.end(context.Canceled)
			c.fault(inv, basic.Exception("RuntimeError", "%s", p.located()), release)
		}
	}()
	s := c.served.settings
	s.decode(&inv.Dec, args, true)
	inv.Dec.Lenient = true
	if err := inv.ReadArgs(); err != nil {
		c.fault(inv, exceptionFrom(basic.Exception("ValueError", "%s, %v", inv.method.Name, err), s.MaxErrorText), release)
		return
	}
	err := inv.invoke()
	inv.call.end(context.Canceled)
	if err == nil {
		err = c.encodeResults(inv)
	}
	if err != nil {
		c.fault(inv, exceptionFrom(err, s.MaxErrorText), release)
		return
	}
	inv.answered = true
	release()
	c.Respond(net.Buffers(wire.Segments(&inv.Enc.Body)))
}

// fault answers a call by an exception. The arguments of its callers may still panic:
// methods of an error are user code.
func (c *basicConn) fault(inv *invocation, e *fault.Fault, release func()) {
	inv.answered = true
	release()
	c.Refuse(e)
}

// encodeResults puts a whole frame into the encoder of the call.
func (c *basicConn) encodeResults(inv *invocation) error {
	s := c.served.settings
	inv.Enc.Buf = wire.AppendBasicHeader(inv.Enc.Buf[:0], wire.BasicResponse, 0)
	inv.Enc.Max, inv.Enc.MinCut, inv.Enc.Depth, inv.Enc.Lenient = s.MaxMessage, wire.MinCut, s.maxDepth, true
	err := inv.AppendResults()
	switch {
	case err == nil:
		wire.SetBasicSize(inv.Enc.Buf, int(inv.Enc.Size()))
		return nil
	case errors.Is(err, codec.ErrSize):
		err = fmt.Errorf("%w (the server's MaxMessage is %d)", err, s.MaxMessage)
	}
	c.served.report(report.Result, slog.LevelError, "bsrpc: result cannot be sent", "method", inv.method.Name, "err", err)
	if errors.Is(err, codec.ErrRange) {
		return basic.Overflow()
	}
	return basic.Exception("RuntimeError", "%s, %v", inv.method.Name, err)
}

// exceptionFrom returns the exception for the error of a handler.
func exceptionFrom(err error, maxText int) *fault.Fault {
	if e, ok := publicError(err).(*Error); ok && !e.Remote {
		err = basic.Exception(e.Name, "%s", strings.TrimPrefix(e.Message, fault.Prefix))
	}
	_, f := wireError(err, maxText)
	return basic.Exception(basic.SafeName(f.Name, "RuntimeError"), "%s", strings.ToValidUTF8(f.Message, "\uFFFD"))
}

// turnedAway returns the exception for a client refused by OnConnect or PerSession.
func turnedAway(err error, maxText int) *fault.Fault {
	e := exceptionFrom(err, maxText)
	e.Name = "PermissionError"
	var namer exceptionNamer
	if errors.As(err, &namer) {
		e.Name = basic.SafeName(namer.ExceptionName(), e.Name)
	}
	return e
}
