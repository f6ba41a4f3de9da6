package reconnect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/report"
)

// A net is servers by number: up ones accept connections.
type testNet struct {
	mu    sync.Mutex
	down  bool
	dials []time.Time
	conns []*testConn
}

// A testConn is one connection of a testNet.
type testConn struct {
	*Conn
	at   int
	end  func(why *fault.Fault)
	open atomic.Int64
}

func (n *testNet) connect(ctx context.Context, at int, _ *Conn, _ func()) (*Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials = append(n.dials, time.Now())
	if n.down {
		return nil, fault.New(fault.Unavailable, fault.NotRun, "%w", errRefused)
	}
	c := &testConn{Conn: NewConn(), at: at}
	done := make(chan struct{})
	var once sync.Once
	var why atomic.Pointer[fault.Fault]
	c.end = func(f *fault.Fault) { once.Do(func() { why.Store(f); close(done) }) }
	c.Done, c.Why, c.Close, c.Again = done, why.Load, c.end, true
	c.Open = func() int { return int(c.open.Load()) }
	c.Made = func() int { return 0 }
	n.conns = append(n.conns, c)
	return c.Conn, nil
}

var (
	errRefused = errors.New("refused")
	errLost    = fault.New(fault.Unavailable, fault.OutcomeUnknown, "lost")
)

// setDown changes whether servers accept, and ends all connections.
func (n *testNet) setDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	for _, c := range n.conns {
		c.end(errLost)
	}
	n.conns, n.dials = nil, nil
}

// group returns a group with a first connection.
func (n *testNet) group(t *testing.T, seed uint64, endpoints func(context.Context) ([]int, error)) *Group[int, int] {
	r := rand.New(rand.NewPCG(seed, seed))
	var mu sync.Mutex
	g := New[int, int](Config[int]{Connect: n.connect, Most: 3, AskTime: time.Hour, Log: report.New(slog.New(slog.DiscardHandler)), Endpoints: endpoints, Rand: func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Float64()
	}})
	if _, err := g.Begin(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	g.Keep()
	return g
}

// waitOf returns a wait within d; 0 for no limit.
func waitOf(d time.Duration) *Wait {
	w := &Wait{Ctx: context.Background(), Time: new(limits.Timeout)}
	w.Time.Begin(w.Ctx, d, limits.ByDefault)
	w.Time.Start(limits.Monotonic())
	return w
}

// A hundred clients of one restarted server come spread: at most 30 % within 100 ms.
func TestClientsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(testNet)
		var groups []*Group[int, int]
		for i := range 100 {
			groups = append(groups, n.group(t, uint64(i), nil))
		}
		n.setDown(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(n.dials) != 100 {
			t.Fatal(len(n.dials), "dials")
		}
		most := 0
		for _, from := range n.dials {
			in := 0
			for _, at := range n.dials {
				if d := at.Sub(from); d >= 0 && d < 100*time.Millisecond {
					in++
				}
			}
			most = max(most, in)
		}
		t.Log("most clients within 100 ms:", most)
		if most > 30 {
			t.Error(most, "of 100 clients came within 100 ms")
		}
		for _, g := range groups {
			g.End(fault.New(fault.Canceled, fault.NotRun, "%w", fault.ErrClosed))
		}
	})
}

// Waiting calls have bounds, and end with their context, their time and the group.
func TestWaitBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(testNet)
		g := n.group(t, 1, nil)
		n.setDown(true)
		time.Sleep(5 * time.Second)
		patient := func(bytes int, d time.Duration) *fault.Fault {
			w := waitOf(d)
			w.Patient, w.Bytes = true, bytes
			_, why := g.Await(w, nil)
			return why
		}
		results := make(chan *fault.Fault, 2*mostWaiters)
		for range mostWaiters {
			go func() { results <- patient(1, 10*time.Second) }()
		}
		synctest.Wait()
		if why := patient(1, time.Second); why == nil || why.Code != fault.ResourceExhausted || !errors.Is(why, errRefused) {
			t.Fatal(why)
		}
		for range mostWaiters {
			if why := <-results; why.Code != fault.DeadlineExceeded || !errors.Is(why, errRefused) || !errors.Is(why, context.DeadlineExceeded) {
				t.Fatal(why)
			}
		}
		go func() { results <- patient(mostWaiting, time.Second) }()
		synctest.Wait()
		if why := patient(1, time.Second); why.Code != fault.ResourceExhausted {
			t.Fatal(why)
		}
		<-results
		go func() { results <- patient(mostWaiting+1, time.Hour) }()
		synctest.Wait()
		g.End(fault.New(fault.Canceled, fault.OutcomeUnknown, "%w", fault.ErrClosed))
		if why := <-results; !errors.Is(why, fault.ErrClosed) || why.Outcome != fault.NotRun {
			t.Fatal(why)
		}
	})
}

// Endpoints are asked when a connection is lost and from time to time; those that are gone
// keep their calls and get no new ones.
func TestEndpointsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(testNet)
		var mu sync.Mutex
		list, asked := []int{1, 2, 2, 3, 4}, 0
		g := n.group(t, 1, func(context.Context) ([]int, error) {
			mu.Lock()
			defer mu.Unlock()
			if asked++; asked == 3 {
				return nil, errRefused
			}
			return slices.Clone(list), nil
		})
		usable := func() int {
			ready, _ := g.Await(waitOf(time.Second), nil)
			return len(ready)
		}
		synctest.Wait()
		defer g.End(errLost)
		if usable() != 3 { // MaxEndpoints
			t.Fatal(usable(), "connections")
		}
		slices.SortFunc(n.conns, func(a, b *testConn) int { return a.at - b.at })
		n.conns[0].open.Store(1)
		mu.Lock()
		list = []int{2}
		mu.Unlock()
		time.Sleep(endpointsPeriod + time.Second)
		synctest.Wait()
		if usable() != 1 || n.conns[0].Ended() || !n.conns[2].Ended() {
			t.Fatal(usable(), "connections; of those without an endpoint", n.conns[0].Ended(), n.conns[2].Ended())
		}
		n.conns[0].open.Store(0)
		time.Sleep(time.Second)
		synctest.Wait()
		if !n.conns[0].Ended() {
			t.Fatal("the connection is not closed after its last call")
		}
		n.setDown(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if usable() != 1 || asked != 3 {
			t.Fatal(usable(), asked)
		}
	})
}

// Of more endpoints than are used, those with a connection stay, in whatever order they come. One that
// is gone makes room for another one.
func TestEndpointsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(testNet)
		var mu sync.Mutex
		list := []int{1, 2, 3, 4, 5, 6}
		set := func(next ...int) {
			mu.Lock()
			list = next
			mu.Unlock()
			time.Sleep(endpointsPeriod + time.Second)
			synctest.Wait()
		}
		g := n.group(t, 1, func(context.Context) ([]int, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(list), nil
		})
		defer g.End(errLost)
		set(6, 5, 4, 3, 2, 1)
		if len(n.conns) != 3 {
			t.Fatal(len(n.conns), "connections for another order")
		}
		set(6, 5, 4, 3, 1)
		var at []int
		for _, c := range n.conns {
			if !c.Ended() {
				at = append(at, c.at)
			}
		}
		if slices.Sort(at); !slices.Equal(at, []int{1, 3, 6}) {
			t.Fatal("connected to", at)
		}
	})
}

// User code that hangs or panics ends no attempt of a group for good, and not its End.
func TestEndpointsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(testNet)
		first := true
		g := n.group(t, 1, func(ctx context.Context) ([]int, error) {
			if first {
				first = false
				return []int{1}, nil
			}
			time.Sleep(time.Hour)
			panic("late")
		})
		time.Sleep(2 * time.Minute)
		if _, why := g.Await(waitOf(time.Second), nil); why != nil {
			t.Fatal(why)
		}
		start := time.Now()
		g.End(errLost)
		if d := time.Since(start); d > 0 {
			t.Fatal("End took", d)
		}
		time.Sleep(2 * time.Hour)
	})
}

// A state names itself.
func TestStateString(t *testing.T) {
	if s := fmt.Sprint(Connecting, Waiting, Ready, Lost, Closed, State(9)); s != "connecting waiting ready lost closed state 9" {
		t.Error(s)
	}
}

// A testCall fails with an error when it is sent again.
type testCall struct{ err error }

func (k *testCall) Wait(context.Context) *Wait { return waitOf(0) }
func (k *testCall) Choose(...*Conn) bool       { return true }
func (k *testCall) Send(context.Context) (*Conn, error) {
	c := NewConn()
	c.Why = func() *fault.Fault { return nil }
	return c, k.err
}

// A call whose first attempt may have run has an unknown outcome, although the next attempt has
// not run.
func TestAgainMayHaveRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(testNet)
		g := n.group(t, 1, nil)
		refused := fault.Refusal(fault.ResourceExhausted, "too many")
		for first, want := range map[*fault.Fault]fault.Outcome{errLost: fault.OutcomeUnknown, errLost.WithOutcome(fault.NotRun): fault.NotRun} {
			c := &testConn{Conn: NewConn()}
			done := make(chan struct{})
			close(done)
			c.Done, c.Why = done, func() *fault.Fault { return errLost }
			err := g.Again(t.Context(), &testCall{refused}, c.Conn, true, first)
			if f, ok := err.(*fault.Fault); !ok || f.Outcome != want || f.Code != refused.Code {
				t.Errorf("after %v: %v, %v, want %v", first.Outcome, err, f.Outcome, want)
			}
		}
		g.End(errLost)
	})
}

// An endpoint that is dropped while its connection becomes ready: the connection ends, with a
// reason like any other.
func TestStoppedWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(testNet)
		g := n.group(t, 1, nil)
		dropped := &keeper[int, int]{g: g, at: 1, stop: make(chan struct{})}
		if c := dropped.connect(0, nil); c != nil {
			t.Error("a dropped endpoint has a connection")
		}
		for _, c := range n.conns {
			if why := c.Why(); c.at == 1 && (why == nil || why.Code != fault.Unavailable) {
				t.Errorf("its connection has ended with %v", why)
			}
		}
		g.End(errLost)
	})
}
