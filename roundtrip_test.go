package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A depot is the receiver of the tests of calls apart from connections.
type depot struct{}

var errDepotEmpty = errors.New("no stock")

func (depot) Put(ctx context.Context, item string, n int) (int, error) {
	switch item {
	case "missing":
		return 0, fs.ErrNotExist
	case "panic":
		panic("secret")
	case "wait":
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 2 * n, nil
}

func (depot) Count(ctx context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if n == 7 {
			yield(0, fmt.Errorf("count: %w", errDepotEmpty))
		}
	}
}

func (depot) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(name)), nil
}

func (depot) Note(text string) error { return nil }

type depotContract struct {
	Put   func(ctx context.Context, item string, n int) (int, error)
	Count func(ctx context.Context, n int) iter.Seq2[int, error]
	Open  func(ctx context.Context, name string) (io.ReadCloser, error)
	Note  func(text string) error
}

type depotFutures struct {
	Put  func(ctx context.Context, item string, n int) *bsrpc.Future[int]
	Note func(text string) error
}

var depotErrors = map[string]error{"stock.none": errDepotEmpty}

func depotServer(t *testing.T, opts *bsrpc.ServerOptions) *bsrpc.Server {
	t.Helper()
	own := bsrpc.ServerOptions{}
	if opts != nil {
		own = *opts
	}
	own.Logger, own.Errors = quiet, depotErrors
	srv := bsrpc.NewServer(&own)
	if err := srv.RegisterName("Stock", depot{}); err != nil {
		t.Fatal(err)
	}
	return srv
}

func overClient(rt bsrpc.RoundTripper, opts *bsrpc.ClientOptions) *bsrpc.Client {
	own := bsrpc.ClientOptions{}
	if opts != nil {
		own = *opts
	}
	own.Logger, own.Errors = quiet, depotErrors
	return bsrpc.NewClientOver(rt, &own)
}

// What a client adds to the calls of its RoundTripper: times by default, futures, calls by name.
func TestRoundTripCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := overClient(bsrpctest.Direct(depotServer(t, nil)), nil)
		defer client.Close()
		ctx := t.Context()
		p, err := bsrpc.Bind[depotContract](ctx, client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Put(ctx, "wait", 4); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "DefaultCallTimeout") {
			t.Errorf("got %v", err)
		}
		var n int
		if err := client.Call(ctx, "Stock.Put", []any{"bolt", 3}, &n); n != 6 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if _, err := bsrpc.Bind[depotContract](ctx, client, "Stick"); !strings.Contains(fmt.Sprint(err), "it has Stock") {
			t.Errorf("got %v", err)
		}
		futures, err := bsrpc.Bind[depotFutures](ctx, client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := futures.Put(ctx, "bolt", 5).Wait(ctx); n != 10 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

// Calls over a RoundTripper count at both ends, and CallEncoded is a call by name there too.
func TestRoundTripStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := depotServer(t, nil)
		client := overClient(bsrpctest.Direct(srv), nil)
		defer client.Close()
		ctx := t.Context()
		p, err := bsrpc.Bind[depotContract](ctx, client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		later, err := bsrpc.Bind[depotFutures](ctx, client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		p.Put(ctx, "bolt", 1)
		p.Put(ctx, "missing", 1)
		p.Put(ctx, "panic", 1)
		later.Put(ctx, "bolt", 1).Wait(ctx)
		later.Put(ctx, "missing", 1).Wait(ctx)
		over, stop := context.WithCancel(ctx)
		stop()
		p.Put(over, "bolt", 1)
		p.Note("a")
		for _, n := range []int{3, 7} {
			bsrpctest.Collect(p.Count(ctx, n))
		}
		next, end := iter.Pull2(p.Count(ctx, 1_000_000))
		next()
		synctest.Wait()
		if f, c := srv.Stats(), client.Stats(); f.Open != 1 || c.Open != 1 {
			t.Errorf("%d and %d open calls, want 1", f.Open, c.Open)
		}
		end()
		args, err := bsrpc.Append(nil, "bolt")
		if err == nil {
			args, err = bsrpc.Append(args, 21)
		}
		if err != nil {
			t.Fatal(err)
		}
		want, _ := bsrpc.Append([]byte("before"), 42)
		for range 2 {
			if got, err := client.CallEncoded(ctx, "Stock.Put", args, []byte("before")); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %x, %v, want %x", got, err, want)
			}
		}
		synctest.Wait()

		const server = `Stock.Count: 1 ok 1 canceled 1 unknown of 3
Stock.Note: 1 ok of 1
Stock.Put: 4 ok 2 unknown 1 internal of 7
`
		if got := countsOf(srv.Stats().Methods); got != server {
			t.Errorf("server:\n%s", got)
		}
		client.Close()
		wanted := strings.Replace(strings.Replace(server, "1 ok 1 canceled", "2 ok", 1), "internal of 7", "internal refused 1 canceled of 7", 1)
		if got := countsOf(client.Stats().Methods); got != wanted {
			t.Errorf("client:\n%s", got)
		}
		if f, c := srv.Stats(), client.Stats(); f.Open != 0 || c.Open != 0 || c.Connections != 0 || f.Handlers != 0 {
			t.Errorf("got %+v, %+v", f, c)
		}
	})
}

// Calls share a timer. Each ends at its own time, in whatever order they begin, and whichever others
// are canceled meanwhile.
func TestRoundTripTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		direct := bsrpctest.Direct(depotServer(t, nil))
		hangs := tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			if r.Method == "Stock.Put" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return direct.RoundTrip(ctx, r)
		})
		client := overClient(hangs, nil)
		defer client.Close()
		type put = func(context.Context, string, int) (int, error)
		second, err := bsrpc.Bind[struct {
			Put put `bsrpc:"timeout=1s"`
		}](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		three, err := bsrpc.Bind[struct {
			Put put `bsrpc:"timeout=3s"`
		}](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		never, err := bsrpc.Bind[struct {
			Put put `bsrpc:"timeout=none"`
		}](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		defer calls.Wait()
		random := rand.New(rand.NewPCG(19, 0))
		for range 100 {
			f, limit := never.Put, time.Hour
			switch random.IntN(3) {
			case 0:
				f, limit = second.Put, time.Second
			case 1:
				f, limit = three.Put, 3*time.Second
			}
			patience := time.Duration(1+random.IntN(5000)) * time.Millisecond
			calls.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(patience, cancel)
				want, end := context.DeadlineExceeded, limit
				if patience < limit {
					want, end = context.Canceled, patience
				}
				began := time.Now()
				_, err := f(ctx, "never", 1)
				if took := time.Since(began); took != end || !errors.Is(err, want) && patience != limit {
					t.Errorf("%v after %v, want %v after %v", err, took, want, end)
				}
			})
			time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
		}
	})
}
