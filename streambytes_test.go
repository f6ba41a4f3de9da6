package bsrpc_test

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A patternReader returns so many bytes of a pattern, in pieces of different sizes.
type patternReader struct {
	rand    *rand.Rand
	at, end int
}

func patternAt(i int) byte { return byte(i ^ i>>8 ^ i>>16) }

func (r *patternReader) Read(p []byte) (int, error) {
	if r.at == r.end {
		return 0, io.EOF
	}
	n := min(len(p), r.end-r.at)
	if r.rand.IntN(2) == 0 { // otherwise as much as possible
		n = min(n, 1+r.rand.IntN(1<<r.rand.IntN(17)))
	}
	for i := range n {
		p[i] = patternAt(r.at + i)
	}
	r.at += n
	return n, nil
}

// readPattern reads the pattern in pieces of different sizes, and returns its length.
func readPattern(t *testing.T, in io.Reader, pick *rand.Rand) (n int) {
	buf := make([]byte, 100_000)
	for {
		k, err := in.Read(buf[:1+pick.IntN(len(buf))])
		for _, b := range buf[:k] {
			if b != patternAt(n) {
				t.Errorf("byte %d is %d, want %d", n, b, patternAt(n))
				return n
			}
			n++
		}
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Errorf("after %d bytes: %v", n, err)
			return n
		}
	}
}

type pipework struct{ t *testing.T }

func (s pipework) Both(seed uint64, n int, in io.Reader) (int, io.ReadCloser) {
	got := readPattern(s.t, in, rand.New(rand.NewPCG(seed, 1)))
	return got, io.NopCloser(&patternReader{rand: rand.New(rand.NewPCG(seed, 2)), end: n})
}

type pipeworkContract struct {
	Both func(ctx context.Context, seed uint64, n int, in io.Reader) (int, io.ReadCloser, error)
}

// Bytes arrive in order and unchanged, in frames of all lengths and on several streams at a
// time, beside chunked messages.
func TestReadersInPieces(t *testing.T) {
	t.Parallel()
	for _, connect := range []struct {
		name string
		bind func(t *testing.T, srv *bsrpc.Server) *pipeworkContract
	}{
		{"tcp", func(t *testing.T, srv *bsrpc.Server) *pipeworkContract {
			proxy, _ := overTCP[pipeworkContract](t, srv, "P")
			return proxy
		}},
		{"memory", func(t *testing.T, srv *bsrpc.Server) *pipeworkContract {
			return bsrpctest.Bind[pipeworkContract](t, srv, "P")
		}},
	} {
		t.Run(connect.name, func(t *testing.T) {
			srv := bsrpc.NewServer(nil)
			if err := srv.RegisterName("P", pipework{t}); err != nil {
				t.Fatal(err)
			}
			proxy := connect.bind(t, srv)
			done := make(chan bool)
			for seed := range uint64(4) {
				go func() {
					defer func() { done <- true }()
					n := bsrpc.Rounds(1, 3) << 20
					got, out, err := proxy.Both(t.Context(), seed, n, &patternReader{rand: rand.New(rand.NewPCG(seed, 3)), end: n})
					if err != nil {
						t.Error(err)
						return
					}
					if back := readPattern(t, out, rand.New(rand.NewPCG(seed, 4))); got != n || back != n {
						t.Errorf("%d bytes there and %d back, want %d", got, back, n)
					}
				}()
			}
			for range 4 {
				<-done
			}
		})
	}
}
