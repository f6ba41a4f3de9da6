package prombsrpc

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/stats"
)

type stock struct{}

func (stock) Take(n int) error {
	if n > 1 {
		return &bsrpc.Error{Code: bsrpc.CodeNotFound}
	}
	time.Sleep(3 * time.Millisecond)
	return nil
}

type audience struct{}

func (audience) Hear(string) error { return nil }

func (stock) Announce(ctx context.Context, text string) error {
	a, err := bsrpc.Bind[struct {
		Hear func(ctx context.Context, text string) error
	}](ctx, bsrpc.SessionFrom(ctx), "Audience")
	if err != nil {
		return err
	}
	return a.Hear(ctx, text)
}

type contract struct {
	Take     func(ctx context.Context, n int) error
	Announce func(ctx context.Context, text string) error
}

// A scrape has the calls of both ends by method and code, and their durations.
func TestCollectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := slog.New(slog.DiscardHandler)
		srv, handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet}), bsrpc.NewServer(nil)
		if err := srv.RegisterName("Stock", stock{}); err != nil {
			t.Fatal(err)
		}
		if err := handlers.RegisterName("Audience", audience{}); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Handlers: handlers, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		s, err := bsrpc.Bind[contract](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			s.Take(t.Context(), i)
		}
		if err := s.Announce(t.Context(), "hello"); err != nil {
			t.Fatal(err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		s.Take(canceled, 1)
		synctest.Wait()

		for c, want := range map[prometheus.Collector]string{
			NewServerCollector(srv): `
# HELP bsrpc_server_calls_total Calls of clients that have ended.
# TYPE bsrpc_server_calls_total counter
bsrpc_server_calls_total{code="ok",method="Stock.Announce"} 1
bsrpc_server_calls_total{code="not_found",method="Stock.Take"} 1
bsrpc_server_calls_total{code="ok",method="Stock.Take"} 2
# HELP bsrpc_server_outgoing_calls_total Calls to clients that have ended.
# TYPE bsrpc_server_outgoing_calls_total counter
bsrpc_server_outgoing_calls_total{code="ok",method="Audience.Hear"} 1
# HELP bsrpc_server_sessions Admitted sessions.
# TYPE bsrpc_server_sessions gauge
bsrpc_server_sessions 1
`,
			NewServerCollector(handlers): `
# HELP bsrpc_server_calls_total Calls of clients that have ended.
# TYPE bsrpc_server_calls_total counter
bsrpc_server_calls_total{code="ok",method="Audience.Hear"} 1
# HELP bsrpc_server_sessions Admitted sessions.
# TYPE bsrpc_server_sessions gauge
bsrpc_server_sessions 0
`,
			NewClientCollector(client): `
# HELP bsrpc_client_calls_total Calls of the client that have ended.
# TYPE bsrpc_client_calls_total counter
bsrpc_client_calls_total{code="ok",method="Stock.Announce"} 1
bsrpc_client_calls_total{code="not_found",method="Stock.Take"} 1
bsrpc_client_calls_total{code="ok",method="Stock.Take"} 2
# HELP bsrpc_client_connects_total Connections so far.
# TYPE bsrpc_client_connects_total counter
bsrpc_client_connects_total 1
# HELP bsrpc_client_refused_calls_total Calls of the client that did not run.
# TYPE bsrpc_client_refused_calls_total counter
bsrpc_client_refused_calls_total{code="canceled",method="Stock.Take"} 1
`,
		} {
			if err := testutil.CollectAndCompare(c, strings.NewReader(want),
				"bsrpc_server_calls_total", "bsrpc_server_outgoing_calls_total", "bsrpc_server_sessions",
				"bsrpc_client_calls_total", "bsrpc_client_connects_total", "bsrpc_client_refused_calls_total"); err != nil {
				t.Error(err)
			}
			problems, err := testutil.CollectAndLint(c)
			if err != nil || len(problems) > 0 {
				t.Errorf("%v, %v", problems, err)
			}
		}
		text, err := testutil.CollectAndFormat(NewServerCollector(srv), expfmt.TypeTextPlain, "bsrpc_server_call_duration_seconds")
		for _, line := range []string{
			`bsrpc_server_call_duration_seconds_bucket{method="Stock.Take",le="0.002097152"} 1`,
			`bsrpc_server_call_duration_seconds_bucket{method="Stock.Take",le="0.004194304"} 3`,
			`bsrpc_server_call_duration_seconds_bucket{method="Stock.Take",le="+Inf"} 3`,
			`bsrpc_server_call_duration_seconds_sum{method="Stock.Take"} 0.006`,
			`bsrpc_server_call_duration_seconds_count{method="Stock.Take"} 3`,
		} {
			if err != nil || !strings.Contains(string(text), line+"\n") {
				t.Errorf("the scrape lacks %s, %v:\n%s", line, err, text)
			}
		}
	})
}

// A call is below each bound that its bucket is below, however short or long it was.
func TestCumulated(t *testing.T) {
	h := stats.MakeHistogram([]stats.Bucket{
		{Low: 0, High: 256, Count: 1},
		{Low: 3584, High: 4096, Count: 2},
		{Low: 4096, High: 5120, Count: 4},
		{Low: 56 << 30, High: 64 << 30, Count: 8},
		{Low: 64 << 30, High: 80 << 30, Count: 16},
		{Low: 1 << 38, High: math.MaxInt64, Count: 32},
	}, time.Hour)
	got := cumulated(&h)
	bounds := slices.Sorted(maps.Keys(got))
	if len(bounds) != 25 || bounds[0] != 4.096e-6 || got[bounds[0]] != 3 || got[bounds[1]] != 7 || got[bounds[23]] != 7 || got[bounds[24]] != 15 {
		t.Errorf("got %v", got)
	}
}

// A program exports a server and a client to the scrapes of a Prometheus server.
func Example() {
	srv := bsrpc.NewServer(nil)
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewServerCollector(srv))

	families, err := registry.Gather() // promhttp.HandlerFor(registry, ...) does this for a scrape
	fmt.Println(len(families), families[0].GetName(), err)
	// Output:
	// 13 bsrpc_server_connections <nil>
}
