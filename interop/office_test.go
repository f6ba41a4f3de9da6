package interop

import (
	"errors"
	"log/slog"
	"net"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// An office is a server of this library at a port.
type office struct {
	*clerk
	srv *bsrpc.Server
	l   net.Listener
}

// openOffice starts a server with the options and Basic until the test ends.
func openOffice(t *testing.T, opts bsrpc.ServerOptions) *office {
	t.Helper()
	opts.Basic, opts.Logger = true, slog.New(slog.DiscardHandler)
	o := &office{clerk: newClerk(), srv: bsrpc.NewServer(&opts)}
	if err := bsrpc.RegisterAs[Desk](o.srv, "Desk", o.clerk); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.l = l
	served := make(chan error, 1)
	go func() { served <- o.srv.Serve(l) }()
	t.Cleanup(func() {
		o.srv.Close()
		if err := <-served; !errors.Is(err, bsrpc.ErrServerClosed) {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
	return o
}

func (o *office) addr() string { return o.l.Addr().String() }

// visit starts a Python client, which is not connected yet.
func (o *office) visit(t *testing.T, args ...string) *console {
	t.Helper()
	host, port, err := net.SplitHostPort(o.addr())
	if err != nil {
		t.Fatal(err)
	}
	return start(t, "client.py", append([]string{host, port}, args...)...)
}

// admit starts a Python client that is connected.
func (o *office) admit(t *testing.T) *console {
	t.Helper()
	c := o.visit(t)
	c.want("connect()", "None")
	return c
}
