package bsrpc_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A Rack is a receiver for each session.
type Rack struct{}

func (*Rack) Count() int { return 7 }

type rack struct{ Rack }

// Register names a service after the type made by PerSession. An incomplete Factory is
// an error at once.
func TestRegisterFactory(t *testing.T) {
	makeRack := func(context.Context, *bsrpc.Session) (*Rack, error) { return new(Rack), nil }
	srv := bsrpc.NewServer(nil)
	if err := srv.Register(bsrpc.PerSession(makeRack)); err != nil {
		t.Fatal(err)
	}
	if name := srv.Methods()[0].Name; name != "Rack.Count" {
		t.Errorf("registered %s", name)
	}
	proxy := bsrpctest.Bind[struct{ Count func() (int, error) }](t, srv, "Rack")
	if n, err := proxy.Count(); n != 7 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	srv = bsrpc.NewServer(nil)
	hidden := bsrpc.PerSession(func(context.Context, *bsrpc.Session) (*rack, error) { return nil, nil })
	checkText(t, "unexported", srv.Register(hidden), "bsrpc: register *bsrpc_test.rack: its type has no exported name; use RegisterName")
	for name, f := range map[string]struct {
		given bsrpc.Factory
		want  string
	}{
		"zero": {bsrpc.Factory{}, "bsrpc: register Rack: 1 problem\n    Rack: zero Factory; use PerSession"},
		"nil":  {bsrpc.PerSession[*Rack](nil), "bsrpc: register Rack: 1 problem\n    Rack: PerSession[*bsrpc_test.Rack]: nil func"},
	} {
		checkText(t, name, srv.RegisterName("Rack", f.given), f.want)
		checkText(t, name, bsrpc.RegisterAs[struct{ Count func() (int, error) }](srv, "Rack", f.given), f.want)
	}
	checkText(t, "a nil func", srv.RegisterFunc("Rack.F", nil), "bsrpc: register Rack.F: nil func")
}

type waits struct {
	Wait func(ctx context.Context) error
}

// The error of a call not sent in time names the limit.
func TestUnsentCallsNameTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{MaxInflight: 1})
		srv.RegisterFunc("Shop.Wait", func(ctx context.Context) { <-ctx.Done() })
		client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{DefaultCallTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[waits](t.Context(), client, "Shop")
		if err != nil {
			t.Fatal(err)
		}
		first, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		ended := make(chan error)
		go func() { ended <- proxy.Wait(first) }()
		synctest.Wait()
		const waited = "bsrpc: Shop.Wait: waited for the server's MaxInflight (1): "
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		checkText(t, "deadline", proxy.Wait(ctx), waited+"context deadline exceeded")
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		checkText(t, "cancelled", proxy.Wait(ctx), waited+"context canceled")
		if err := proxy.Wait(t.Context()); err == nil || !strings.HasPrefix(err.Error(), waited+"no answer in 1s (DefaultCallTimeout)") {
			t.Errorf("DefaultCallTimeout: %v", err)
		}
		stop()
		<-ended
	})
}

// A session closed without a reason has a default reason.
func TestSessionCloseWithoutReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(nil)
		srv.RegisterFunc("Shop.Wait", func(ctx context.Context) { <-ctx.Done() })
		proxy := bsrpctest.Bind[waits](t, srv, "Shop")
		ended := make(chan error)
		go func() { ended <- proxy.Wait(t.Context()) }()
		synctest.Wait()
		srv.Sessions()[0].Close("")
		checkText(t, "running", <-ended, "bsrpc: Shop.Wait: the session was closed")
		checkText(t, "later", proxy.Wait(t.Context()), "bsrpc: Shop.Wait: the session was closed")
	})
}

// Invalid arguments of PerSession and Shutdown are reported, and the server continues.
func TestMistakesOfServersAreNamed(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	if err := srv.Register(bsrpc.PerSession(func(context.Context, *bsrpc.Session) (*Rack, error) { return nil, nil })); err != nil {
		t.Fatal(err)
	}
	_, err := bsrpctest.Dial(t, srv, nil)
	checkText(t, "PerSession", err, "bsrpc: PerSession[*bsrpc_test.Rack] returned nil without an error")
	if e := new(bsrpc.Error); !errors.As(err, &e) || e.Code != bsrpc.CodeInternal || e.Outcome != bsrpc.OutcomeNotRun {
		t.Errorf("PerSession: %#v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != "bsrpc: Shutdown: nil context; use context.Background()" {
				t.Errorf("Shutdown panics with %v", p)
			}
		}()
		var none context.Context
		srv.Shutdown(none)
	}()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
