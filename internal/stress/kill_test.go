package stress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/internal/rounds"
)

// Servers are killed, and others take their place, while clients call all the time.
// BSRPC_KILLS=200 is the number of times.

// A killing is how a server is killed.
type killing struct {
	cycles   int
	pace     time.Duration                    // between two calls of a client
	up, down func(r *rand.Rand) time.Duration // it runs, and its address is free
}

// upTo returns a time from least to below least + more.
func upTo(least, more time.Duration) func(r *rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return least + time.Duration(r.Int64N(int64(more))) }
}

// kills returns the value of BSRPC_KILLS, or few.
func kills(few int) int {
	if n, err := strconv.Atoi(os.Getenv("BSRPC_KILLS")); err == nil {
		return n
	}
	return few
}

// A server is killed soon after its clients are back.
func TestKilledServers(t *testing.T) {
	t.Parallel() // it waits for clients
	l := newLedger()
	cycles, down := kills(1), 500*time.Millisecond
	if cycles == 1 && !rounds.Long {
		down = 100 * time.Millisecond
	}
	k := killing{cycles, 2 * time.Millisecond, upTo(20*time.Millisecond, 200*time.Millisecond), upTo(0, down)}
	worst := k.run(t, l, rand.New(rand.NewPCG(3, 4)))
	t.Logf("%d kills; %v; all clients were back within %v", k.cycles, l, worst.Round(time.Millisecond))
	l.finish(t)
}

// Ten servers at a time are killed each 11 s, when the gaps of their clients have begun again:
// each client is back soon.
func TestKillAndRestart(t *testing.T) {
	const servers = 10
	cycles := kills(0) / servers
	if cycles == 0 {
		t.Skip("set BSRPC_KILLS to at least 10; TestKilledServers runs always")
	}
	l := newLedger()
	k := killing{cycles, 5 * time.Millisecond, upTo(11*time.Second, 1), upTo(0, time.Second)}
	var worst atomic.Int64
	var all sync.WaitGroup
	for i := range servers {
		all.Go(func() {
			took := k.run(t, l, rand.New(rand.NewPCG(1, uint64(i))))
			for old := worst.Load(); int64(took) > old && !worst.CompareAndSwap(old, int64(took)); old = worst.Load() {
			}
		})
	}
	all.Wait()
	back := time.Duration(worst.Load())
	t.Logf("%d cycles; %v; the slowest client was back %v after its server", servers*cycles, l, back.Round(time.Millisecond))
	l.finish(t)
	if back > 20*time.Second { // ten times the promise, on a machine that may be busy
		t.Error("a client was back only after", back)
	}
}

var lastKilling atomic.Int32 // numbers the servers, for tokens

// run kills a server under 32 clients. It returns the longest time from the start of a server
// until all of them had an answer.
func (k *killing) run(t *testing.T, l *ledger, r *rand.Rand) (worst time.Duration) {
	number := lastKilling.Add(1)
	address := freeAddress(t)
	server := startProcess(t, address, oldVersion, l)
	defer func() { server.kill() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	var remotes []*oldContract
	for id := range 32 {
		client, err := bsrpc.Dial(ctx, "tcp", address, &bsrpc.ClientOptions{Logger: slog.New(slog.DiscardHandler), Errors: processErrors})
		if err != nil {
			t.Error(err)
			return 0
		}
		defer client.Close()
		remote, err := bsrpc.Bind[oldContract](ctx, client, "Hour")
		if err != nil {
			t.Error(err)
			return 0
		}
		remotes = append(remotes, remote)
		running.Go(func() { k.call(ctx, t, remote, fmt.Sprintf("%d.%d", number, id), l) })
	}
	for range k.cycles {
		pause(ctx, k.up(r))
		server.kill()
		pause(ctx, k.down(r))
		server = startProcess(t, address, oldVersion, l)
		worst = max(worst, awaitAll(t, remotes))
		l.settle(time.Now().Add(-10 * time.Second))
	}
	cancel()
	running.Wait()
	return worst
}

// call makes calls until ctx ends.
func (k *killing) call(ctx context.Context, t *testing.T, remote *oldContract, id string, l *ledger) {
	for n := 0; ctx.Err() == nil; n++ {
		token := fmt.Sprintf("%s.%d", id, n)
		got, err := remote.Spend(ctx, token, 0)
		if err == nil && got != token {
			t.Errorf("Spend(%q) = %q", token, got)
		}
		var e *bsrpc.Error
		if err != nil && (!errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable && e.Code != bsrpc.CodeCanceled) {
			t.Errorf("%s: %v", token, err)
		}
		l.end(token, outcomeOf(err), false)
		pause(ctx, k.pace)
	}
}

// awaitAll waits until every client has had an answer, and returns how long that took.
func awaitAll(t *testing.T, remotes []*oldContract) time.Duration {
	start := time.Now()
	var all sync.WaitGroup
	for id, remote := range remotes {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(bsrpc.WithWaitForReady(t.Context()), 30*time.Second)
			defer cancel()
			if err := remote.Refuse(ctx, ""); !errors.Is(err, errSold) {
				t.Errorf("client %d does not work with the next server: %v", id, err)
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

// Of three servers one is killed under load: idempotent calls do not fail. How many are sent
// again is limited by the budget.
func TestOneOfThreeKilled(t *testing.T) {
	t.Parallel()
	l := newLedger()
	var servers []*serverProcess
	var endpoints []bsrpc.Endpoint
	for range 3 {
		server := startProcess(t, freeAddress(t), oldVersion, l)
		defer server.kill()
		servers, endpoints = append(servers, server), append(endpoints, bsrpc.Endpoint{Network: "tcp", Address: server.address})
	}
	client, err := bsrpc.Dial(t.Context(), "", "", &bsrpc.ClientOptions{
		Logger:    slog.New(slog.DiscardHandler),
		Endpoints: func(context.Context) ([]bsrpc.Endpoint, error) { return endpoints, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	remote, err := bsrpc.Bind[oldContract](t.Context(), client, "Hour")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for id := range 16 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				token := fmt.Sprintf("%d.%d", id, n)
				_, err := remote.Look(t.Context(), token)
				if err != nil {
					t.Error(err)
				}
				l.end(token, outcomeOf(err), true)
			}
		})
	}
	load := time.Duration(rounds.Of(100, 300)) * time.Millisecond
	pause(ctx, load)
	servers[1].kill()
	pause(ctx, load)
	cancel()
	callers.Wait()
	servers[0].kill()
	servers[2].kill()
	t.Logf("%v", l)
	l.finish(t)
}
