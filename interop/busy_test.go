package interop

import (
	"context"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A server of the package takes nothing from its socket while it serves a call.
// That is no reason to give it up, whatever waits behind.
func TestPythonIsBusy(t *testing.T) {
	interop(t)
	s, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{Limits: bsrpc.Limits{WriteStall: 50 * time.Millisecond}})
	held := make(chan error, 1)
	go func() { held <- desk.Hold(context.Background()) }()
	s.await("began")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := desk.EchoBytes(ctx, make([]byte, 15<<20)) // more than the socket's buffers hold
	wantError(t, "EchoBytes", err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeNotRun, "context deadline exceeded")
	s.want("release()", "None")
	if err := within(t, "the call's end", held); err != nil {
		t.Error(err)
	}
	wantServed(t, desk)
}
