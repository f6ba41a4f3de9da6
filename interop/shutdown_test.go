package interop

// How Python clients see the end of a server of this library.

import (
	"context"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// A call that runs is finished at Shutdown, what is asked behind it is told
// that it has not run, and a client that asks nothing is told nothing.
func TestShutdown(t *testing.T) {
	interop(t)
	o := openOffice(t, bsrpc.ServerOptions{MaxSessions: 3})
	busy, idle, eager := o.admit(t), o.admit(t), o.rawly(t)
	eager.want("s.ask(INIT)", admitted)
	waiter := o.await(t)

	busy.send("desk.hold()")
	within(t, "the call's begin", o.began)
	eager.send("s.ask(request(Command.hold) + request(Command.hold))")
	within(t, "the other call's begin", o.began)
	idle.send("unasked()")

	ended := make(chan error, 1)
	go func() { ended <- o.srv.Shutdown(context.Background()) }()
	idle.wantAnswer("b''") // the end, and nothing before it
	idle.want("desk.hello('Bob')", "! DisconnectedError()")
	waiter.wantFailure("")

	close(o.release)
	busy.wantAnswer("None")
	busy.want("unasked()", "b''")
	busy.want("desk.hello('Bob')", "! DisconnectedError()")
	eager.wantAnswer("('RPC_RESP', b'')")
	eager.want("s.read()", "('EXCEPTION', ('ServerShutdown', 'the server is shutting down'))")
	eager.want("s.read()", "('end', b'')")
	if err := within(t, "the end of Shutdown", ended); err != nil {
		t.Error(err)
	}
	late := o.visit(t)
	late.send("connect()")
	late.wantFailure("ConnectionRefusedError")
}

// Close ends calls, too. A client sees that its connection has gone.
func TestClose(t *testing.T) {
	interop(t)
	o := openOffice(t, bsrpc.ServerOptions{})
	busy, idle := o.admit(t), o.admit(t)
	busy.send("desk.hold()")
	within(t, "the call's begin", o.began)
	o.srv.Close()
	busy.wantFailure("") // DisconnectedError or ConnectionResetError
	idle.send("desk.hello('Bob')")
	idle.wantFailure("")
	busy.stop()
	idle.stop()
}

// A session that is closed by the server's user: the reason is the answer to
// what has been asked.
func TestSessionIsClosed(t *testing.T) {
	interop(t)
	o := openOffice(t, bsrpc.ServerOptions{})
	busy, idle := o.admit(t), o.admit(t)
	busy.send("desk.hold()")
	within(t, "the call's begin", o.began)
	for _, s := range o.srv.Sessions() {
		s.Close("the instrument is being calibrated")
	}
	busy.wantAnswer("! ConnectionError('Server exception: the instrument is being calibrated')")
	idle.want("unasked()", "b''")
	idle.want("desk.hello('Bob')", "! DisconnectedError()")
	o.admit(t).want("desk.hello('Bob')", "'hello Bob'")
}
