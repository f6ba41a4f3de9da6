package bsrpc

// The places that open streams keep: of calls, of a server that shuts down, and of long items.

import (
	"context"
	"errors"
	"iter"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A stream keeps its place in MaxConcurrentCalls, and its exclusive group, to its end.
func TestStreamKeepsItsPlace(t *testing.T) {
	for _, concurrent := range []int{0, 1} {
		s := &usedService{count: upTo}
		withUsed(t, s, &ServerOptions{MaxConcurrentCalls: concurrent}, func(p *usedContract, client *Client, _ *Server) {
			add := p.Add
			if concurrent == 0 {
				g, err := Bind[groupedContract](t.Context(), client, "Grouped")
				if err != nil {
					t.Fatal(err)
				}
				p.Count, add = g.Count, g.Add
			}
			next, stop := iter.Pull2(p.Count(context.Background(), endless))
			next()
			done := make(chan error, 1)
			go func() { _, err := add(context.Background(), 1, 2); done <- err }()
			time.Sleep(time.Second)
			select {
			case err := <-done:
				t.Errorf("a call beside the stream: %v", err)
			default:
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Shutdown waits for streams, and ends those left at the end of its context.
func TestShutdownAwaitsStreams(t *testing.T) {
	items := Rounds(20_000, 100_000)
	withUsed(t, &usedService{count: upTo}, nil, func(p *usedContract, _ *Client, srv *Server) {
		next, stop := iter.Pull2(p.Count(context.Background(), uint32(items)))
		defer stop()
		next()
		done := make(chan error, 1)
		go func() { done <- srv.Shutdown(context.Background()) }()
		synctest.Wait()
		n := 1
		for _, err, ok := next(); ok; _, err, ok = next() {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if err := <-done; err != nil || n != items {
			t.Errorf("Shutdown: %v, after %d items", err, n)
		}
	})
	withUsed(t, &usedService{count: upTo}, nil, func(p *usedContract, _ *Client, srv *Server) {
		next, stop := iter.Pull2(p.Count(context.Background(), endless))
		defer stop()
		next()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		time.Sleep(time.Minute)
		var last error
		for _, err, ok := next(); ok; _, err, ok = next() {
			last = err
		}
		var e *Error
		if !errors.As(last, &e) || e.Code != CodeUnavailable || !e.Remote {
			t.Errorf("the stream: %v", last)
		}
	})
}

// A stream whose reader leaves its window full is ended once others have waited for its place,
// or its group, and the lease is over: not before.
func TestStreamLease(t *testing.T) {
	t.Parallel()
	const lease = 8 * time.Second
	for _, tt := range []struct {
		concurrent int
		what       string
	}{{0, "exclusive=bench"}, {1, "its turn (the server's MaxConcurrentCalls is 1)"}} {
		var ended atomic.Pointer[context.Context]
		s := &usedService{count: func(ctx context.Context, n uint32) iter.Seq2[uint32, error] {
			return func(yield func(uint32, error) bool) {
				ended.Store(&ctx)
				upTo(ctx, n)(yield)
			}
		}}
		opts := &ServerOptions{MaxConcurrentCalls: tt.concurrent, Limits: Limits{SessionLease: lease}}
		withUsed(t, s, opts, func(p *usedContract, client *Client, _ *Server) {
			g, err := Bind[groupedContract](t.Context(), client, "Grouped")
			if err != nil {
				t.Fatal(err)
			}
			name, count, add := "Used.Count", p.Count, p.Add
			if tt.concurrent == 0 {
				name, count, add = "Grouped.Count", g.Count, g.Add
			}
			next, stop := iter.Pull2(count(context.Background(), endless))
			defer stop()
			next()

			// A call that gives up sooner is told what it waited for.
			ctx, cancel := context.WithTimeout(context.Background(), lease/2)
			_, err = add(ctx, 1, 2)
			cancel()
			var e *Error
			if want := tt.what + ", held by a stream of " + name; !errors.As(err, &e) || e.Code != CodeDeadlineExceeded || e.Outcome != OutcomeNotRun || !strings.HasSuffix(e.Message, want) {
				t.Errorf("got %v, want ...%q", err, want)
			}
			if err := (*ended.Load()).Err(); err != nil {
				t.Errorf("the stream has ended: %v", err)
			}

			// Reading begins a new lease.
			for range Rounds(20_000, 100_000) {
				if _, err, ok := next(); err != nil || !ok {
					t.Fatal(err)
				}
			}
			time.Sleep(lease / 2)
			since := time.Now()
			if n, err := add(context.Background(), 1, 2); n != 3 || err != nil {
				t.Errorf("1 + 2 = %d, %v", n, err)
			}
			if d := time.Since(since); d < lease/4 || d > lease {
				t.Errorf("the stream ended after %v", d)
			}
			if (*ended.Load()).Err() == nil {
				t.Error("the context of the handler goes on")
			}
			items := 0
			var last error
			for _, err, ok := next(); ok; _, err, ok = next() {
				items, last = items+1, err
			}
			want := name + ": others wait, and the reader has left the window of the stream full for the server's Limits.SessionLease (8s)"
			if !errors.As(last, &e) || e.Code != CodeAborted || e.Outcome != OutcomeAnswered || !strings.Contains(e.Message, want) || items < 100 {
				t.Errorf("after %d items: %v", items, last)
			}
		})
	}
}

// Without others, and for as long as the option says without a limit, a full window stays.
func TestStreamLeaseAlone(t *testing.T) {
	t.Parallel()
	for _, lease := range []time.Duration{time.Second, NoLimit} {
		opts := &ServerOptions{MaxConcurrentCalls: 1, Limits: Limits{SessionLease: lease}}
		withUsed(t, &usedService{count: upTo}, opts, func(p *usedContract, _ *Client, _ *Server) {
			next, stop := iter.Pull2(p.Count(context.Background(), endless))
			next()
			time.Sleep(time.Hour)
			done := make(chan error, 1)
			if lease == NoLimit {
				go func() { _, err := p.Add(context.Background(), 1, 2); done <- err }()
				time.Sleep(10 * time.Second)
			}
			for i := range Rounds(20_000, 100_000) {
				if _, err, ok := next(); err != nil || !ok {
					t.Fatalf("item %d: %v", i, err)
				}
			}
			stop()
			if lease == NoLimit {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Many long items at once wait for each other: no call fails, in either direction, and long
// messages beside them do not wait.
func TestManyLongItems(t *testing.T) {
	t.Parallel()
	const size, connBytes = 1<<20 - 8, 2 << 20
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{ConnBytes: connBytes, PingAfter: NoLimit}
		srv := NewServer(&ServerOptions{Logger: quiet, MaxMessage: 1 << 20, Limits: limits})
		var most atomic.Int64
		blobs := func(n int) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for ; n > 0 && yield(make([]byte, size), nil); n-- {
				}
			}
		}
		type contract struct {
			Blobs func(ctx context.Context, n int) iter.Seq2[[]byte, error]
			Sink  func(ctx context.Context, in iter.Seq2[[]byte, error]) (int, error)
			Len   func(ctx context.Context, b []byte) (int, error)
		}
		err := RegisterAs[contract](srv, "Long", &contract{
			Blobs: func(_ context.Context, n int) iter.Seq2[[]byte, error] { return blobs(n) },
			Sink: func(_ context.Context, in iter.Seq2[[]byte, error]) (n int, _ error) {
				for b, err := range in {
					if err != nil {
						return 0, err
					}
					n += len(b)
					most.Store(max(most.Load(), srv.budget.Booked()))
				}
				return n, nil
			},
			Len: func(_ context.Context, b []byte) (int, error) { return len(b), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, MaxMessage: 1 << 20, Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Bind[contract](t.Context(), client, "Long")
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		each := Rounds(1, 5)
		for range 6 {
			all.Go(func() {
				if n, err := p.Sink(context.Background(), blobs(each)); n != each*size || err != nil {
					t.Errorf("Sink: %d, %v", n, err)
				}
			})
			all.Go(func() {
				n := 0
				for b, err := range p.Blobs(context.Background(), each) {
					if err != nil {
						t.Error(err)
					}
					n += len(b)
				}
				if n != each*size {
					t.Errorf("Blobs: %d bytes", n)
				}
			})
			all.Go(func() {
				for range each {
					if n, err := p.Len(context.Background(), make([]byte, size)); n != size || err != nil {
						t.Errorf("Len: %d, %v", n, err)
					}
				}
			})
		}
		all.Wait()
		const windows = 6*64<<10 + 4<<20 // of the streams, and what is lent to them
		if n := most.Load(); n > 2*connBytes+windows {
			t.Errorf("%d bytes were booked", n)
		}
		synctest.Wait()
		checkNothing(t, client)
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}
