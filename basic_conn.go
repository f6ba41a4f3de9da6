package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
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
		e = refusalException(err, c.served.settings)
		return nil
	})
	return e
}

// TurnedAway is basic.Handler.TurnedAway.
func (c *basicConn) TurnedAway(why *fault.Fault) { c.sessions.logRefusal(c.served.session, why) }

// Command is basic.Handler.Command.
func (c *basicConn) Command(id uint16, args []byte) {
	v := c.served
	m := v.registry.command(id)
	if m == nil {
		v.refused(v.session, nil, fault.Refusal(fault.Unimplemented, "no method has the id %d", id))
		c.Refuse(basic.UnknownCommand(id))
		return
	}
	inv := v.newInvocation(m, 0, c)
	defer inv.Leave()
	inv.setContext(v.ctx, 0, nil)
	inv.call.head = headBasic
	inv.undecoded, inv.lenient = &transport.Message{Body: args, Own: true}, true
	v.enterRunning(inv)
	since := time.Now()
	switch {
	case !c.acquire(inv): // the client has left
		v.refused(v.session, m, fault.FromContext(context.Canceled, fault.NotRun))
	case !v.beginHandler():
		inv.Refuse(v.busy())
	default:
		inv.counted = true
		inv.noteWait(since)
		inv.serve()
	}
}

// acquire waits for the exclusive group of a call. It reports false if the connection
// has ended first.
func (c *basicConn) acquire(inv *invocation) bool {
	g := inv.method.group
	if g == nil {
		return true
	}
	acquired := make(chan struct{})
	w := admission.NewWaiter(nil, g)
	inv.call.addGroup(g.ID)
	w.Start(func() { close(acquired) })
	select {
	case <-acquired:
		inv.waiter = w
		return true
	case <-c.served.ctx.Done():
		if _, _, ok := w.GiveUp(); !ok {
			<-acquired
			w.Release()
		}
		return false
	}
}

// reply is replier.reply. It lets other calls run before it writes: the client may read
// slowly.
func (c *basicConn) reply(inv *invocation, err error) {
	inv.endReplied()
	if err == nil {
		err = c.encodeResults(inv)
	}
	inv.err = err
	var e *fault.Fault
	if err != nil {
		e = c.exceptionOf(inv, err)
	}
	inv.answered = true // until here user code may panic
	c.served.uncountCall(inv)
	if inv.waiter != nil {
		inv.waiter.Release()
	}
	if e != nil {
		c.Refuse(e)
		return
	}
	c.Respond(net.Buffers(wire.Segments(&inv.Enc.Body)))
}

// refused is basic.Config.OnRefused.
func (c *basicConn) refused(command int, why *fault.Fault) {
	var m *servedMethod
	if command >= 0 {
		m = c.served.registry.command(uint16(command))
	}
	c.served.refused(c.served.session, m, why)
}

// Flush is replier.Flush. Replies do not wait for others.
func (c *basicConn) Flush() {}

// exceptionOf returns the exception that answers inv with err.
func (c *basicConn) exceptionOf(inv *invocation, err error) *fault.Fault {
	if why := inv.refusal; why != nil {
		name := "RuntimeError"
		if why.Code == fault.InvalidArgument {
			name = "ValueError"
		}
		err = basic.Exception(name, "%s", why.Plain())
	}
	var p *panicError
	if errors.As(err, &p) {
		return basic.Exception("RuntimeError", "%s", p.located())
	}
	return exceptionFrom(err, c.served.settings)
}

// encodeResults puts a whole frame into the encoder of the call.
func (c *basicConn) encodeResults(inv *invocation) error {
	s := c.served.settings
	inv.Enc.Buf = wire.AppendBasicHeader(inv.Enc.Buf[:0], wire.BasicResponse, 0)
	inv.Enc.Max, inv.Enc.MinCut, inv.Enc.Depth, inv.Enc.Lenient = s.MaxMessage, wire.MinCut, s.maxDepth, true
	err := inv.AppendResults()
	switch {
	case err == nil:
		inv.ResultsSize = int(inv.Enc.Size()) - wire.BasicHeaderSize
		wire.SetBasicSize(inv.Enc.Buf, int(inv.Enc.Size()))
		return nil
	case errors.Is(err, codec.ErrSize):
		err = fmt.Errorf("%w (the server's MaxMessage is %d)", err, s.MaxMessage)
	}
	c.served.report(report.Result, slog.LevelError, "bsrpc: result cannot be sent", "method", inv.method.Name, "err", err)
	if errors.Is(err, codec.ErrRange) {
		return basic.Overflow()
	}
	return basic.Exception("RuntimeError", "%s, %v", inv.method.Name, limitOf("the server's", err))
}

// exceptionFrom returns the exception for the error of a handler. An error without a name
// of its own gets that of its first identity from the option Errors.
func exceptionFrom(err error, s *settings) *fault.Fault {
	given := err
	if e, ok := publicError(err).(*Error); ok && !e.Remote {
		err = basic.Exception(e.Name, "%s", strings.TrimPrefix(e.Message, fault.Prefix))
	}
	_, f := wireError(err, s.MaxErrorText)
	if f.Name == "" {
		f.Name = s.errors.Find(given, nil, "", 0, wire.MaxIdentityRoom).Key
	}
	return basic.Exception(basic.SafeName(f.Name, "RuntimeError"), "%s", fault.ValidUTF8(f.Message))
}

// refusalException returns the exception for a client refused by OnConnect or PerSession.
func refusalException(err error, s *settings) *fault.Fault {
	e := exceptionFrom(err, s)
	e.Name = "PermissionError"
	var namer exceptionNamer
	if errors.As(err, &namer) {
		e.Name = basic.SafeName(namer.ExceptionName(), e.Name)
	}
	return e
}
