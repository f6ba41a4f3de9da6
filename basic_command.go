package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/bsrpc/bsrpc/internal/codec"
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
	f := m.sig.newFrame()
	defer f.free()
	f.method, f.recv = m, v.session.receiver(m)
	f.call = &callContext{Context: c.ctx}
	f.ctx = f.call
	v.enterRunning(f)
	defer v.leaveRunning(f)
	p, ok := c.pass(f)
	if !ok {
		return // the client has gone
	}
	if !v.beginHandler() {
		c.fault(f, exception("RuntimeError", "%s", v.busy().plain()), p.leave)
		return
	}
	release := sync.OnceFunc(func() {
		v.endHandler()
		p.leave()
	})
	defer release()
	c.runCommand(f, args, release)
}

// pass waits until the gates let the call in. It reports false if the
// connection has ended before that.
func (c *basicConn) pass(f *frame) (p *passage, ok bool) {
	g := f.method.group
	if g == nil {
		return new(passage), true
	}
	open := make(chan struct{})
	p = &passage{run: func() { close(open) }, gates: []*gate{&g.gate}}
	f.call.within = []uint64{g.id}
	p.begin()
	select {
	case <-open:
		return p, true
	case <-c.ctx.Done():
		if _, ok := p.giveUp(); !ok {
			<-open
			p.leave()
		}
		return nil, false
	}
}

// runCommand calls the handler and answers. A panic, or runtime.Goexit, is an
// answer too. release lets others run: it is called before anything is written,
// because the client may be slow to read.
func (c *basicConn) runCommand(f *frame, args []byte, release func()) {
	defer func() {
		if !f.answered {
			p := c.served.panicked(f.method, recover())
			f.call.end(context.Canceled)
			c.fault(f, exception("RuntimeError", "%s", p.located()), release)
		}
	}()
	b := c.served.bounds
	b.decode(&f.dec, args, true)
	f.dec.Lenient = true
	if err := f.sig.args.Read(&f.dec, f.argsRef); err != nil {
		c.fault(f, exceptionFrom(exception("ValueError", "%s, %v", f.method.Name, err), b.maxErrorText), release)
		return
	}
	err := f.method.invoke(f)
	f.call.end(context.Canceled)
	if err == nil {
		err = c.encodeResults(f)
	}
	if err != nil {
		c.fault(f, exceptionFrom(err, b.maxErrorText), release)
		return
	}
	f.answered = true
	release()
	c.answer(net.Buffers(segments(&f.enc)))
}

// fault answers a command by an exception. Until it is called an error's own
// methods may panic.
func (c *basicConn) fault(f *frame, e *Error, release func()) {
	f.answered = true
	release()
	c.refuse(e)
}

// encodeResults puts a whole frame into f's encoder.
func (c *basicConn) encodeResults(f *frame) error {
	b := c.served.bounds
	f.enc.Buf = wire.AppendBasicHead(f.enc.Buf[:0], wire.BasicResponse, 0)
	f.enc.Max, f.enc.Cut, f.enc.Depth, f.enc.Lenient = b.maxMessage, cutSize, b.maxDepth, true
	err := f.sig.rets.Append(&f.enc, f.retsRef)
	switch {
	case err == nil:
		wire.SetBasicSize(f.enc.Buf, int(bodySize(&f.enc)))
		return nil
	case errors.Is(err, codec.ErrSize):
		err = fmt.Errorf("%w (the server's MaxMessage is %d)", err, b.maxMessage)
	}
	c.served.report(reportResult, slog.LevelError, "bsrpc: result cannot be sent", "method", f.method.Name, "err", err)
	if errors.Is(err, codec.ErrRange) {
		return errOverflow
	}
	return exception("RuntimeError", "%s, %v", f.method.Name, err)
}
