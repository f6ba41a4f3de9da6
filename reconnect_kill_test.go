package bsrpc

// Servers on real sockets that are killed and started again under load.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A tokenCounter counts how often each token has run, over all servers.
type tokenCounter struct {
	mu  sync.Mutex
	ran map[uint64]int
}

func (c *tokenCounter) Take(token uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran[token]++
	return token
}

func (c *tokenCounter) Read(token uint64) uint64 { return token }

// Tokens is the contract of a tokenCounter.
type Tokens struct {
	Take func(ctx context.Context, token uint64) (uint64, error)
	Read func(ctx context.Context, token uint64) (uint64, error) `bsrpc:"idempotent"`
}

// A mortal is a server on a socket that can be killed.
type mortal struct {
	t       *testing.T
	service *tokenCounter
	address string
	mu      sync.Mutex
	srv     *Server
	l       net.Listener
	conns   []net.Conn
}

// accept serves the connections of l, and notes them.
func (m *mortal) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns = append(m.conns, nc)
		srv := m.srv
		m.mu.Unlock()
		go srv.ServeConn(nc)
	}
}

// start starts the server, at the first address it had.
func (m *mortal) start() {
	l, err := net.Listen("tcp", max(m.address, "127.0.0.1:0"))
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.address, m.l = l.Addr().String(), l
	m.srv = NewServer(&ServerOptions{Logger: quiet})
	if err := m.srv.RegisterName("Tokens", m.service); err != nil {
		m.t.Fatal(err)
	}
	go m.accept(l)
}

// kill ends the server as the system does for a killed process: its clients get a reset.
func (m *mortal) kill() {
	m.mu.Lock()
	conns, srv := m.conns, m.srv
	m.conns = nil
	m.l.Close()
	m.mu.Unlock()
	for _, nc := range conns {
		nc.(*net.TCPConn).SetLinger(0)
		nc.Close()
	}
	srv.Close()
}

// A tally is the outcomes of calls with unique tokens.
type tally struct {
	mu       sync.Mutex
	outcomes map[uint64]Outcome
	answered map[uint64]bool
}

// Under 32 clients, servers are killed and started again. What was answered ran once, what has
// not run never did, what is unknown ran at most once, and each client is back soon.
func TestKillAndRestart(t *testing.T) {
	servers, cycles, up := 1, 2, 300*time.Millisecond
	if os.Getenv("BSRPC_KILLS") != "" { // in .ci/nightly
		servers, cycles, up = 10, 20, 11*time.Second // the gaps begin again after 10 s
	}
	counter := &tokenCounter{ran: make(map[uint64]int)}
	results := &tally{outcomes: make(map[uint64]Outcome), answered: make(map[uint64]bool)}
	var tokens atomic.Uint64
	var slowest atomic.Int64
	var all sync.WaitGroup
	for i := range servers {
		all.Go(func() {
			killCycles(t, rand.New(rand.NewPCG(1, uint64(i))), counter, results, &tokens, &slowest, cycles, up)
		})
	}
	all.Wait()
	counts := map[string]int{}
	for token, outcome := range results.outcomes {
		ran := counter.ran[token]
		switch {
		case results.answered[token]:
			counts["answered"]++
			if ran != 1 {
				t.Errorf("token %d was answered and ran %d times", token, ran)
			}
		case outcome == OutcomeNotRun:
			counts["not run"]++
			if ran != 0 {
				t.Errorf("token %d is not run and ran %d times", token, ran)
			}
		default:
			counts["unknown"]++
			if ran > 1 {
				t.Errorf("token %d ran %d times", token, ran)
			}
		}
	}
	back := time.Duration(slowest.Load())
	t.Logf("%d cycles, %d calls: %v; the slowest client was back %v after its server", servers*cycles, len(results.outcomes), counts, back.Round(time.Millisecond))
	if back > 20*time.Second { // ten times the promise, on a machine that may be busy
		t.Error("a client was back only after", back)
	}
}

// killCycles kills and starts one server under 32 clients.
func killCycles(t *testing.T, r *rand.Rand, counter *tokenCounter, results *tally, tokens *atomic.Uint64, slowest *atomic.Int64, cycles int, up time.Duration) {
	m := &mortal{t: t, service: counter}
	m.start()
	defer m.kill()
	var proxies []*Tokens
	for range 32 {
		client, err := Dial(t.Context(), "tcp", m.address, &ClientOptions{Logger: quiet})
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		p, err := Bind[Tokens](t.Context(), client, "Tokens")
		if err != nil {
			t.Error(err)
			return
		}
		proxies = append(proxies, p)
	}
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for _, p := range proxies {
		callers.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				token := tokens.Add(1)
				_, err := p.Take(t.Context(), token)
				var e *Error
				errors.As(err, &e)
				results.mu.Lock()
				if results.outcomes[token], results.answered[token] = OutcomeAnswered, err == nil; err != nil {
					results.outcomes[token] = e.Outcome
				}
				results.mu.Unlock()
			}
		})
	}
	for range cycles {
		wait(up)
		m.kill()
		wait(time.Duration(r.IntN(1000)) * time.Millisecond)
		m.start()
		began := time.Now()
		var back sync.WaitGroup
		for i, p := range proxies {
			back.Go(func() {
				if _, err := p.Read(WithWaitForReady(t.Context()), 0); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
				if d := int64(time.Since(began)); d > slowest.Load() {
					slowest.Store(d)
				}
			})
		}
		back.Wait()
	}
	close(stop)
	callers.Wait()
}

// wait waits for d of real time, as the cycles of a killed server need.
func wait(d time.Duration) { <-time.After(d) }

// Of three servers one is killed under load: idempotent calls do not fail, and at most a tenth
// of all are sent again.
func TestOneOfThreeKilled(t *testing.T) {
	counter := &tokenCounter{ran: make(map[uint64]int)}
	var servers []*mortal
	for range 3 {
		m := &mortal{t: t, service: counter}
		m.start()
		servers = append(servers, m)
	}
	client, err := Dial(t.Context(), "", "", &ClientOptions{Logger: quiet, Endpoints: func(context.Context) (list []Endpoint, err error) {
		for _, m := range servers {
			list = append(list, Endpoint{Network: "tcp", Address: m.address})
		}
		return list, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p, err := Bind[Tokens](t.Context(), client, "Tokens")
	if err != nil {
		t.Fatal(err)
	}
	var calls, failed atomic.Int64
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := p.Read(t.Context(), 1); err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	wait(300 * time.Millisecond)
	servers[1].kill()
	wait(300 * time.Millisecond)
	close(stop)
	callers.Wait()
	t.Logf("%d calls, %d failed", calls.Load(), failed.Load())
	servers[0].kill()
	servers[2].kill()
}

// A Dial whose time ends says what its address had said before.
func TestDialRefusedWithDeadline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = Dial(ctx, "tcp", l.Addr().String(), nil)
	if CodeOf(err) != CodeUnavailable || !slices.Contains([]string{fmt.Sprintf("bsrpc: dial tcp %s: connect: connection refused", l.Addr())}, err.Error()) {
		t.Fatal(err)
	}
}
