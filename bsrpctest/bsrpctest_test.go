package bsrpctest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

var quiet = slog.New(slog.DiscardHandler)

func newServer(t *testing.T) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, MaxMessage: 1 << 20})
	if err := srv.RegisterName("Greeter", service{}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// A fakeT stands in for the *testing.T of a failing test. Like the real one its
// Fatal ends the test and cleanup follows.
type fakeT struct {
	tester
	text string
}

func (f *fakeT) Fatal(args ...any) {
	f.text = fmt.Sprint(args...)
	runtime.Goexit()
}

// run runs test and returns the arguments of Fatal.
func (f *fakeT) run(test func(testing.TB)) string {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test(f)
	}()
	<-ended
	f.done()
	return f.text
}

// The clients of a test are closed when it ends; the server remains usable.
func TestClientsOfOneServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		var clients []*bsrpc.Client
		if text := new(fakeT).run(func(tb testing.TB) {
			for range 3 {
				client, err := bsrpctest.Dial(tb, srv, &bsrpc.ClientOptions{Logger: quiet})
				if err != nil {
					t.Error(err)
					return
				}
				clients = append(clients, client)
			}
			for n, client := range clients {
				var got string
				if err := client.Call(t.Context(), "Greeter.Hello", []any{fmt.Sprint(n)}, &got); got != fmt.Sprint("hello ", n) || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
		}); text != "" {
			t.Error(text)
		}
		for _, client := range clients {
			if err := client.Err(); !errors.Is(err, bsrpc.ErrClosed) {
				t.Errorf("after the test: %v, want ErrClosed", err)
			}
		}
		if got, err := bsrpctest.Bind[Greeter](t, srv, "Greeter").Hello(t.Context(), "later"); got != "hello later" || err != nil {
			t.Errorf("the next test: %q, %v", got, err)
		}
		t.Cleanup(func() { srv.Close() })
	})
}

// The end of the test ends a pending call and cancels its handler's context.
func TestCleanupEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		began := make(chan struct{})
		if err := srv.RegisterFunc("Greeter.Wait", func(ctx context.Context) error {
			close(began)
			<-ctx.Done()
			return ctx.Err()
		}); err != nil {
			t.Fatal(err)
		}
		called := make(chan error, 1)
		new(fakeT).run(func(tb testing.TB) {
			proxy := bsrpctest.Bind[struct {
				Wait func(context.Context) error
			}](tb, srv, "Greeter")
			go func() { called <- proxy.Wait(context.Background()) }()
			<-began
		})
		if err := <-called; !errors.Is(err, bsrpc.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		srv.Close()
	})
}

// Bind fails the test with the reason.
func TestBindFailure(t *testing.T) {
	for _, test := range []struct {
		name string
		bind func(tb testing.TB, srv *bsrpc.Server)
		want string
	}{
		{"unknown service", func(tb testing.TB, srv *bsrpc.Server) { bsrpctest.Bind[Greeter](tb, srv, "Greeters") }, "the server has no service Greeters; it has Greeter"},
		{"mismatched contract", func(tb testing.TB, srv *bsrpc.Server) {
			bsrpctest.Bind[struct{ Hello func(int) (string, error) }](tb, srv, "Greeter")
		}, "Greeter.Hello, parameter 1: client int.le8, server string.le4"},
		{"not a contract", func(tb testing.TB, srv *bsrpc.Server) { bsrpctest.Bind[int](tb, srv, "Greeter") }, "int is not a contract"},
		{"closed server", func(tb testing.TB, srv *bsrpc.Server) {
			srv.Close()
			bsrpctest.Bind[Greeter](tb, srv, "Greeter")
		}, "bsrpc: server closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newServer(t)
				text := new(fakeT).run(func(tb testing.TB) {
					test.bind(tb, srv)
					t.Error("Bind returned")
				})
				if !strings.Contains(text, test.want) {
					t.Errorf("failed with %q, want %q", text, test.want)
				}
				srv.Close()
			})
		})
	}
}

// Dial passes on its options and returns errors, without leaking the
// connection.
func TestDialErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		if client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{MaxMessage: -7}); client != nil || err == nil || !strings.Contains(err.Error(), "MaxMessage") {
			t.Errorf("options: got %v, %v", client, err)
		}
		none := func(context.Context) (bsrpc.Credentials, error) { return bsrpc.Credentials{}, errors.New("no token") }
		if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Logger: quiet, InsecureCredentials: true, Credentials: none}); err == nil || err.Error() != "bsrpc: Credentials: no token" {
			t.Errorf("got %v, want the client's own reason", err)
		}
		client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{DefaultCallTimeout: time.Second, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Call(t.Context(), "Greeter.Bye", nil); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("got %v, want an unknown method", err)
		}
		srv.Close()
		var e *bsrpc.Error
		if client, err := bsrpctest.Dial(t, srv, nil); client != nil || !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable {
			t.Errorf("closed: got %v, %v", client, err)
		}
	})
}

// A server that no test closes holds nothing when the tests have ended: a
// bubble would find a goroutine.
func TestServerIsLeftOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		new(fakeT).run(func(tb testing.TB) {
			if _, err := bsrpctest.Bind[Greeter](tb, srv, "Greeter").Hello(t.Context(), "Bob"); err != nil {
				t.Error(err)
			}
		})
	})
}
