package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// How the servant of a basic connection runs a command.

func (c *basicConn) serveCommand(payload []byte) {
	id, args, ok := wire.ReadCommand(payload)
	if !ok {
		c.refuse(errShortCommand)
		return
	}
	m := c.served.registry.command(id)
	if m == nil {
		c.refuse(exception("ProtocolError", "Unknown command with id: %d", id))
		return
	}
	v := c.served
	v.session.calls.Add(1)
	inv := newInvocation(m, 0, v.session.receiver(m))
	defer inv.Free()
	inv.setContext(&callContext{Context: c.served.ctx})
	v.enterRunning(inv)
	defer v.leaveRunning(inv)
	w, ok := c.acquire(inv)
	if !ok {
		return // the client has gone
	}
	if !v.beginHandler() {
		c.fault(inv, exception("RuntimeError", "%s", v.busy().Plain()), w.Release)
		return
	}
	release := sync.OnceFunc(func() {
		v.endHandler()
		w.Release()
	})
	defer release()
	c.runCommand(inv, args, release)
}

// acquire waits for the exclusive group of the call. It reports false if the
// connection ended first.
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

// runCommand calls the handler and answers. A panic, or runtime.Goexit, is an
// answer too. release lets others run: it is called before anything is written,
// because the client may be slow to read.
func (c *basicConn) runCommand(inv *invocation, args []byte, release func()) {
	defer func() {
		if !inv.answered {
			p := c.served.panicked(inv.method, recover())
			inv.call.end(context.Canceled)
			c.fault(inv, exception("RuntimeError", "%s", p.located()), release)
		}
	}()
	b := c.served.settings
	b.decode(&inv.Dec, args, true)
	inv.Dec.Lenient = true
	if err := inv.ReadArgs(); err != nil {
		c.fault(inv, exceptionFrom(exception("ValueError", "%s, %v", inv.method.Name, err), b.MaxErrorText), release)
		return
	}
	err := inv.invoke()
	inv.call.end(context.Canceled)
	if err == nil {
		err = c.encodeResults(inv)
	}
	if err != nil {
		c.fault(inv, exceptionFrom(err, b.MaxErrorText), release)
		return
	}
	inv.answered = true
	release()
	c.answer(net.Buffers(inv.Enc.Segments()))
}

// fault answers a command by an exception. Until it is called an error's own
// methods may panic.
func (c *basicConn) fault(inv *invocation, e *fault.Fault, release func()) {
	inv.answered = true
	release()
	c.refuse(e)
}

// encodeResults puts a whole frame into the call's encoder.
func (c *basicConn) encodeResults(inv *invocation) error {
	b := c.served.settings
	inv.Enc.Buf = wire.AppendBasicHeader(inv.Enc.Buf[:0], wire.BasicResponse, 0)
	inv.Enc.Max, inv.Enc.MinCut, inv.Enc.Depth, inv.Enc.Lenient = b.MaxMessage, wire.MinCut, b.maxDepth, true
	err := inv.AppendResults()
	switch {
	case err == nil:
		wire.SetBasicSize(inv.Enc.Buf, int(inv.Enc.Size()))
		return nil
	case errors.Is(err, codec.ErrSize):
		err = fmt.Errorf("%w (the server's MaxMessage is %d)", err, b.MaxMessage)
	}
	c.served.report(report.Result, slog.LevelError, "bsrpc: result cannot be sent", "method", inv.method.Name, "err", err)
	if errors.Is(err, codec.ErrRange) {
		return errOverflow
	}
	return exception("RuntimeError", "%s, %v", inv.method.Name, err)
}
