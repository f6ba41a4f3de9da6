package bsrpc

import (
	"context"
	"io"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Uploads and downloads at an end whose memory for received bytes is short, or held by others.

// A slowReader has streams in both directions, with pauses of their reader.
type slowReader struct{}

type slowReaderContract struct {
	Up        func(ctx context.Context, pause, every int, in io.Reader) (int, error)
	UpItems   func(ctx context.Context, pause, every int, in iter.Seq2[[]byte, error]) (int, error)
	Down      func(ctx context.Context, n int) (io.ReadCloser, error)
	DownItems func(ctx context.Context, n, size int) (iter.Seq2[[]byte, error], error)
}

// readSlowly reads to the end, with a pause of a second after each every bytes beyond pause, and
// returns how many there were.
func readSlowly(in io.Reader, pause, every int) (n int, err error) {
	buf := make([]byte, 10_000)
	for next := pause; err == nil; {
		var k int
		k, err = in.Read(buf)
		if n += k; n >= next {
			next = n + every
			time.Sleep(time.Second)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// asReader returns a reader of the bytes of items.
func asReader(items iter.Seq2[[]byte, error]) io.Reader {
	r, w := io.Pipe()
	go func() {
		for item, err := range items {
			if err != nil {
				w.CloseWithError(err)
				return
			}
			if _, err := w.Write(item); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}

func (slowReader) Up(_ context.Context, pause, every int, in io.Reader) (int, error) {
	return readSlowly(in, pause, every)
}

func (slowReader) UpItems(_ context.Context, pause, every int, in iter.Seq2[[]byte, error]) (int, error) {
	return readSlowly(asReader(in), pause, every)
}

func (slowReader) Down(n int) io.ReadCloser { return io.NopCloser(io.LimitReader(zeros{}, int64(n))) }

func (slowReader) DownItems(n, size int) iter.Seq2[[]byte, error] { return piecesOf(n, size) }

// piecesOf returns n bytes in items of one size.
func piecesOf(n, size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for at := 0; at < n; at += size {
			if !yield(make([]byte, min(size, n-at)), nil) {
				return
			}
		}
	}
}

// A stream that keeps to its window is never ended for the memory that it takes, also if the window
// has grown and then nothing is read: the window is within the limit by the options.
func TestOneSlowStreamIsNotEnded(t *testing.T) {
	t.Parallel()
	l := Limits{StreamWindow: 64 << 10, ConnWindow: 1 << 20, ServerBytes: 256 << 10}
	const n, fast, every = 2 << 20, 1 << 20, 40_000
	for _, test := range []struct {
		name string
		call func(p *slowReaderContract) (int, error)
	}{
		{"up", func(p *slowReaderContract) (int, error) {
			return p.Up(context.Background(), fast, every, io.LimitReader(zeros{}, n))
		}},
		{"up, items", func(p *slowReaderContract) (int, error) {
			return p.UpItems(context.Background(), fast, every, piecesOf(n, 1000))
		}},
		{"up, items of almost a window", func(p *slowReaderContract) (int, error) {
			return p.UpItems(context.Background(), fast, every, piecesOf(n, 60_000))
		}},
		{"down", func(p *slowReaderContract) (int, error) {
			in, err := p.Down(context.Background(), n)
			if err != nil {
				return 0, err
			}
			return readSlowly(in, fast, every)
		}},
		{"down, items", func(p *slowReaderContract) (int, error) {
			items, err := p.DownItems(context.Background(), n, 50_000)
			if err != nil {
				return 0, err
			}
			return readSlowly(asReader(items), fast, every)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 128 << 10, DefaultCallTimeout: NoLimit, Limits: l})
				if err := RegisterAs[slowReaderContract](srv, "Slow", slowReader{}); err != nil {
					t.Fatal(err)
				}
				client, _ := testeeClient(t, srv, &ClientOptions{MaxMessage: 128 << 10, DefaultCallTimeout: NoLimit, Limits: l})
				defer client.Close()
				proxy, err := Bind[slowReaderContract](t.Context(), client, "Slow")
				if err != nil {
					t.Fatal(err)
				}
				if got, err := test.call(proxy); got != n || err != nil {
					t.Errorf("%d bytes, %v; want %d", got, err, n)
				}
			})
		})
	}
}

// A client with Handlers counts its bytes together with theirs, in their limit.
func TestSlowStreamOfClientWithHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 128 << 10, DefaultCallTimeout: NoLimit})
		if err := RegisterAs[slowReaderContract](srv, "Slow", slowReader{}); err != nil {
			t.Fatal(err)
		}
		handlers := NewServer(&ServerOptions{MaxMessage: 128 << 10, Limits: Limits{ServerBytes: 128 << 10}, Logger: quiet})
		client, _ := testeeClient(t, srv, &ClientOptions{DefaultCallTimeout: NoLimit, Limits: Limits{StreamWindow: 300 << 20}, Handlers: handlers})
		defer client.Close()
		proxy, err := Bind[slowReaderContract](t.Context(), client, "Slow")
		if err != nil {
			t.Fatal(err)
		}
		const n = 1 << 20
		in, err := proxy.Down(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readSlowly(in, 1<<19, 10_000); got != n || err != nil {
			t.Errorf("%d bytes, %v; want %d", got, err, n)
		}
	})
}

// greed makes connections that take all that Limits.ServerBytes leaves for what waits.
func greed(t *testing.T, srv *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { time.Sleep(time.Hour) }) // handlers read what they have
	t.Cleanup(cancel)
	for range Rounds(12, 24) {
		client, _ := testeeClient(t, srv, nil)
		t.Cleanup(func() { client.Close() })
		proxy, err := Bind[slowReaderContract](ctx, client, "Slow")
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			go proxy.Up(ctx, 1, 1, io.LimitReader(zeros{}, 1<<30)) // read by 10,000 bytes a second
		}
		synctest.Wait()
	}
}

// An upload goes on beside connections that take everything else, whether its window has grown
// before them or not, and other clients' messages of many MiB pass.
func TestUploadBesideGreed(t *testing.T) {
	t.Parallel()
	for name, beforehand := range map[string]bool{"begun before": true, "begun after": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 4 << 20, DefaultCallTimeout: NoLimit, Limits: Limits{ServerBytes: 4 << 20}})
				if err := RegisterAs[slowReaderContract](srv, "Slow", slowReader{}); err != nil {
					t.Fatal(err)
				}
				client, echo := testeeClient(t, srv, &ClientOptions{DefaultCallTimeout: NoLimit})
				defer client.Close()
				proxy, err := Bind[slowReaderContract](t.Context(), client, "Slow")
				if err != nil {
					t.Fatal(err)
				}
				if !beforehand {
					greed(t, srv)
				}
				const n = 16 << 20
				feed, in := io.Pipe()
				done := make(chan error, 1)
				began := time.Now()
				go func() {
					got, err := proxy.Up(t.Context(), n/2+100_000, 2<<20, feed)
					if got != n && err == nil {
						t.Errorf("%d bytes, want %d", got, n)
					}
					done <- err
				}()
				in.Write(make([]byte, n/2))
				synctest.Wait()
				if beforehand {
					greed(t, srv)
				}
				in.Write(make([]byte, n/2)) // the reader pauses in between
				in.Close()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 5*time.Second { // 4 pauses
					t.Errorf("the upload took %v", took)
				}
				began = time.Now()
				if out, err := echo.Echo(t.Context(), make([]byte, 3<<20)); len(out) != 3<<20 || err != nil {
					t.Errorf("%d bytes, %v", len(out), err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the message took %v", took)
				}
			})
		})
	}
}

// A long message over a slow network is complete, although others hold all of ServerBytes all the
// time: they send a MiB at once, again and again, and then a byte now and then.
func TestSlowMessageBesideBursts(t *testing.T) {
	t.Parallel()
	withRaw(t, &ServerOptions{MaxMessage: 8 << 20, Limits: Limits{ServerBytes: 8 << 20}}, func(p *rawPeer, srv *Server, _ *testee) {
		const size, burst = 6 << 20, 1 << 20
		var others []*rawPeer
		hold := func() {
			other := rawClient(t, srv)
			go other.readAll()
			others = append(others, other)
			other.mostOf(2, burst, burst-1000)
		}
		for range 8 {
			hold()
		}
		time.Sleep(safeTime)
		f := wire.Frame{Type: wire.Request, Flags: wire.Chunked, Arg: rawEcho, ID: 2, Total: size}
		for body := append([]byte(u32(size-4)), make([]byte, size-4)...); len(body) > 0; body = body[wire.MaxChunk:] { // 512 KiB a second
			p.write(frameBytes(f, body[:wire.MaxChunk]))
			f = wire.Frame{Type: wire.RequestChunk, ID: 2}
			time.Sleep(250 * time.Millisecond)
			if len(body)%(2*wire.MaxChunk) == 0 {
				hold()
			}
			for _, other := range others {
				other.send(wire.Frame{Type: wire.RequestChunk, ID: 2}, []byte{1})
			}
		}
		if got := p.answers(1); len(got[2]) < size {
			t.Errorf("%d bytes, want %d", len(got[2]), size)
		}
		for _, other := range others {
			other.nc.Close()
			<-other.served
		}
	})
}
