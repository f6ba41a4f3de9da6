package bsrpc

// Streams in the hands of users.

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
	feed  func(r io.Reader) (int64, error) // nil drops what it reads
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
func (s *usedService) First(in iter.Seq2[uint32, error]) (uint32, error) {
	for n, err := range in {
		return n, err
	}
	return 0, io.EOF
}
func (s *usedService) Feed(r io.Reader) (int64, error) {
	if s.feed != nil {
		return s.feed(r)
	}
	return io.Copy(io.Discard, r)
}
func (s *usedService) Add(a, b uint32) uint32 { return a + b }

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
		n, start := 0, time.Now()
		for range p.Count(context.Background(), 30) {
			for range p.Count(context.Background(), 5000) {
				n++
			}
			checkAdd(t, p)
		}
		for range 1000 {
			checkAdd(t, p)
		}
		if took := time.Since(start); n != 30*5000 || took != 0 {
			t.Errorf("%d items, and %v of delays", n, took)
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

// A reader of a MiB a second slows down what offers more, in either direction: what has been taken
// of the offer and not been read yet fits in the window, its growth, and the sender.
func TestSlowReaderSlowsDown(t *testing.T) {
	size := int64(Rounds(16<<20, 1<<30))
	const most = 64<<10 + 1<<20 + 2*64<<10 // a quarter of ConnWindow is lent; what is being sent, and its buffer
	for _, up := range []bool{false, true} {
		var offered atomic.Int64
		var read, ahead int64
		offer := readFunc(func(b []byte) (int, error) {
			n := int(min(int64(len(b)), size-offered.Load()))
			if n == 0 {
				return 0, io.EOF
			}
			offered.Add(int64(n))
			return n, nil
		})
		slowly := func(r io.Reader) (n int64, err error) {
			buf := make([]byte, 1<<20)
			for err == nil {
				var k int
				k, err = io.ReadFull(r, buf)
				read += int64(k)
				time.Sleep(time.Second) // and the offer waits
				ahead = max(ahead, offered.Load()-read)
			}
			if err == io.EOF {
				err = nil
			}
			return read, err
		}
		s := &usedService{
			open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(offer), nil },
			feed: slowly,
		}
		withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
			start := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			var n int64
			var err error
			if up {
				n, err = p.Feed(ctx, offer)
			} else if r, oops := p.Open(ctx); oops != nil {
				err = oops
			} else {
				n, err = slowly(r)
			}
			if n != size || err != nil || ahead > most || ahead < 64<<10 {
				t.Errorf("up %v: %d bytes, %v; the offer was up to %d ahead, want at most %d", up, n, err, ahead, most)
			}
			if took, want := time.Since(start), time.Duration(size>>20+1)*time.Second; took != want {
				t.Errorf("up %v: it took %v, want %v", up, took, want)
			}
		})
	}
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

// The streams among the arguments of a call end in any order, and at the same time.
func TestParametersEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type contract struct {
			Zip func(ctx context.Context, a, b iter.Seq2[int32, error], r io.Reader) (int, error)
		}
		srv := testeeServer(t, newTestee(), nil)
		if err := RegisterAs[contract](srv, "Many", &contract{Zip: func(_ context.Context, a, b iter.Seq2[int32, error], r io.Reader) (n int, err error) {
			for _, in := range []iter.Seq2[int32, error]{a, b} {
				for _, err := range in {
					if n++; err != nil {
						return n, err
					}
				}
			}
			rest, err := io.ReadAll(r)
			return n + len(rest), err
		}}); err != nil {
			t.Fatal(err)
		}
		client, _ := testeeClient(t, srv, nil)
		proxy, err := Bind[contract](t.Context(), client, "Many")
		if err != nil {
			t.Fatal(err)
		}
		items := func(n int) iter.Seq2[int32, error] {
			return func(yield func(int32, error) bool) {
				for i := range n {
					if !yield(int32(i), nil) {
						return
					}
				}
			}
		}
		for n := range 20 {
			if got, err := proxy.Zip(t.Context(), items(n), items(n), strings.NewReader("abc")); got != 2*n+3 || err != nil {
				t.Errorf("%d, %v, want %d", got, err, 2*n+3)
			}
		}
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// Of several goroutines that range over one stream, one gets its items, and the others ErrStreamUsed.
func TestRangesAtTheSameTime(t *testing.T) {
	withUsed(t, &usedService{count: upTo}, nil, func(p *usedContract, _ *Client, _ *Server) {
		for range 20 {
			seq := p.Count(context.Background(), 1000)
			var used, whole atomic.Int32
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					switch r := rangeOverAll(seq); {
					case r.err == ErrStreamUsed && r.items == nil:
						used.Add(1)
					case r.err == nil && len(r.items) == 1000:
						whole.Add(1)
					}
				})
			}
			all.Wait()
			if used.Load() != 2 || whole.Load() != 1 {
				t.Errorf("%d whole ranges, and %d refused", whole.Load(), used.Load())
			}
		}
	})
}

// A panic, and runtime.Goexit, in the body of a range ends the producer, as break does.
func TestRangeThatFalls(t *testing.T) {
	var running atomic.Int32
	s := &usedService{count: func(ctx context.Context, n uint32) iter.Seq2[uint32, error] {
		return func(yield func(uint32, error) bool) {
			running.Add(1)
			defer running.Add(-1)
			upTo(ctx, n)(yield)
		}
	}}
	withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
		for _, fall := range []func(){func() { panic("on purpose") }, runtime.Goexit} {
			var ended sync.WaitGroup
			ended.Go(func() {
				defer func() { recover() }()
				for n := range p.Count(context.Background(), endless) {
					if n == 5 {
						fall()
					}
				}
			})
			ended.Wait()
			synctest.Wait()
			if n := running.Load(); n != 0 {
				t.Errorf("%d iterators go on", n)
			}
		}
	})
}

// What an iterator of the caller does after yield has returned false has no effect.
func TestIteratorAfterItsEnd(t *testing.T) {
	for _, late := range []func(yield func(uint32, error) bool){
		func(func(uint32, error) bool) { panic("on purpose") },
		func(func(uint32, error) bool) { runtime.Goexit() },
		func(yield func(uint32, error) bool) { yield(0, io.ErrUnexpectedEOF) },
		func(yield func(uint32, error) bool) {
			for range 10 {
				if yield(1, nil) {
					panic("true after false")
				}
			}
		},
	} {
		withUsed(t, new(usedService), nil, func(p *usedContract, client *Client, _ *Server) {
			type early struct {
				First func(ctx context.Context, in iter.Seq2[uint32, error]) (uint32, error)
			}
			e, err := Bind[early](t.Context(), client, "Used")
			if err != nil {
				t.Fatal(err)
			}
			var ended sync.WaitGroup
			ended.Add(1)
			n, err := e.First(context.Background(), func(yield func(uint32, error) bool) {
				defer ended.Done()
				for i := uint32(3); yield(i, nil); i++ {
				}
				late(yield)
			})
			if n != 3 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
			ended.Wait()
			checkAdd(t, p)
		})
	}
}

// Streams that have come as a whole do not count in Limits.ServerBytes of their caller, who may keep
// them unread.
func TestKeptStreamsDoNotCount(t *testing.T) {
	withUsed(t, &usedService{count: upTo}, nil, func(_ *usedContract, _ *Client, srv *Server) {
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(context.Background(), near, &ClientOptions{Logger: quiet, MaxMessage: 64 << 10, Limits: Limits{ServerBytes: 256 << 10, PingAfter: NoLimit}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		p, err := Bind[usedContract](context.Background(), client, "Used")
		if err != nil {
			t.Fatal(err)
		}
		const n = 4000 // less than a window, which has room for 4096
		kept := make([]iter.Seq2[uint32, error], 20)
		for i := range kept {
			kept[i] = p.Count(context.Background(), n)
			synctest.Wait()
		}
		for i, seq := range kept {
			if r := rangeOverAll(seq); len(r.items) != n || r.err != nil {
				t.Errorf("stream %d: %d items, %v", i, len(r.items), r.err)
			}
		}
	})
}

// The window of a stream grows for a reader that waits for bytes, and not for a slow one.
func TestSlowReaderKeepsItsFirstWindow(t *testing.T) {
	var offered atomic.Int64
	ahead := int64(0)
	s := &usedService{feed: func(r io.Reader) (n int64, err error) {
		for buf := make([]byte, 1<<10); err == nil; time.Sleep(time.Millisecond) {
			var k int
			k, err = r.Read(buf)
			n += int64(k)
			ahead = max(ahead, offered.Load()-n)
		}
		return n, nil
	}}
	withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
		offer := readFunc(func(b []byte) (int, error) {
			if offered.Load() >= 2<<20 {
				return 0, io.EOF
			}
			offered.Add(int64(len(b)))
			return len(b), nil
		})
		n, err := p.Feed(context.Background(), offer)
		if most := int64(6 * 64 << 10); n != offered.Load() || err != nil || ahead > most {
			t.Errorf("%d bytes of %d, %v; up to %d ahead, want at most %d", n, offered.Load(), err, ahead, most)
		}
	})
}
