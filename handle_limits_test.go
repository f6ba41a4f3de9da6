package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// depotOver returns a server of depots with opts, and a proxy over Direct. The client ends with the test.
func depotOver(t *testing.T, opts *bsrpc.ServerOptions, client *bsrpc.ClientOptions) (*bsrpc.Server, *depotContract) {
	t.Helper()
	srv := depotServer(t, opts)
	c := overClient(bsrpctest.Direct(srv), client)
	t.Cleanup(func() { c.Close() })
	p, err := bsrpc.Bind[depotContract](t.Context(), c, "Stock")
	if err != nil {
		t.Fatal(err)
	}
	return srv, p
}

// wantRefused fails unless a call has been refused by a limit with a text.
func wantRefused(t *testing.T, err error, code bsrpc.Code, text string) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != bsrpc.OutcomeNotRun || !strings.Contains(e.Message, text) {
		t.Errorf("got %v, want %s: %s", err, code, text)
	}
}

// MaxHandlers counts the calls of Handle, streams until their end.
func TestHandleMaxHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := depotOver(t, &bsrpc.ServerOptions{Limits: bsrpc.Limits{MaxHandlers: 3}}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() { p.Put(ctx, "wait", 1) })
		}
		next, stop := iter.Pull2(p.Count(t.Context(), 1_000_000))
		if _, err, _ := next(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		_, err := p.Put(t.Context(), "a", 1)
		wantRefused(t, err, bsrpc.CodeResourceExhausted, "it runs Limits.MaxHandlers (3) handlers")
		stop()
		synctest.Wait()
		if _, err := p.Put(t.Context(), "a", 1); err != nil {
			t.Errorf("after the end of the stream: %v", err)
		}
		cancel()
		calls.Wait()
	})
}

// PeerCallRate counts them by their peer, those of Bind too.
func TestHandlePeerCallRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := depotOver(t, &bsrpc.ServerOptions{Limits: bsrpc.Limits{PeerCallRate: 4}}, nil)
		time.Sleep(time.Second)
		for i := range 5 {
			_, err := p.Put(t.Context(), "a", 1)
			if i == 4 {
				wantRefused(t, err, bsrpc.CodeResourceExhausted, "the client makes more than the server's Limits.PeerCallRate (4) calls a second")
			} else if err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second / 4)
		if _, err := p.Put(t.Context(), "a", 1); err != nil {
			t.Errorf("after a quarter of a second: %v", err)
		}
	})
}

func TestHandleDecodeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Limits: bsrpc.Limits{DecodeBudget: 1600}})
		if err := srv.RegisterFunc("S.Names", func(list []string) (int, error) { return len(list), nil }); err != nil {
			t.Fatal(err)
		}
		client := overClient(bsrpctest.Direct(srv), nil)
		defer client.Close()
		var n int
		if err := client.Call(t.Context(), "S.Names", []any{make([]string, 50)}, &n); n != 50 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		err := client.Call(t.Context(), "S.Names", []any{make([]string, 400)}, &n)
		wantRefused(t, err, bsrpc.CodeInvalidArgument, "needs more memory than Limits.DecodeBudget (1600) allows")
	})
}

// Interceptors of both ends wrap calls apart from connections, streams until their end, and may
// answer in their place.
func TestHandleInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		watch := func(end string) bsrpc.Interceptor {
			return func(next bsrpc.CallFunc) bsrpc.CallFunc {
				return func(ctx context.Context, call *bsrpc.Call) error {
					var err error
					if user := bsrpc.MetadataFrom(ctx)["user"]; end == "server" && user == "mallory" {
						err = &bsrpc.Error{Code: bsrpc.CodePermissionDenied, Message: "not you"}
					} else {
						err = next(ctx, call)
					}
					mu.Lock()
					defer mu.Unlock()
					seen = append(seen, fmt.Sprint(end, " ", call.Method().Name, " ", call.Kind(), " ", bsrpc.CodeOf(err)))
					return err
				}
			}
		}
		_, p := depotOver(t, &bsrpc.ServerOptions{Interceptors: []bsrpc.Interceptor{watch("server")}}, &bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{watch("client")}})
		p.Put(t.Context(), "a", 1)
		if _, err := p.Put(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"user": "mallory"}), "a", 1); bsrpc.CodeOf(err) != bsrpc.CodePermissionDenied || err.Error() != "not you" {
			t.Errorf("got %v", err)
		}
		if got, err := bsrpctest.Collect(p.Count(t.Context(), 7)); len(got) != 7 || !errors.Is(err, errDepotEmpty) {
			t.Errorf("got %v, %v", got, err)
		}
		synctest.Wait()
		want := []string{
			"server Stock.Put unary ok", "client Stock.Put unary ok",
			"server Stock.Put unary permission denied", "client Stock.Put unary permission denied",
			"client Stock.Count server stream ok", "server Stock.Count server stream unknown",
		}
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(seen[max(0, len(seen)-2):])
		if !slices.Equal(seen, want) {
			t.Errorf("got %q", seen)
		}
	})
}

// A oneway call runs once its func has returned, whatever becomes of its context. Its error is
// counted, and Shutdown waits for it.
func TestHandleOneway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type contract struct {
			Note func(ctx context.Context, text string) error `bsrpc:"oneway"`
		}
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Errors: depotErrors})
		release, ran := make(chan struct{}), make(chan string, 2)
		if err := bsrpc.RegisterAs[contract](srv, "Stock", &contract{func(ctx context.Context, text string) error {
			<-release
			ran <- fmt.Sprint(text, " ", ctx.Err())
			return errDepotEmpty
		}}); err != nil {
			t.Fatal(err)
		}
		client := overClient(bsrpctest.Direct(srv), nil)
		defer client.Close()
		p, err := bsrpc.Bind[contract](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := p.Note(ctx, "a"); err != nil {
			t.Error(err)
		}
		cancel()
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-stopped:
			t.Errorf("Shutdown has not waited: %v", err)
		default:
		}
		close(release)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if got := <-ran; got != "a <nil>" || srv.OnewayErrors() != 1 {
			t.Errorf("got %q, %d errors", got, srv.OnewayErrors())
		}
	})
}
