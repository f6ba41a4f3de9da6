package bsrpc

// Streams in the hands of users: every ending at either end, exactly once.

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type usedContract struct {
	Count func(ctx context.Context, n uint32) iter.Seq2[uint32, error]
	Open  func(ctx context.Context) (io.ReadCloser, error)
	Total func(ctx context.Context, in iter.Seq2[uint32, error]) (uint32, error)
	Feed  func(ctx context.Context, r io.Reader) (int64, error)
	Add   func(ctx context.Context, a, b uint32) (uint32, error)
}

type groupedContract struct {
	Count func(ctx context.Context, n uint32) iter.Seq2[uint32, error] `bsrpc:"exclusive=bench"`
	Add   func(ctx context.Context, a, b uint32) (uint32, error)       `bsrpc:"exclusive=bench"`
}

// A usedService has funcs in place of its streams.
type usedService struct {
	count func(ctx context.Context, n uint32) iter.Seq2[uint32, error]
	open  func(ctx context.Context) (io.ReadCloser, error)
}

func (s *usedService) Count(ctx context.Context, n uint32) iter.Seq2[uint32, error] {
	return s.count(ctx, n)
}
func (s *usedService) Open(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx) }
func (s *usedService) Total(in iter.Seq2[uint32, error]) (total uint32, _ error) {
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
func (s *usedService) Feed(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }
func (s *usedService) Add(a, b uint32) uint32          { return a + b }

// upTo gives the numbers below n.
func upTo(_ context.Context, n uint32) iter.Seq2[uint32, error] {
	return func(yield func(uint32, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

const endless = 1 << 31

// withUsed runs f in a bubble with a client. Afterwards nothing may be left.
func withUsed(t *testing.T, s *usedService, opts *ServerOptions, f func(p *usedContract, client *Client, srv *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var o ServerOptions
		if opts != nil {
			o = *opts
		}
		o.Logger, o.Limits.PingAfter = quiet, NoLimit
		srv := NewServer(&o)
		if err := errors.Join(srv.RegisterName("Used", s), RegisterAs[groupedContract](srv, "Grouped", s)); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, Limits: Limits{PingAfter: NoLimit}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Bind[usedContract](t.Context(), client, "Used")
		if err != nil {
			t.Fatal(err)
		}
		f(p, client, srv)
		if client.Err() == nil {
			checkNothing(t, client)
		}
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

func checkAdd(t *testing.T, p *usedContract) {
	t.Helper()
	if n, err := p.Add(context.Background(), 1, 2); n != 3 || err != nil {
		t.Errorf("1 + 2: got %d, %v", n, err)
	}
}

// Ranges in a range, and a stream that nothing reads, delay no other call.
func TestNestedRanges(t *testing.T) {
	withUsed(t, &usedService{count: upTo}, nil, func(p *usedContract, _ *Client, _ *Server) {
		next, stop := iter.Pull2(p.Count(context.Background(), endless))
		next()
		synctest.Wait() // its window is full
		n := 0
		for range p.Count(context.Background(), 30) {
			for range p.Count(context.Background(), 5000) {
				n++
			}
			checkAdd(t, p)
		}
		if n != 30*5000 {
			t.Errorf("%d items", n)
		}
		if k, err, ok := next(); k != 1 || err != nil || !ok {
			t.Errorf("the stream read late: %d, %v, %v", k, err, ok)
		}
		stop()
		if _, _, ok := next(); ok {
			t.Error("an item after stop")
		}
	})
}

// The producer of a slow reader is never further ahead than its window.
func TestSlowReaderKeepsWindow(t *testing.T) {
	items := uint32(1_000_000)
	if !LongTests {
		items = 50_000
	}
	var produced atomic.Uint32
	s := &usedService{count: func(_ context.Context, n uint32) iter.Seq2[uint32, error] {
		return func(yield func(uint32, error) bool) {
			for i := range n {
				produced.Add(1)
				if !yield(i, nil) {
					return
				}
			}
		}
	}}
	withUsed(t, s, nil, func(p *usedContract, client *Client, _ *Server) {
		const most = (64<<10 + 1<<20) / 16 // the window, and its growth, in items
		read, ahead := uint32(0), uint32(0)
		for _, err := range p.Count(context.Background(), items) {
			if err != nil {
				t.Fatal(err)
			}
			if read++; read%1000 == 0 {
				synctest.Wait()
				ahead = max(ahead, produced.Load()-read)
			}
		}
		if read != items || ahead > most+1 {
			t.Errorf("%d items; the producer was up to %d ahead, want at most %d", read, ahead, most+1)
		}
	})
}

// A stream that is dropped without being read is canceled at the next read of the connection.
func TestDroppedStream(t *testing.T) {
	var running atomic.Int32
	s := &usedService{
		count: func(ctx context.Context, n uint32) iter.Seq2[uint32, error] {
			return func(yield func(uint32, error) bool) {
				running.Add(1)
				defer running.Add(-1)
				upTo(ctx, n)(yield)
			}
		},
		open: func(context.Context) (io.ReadCloser, error) {
			running.Add(1)
			return &closing{Reader: zeros{}, closed: func() { running.Add(-1) }}, nil
		},
	}
	withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
		open := func() {
			seq := p.Count(context.Background(), endless)
			r, err := p.Open(context.Background())
			synctest.Wait()
			if n := running.Load(); n != 2 || err != nil {
				t.Errorf("%d streams, %v", n, err)
			}
			runtime.KeepAlive(seq)
			runtime.KeepAlive(r)
		}
		open()
		for i := 0; running.Load() > 0 && i < 100_000; i++ {
			if i%100 == 0 {
				runtime.GC()
			}
			runtime.Gosched() // cleanups run outside of the bubble
			checkAdd(t, p)
		}
		if n := running.Load(); n != 0 {
			t.Errorf("%d streams go on", n)
		}
	})
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A closing reports its Close.
type closing struct {
	io.Reader
	closed func()
}

func (c *closing) Close() error { c.closed(); return nil }

// A nil iterator, and a nil reader, is an empty stream in every place.
func TestNilStreams(t *testing.T) {
	s := &usedService{
		count: func(context.Context, uint32) iter.Seq2[uint32, error] { return nil },
		open:  func(context.Context) (io.ReadCloser, error) { return nil, nil },
	}
	withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
		if r := rangeOverAll(p.Count(context.Background(), 1)); r.items != nil || r.err != nil {
			t.Errorf("result: %+v", r)
		}
		r, err := p.Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); len(b) != 0 || err != nil {
			t.Errorf("reader: %q, %v", b, err)
		}
		if n, err := p.Total(context.Background(), nil); n != 0 || err != nil {
			t.Errorf("parameter: %d, %v", n, err)
		}
		if n, err := p.Feed(context.Background(), nil); n != 0 || err != nil {
			t.Errorf("reader as a parameter: %d, %v", n, err)
		}
	})
}

// A streamEnding is one way in which a result stream ends.
type streamEnding struct {
	name string
	end  func(read func() error, cancel func(), client *Client, srv *Server)
}

var streamEndings = []streamEnding{
	{"read for a while, and left", func(read func() error, cancel func(), _ *Client, _ *Server) { read(); cancel() }},
	{"canceled before it is read", func(_ func() error, cancel func(), _ *Client, _ *Server) { cancel() }},
	{"connection lost", func(read func() error, _ func(), client *Client, _ *Server) { read(); client.Close() }},
	{"session closed", func(read func() error, _ func(), _ *Client, srv *Server) {
		read()
		for _, v := range srv.Sessions() {
			v.Close("enough")
		}
	}},
	{"server closed", func(read func() error, _ func(), _ *Client, srv *Server) { read(); srv.Close() }},
}

// A handler's iterator is ranged over exactly once, and its reader closed exactly once.
func TestEndingsOfResults(t *testing.T) {
	for _, e := range streamEndings {
		t.Run(e.name, func(t *testing.T) {
			var begun, ended, closed atomic.Int32
			s := &usedService{
				count: func(ctx context.Context, n uint32) iter.Seq2[uint32, error] {
					return func(yield func(uint32, error) bool) {
						begun.Add(1)
						defer ended.Add(1)
						upTo(ctx, n)(yield)
					}
				},
				open: func(context.Context) (io.ReadCloser, error) {
					return &closing{zeros{}, func() { closed.Add(1) }}, nil
				},
			}
			check := func(want int32, what string, counts ...*atomic.Int32) {
				for _, c := range counts {
					if n := c.Load(); n != want {
						t.Errorf("%s: %d times, want %d", what, n, want)
					}
				}
			}
			withUsed(t, s, nil, func(p *usedContract, client *Client, srv *Server) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				next, stop := iter.Pull2(p.Count(ctx, endless))
				defer stop()
				synctest.Wait()
				e.end(func() error { _, err, _ := next(); return err }, cancel, client, srv)
				time.Sleep(time.Minute)
				check(1, "the iterator", &begun, &ended)
			})
			withUsed(t, s, nil, func(p *usedContract, client *Client, srv *Server) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				r, err := p.Open(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				synctest.Wait()
				e.end(func() error { _, err := r.Read(make([]byte, 10)); return err }, cancel, client, srv)
				time.Sleep(time.Minute)
				check(1, "the reader", &closed)
			})
		})
	}
}

// With an error, neither is touched.
func TestResultsBesideAnError(t *testing.T) {
	closed := 0
	s := &usedService{open: func(context.Context) (io.ReadCloser, error) {
		return &closing{zeros{}, func() { closed++ }}, io.ErrUnexpectedEOF
	}}
	withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
		if _, err := p.Open(context.Background()); !errors.Is(err, io.ErrUnexpectedEOF) || closed != 0 {
			t.Errorf("got %v, %d times closed", err, closed)
		}
	})
}

// A brokenText cannot be encoded.
type brokenText struct{ broken func() }

func (b brokenText) MarshalText() ([]byte, error) { b.broken(); return nil, nil }
func (*brokenText) UnmarshalText([]byte) error    { return nil }

// The stream of a call whose other results cannot be encoded is ended too.
func TestResultsBesideABrokenEncoder(t *testing.T) {
	for _, broken := range []func(){func() { panic("on purpose") }, runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			srv := NewServer(&ServerOptions{Logger: quiet})
			closed := 0
			if err := srv.RegisterFunc("Pair.Get", func() (brokenText, io.ReadCloser, error) {
				return brokenText{broken}, &closing{zeros{}, func() { closed++ }}, nil
			}); err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			p, err := Bind[struct {
				Get func(context.Context) (brokenText, io.ReadCloser, error)
			}](t.Context(), client, "Pair")
			if err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				var e *Error
				if _, _, err := p.Get(context.Background()); !errors.As(err, &e) || e.Code != CodeInternal {
					t.Errorf("got %v", err)
				}
				synctest.Wait()
				if closed != n+1 {
					t.Errorf("%d times closed in %d calls", closed, n+1)
				}
			}
			checkNothing(t, client)
			client.Close()
			srv.Close()
			checkBooked(t, srv)
		})
	}
}

// A panic, and runtime.Goexit, in an iterator or reader is one failed call, at either end. So
// is a reader that returns impossible counts.
func TestBrokenStreams(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func()
		n    int
		text string
	}{
		{"panic", func() { panic("on purpose") }, 0, "panic"},
		{"Goexit", runtime.Goexit, 0, "panic"},
		{"negative count", func() {}, -1, "impossible count"},
		{"count above the length", func() {}, 1 << 30, "impossible count"},
		{"nothing, again and again", func() {}, 0, io.ErrNoProgress.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := func(yield func(uint32, error) bool) {
				if yield(1, nil) {
					tt.run()
				}
			}
			read := readFunc(func([]byte) (int, error) { tt.run(); return tt.n, nil })
			s := &usedService{
				count: func(context.Context, uint32) iter.Seq2[uint32, error] { return broken },
				open:  func(context.Context) (io.ReadCloser, error) { return io.NopCloser(read), nil },
			}
			withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
				check := func(what string, err error) {
					t.Helper()
					if err == nil || !strings.Contains(err.Error(), tt.text) {
						t.Errorf("%s: got %v, want %q", what, err, tt.text)
					}
					checkAdd(t, p)
				}
				if tt.text == "panic" {
					check("iterator of a handler", rangeOverAll(p.Count(context.Background(), 1)).err)
					_, err := p.Total(context.Background(), broken)
					check("iterator of a caller", err)
				}
				r, err := p.Open(context.Background())
				if err == nil {
					_, err = io.ReadAll(r)
				}
				check("reader of a handler", err)
				_, err = p.Feed(context.Background(), read)
				check("reader of a caller", err)
			})
		})
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

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
	withUsed(t, &usedService{count: upTo}, nil, func(p *usedContract, _ *Client, srv *Server) {
		next, stop := iter.Pull2(p.Count(context.Background(), 100_000))
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
		if err := <-done; err != nil || n != 100_000 {
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
			for range 100_000 {
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
			for i := range 100_000 {
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
		for range 6 {
			all.Go(func() {
				if n, err := p.Sink(context.Background(), blobs(5)); n != 5*size || err != nil {
					t.Errorf("Sink: %d, %v", n, err)
				}
			})
			all.Go(func() {
				n := 0
				for b, err := range p.Blobs(context.Background(), 5) {
					if err != nil {
						t.Error(err)
					}
					n += len(b)
				}
				if n != 5*size {
					t.Errorf("Blobs: %d bytes", n)
				}
			})
			all.Go(func() {
				for range 5 {
					if n, err := p.Len(context.Background(), make([]byte, size)); n != size || err != nil {
						t.Errorf("Len: %d, %v", n, err)
					}
				}
			})
		}
		all.Wait()
		if n := most.Load(); n > 2*connBytes {
			t.Errorf("%d bytes were booked", n)
		}
		synctest.Wait()
		checkNothing(t, client)
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}
