package bsrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/stats"
)

// measured has calls of every kind.
type measured struct{}

func (measured) Quick(n int) (int, error) {
	switch n {
	case 1:
		return 0, &bsrpc.Error{Code: bsrpc.CodeNotFound}
	case 2:
		panic("two")
	}
	return n, nil
}
func (measured) Slow(ctx context.Context) error { time.Sleep(10 * time.Millisecond); return ctx.Err() }
func (measured) Tell(n int) error {
	if n == 1 {
		return errors.New("one")
	}
	return nil
}
func (measured) Count(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range 3 {
			time.Sleep(10 * time.Millisecond)
			if !yield(i, nil) {
				return
			}
		}
		if n == 1 {
			yield(0, &bsrpc.Error{Code: bsrpc.CodeDataLoss})
		}
	}
}
func (measured) Each(ctx context.Context, f func(ctx context.Context, n int) error) error {
	return f(ctx, 1)
}

type measuredContract struct {
	Quick  func(ctx context.Context, n int) (int, error)
	Slow   func(ctx context.Context) error
	Tell   func(ctx context.Context, n int) error `bsrpc:"oneway"`
	Count  func(ctx context.Context, n int) iter.Seq2[int, error]
	Each   func(ctx context.Context, f func(ctx context.Context, n int) error) error
	Denied func(ctx context.Context) error `bsrpc:"roles=admin"`
}

func (measured) Denied() error { return nil }

// countsOf returns the figures of methods as lines: the calls and the refused ones by code, and
// the number of latencies.
func countsOf(list []stats.Method) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%s:", m.Name)
		for _, c := range m.Calls {
			fmt.Fprintf(&b, " %d %s", c.Calls, c.Code)
		}
		for _, c := range m.Refused {
			fmt.Fprintf(&b, " refused %d %s", c.Calls, c.Code)
		}
		fmt.Fprintf(&b, " of %d\n", m.Latency.Count)
	}
	return b.String()
}

// Both ends count each call once, by method and code.
func TestStatsCount(t *testing.T) {
	for _, wrap := range []string{"pair", "interceptors"} {
		t.Run(wrap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { countEverything(t, wrap == "interceptors") })
		})
	}
}

func countEverything(t *testing.T, intercepted bool) {
	so := &bsrpc.ServerOptions{Authenticate: roleOf, Roles: map[string]string{"M.*": "*"}, Logger: slog.New(slog.DiscardHandler)}
	co := &bsrpc.ClientOptions{InsecureCredentials: true, Logger: so.Logger, Credentials: func(context.Context) (bsrpc.Credentials, error) { return bsrpc.NewCredentials("guest", ""), nil }}
	if intercepted {
		pass := func(next bsrpc.CallFunc) bsrpc.CallFunc { return next }
		so.Interceptors, co.Interceptors = []bsrpc.Interceptor{pass}, []bsrpc.Interceptor{pass}
	}
	srv := bsrpc.NewServer(so)
	if err := bsrpc.RegisterAs[measuredContract](srv, "M", measured{}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, co)
	if err != nil {
		t.Fatal(err)
	}
	m, err := bsrpc.Bind[measuredContract](t.Context(), client, "M")
	if err != nil {
		t.Fatal(err)
	}
	later, err := bsrpc.Bind[struct {
		Quick func(ctx context.Context, n int) *bsrpc.Future[int]
	}](t.Context(), client, "M")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for i := range 6 {
		m.Quick(ctx, i%3)
		later.Quick(ctx, i%3).Wait(ctx)
		m.Tell(ctx, i%2)
	}
	for range 3 {
		m.Slow(ctx)
		short, stop := context.WithTimeout(ctx, 5*time.Millisecond)
		m.Slow(short)
		stop()
		m.Denied(ctx)
	}
	over, stop := context.WithCancel(ctx)
	stop()
	m.Slow(over)
	for i := range 2 {
		bsrpctest.Collect(m.Count(ctx, i))
	}
	for range m.Count(ctx, 0) {
		break
	}
	m.Each(ctx, func(context.Context, int) error { return nil })
	client.Call(ctx, "M.Quick", []any{5}, new(int))
	time.Sleep(time.Second)

	const server = `M.Count: 1 ok 1 canceled 1 data loss of 3
M.Denied: refused 3 permission denied of 0
M.Each: 1 ok of 1
M.Quick: 5 ok 4 not found 4 internal of 13
M.Slow: 3 ok 3 deadline exceeded of 6
M.Tell: 3 ok 3 unknown of 6
`
	if got := countsOf(srv.Stats().Methods); got != server {
		t.Errorf("server:\n%s", got)
	}
	want := strings.Replace(server, "exceeded of 6", "exceeded refused 1 canceled of 6", 1)
	if got := countsOf(client.Stats().Methods); got != want {
		t.Errorf("client:\n%s", got)
	}
	f, c := srv.Stats(), client.Stats()
	if f.Sessions != 1 || f.Connections != 1 || f.Handlers != 0 || f.Open != 0 || f.Streams != 0 || f.Unsent != 0 || f.Panics != 4 || f.OnewayErrors != 3 || f.RefusedConns != 0 {
		t.Errorf("got %+v", f)
	}
	if c.Connections != 1 || c.Connected != 1 || c.Open != 0 || c.Queued != 0 || c.Streams != 0 || c.Unsent != 0 {
		t.Errorf("got %+v", c)
	}
	if f.Received != c.Sent || f.Sent != c.Received || f.Sent < 1000 {
		t.Errorf("the server has received %d bytes and sent %d, the client sent %d and received %d", f.Received, f.Sent, c.Sent, c.Received)
	}
	for _, list := range [][]stats.Method{f.Methods, c.Methods} {
		slow := list[slices.IndexFunc(list, func(m stats.Method) bool { return m.Name == "M.Slow" })].Latency
		if slow.Sum < 40*time.Millisecond || slow.Sum > 65*time.Millisecond || slow.P99 < 9*time.Millisecond || slow.P99 > 12*time.Millisecond || slow.Buckets[0].Low < 4*time.Millisecond {
			t.Errorf("M.Slow took %+v", slow)
		}
		if count := list[0].Latency; count.Sum < 70*time.Millisecond || count.Sum > 90*time.Millisecond {
			t.Errorf("M.Count took %+v", count)
		}
	}
	client.Close()
	synctest.Wait()
	if c := client.Stats(); c.Connections != 0 || c.Connected != 1 || countsOf(c.Methods) != want {
		t.Errorf("after Close: %+v", c)
	}
	if _, err := m.Quick(ctx, 3); err == nil || !strings.Contains(countsOf(client.Stats().Methods), "M.Quick: 5 ok 4 not found 4 internal refused 1 ") {
		t.Errorf("after Close: %v, %s", err, countsOf(client.Stats().Methods))
	}
	if f := srv.Stats(); f.Sessions != 0 || f.Connections != 0 || countsOf(f.Methods) != server {
		t.Errorf("after Close: %+v", f)
	}
}

// Gauges show what is under way: calls, streams, lines.
func TestStatsGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{MaxSessions: 1, MaxInflight: 3, Logger: slog.New(slog.DiscardHandler)})
		err := bsrpc.RegisterAs[struct {
			Hold  func(ctx context.Context) error `bsrpc:"exclusive=scope"`
			Items func(ctx context.Context) iter.Seq2[int, error]
		}](srv, "L", &struct {
			holder
		}{holder{release}})
		if err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := bsrpc.Bind[struct {
			Hold  func(ctx context.Context) error `bsrpc:"exclusive=scope"`
			Items func(ctx context.Context) iter.Seq2[int, error]
		}](t.Context(), client, "L")
		if err != nil {
			t.Fatal(err)
		}
		next, drop := iter.Pull2(l.Items(t.Context()))
		next()
		var calls sync.WaitGroup
		for range 5 {
			calls.Go(func() { l.Hold(t.Context()) })
		}
		waits, cancel := context.WithCancel(t.Context())
		var dials sync.WaitGroup
		near, far := net.Pipe()
		go srv.ServeConn(far)
		dials.Go(func() { bsrpc.NewClient(waits, near, nil) })
		time.Sleep(time.Second)
		f, c := srv.Stats(), client.Stats()
		if f.Sessions != 1 || f.Waiting != 1 || f.Connections != 2 || f.InLine != 2 || f.Open != 4 || f.Streams != 1 || f.Handlers != 2 {
			t.Errorf("got %+v", f)
		}
		if c.Open != 6 || c.Queued != 2 || c.Streams != 1 {
			t.Errorf("got %+v", c)
		}
		cancel()
		dials.Wait()
		drop()
		close(release)
		calls.Wait()
		time.Sleep(time.Second)
		if f := srv.Stats(); f.Waiting != 0 || f.InLine != 0 || f.Open != 0 || f.Streams != 0 || f.Handlers != 0 || f.RefusedConns != 1 {
			t.Errorf("got %+v", f)
		}
	})
}

type holder struct{ release chan struct{} }

func (h holder) Hold(ctx context.Context) error { <-h.release; return nil }
func (h holder) Items(ctx context.Context) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(1, nil)
		<-ctx.Done()
	}
}

// The counters are JSON for expvar, and bsrpc.v1 has the same ones.
func TestStatsTravel(t *testing.T) {
	srv := secureTill(t, nil)
	client, server := dialAs(t, srv, "ops")
	if err := client.Call(t.Context(), "Till.Total", []any{"Monday"}, new(int)); err != nil {
		t.Fatal(err)
	}
	counters, err := server.Counters(t.Context())
	if got := countsOf(counters.Methods); err != nil || got != "Till.Total: 1 ok of 1\n" || counters.Open != 1 {
		t.Errorf("got %s and %d open calls, %v", got, counters.Open, err)
	}
	figures := srv.Stats()
	for late := time.Now().Add(10 * time.Second); len(figures.Methods) < 2 && time.Now().Before(late); figures = srv.Stats() {
		runtime.Gosched() // a call is counted after its answer
	}
	var decoded stats.Server
	text, err := json.Marshal(figures)
	if err == nil {
		err = json.Unmarshal(text, &decoded)
	}
	if err != nil || countsOf(decoded.Methods) != "Till.Total: 1 ok of 1\nbsrpc.v1.Counters: 1 ok of 1\n" {
		t.Errorf("got %s, %v", text, err)
	}
}

// Sessions has those that wait for admission, with their places.
func TestSessionsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := secureTill(t, func(o *bsrpc.ServerOptions) { o.MaxSessions = 1 })
		client, server := dialAs(t, srv, "ops")
		waits, cancel := context.WithCancel(t.Context())
		var dials sync.WaitGroup
		for _, name := range []string{"ann", "bob"} {
			near, far := net.Pipe()
			go srv.ServeConn(far)
			dials.Go(func() {
				bsrpc.NewClient(waits, near, &bsrpc.ClientOptions{InsecureCredentials: true, Credentials: func(context.Context) (bsrpc.Credentials, error) {
					return bsrpc.NewCredentials(name, ""), nil
				}})
			})
			synctest.Wait()
		}
		list, err := server.Sessions(t.Context())
		var got []string
		for _, s := range list {
			got = append(got, fmt.Sprint(s.Name, s.Position, s.Calls > 0, s.Since.IsZero()))
		}
		if want := "[ops0 true false ann1 false true bob2 false true]"; err != nil || fmt.Sprint(got) != want {
			t.Errorf("got %v, %v", got, err)
		}
		cancel()
		dials.Wait()
		client.Close()
	})
}
