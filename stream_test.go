package bsrpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

type streamItem struct {
	N    int32
	Name string
}

// A streamService has every shape of stream.
type streamService struct{ gone chan error }

func (s *streamService) Count(ctx context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (s *streamService) Items(ctx context.Context, n int) (iter.Seq2[*streamItem, error], error) {
	if n < 0 {
		return nil, errors.New("negative")
	}
	return func(yield func(*streamItem, error) bool) {
		for i := range n {
			if !yield(&streamItem{int32(i), fmt.Sprint("item ", i)}, nil) {
				return
			}
		}
	}, nil
}

func (s *streamService) Endless(ctx context.Context) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := 0; ; i++ {
			if !yield(i, nil) {
				s.gone <- ctx.Err()
				return
			}
		}
	}
}

func (s *streamService) Wait(ctx context.Context) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(1, nil)
		<-ctx.Done()
		s.gone <- ctx.Err()
	}
}

func (s *streamService) Fail(after int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range after {
			if !yield(i, nil) {
				return
			}
		}
		yield(0, &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no more"})
	}
}

func (s *streamService) Panic(after int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range after {
			yield(i, nil)
		}
		panic("secret")
	}
}

func (s *streamService) Sum(in iter.Seq2[int, error]) (int, error) {
	sum := 0
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (s *streamService) First(in iter.Seq2[int, error]) (int, error) {
	for n, err := range in {
		return n, err
	}
	return -1, nil
}

func (s *streamService) Double(in iter.Seq2[int, error]) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for n, err := range in {
			if !yield(2*n, err) {
				return
			}
		}
	}
}

func (s *streamService) Upload(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

func (s *streamService) Open(size int) (io.ReadCloser, error) {
	if size < 0 {
		return nil, &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no such file"}
	}
	return io.NopCloser(io.LimitReader(endlessReader{}, int64(size))), nil
}

// An endlessReader is an endless reader.
type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

type streamContract struct {
	Count   func(context.Context, int) iter.Seq2[int, error]
	Items   func(context.Context, int) (iter.Seq2[*streamItem, error], error)
	Endless func(context.Context) iter.Seq2[int, error]
	Wait    func(context.Context) iter.Seq2[int, error]
	Fail    func(int) iter.Seq2[int, error]
	Panic   func(int) iter.Seq2[int, error]
	Sum     func(context.Context, iter.Seq[int]) (int, error)
	First   func(context.Context, iter.Seq2[int, error]) (int, error)
	Double  func(context.Context, iter.Seq2[int, error]) iter.Seq2[int, error]
	Upload  func(context.Context, io.Reader) (int64, error)
	Open    func(context.Context, int) (io.ReadCloser, error)
}

func bindStreams(t *testing.T) (*streamContract, *streamService) {
	t.Helper()
	s := &streamService{gone: make(chan error, 10)}
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("S", s); err != nil {
		t.Fatal(err)
	}
	return bsrpctest.Bind[streamContract](t, srv, "S"), s
}

func collect[T any](seq iter.Seq2[T, error]) (items []T, err error) {
	for item, err := range seq {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

func TestStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := bindStreams(t)
		checkStreams(t, p, s)
	})
}

// All of this over sockets, plain and within TLS.
func TestStreamsOverSockets(t *testing.T) {
	t.Parallel()
	authority := certificate(t, "server", nil)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	for _, tt := range []struct {
		name, network string
		secure        bool
	}{{"tcp", "tcp", false}, {"TLS over unix", "unix", true}, {"unix", "unix", false}, {"TLS", "tcp", true}}[:bsrpc.Rounds(2, 4)] {
		t.Run(tt.name, func(t *testing.T) {
			s := &streamService{gone: make(chan error, 10)}
			srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
			if err := srv.RegisterName("S", s); err != nil {
				t.Fatal(err)
			}
			address := "127.0.0.1:0"
			if tt.network == "unix" {
				address = filepath.Join(t.TempDir(), "socket")
			}
			l, err := net.Listen(tt.network, address)
			if err != nil {
				t.Fatal(err)
			}
			dialed, err := net.Dial(tt.network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if tt.secure {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{authority}})
				dialed = tls.Client(dialed, &tls.Config{ServerName: "server", RootCAs: pool})
			}
			go srv.Serve(l)
			defer srv.Close()
			client, err := bsrpc.NewClient(t.Context(), dialed, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			p, err := bsrpc.Bind[streamContract](t.Context(), client, "S")
			if err != nil {
				t.Fatal(err)
			}
			checkStreams(t, p, s)
		})
	}
}

// checkStreams makes calls with streams of every shape.
func checkStreams(t *testing.T, p *streamContract, s *streamService) {
	t.Helper()
	for _, n := range []int{0, 1, 2, 1000, bsrpc.Rounds(20_000, 50_000)} {
		got, err := collect(p.Count(t.Context(), n))
		if err != nil || len(got) != n {
			t.Fatalf("Count(%d): %d items, %v", n, len(got), err)
		}
		for i, item := range got {
			if item != i {
				t.Fatalf("Count(%d): item %d is %d", n, i, item)
			}
		}
		seq, err := p.Items(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		items, err := collect(seq)
		if err != nil || len(items) != n {
			t.Fatalf("Items(%d): %d items, %v", n, len(items), err)
		}
		for i, item := range items {
			if int(item.N) != i || item.Name != fmt.Sprint("item ", i) {
				t.Fatalf("Items(%d): item %d is %+v", n, i, *item)
			}
		}
		if _, err := collect(seq); err != bsrpc.ErrStreamUsed {
			t.Fatalf("second range: %v", err)
		}
		sum, err := p.Sum(t.Context(), func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		})
		if err != nil || sum != n/2*(n-1) {
			t.Fatalf("Sum(%d): %d, %v", n, sum, err)
		}
	}
	if _, err := p.Items(t.Context(), -1); err == nil || err.Error() != "negative" {
		t.Errorf("Items(-1): %v", err)
	}
	for n, err := range p.Endless(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 10_000 {
			break
		}
	}
	if err := <-s.gone; err != context.Canceled {
		t.Errorf("after break: %v", err)
	}
	got, err := collect(p.Fail(3))
	var e *bsrpc.Error
	if len(got) != 3 || !errors.As(err, &e) || e.Code != bsrpc.CodeNotFound || e.Message != "no more" || e.Outcome != bsrpc.OutcomeAnswered {
		t.Errorf("Fail: %v, %v", got, err)
	}
	got, err = collect(p.Panic(3))
	if len(got) != 3 || !errors.As(err, &e) || e.Code != bsrpc.CodeInternal || bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Errorf("Panic: %v, %v", got, err)
	}
	stopped := make(chan bool, 1)
	n, err := p.First(t.Context(), func(yield func(int, error) bool) {
		for i := 7; yield(i, nil); i++ {
		}
		stopped <- true
	})
	if <-stopped; n != 7 || err != nil {
		t.Errorf("First: %d, %v", n, err)
	}
	i := 0
	for n, err := range p.Double(t.Context(), func(yield func(int, error) bool) {
		for i := range 1000 {
			if !yield(i, nil) {
				return
			}
		}
	}) {
		if err != nil || n != 2*i {
			t.Fatalf("Double: %d, %v", n, err)
		}
		i++
	}
	if i != 1000 {
		t.Errorf("Double gave %d items", i)
	}
	if n, err := p.Upload(t.Context(), io.LimitReader(endlessReader{}, 10<<20)); n != 10<<20 || err != nil {
		t.Errorf("Upload: %d, %v", n, err)
	}
	r, err := p.Open(t.Context(), 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != 3<<20 || err != nil {
		t.Errorf("Open: %d, %v", n, err)
	}
	if _, err := p.Open(t.Context(), -1); !errors.As(err, &e) || e.Code != bsrpc.CodeNotFound {
		t.Errorf("Open(-1): %v", err)
	}
}

// Items of any length arrive whole and in order, in either direction and in both at a time. An
// empty stream ends cleanly.
func TestItemsOfAnyLength(t *testing.T) {
	type contract struct {
		Up   func(context.Context, iter.Seq2[[]byte, error]) ([]int, error)
		Down func(context.Context, []int) iter.Seq2[[]byte, error]
		Both func(context.Context, []int, iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error]
	}
	give := func(sizes []int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, n := range sizes {
				if !yield(pattern(n), nil) {
					return
				}
			}
		}
	}
	take := func(in iter.Seq2[[]byte, error]) (sizes []int, err error) {
		for item, err := range in {
			if err != nil {
				return sizes, err
			}
			if !bytes.Equal(item, pattern(len(item))) {
				return sizes, fmt.Errorf("item %d of %d bytes has changed", len(sizes), len(item))
			}
			sizes = append(sizes, len(item))
		}
		return sizes, nil
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[contract](srv, "Sized", &contract{
		Up:   func(_ context.Context, in iter.Seq2[[]byte, error]) ([]int, error) { return take(in) },
		Down: func(_ context.Context, sizes []int) iter.Seq2[[]byte, error] { return give(sizes) },
		Both: func(_ context.Context, down []int, in iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) { // one for each item that comes
				for item, err := range in {
					if err == nil && !bytes.Equal(item, pattern(len(item))) {
						err = errors.New("it has changed")
					}
					if !yield(pattern(down[0]), err) {
						return
					}
					down = down[1:]
				}
			}
		},
	}); err != nil {
		t.Fatal(err)
	}
	p := bsrpctest.Bind[contract](t, srv, "Sized")
	up, down := []int{27182, 8, 1828, 45904}, []int{31415, 9, 2653, 58979}
	check := func(what string, want []int) func(got []int, err error) {
		return func(got []int, err error) {
			t.Helper()
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v, %v, want %v", what, got, err, want)
			}
		}
	}
	check("up", up)(p.Up(t.Context(), give(up)))
	check("down", down)(take(p.Down(t.Context(), down)))
	check("both", down)(take(p.Both(t.Context(), down, give(up))))
	check("nothing up", nil)(p.Up(t.Context(), give(nil)))
	check("nothing down", nil)(take(p.Down(t.Context(), nil)))
	check("nothing both ways", nil)(take(p.Both(t.Context(), nil, give(nil))))
}

// A stream is ranged over once, also if its call has failed before it began.
func TestSecondRangeOfAFailedCall(t *testing.T) {
	p, _ := bindStreams(t)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, seq := range map[string]iter.Seq2[int, error]{
		"by its context, before":  p.Count(canceled, 3),
		"by its context, as both": p.Double(canceled, p.Count(t.Context(), 3)),
		"by its handler":          p.Fail(0),
	} {
		if _, err := collect(seq); err == nil || errors.Is(err, bsrpc.ErrStreamUsed) {
			t.Errorf("%s: %v", name, err)
		}
		for range 2 {
			if _, err := collect(seq); err != bsrpc.ErrStreamUsed {
				t.Errorf("%s, ranged over again: %v", name, err)
			}
		}
	}
}

func TestStreamCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := bindStreams(t)
		ctx, cancel := context.WithCancel(t.Context())
		for _, err := range p.Wait(ctx) {
			if err == nil {
				cancel()
				continue
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("canceled stream: %v", err)
			}
		}
		if err := <-s.gone; err != context.Canceled {
			t.Errorf("handler: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var last error
		for _, err := range p.Wait(ctx) {
			last = err
		}
		if !errors.Is(last, context.DeadlineExceeded) {
			t.Errorf("stream with a deadline: %v", last)
		}
		if err := <-s.gone; err != context.DeadlineExceeded {
			t.Errorf("handler: %v", err)
		}
	})
}

// The caller's own cancel ends a range, and a reader, at once: what has come is dropped, also if
// the whole stream has. So does Close of a reader. The end of a stream that has been read is clean.
func TestCancelWithItemsAtHand(t *testing.T) {
	for name, bind := range map[string]func(t *testing.T, srv *bsrpc.Server) *depotContract{
		"connection": func(t *testing.T, srv *bsrpc.Server) *depotContract {
			return bsrpctest.Bind[depotContract](t, srv, "Stock")
		},
		"RoundTripper": func(t *testing.T, srv *bsrpc.Server) *depotContract {
			client := overClient(bsrpctest.Direct(srv), nil)
			t.Cleanup(func() { client.Close() })
			p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := bind(t, depotServer(t, nil))
				for _, n := range []int{100, 100_000} {
					for cancelAt, want := range map[int]error{0: context.Canceled, 60: context.Canceled, 99: nil} {
						if want == nil && n != 100 {
							continue
						}
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						items := 0
						var last error
						for i, err := range p.Count(ctx, n) {
							if last = err; err == nil {
								items++
							}
							if i == cancelAt && err == nil {
								synctest.Wait() // until all that can come has
								cancel()
							}
						}
						if items != cancelAt+1 || !errors.Is(last, want) {
							t.Errorf("of %d: %d items, %v; canceled at %d", n, items, last, cancelAt)
						}
					}
				}
				for _, size := range []int{100, 100_000} { // in a frame, and in one with a buffer of its own
					for _, closes := range []bool{false, true} {
						ctx, cancel := context.WithCancel(t.Context())
						r, err := p.Open(ctx, strings.Repeat("x", size))
						if err != nil {
							t.Fatal(err)
						}
						r.Read(make([]byte, 10))
						synctest.Wait()
						if closes {
							r.Close()
						} else {
							cancel()
						}
						synctest.Wait()
						if n, err := r.Read(make([]byte, 10)); n != 0 || closes && !strings.Contains(fmt.Sprint(err), "the stream is closed") || !closes && !errors.Is(err, context.Canceled) {
							t.Errorf("of %d: %d bytes, %v; closed: %v", size, n, err, closes)
						}
						cancel()
					}
				}
			})
		})
	}
}

// Items may have no bytes. More of them than a window has room for arrive, in either direction.
func TestItemsWithoutBytes(t *testing.T) {
	type contract struct {
		Both func(context.Context, iter.Seq2[struct{}, error]) iter.Seq2[struct{}, error]
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[contract](srv, "Ticks", &contract{func(_ context.Context, in iter.Seq2[struct{}, error]) iter.Seq2[struct{}, error] { return in }}); err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	items, err := collect(bsrpctest.Bind[contract](t, srv, "Ticks").Both(t.Context(), generated(n, func(int) struct{} { return struct{}{} })))
	if len(items) != n || err != nil {
		t.Errorf("%d items, %v", len(items), err)
	}
}
