package toxic_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/bsrpc/bsrpc"
)

// A ledger counts how often each token has run.
type ledger struct {
	mu  sync.Mutex
	ran map[string]int
}

func (l *ledger) Spend(token string, padding []byte) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran[token]++
	return token
}

type ledgerContract struct {
	Spend func(ctx context.Context, token string, padding []byte) (string, error)
}

// startServer serves a ledger on a port of its own.
func startServer(t *testing.T, l *ledger) (address string) {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	if err := srv.RegisterName("Ledger", l); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(listener)
	t.Cleanup(func() { srv.Close() })
	return listener.Addr().String()
}

// startProxy returns a proxy before upstream, without toxics.
func startProxy(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "bsrpc", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// connect returns a proxy of the service over a new connection.
func connect(t *testing.T, address string) (*ledgerContract, error) {
	client, err := bsrpc.Dial(t.Context(), "tcp", address, &bsrpc.ClientOptions{
		DialTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { client.Close() })
	return bsrpc.Bind[ledgerContract](t.Context(), client, "Ledger")
}

// Each toxic acts on a connection with calls under way. Whatever it does, the outcome of each
// call is true: an answered one has run once, one that was not run has not, and one with an
// unknown outcome has run at most once. Without the toxic a new connection works.
func TestToxics(t *testing.T) {
	for _, tt := range []struct {
		name, toxic string
		works       bool // calls succeed meanwhile
	}{
		{"latency", `{"type": "latency", "attributes": {"latency": 20, "jitter": 15}}`, true},
		{"latency upstream", `{"type": "latency", "stream": "upstream", "attributes": {"latency": 20, "jitter": 15}}`, true},
		{"bandwidth", `{"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 2000}}`, true},
		{"slices", `{"type": "slicer", "attributes": {"average_size": 3, "size_variation": 2, "delay": 100}}`, true},
		{"slices upstream", `{"type": "slicer", "stream": "upstream", "attributes": {"average_size": 50, "size_variation": 40, "delay": 100}}`, true},
		{"silence", `{"type": "timeout", "attributes": {"timeout": 0}}`, false},
		{"silence upstream", `{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`, false},
		{"end after a silence", `{"type": "timeout", "attributes": {"timeout": 300}}`, false},
		{"reset", `{"type": "reset_peer", "attributes": {"timeout": 50}}`, false},
		{"cut answers", `{"type": "limit_data", "attributes": {"bytes": 333}}`, false},
		{"cut requests", `{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 44444}}`, false},
		{"slow close", `{"type": "slow_close", "attributes": {"delay": 300}}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{ran: make(map[string]int)}
			proxy := startProxy(t, startServer(t, l))
			remote, err := connect(t, proxy.Listen)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(tt.toxic)); err != nil {
				t.Fatal(err)
			}
			answered := spend(t, l, remote)
			if tt.works != (answered == callers*callsEach) {
				t.Errorf("%d of %d calls were answered", answered, callers*callsEach)
			}
			proxy.Toxics.ResetToxics(context.Background())
			if remote, err = connect(t, proxy.Listen); err != nil {
				t.Fatal("a new connection without the toxic: ", err)
			}
			if _, err := remote.Spend(t.Context(), "last", nil); err != nil {
				t.Error("a call without the toxic: ", err)
			}
		})
	}
}

const (
	callers   = 8
	callsEach = 10
)

// spend calls from several goroutines, checks what each call says about itself, and returns
// the number of answered calls.
func spend(t *testing.T, l *ledger, remote *ledgerContract) (answered int) {
	type result struct {
		token string
		err   error
	}
	results := make(chan result, callers*callsEach)
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			for call := range callsEach {
				token := fmt.Sprintf("%d.%d", caller, call)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				got, err := remote.Spend(ctx, token, make([]byte, 3000))
				cancel()
				if err == nil && got != token {
					t.Errorf("Spend(%q) = %q", token, got)
				}
				results <- result{token, err}
				if errors.Is(err, context.DeadlineExceeded) {
					return // the others would wait as long
				}
			}
		})
	}
	running.Wait()
	close(results)
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range results {
		ran := l.ran[r.token]
		var e *bsrpc.Error
		switch {
		case r.err == nil:
			answered++
			if ran != 1 {
				t.Errorf("%s was answered, and ran %d times", r.token, ran)
			}
		case !errors.As(r.err, &e) || e.Outcome == bsrpc.OutcomeAnswered:
			t.Errorf("%s: %v; want an *Error without an answer", r.token, r.err)
		case e.Outcome == bsrpc.OutcomeNotRun && ran != 0, ran > 1:
			t.Errorf("%s has the outcome %v, and ran %d times", r.token, e.Outcome, ran)
		}
	}
	return answered
}
