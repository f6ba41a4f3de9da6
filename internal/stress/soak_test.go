package stress

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// BSRPC_SOAK=1h go test -run Soak runs clients for an hour: a weighted mix of every kind of
// call, while the server is restarted, and connections are frozen and cut. The test without
// the variable does not run.

// A soakService has one method of each kind. Each notes its token first.
type soakService struct{ *ledger }

func (s soakService) Echo(token string, data []byte) []byte { s.begin(token); return data }
func (s soakService) Later(token string, data []byte) ([]byte, error) {
	s.begin(token)
	return data, nil
}
func (s soakService) Note(token string) { s.begin(token) }
func (s soakService) Sum(token string, in iter.Seq2[int, error]) (sum int, err error) {
	s.begin(token)
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
func (s soakService) Count(token string, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		s.begin(token)
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}
func (s soakService) Read(token string, size int) (io.ReadCloser, error) {
	s.begin(token)
	return io.NopCloser(bytes.NewReader(make([]byte, size))), nil
}
func (s soakService) Ask(token string, question func(string) (string, error)) (string, error) {
	s.begin(token)
	return question(token)
}

// soakContract is the contract of soakService.
type soakContract struct {
	Echo  func(ctx context.Context, token string, data []byte) ([]byte, error)
	Later func(ctx context.Context, token string, data []byte) *bsrpc.Future[[]byte]
	Note  func(ctx context.Context, token string) error `bsrpc:"oneway"`
	Sum   func(ctx context.Context, token string, in iter.Seq[int]) (int, error)
	Count func(ctx context.Context, token string, n int) iter.Seq2[int, error]
	Read  func(ctx context.Context, token string, size int) (io.ReadCloser, error)
	Ask   func(ctx context.Context, token string, question func(string) (string, error)) (string, error)
}

// errWrongResult is a result that no server has sent.
var errWrongResult = errors.New("wrong result")

// soakMix has a func for each kind of call, with its weight. Each returns errWrongResult, or
// the error of the call.
var soakMix = []struct {
	weight int
	call   func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error
}{
	{40, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		return echoed(p.Echo(ctx, token, []byte(token)))(token)
	}},
	{15, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		sent := bytes.Repeat([]byte(token[:1]), r.IntN(200_000))
		return echoed(p.Echo(ctx, token, sent))(string(sent))
	}},
	{10, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		return echoed(p.Later(ctx, token, []byte(token)).Wait(ctx))(token)
	}},
	{5, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		if err := p.Note(ctx, token); err != nil {
			return err
		}
		return &bsrpc.Error{Code: bsrpc.CodeUnavailable, Message: "not known", Outcome: bsrpc.OutcomeUnknown}
	}},
	{10, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		want, next := r.IntN(500), 0
		for n, err := range p.Count(ctx, token, want) {
			if err != nil {
				return err
			}
			if n != next {
				return errWrongResult
			}
			next++
		}
		return check(next == want)
	}},
	{10, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		n := r.IntN(500)
		sum, err := p.Sum(ctx, token, func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		return check(sum == n*(n-1)/2)
	}},
	{5, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		size := r.IntN(1 << 20)
		body, err := p.Read(ctx, token, size)
		if err != nil {
			return err
		}
		defer body.Close()
		n, err := io.Copy(io.Discard, body)
		if err != nil {
			return err
		}
		return check(n == int64(size))
	}},
	{5, func(ctx context.Context, p *soakContract, r *rand.Rand, token string) error {
		answer, err := p.Ask(ctx, token, func(q string) (string, error) { return q + "!", nil })
		if err != nil {
			return err
		}
		return check(answer == token+"!")
	}},
}

// check returns errWrongResult unless ok.
func check(ok bool) error {
	if !ok {
		return errWrongResult
	}
	return nil
}

// echoed compares the result of Echo.
func echoed(got []byte, err error) func(want string) error {
	return func(want string) error {
		if err != nil {
			return err
		}
		return check(string(got) == want)
	}
}

// A soakProxy forwards the connections of clients to a server. It can freeze and cut them.
type soakProxy struct {
	net.Listener
	upstream string
	frozen   sync.RWMutex // write-locked while connections are frozen

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

func newSoakProxy(t *testing.T, upstream string) *soakProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &soakProxy{Listener: l, upstream: upstream, conns: make(map[net.Conn]bool)}
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go p.forward(nc)
		}
	}()
	t.Cleanup(func() { l.Close(); p.cut() })
	return p
}

// forward copies both directions of a connection.
func (p *soakProxy) forward(near net.Conn) {
	far, err := net.Dial("tcp", p.upstream)
	if err != nil {
		near.Close()
		return
	}
	p.mu.Lock()
	p.conns[near], p.conns[far] = true, true
	p.mu.Unlock()
	done := make(chan struct{})
	transfer := func(to, from net.Conn) {
		b := make([]byte, 16<<10)
		for {
			n, err := from.Read(b)
			p.frozen.RLock()
			p.frozen.RUnlock() //lint:ignore SA2001 waits for the end of a freeze
			if n > 0 {
				if _, err := to.Write(b[:n]); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		done <- struct{}{}
	}
	go transfer(near, far)
	go transfer(far, near)
	<-done
	near.Close()
	far.Close()
	<-done
	p.mu.Lock()
	delete(p.conns, near)
	delete(p.conns, far)
	p.mu.Unlock()
}

// cut closes all connections.
func (p *soakProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for nc := range p.conns {
		nc.Close()
	}
}

// A soakServer serves on one address. It can be restarted.
type soakServer struct {
	*bsrpc.Server
	address string
	ledger  *ledger
}

// start begins to serve, on the same address as before.
func (s *soakServer) start(t *testing.T) {
	l, err := net.Listen("tcp", s.address)
	for err != nil && s.address != "127.0.0.1:0" && t.Context().Err() == nil {
		runtime.Gosched() // the sockets of the last one are being closed
		l, err = net.Listen("tcp", s.address)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.Server = bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	if err := bsrpc.RegisterAs[soakContract](s.Server, "Soak", soakService{s.ledger}); err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
}

// timeOf returns the value of a variable, such as BSRPC_SOAK. Without it the test does not run,
// except for BSRPC_PACE, the pause of a caller between two calls.
func timeOf(t *testing.T, variable string) time.Duration {
	value := os.Getenv(variable)
	if value == "" && variable != pace {
		t.Skipf("set %s to a time", variable)
	}
	d, err := time.ParseDuration(cmp.Or(value, "0"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const pace = "BSRPC_PACE"

// soakCaller makes calls until ctx ends.
func soakCaller(ctx context.Context, t *testing.T, p *soakContract, l *ledger, id int, gap time.Duration, epoch *sync.RWMutex) {
	r := rand.New(rand.NewPCG(uint64(id), 7))
	total := 0
	for _, m := range soakMix {
		total += m.weight
	}
	for n := 0; ctx.Err() == nil; n++ {
		pick, kind := r.IntN(total), 0
		for pick >= soakMix[kind].weight {
			pick -= soakMix[kind].weight
			kind++
		}
		epoch.RLock()
		token := fmt.Sprintf("%d.%d.%d", kind, id, n)
		within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := soakMix[kind].call(within, p, r, token)
		cancel()
		var e *bsrpc.Error
		if err != nil && (!errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable && e.Code != bsrpc.CodeDeadlineExceeded) {
			t.Errorf("%s: %v", token, err)
		}
		l.end(token, outcomeOf(err), false)
		epoch.RUnlock()
		pause(ctx, gap)
	}
}

func TestSoak(t *testing.T) {
	length := timeOf(t, "BSRPC_SOAK")
	l, gap := newLedger(), timeOf(t, pace)
	srv := &soakServer{address: "127.0.0.1:0", ledger: l}
	srv.start(t)
	proxy := newSoakProxy(t, srv.address)
	base := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var epoch sync.RWMutex // read-locked by each call; write-locked when no call is open
	var running sync.WaitGroup
	var clients []*bsrpc.Client
	var proxies []*soakContract
	for id := range 4 {
		client, err := bsrpc.Dial(ctx, "tcp", proxy.Addr().String(), &bsrpc.ClientOptions{
			WaitForReady: id%2 == 0, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := bsrpc.Bind[soakContract](ctx, client, "Soak")
		if err != nil {
			t.Fatal(err)
		}
		clients, proxies = append(clients, client), append(proxies, p)
		for k := range 4 {
			running.Go(func() { soakCaller(ctx, t, p, l, id*10+k, gap, &epoch) })
		}
	}
	faults := soakFaults(ctx, t, srv, proxy)
	sizes := footprints(ctx, &epoch, length)
	running.Wait()
	first, last := sizes()
	done := faults()
	for i, p := range proxies { // all of them work again
		ctx, cancel := context.WithTimeout(bsrpc.WithWaitForReady(context.Background()), 30*time.Second)
		token := fmt.Sprint("last ", i)
		_, err := p.Echo(ctx, token, nil)
		if err != nil {
			t.Errorf("client %d, at the end: %v", i, err)
		}
		l.end(token, outcomeOf(err), false)
		cancel()
		clients[i].Close()
	}
	srv.Close()
	t.Logf("%v: %v; %s; %v after a quarter, %v at the end", length, l, done, first, last)
	l.finish(t)
	first.compare(t, last)
	awaitGoroutines(t, base)
}

// soakFaults restarts the server, and freezes and cuts connections, until ctx ends. The
// result waits for the last of it, and says how many there were.
func soakFaults(ctx context.Context, t *testing.T, srv *soakServer, proxy *soakProxy) func() string {
	r := rand.New(rand.NewPCG(1, 1))
	var kills, stops, freezes, cuts int
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			pause(ctx, time.Duration(200+r.IntN(1500))*time.Millisecond)
			srv.ledger.settle(time.Now())
			switch r.IntN(4) {
			case 0:
				kills++
				srv.Close()
				pause(ctx, time.Duration(r.IntN(1000))*time.Millisecond)
				srv.start(t)
			case 1:
				stops++
				within, cancel := context.WithTimeout(context.Background(), time.Second)
				srv.Shutdown(within)
				cancel()
				srv.start(t)
			case 2:
				freezes++
				proxy.frozen.Lock()
				pause(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
				proxy.frozen.Unlock()
			case 3:
				cuts++
				proxy.cut()
			}
		}
	}()
	return func() string {
		<-ended
		return fmt.Sprintf("%d kills, %d graceful restarts, %d freezes, %d cuts", kills, stops, freezes, cuts)
	}
}
