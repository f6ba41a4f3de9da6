package interop

// How clients of this library wait for a server of the package, and see its
// end.

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// An exclusive server of the package has its own queue, in which clients of
// both kinds wait by asking again.
func TestWaitingForPython(t *testing.T) {
	interop(t)
	_, addr := startServer(t, "exclusive")
	first, desk := dial(t, addr, bsrpc.ClientOptions{})
	wantServed(t, desk)

	waits := make(chan int, 100)
	second := make(chan *bsrpc.Client, 1)
	go func() {
		client, err := bsrpc.Dial(context.Background(), "tcp", addr, &bsrpc.ClientOptions{
			Basic: true, PollInterval: 10 * time.Millisecond, OnWait: func(position int) { waits <- position },
		})
		if err != nil {
			t.Error(err)
		}
		second <- client
	}()
	if position := within(t, "OnWait", waits); position != 0 {
		t.Errorf("OnWait was told %d", position)
	}
	host, port, _ := net.SplitHostPort(addr)
	third := start(t, "client.py", host, port, "0.02")
	third.send("connect()")
	third.await("asked")

	wantServed(t, desk)
	first.Close()
	client := within(t, "admission", second)
	desk = bind[Desk](t, client)
	wantServed(t, desk)
	client.Close()
	third.wantAnswer("None")
	third.want("desk.hello('Bob')", "'hello Bob'")
	if len(waits) != 0 {
		t.Errorf("OnWait was called again")
	}
}

// Who waits can give up.
func TestWaitingForPythonInVain(t *testing.T) {
	interop(t)
	_, addr := startServer(t, "exclusive")
	_, desk := dial(t, addr, bsrpc.ClientOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := bsrpc.Dial(ctx, "tcp", addr, &bsrpc.ClientOptions{Basic: true, OnWait: func(int) { cancel() }})
	wantError(t, "Dial", err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "context canceled")
	wantServed(t, desk)
}

// The package's server tells an idle client that it shuts down, which is no
// answer to a later call.
func TestPythonShutsDown(t *testing.T) {
	interop(t)
	s, addr := startServer(t)
	client, desk := dial(t, addr, bsrpc.ClientOptions{})
	wantServed(t, desk)
	s.want("shutdown()", "None")
	within(t, "the connection's end", client.Done())
	wantError(t, "Err", client.Err(), bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "server is shutting down")
	_, err := desk.Hello(t.Context(), "Bob")
	wantError(t, "Hello", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "server is shutting down")
	s.stop()
}

// A call that runs meanwhile is answered.
func TestPythonShutsDownInACall(t *testing.T) {
	interop(t)
	s, addr := startServer(t)
	client, desk := dial(t, addr, bsrpc.ClientOptions{})
	held := make(chan error, 1)
	go func() { held <- desk.Hold(context.Background()) }()
	s.await("began")
	s.want("shutdown()", "None")
	s.await("shutting") // down, but for this call
	s.want("release()", "None")
	if err := within(t, "the call's end", held); err != nil {
		t.Error(err)
	}
	within(t, "the connection's end", client.Done())
	_, err := desk.Hello(t.Context(), "Bob")
	wantError(t, "Hello", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "server is shutting down")
	s.stop()
}

func TestPythonIsKilled(t *testing.T) {
	interop(t)
	s, addr := startServer(t)
	client, desk := dial(t, addr, bsrpc.ClientOptions{})
	idle, _ := dial(t, addr, bsrpc.ClientOptions{})
	held := make(chan error, 1)
	go func() { held <- desk.Hold(context.Background()) }()
	s.await("began")
	s.kill()
	wantError(t, "Hold", within(t, "the call's end", held), bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "connection lost")
	within(t, "the connection's end", client.Done())
	within(t, "the other connection's end", idle.Done())
	_, err := desk.Hello(t.Context(), "Bob")
	wantError(t, "Hello", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "connection lost")
	_, err = bsrpc.Dial(t.Context(), "tcp", addr, &bsrpc.ClientOptions{Basic: true})
	wantError(t, "Dial", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "refused")
}
