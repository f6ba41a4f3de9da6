package bsrpc

import (
	"context"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
)

// A handler calling runtime.Goexit does not end a goroutine of the user: ServeConn
// returns when its client has disconnected.
func TestGoexitLeavesServeConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := srv.RegisterFunc("Lab.Exit", func() { runtime.Goexit() }); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		var served error
		returned := false
		go func() {
			served = srv.ServeConn(far)
			returned = true
		}()
		client, err := NewClient(t.Context(), near, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := Bind[struct{ Exit func(context.Context) error }](t.Context(), client, "Lab")
		if err != nil {
			t.Fatal(err)
		}
		wantCall(t, proxy.Exit(t.Context()), CodeInternal, OutcomeAnswered, "panic in the handler")
		client.Close()
		synctest.Wait()
		if !returned || served != nil {
			t.Errorf("returned: %t, %v", returned, served)
		}
	})
}
