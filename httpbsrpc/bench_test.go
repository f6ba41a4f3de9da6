package httpbsrpc_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

// The same bytes in both directions, by a client and a handler that do nothing else.
func BenchmarkPlain(b *testing.B) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) == 0 {
			return
		}
		w.Header().Set("Content-Type", "application/bsrpc")
		w.Write(body[:33+8])
	}))
	defer web.Close()
	args, err := bsrpc.Marshal(struct {
		Item string
		N    int
	}{"bolt", 4})
	if err != nil {
		b.Fatal(err)
	}
	args = append(make([]byte, 40), args...) // as a request has a hash and a timeout
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, web.URL, bytes.NewReader(args))
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/bsrpc")
		response, err := web.Client().Do(request)
		if err != nil {
			b.Fatal(err)
		}
		if got, err := io.ReadAll(response.Body); len(got) != 33+8 || err != nil {
			b.Fatal(len(got), err)
		}
		response.Body.Close()
	}
}

func BenchmarkCall(b *testing.B) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	defer srv.Close()
	put := func(_ context.Context, item string, n int) (int, error) { return n + len(item), nil }
	if err := srv.RegisterFunc("Stock.Put", put); err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(httpbsrpc.Handler(srv, nil))
	defer web.Close()
	type contract struct {
		Put func(ctx context.Context, item string, n int) (int, error)
	}
	p, err := bsrpc.Bind[contract](b.Context(), dial(b, web.URL, nil), "Stock")
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		if n, err := p.Put(ctx, "bolt", 4); n != 8 || err != nil {
			b.Fatal(n, err)
		}
	}
}

// reportCPU reports the time of processors that a call takes at both ends, which other programs on the
// machine disturb less than its latency.
func reportCPU(b *testing.B) (end func()) {
	used := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}
