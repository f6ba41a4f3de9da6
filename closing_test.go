package bsrpc_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// waiters are handlers that wait until their context ends, with different results.
type waiters struct{}

func (waiters) Error(ctx context.Context) error  { <-ctx.Done(); return ctx.Err() }
func (waiters) Own(ctx context.Context) error    { <-ctx.Done(); return errors.New("of its own") }
func (waiters) Value(ctx context.Context) string { <-ctx.Done(); return "a value" }
func (waiters) Panic(ctx context.Context)        { <-ctx.Done(); panic("on purpose") }
func (waiters) Alone(ctx context.Context) error  { <-ctx.Done(); return ctx.Err() }
func (waiters) Quick()                           {}

type waitersContract struct {
	Error func(ctx context.Context) error
	Own   func(ctx context.Context) error
	Value func(ctx context.Context) (string, error)
	Panic func(ctx context.Context) error
	Alone func(ctx context.Context) error `bsrpc:"exclusive=one"`
	Quick func(ctx context.Context) error
}

// call makes all calls that wait, three of each, with quick ones between.
func (w *waitersContract) call(ctx context.Context) (ended chan error) {
	ended = make(chan error, 100)
	for range 3 {
		for _, f := range []func(context.Context) error{w.Error, w.Own, w.Panic, w.Alone} {
			go func() { ended <- f(ctx) }()
		}
		go func() { _, err := w.Value(ctx); ended <- err }()
		go func() {
			for ; ; time.Sleep(time.Microsecond) {
				if err := w.Quick(ctx); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	return ended
}

const waitersCalls = 3 * 6

// If a session is closed, running, waiting and later calls fail with its reason,
// whatever their handlers return.
func TestClosedSessionTellsItsReason(t *testing.T) {
	for name, close := range map[string]struct {
		opts   bsrpc.ServerOptions
		close  func(*bsrpc.Server)
		code   bsrpc.Code
		reason string
	}{
		"Session.Close": {bsrpc.ServerOptions{}, func(srv *bsrpc.Server) { srv.Sessions()[0].Close("the laser is on fire") }, bsrpc.CodeAborted, "the laser is on fire"},
		"SessionMaxHold": {bsrpc.ServerOptions{MaxSessions: 1, SessionMaxHold: time.Millisecond}, func(srv *bsrpc.Server) {
			next, _, err := enter(context.Background(), srv, nil)
			if err == nil {
				next.Close()
			}
		}, bsrpc.CodeAborted, "SessionMaxHold (1ms)"},
		"Session.Close in a shutdown": {bsrpc.ServerOptions{}, func(srv *bsrpc.Server) {
			sessions := srv.Sessions()
			go srv.Shutdown(context.Background())
			sessions[0].Close("it is late")
		}, bsrpc.CodeAborted, "it is late"},
	} {
		t.Run(name, func(t *testing.T) {
			for range bsrpc.Rounds(10, 50) {
				synctest.Test(t, func(t *testing.T) {
					opts := close.opts
					opts.Logger = quiet
					srv := bsrpc.NewServer(&opts)
					if err := bsrpc.RegisterAs[waitersContract](srv, "Waiters", waiters{}); err != nil {
						t.Fatal(err)
					}
					near, far := net.Pipe()
					go srv.ServeConn(far)
					client, err := bsrpc.NewClient(t.Context(), near, nil)
					if err != nil {
						t.Fatal(err)
					}
					proxy, err := bsrpc.Bind[waitersContract](t.Context(), client, "Waiters")
					if err != nil {
						t.Fatal(err)
					}
					ended := proxy.call(context.Background())
					time.Sleep(10 * time.Microsecond) // some are begun, some are not
					close.close(srv)
					for range waitersCalls {
						err := <-ended
						var e *bsrpc.Error
						drained := name == "Session.Close in a shutdown" && errors.As(err, &e) && e.Outcome == bsrpc.OutcomeNotRun && e.Code == bsrpc.CodeUnavailable
						if !drained && (!errors.As(err, &e) || e.Code != close.code || !strings.Contains(e.Message, close.reason)) {
							t.Errorf("got %#v, want %v, %q", err, close.code, close.reason)
						}
					}
					client.Close()
					srv.Close()
				})
			}
		})
	}
}

// The call of a basic client fails with the reason too, whatever its handler returns.
func TestClosedBasicSessionTellsItsReason(t *testing.T) {
	for name, close := range map[string]func(*bsrpc.Server){
		"the laser is on fire": func(srv *bsrpc.Server) { srv.Sessions()[0].Close("the laser is on fire") },
		"the server has shut down": func(srv *bsrpc.Server) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			srv.Shutdown(ctx)
		},
	} {
		for number, handler := range []any{
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			func(ctx context.Context) error { <-ctx.Done(); return nil },
			func(ctx context.Context) error { <-ctx.Done(); panic("on purpose") },
		} {
			synctest.Test(t, func(t *testing.T) {
				srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Basic: true})
				if err := bsrpc.RegisterAs[basicWaiter](srv, "Waiter", &basicWaiter{handler.(func(context.Context) error)}); err != nil {
					t.Fatal(err)
				}
				near, far := net.Pipe()
				go srv.ServeConn(far)
				near.Write([]byte("\x08\x00\x00\x00\x00\x00\x00\x01"))
				answer := make([]byte, 200)
				near.Read(answer)
				near.Write([]byte("\x07\x00\x00\x00\x01\x09\x00"))
				synctest.Wait()
				go close(srv)
				n, _ := near.Read(answer)
				if got := string(answer[:n]); !strings.Contains(got, "ConnectionError") || !strings.Contains(got, name) {
					t.Errorf("handler %d: got %q, want %q", number, got, name)
				}
				near.Close()
				time.Sleep(2 * time.Second)
				srv.Close()
			})
		}
	}
}

type basicWaiter struct {
	Wait func(ctx context.Context) error `bsrpc:"id=9"`
}
