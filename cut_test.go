package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/internal/netconn"
)

// A cutService counts how often each of its methods has begun and ended.
type cutService struct {
	mu    sync.Mutex
	ran   map[string]int
	ended map[string]int
}

func (s *cutService) run(name string) func() {
	s.count(&s.ran, name)
	return func() { s.count(&s.ended, name) }
}

func (s *cutService) count(in *map[string]int, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *in == nil {
		*in = make(map[string]int)
	}
	(*in)[name]++
}

func (s *cutService) Add(a, b int) int { defer s.run("Add")(); return a + b }
func (s *cutService) Echo(data []byte) ([]byte, error) {
	defer s.run("Echo")()
	return data, nil
}
func (s *cutService) Fail(ctx context.Context) error {
	defer s.run("Fail")()
	return errors.Join(bsrpc.SetReplyMetadata(ctx, "node", "7"), fmt.Errorf("no such order: %w", io.ErrUnexpectedEOF))
}
func (s *cutService) Count(n int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		defer s.run("Count")()
		for i := range n {
			if !yield(strings.Repeat("x", i), nil) {
				return
			}
		}
	}
}
func (s *cutService) Sum(in iter.Seq2[int, error]) (sum int, err error) {
	defer s.run("Sum")()
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
func (s *cutService) Ask(question func(string) (string, error)) (string, error) {
	defer s.run("Ask")()
	return question("why?")
}

// cutContract is the contract of cutService.
type cutContract struct {
	Add   func(ctx context.Context, a, b int) (int, error)
	Echo  func(ctx context.Context, data []byte) ([]byte, error)
	Fail  func(ctx context.Context) error
	Count func(ctx context.Context, n int) iter.Seq2[string, error]
	Sum   func(ctx context.Context, in iter.Seq[int]) (int, error)
	Ask   func(ctx context.Context, question func(string) (string, error)) (string, error)
}

// A cutCall is one call of the script. do returns whether the results are right, if there is
// no error.
type cutCall struct {
	name string
	do   func(ctx context.Context, p *cutContract) (ok bool, err error)
}

// cutScript calls every kind of method. large is the size of Echo's argument.
func cutScript(large int) []cutCall {
	return []cutCall{
		{"Add", func(ctx context.Context, p *cutContract) (bool, error) {
			n, err := p.Add(ctx, 1, 2)
			return n == 3, err
		}},
		{"Echo", func(ctx context.Context, p *cutContract) (bool, error) {
			b, err := p.Echo(ctx, make([]byte, large))
			return len(b) == large, err
		}},
		{"Fail", func(ctx context.Context, p *cutContract) (bool, error) {
			err := p.Fail(bsrpc.WithMetadata(ctx, bsrpc.Metadata{"trace": "1"}))
			if errors.Is(err, io.ErrUnexpectedEOF) && strings.Contains(err.Error(), "no such order") {
				return true, nil // answered as it should be
			}
			return false, err
		}},
		{"Count", func(ctx context.Context, p *cutContract) (bool, error) {
			items, err := bsrpctest.Collect(p.Count(ctx, 9))
			for i, item := range items {
				if len(item) != i {
					return false, err
				}
			}
			return len(items) == 9 || err != nil, err
		}},
		{"Sum", func(ctx context.Context, p *cutContract) (bool, error) {
			n, err := p.Sum(ctx, func(yield func(int) bool) {
				for i := range 9 {
					if !yield(i) {
						return
					}
				}
			})
			return n == 36, err
		}},
		{"Ask", func(ctx context.Context, p *cutContract) (bool, error) {
			s, err := p.Ask(ctx, func(q string) (string, error) { return q + " because", nil })
			return s == "why? because", err
		}},
	}
}

// A countedConn counts the bytes of a connection.
type countedConn struct {
	net.Conn
	read, written atomic.Int64
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// A cutWire is what a session is cut over.
type cutWire string

const (
	cutPlain     cutWire = ""
	cutTLS       cutWire = " over TLS"
	cutTLSSocket cutWire = " over TLS on a socket" // callers encrypt, and write themselves
)

// lastAlert is longer than crypto/tls tries to send its last alert, before Close returns.
const lastAlert = 6 * time.Second

// An asSocket is treated as a socket.
type asSocket struct{ net.Conn }

func (asSocket) ActsAsSocket(netconn.Internal) {}

// playCut plays the script over a connection with a fault, and checks what each call says
// about itself against what has run. It returns the bytes in both directions, and counts
// the outcomes in seen.
func playCut(t *testing.T, script []cutCall, over cutWire, fault bsrpctest.Fault, whole bool, seen map[bsrpc.Outcome]int) (read, written int64) {
	synctest.Test(t, func(t *testing.T) {
		service := new(cutService)
		quiet := slog.New(slog.DiscardHandler)
		server, options := &bsrpc.ServerOptions{Logger: quiet}, &bsrpc.ClientOptions{Logger: quiet}
		if over != cutPlain {
			ca := bsrpctest.NewCA(t)
			server.TLS, options.TLS = ca.Server(), ca.Client()
			defer time.Sleep(lastAlert)
		}
		srv := bsrpc.NewServer(server)
		if err := srv.RegisterName("Cut", service); err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		near, far := net.Pipe()
		nc := &countedConn{Conn: near}
		faulty := bsrpctest.Faulty(nc, fault)
		if over == cutTLSSocket {
			faulty, far = asSocket{faulty}, asSocket{far}
		}
		go srv.ServeConn(far)
		client, err := bsrpc.NewClient(t.Context(), faulty, options)
		var proxy *cutContract
		if err == nil {
			defer client.Close()
			proxy, err = bsrpc.Bind[cutContract](t.Context(), client, "Cut")
		}
		if err != nil {
			checkCutError(t, "Bind", err)
			return
		}
		for _, call := range script {
			ok, err := call.do(t.Context(), proxy)
			if err != nil && over == cutTLS {
				time.Sleep(lastAlert) // the connection below is closed afterwards
			}
			synctest.Wait()
			service.mu.Lock()
			ran, ended := service.ran[call.name], service.ended[call.name]
			service.mu.Unlock()
			outcome := bsrpc.OutcomeAnswered
			if err != nil {
				outcome = checkCutError(t, call.name, err)
			}
			seen[outcome]++
			switch {
			case ran > 1 || ran != ended:
				t.Errorf("%s ran %d times, and ended %d times", call.name, ran, ended)
			case outcome == bsrpc.OutcomeAnswered && (ran != 1 || err == nil && !ok): // a handler may answer that its time has passed
				t.Errorf("%s: answered, ran %d times, result right: %t, error %v", call.name, ran, ok, err)
			case outcome == bsrpc.OutcomeNotRun && ran != 0:
				t.Errorf("%s: not run, but it ran; %v", call.name, err)
			case err != nil && whole:
				t.Errorf("%s: %v", call.name, err)
			}
		}
		read, written = nc.read.Load(), nc.written.Load()
	})
	return read, written
}

// checkCutError checks that an error of a call says what it should, and returns its outcome.
func checkCutError(t *testing.T, name string, err error) bsrpc.Outcome {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable && e.Code != bsrpc.CodeDeadlineExceeded || !strings.HasPrefix(e.Error(), "bsrpc: ") {
		t.Errorf("%s: %v; want an *Error with CodeUnavailable or CodeDeadlineExceeded", name, err)
		return bsrpc.OutcomeUnknown
	}
	return e.Outcome
}

// Whatever byte of a session is the last, each call ends with an outcome that is true. A
// peer that only falls silent is found dead.
func TestSessionsCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		over  cutWire
		large int
		step  int64
	}{
		{"small", cutPlain, 10, 7},
		{"chunks", cutPlain, 200_000, 29_989},
		{"small", cutTLS, 10, 211}, // the rest is that of the other connections without TLS
		{"small", cutTLSSocket, 10, 89},
		{"chunks", cutTLSSocket, 200_000, 49_999},
	} {
		t.Run(tt.name+string(tt.over), func(t *testing.T) {
			if bsrpc.LongTests {
				tt.step = max(tt.step/60, 1)
			} else {
				tt.step = tt.step*4 - 1 // odd as well
			}
			script, seen := cutScript(tt.large), make(map[bsrpc.Outcome]int)
			read, written := playCut(t, script, tt.over, bsrpctest.Delay(time.Millisecond), true, seen)
			if t.Failed() || read == 0 || written == 0 {
				t.Fatalf("without a cut: %d bytes read, %d written", read, written)
			}
			for _, f := range []struct {
				name  string
				fault func(n int64) bsrpctest.Fault
				bytes int64
			}{
				{"cut after bytes written", bsrpctest.CutWrites, written},
				{"cut after bytes read", bsrpctest.CutReads, read},
				{"stalled after bytes written", bsrpctest.StallWrites, written},
				{"stalled after bytes read", bsrpctest.StallReads, read},
			} {
				for n := int64(0); n < f.bytes && !t.Failed(); n += tt.step {
					if playCut(t, script, tt.over, f.fault(n), false, seen); t.Failed() {
						t.Errorf("%s: %d", f.name, n)
					}
				}
			}
			if len(seen) != 3 {
				t.Errorf("outcomes %v, want all three", seen)
			}
			t.Logf("outcomes %v", seen)
		})
	}
}
