package bsrpc_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Streams over TCP, both ends in this process. An operation is an item, or a mebibyte.

func (benchService) Pointers(n int) iter.Seq2[*BenchSmall, error] {
	return func(yield func(*BenchSmall, error) bool) {
		for item := &benchValue; n > 0 && yield(item, nil); n-- {
		}
	}
}

func (benchService) Values(n int) iter.Seq2[BenchSmall, error] {
	return func(yield func(BenchSmall, error) bool) {
		for ; n > 0 && yield(benchValue, nil); n-- {
		}
	}
}

func (benchService) Count(in iter.Seq2[*BenchSmall, error]) (n int, err error) {
	for _, err := range in {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (benchService) Both(in iter.Seq2[*BenchSmall, error]) iter.Seq2[*BenchSmall, error] { return in }

func (benchService) Open(n int64) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(blankReader{}, n)), nil
}

// A blankReader reads whatever is in the buffer.
type blankReader struct{}

func (blankReader) Read(p []byte) (int, error) { return len(p), nil }

type benchStreams struct {
	Pointers func(ctx context.Context, n int) iter.Seq2[*BenchSmall, error]
	Values   func(ctx context.Context, n int) iter.Seq2[BenchSmall, error]
	Count    func(ctx context.Context, in iter.Seq2[*BenchSmall, error]) (int, error)
	Both     func(ctx context.Context, in iter.Seq2[*BenchSmall, error]) iter.Seq2[*BenchSmall, error]
	Open     func(ctx context.Context, n int64) (io.ReadCloser, error)
}

func dialStreams(b *testing.B) *benchStreams {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := srv.RegisterName("Bench", benchService{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { srv.Close() })
	p, _ := overTCP[benchStreams](b, srv, "Bench")
	b.ReportAllocs()
	b.ResetTimer()
	return p
}

// rangeBench ranges over n items.
func rangeBench[T any](b *testing.B, n int, items iter.Seq2[T, error]) {
	for _, err := range items {
		if err != nil {
			b.Fatal(err)
		}
		n--
	}
	if n != 0 {
		b.Errorf("%d items are missing", n)
	}
}

func BenchmarkServerStream(b *testing.B) {
	b.Run("pointers", func(b *testing.B) {
		p := dialStreams(b)
		rangeBench(b, b.N, p.Pointers(b.Context(), b.N))
	})
	b.Run("values", func(b *testing.B) {
		p := dialStreams(b)
		rangeBench(b, b.N, p.Values(b.Context(), b.N))
	})
}

func BenchmarkClientStream(b *testing.B) {
	p := dialStreams(b)
	if n, err := p.Count(b.Context(), benchService{}.Pointers(b.N)); n != b.N || err != nil {
		b.Error(n, err)
	}
}

func BenchmarkPingPong(b *testing.B) {
	for _, streams := range []int{1, 64} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			p := dialStreams(b)
			var all sync.WaitGroup
			for i := range streams {
				all.Go(func() { pingPong(b, p, (b.N+i)/streams) })
			}
			all.Wait()
		})
	}
}

// pingPong sends n items, each after the one before it has come back.
func pingPong(b *testing.B, p *benchStreams, n int) {
	back := make(chan struct{}, 1)
	back <- struct{}{}
	items := p.Both(b.Context(), func(yield func(*BenchSmall, error) bool) {
		for range n {
			if <-back; !yield(&benchValue, nil) {
				return
			}
		}
	})
	for _, err := range items {
		if err != nil {
			b.Error(err)
			return
		}
		back <- struct{}{}
	}
}

// BenchmarkReader copies bytes one way, beside a plain copy with buffers of 64 KiB.
func BenchmarkReader(b *testing.B) {
	copyAll := func(b *testing.B, r io.Reader) {
		b.SetBytes(1 << 20)
		n, err := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{io.LimitReader(r, int64(b.N)<<20)}, make([]byte, 64<<10))
		if n != int64(b.N)<<20 || err != nil {
			b.Error(n, err)
		}
	}
	b.Run("lib=plain", func(b *testing.B) {
		l := listenBench(b)
		go func() {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			for buf := make([]byte, 64<<10); err == nil; {
				_, err = nc.Write(buf)
			}
		}()
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer nc.Close()
		b.ResetTimer()
		copyAll(b, nc)
	})
	b.Run("lib=bsrpc", func(b *testing.B) {
		p := dialStreams(b)
		r, err := p.Open(b.Context(), int64(b.N)<<20)
		if err != nil {
			b.Fatal(err)
		}
		copyAll(b, r)
	})
}

type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
