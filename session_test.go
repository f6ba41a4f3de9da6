package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// desk is the service of the session tests.
type desk struct {
	Who   func(ctx context.Context) (uint64, error)
	Sleep func(ctx context.Context, ms uint32) error
}

type clerk struct{}

func (clerk) Who(ctx context.Context) uint64 { return bsrpc.SessionFrom(ctx).ID() }

// Sleep ignores its context.
func (clerk) Sleep(ms uint32) { time.Sleep(time.Duration(ms) * time.Millisecond) }

func newOffice(t testing.TB, opts bsrpc.ServerOptions) *bsrpc.Server {
	t.Helper()
	opts.Logger = quiet
	srv := bsrpc.NewServer(&opts)
	if err := bsrpc.RegisterAs[desk](srv, "Desk", clerk{}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// enter connects a client to srv, and waits for its admission.
func enter(ctx context.Context, srv *bsrpc.Server, opts *bsrpc.ClientOptions) (*bsrpc.Client, net.Conn, error) {
	near, far := net.Pipe()
	go srv.ServeConn(far)
	client, err := bsrpc.NewClient(ctx, near, opts)
	return client, near, err
}

func mustEnter(t testing.TB, srv *bsrpc.Server) *bsrpc.Client {
	t.Helper()
	client, _, err := enter(context.Background(), srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func who(t testing.TB, client *bsrpc.Client) uint64 {
	t.Helper()
	var id uint64
	if err := client.Call(context.Background(), "Desk.Who", nil, &id); err != nil {
		t.Fatal(err)
	}
	return id
}

// A diary records the calls of hooks, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, ", ")
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var seen diary
		srv := newOffice(t, bsrpc.ServerOptions{
			OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
				if bsrpc.SessionFrom(ctx) != s || s.Since() != time.Now() || s.RemoteAddr() == nil {
					t.Errorf("OnConnect's session: %v since %v, %v", s.ID(), s.Since(), s.RemoteAddr())
				}
				s.Set(key{}, "kept")
				seen.add("connect %d", s.ID())
				return nil
			},
			OnDisconnect: func(s *bsrpc.Session) {
				seen.add("disconnect %d after %d calls, %v, %v", s.ID(), s.Calls(), s.Value(key{}), s.Context().Err())
			},
		})
		one, two := mustEnter(t, srv), mustEnter(t, srv)
		if a, b := who(t, one), who(t, two); a != 1 || b != 2 {
			t.Errorf("sessions %d and %d", a, b)
		}
		if list := srv.Sessions(); len(list) != 2 || list[0].ID() != 1 || list[1].Context().Err() != nil {
			t.Errorf("Sessions: %v", list)
		}
		one.Close()
		synctest.Wait()
		srv.Close()
		const want = "connect 1, connect 2, disconnect 1 after 1 calls, kept, context canceled, disconnect 2 after 1 calls, kept, context canceled"
		if seen.String() != want {
			t.Errorf("got  %s\nwant %s", &seen, want)
		}
		if list := srv.Sessions(); len(list) != 0 {
			t.Errorf("Sessions afterwards: %v", list)
		}
		two.Close()
	})
}

// An error or a panic in OnConnect refuses the client. The next client is admitted,
// and OnDisconnect is not called.
func TestOnConnectRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := errors.New("not on Sundays")
		var left atomic.Int32
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1,
			OnConnect: func(_ context.Context, s *bsrpc.Session) error {
				switch s.ID() {
				case 1:
					return refuse
				case 2:
					return &bsrpc.Error{Code: bsrpc.CodeUnauthenticated, Name: "NoBadge", Message: "no badge"}
				case 3:
					panic("secret")
				}
				return nil
			},
			OnDisconnect: func(*bsrpc.Session) { left.Add(1) },
		})
		for _, want := range []bsrpc.Error{
			{Code: bsrpc.CodePermissionDenied, Message: "not on Sundays"},
			{Code: bsrpc.CodeUnauthenticated, Name: "NoBadge", Message: "no badge"},
			{Code: bsrpc.CodeInternal, Message: "bsrpc: panic in OnConnect"},
		} {
			_, _, err := enter(t.Context(), srv, nil)
			var e *bsrpc.Error
			if !errors.As(err, &e) || e.Code != want.Code || e.Name != want.Name || e.Message != want.Message || e.Outcome != bsrpc.OutcomeNotRun || !e.Remote {
				t.Errorf("got %#v, want %v", err, want.Message)
			}
		}
		client := mustEnter(t, srv)
		client.Close()
		srv.Close()
		if left.Load() != 1 {
			t.Errorf("OnDisconnect ran %d times, want 1", left.Load())
		}
	})
}

type notes struct {
	seen *diary
	id   uint64
	n    int
}

func (n *notes) Add() int { n.n++; return n.n }
func (n *notes) Close() error {
	n.seen.add("closed %d with %d", n.id, n.n)
	return nil
}

func TestPerSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen diary
		srv := newOffice(t, bsrpc.ServerOptions{OnDisconnect: func(s *bsrpc.Session) { seen.add("disconnect %d", s.ID()) }})
		factory := bsrpc.PerSession(func(_ context.Context, s *bsrpc.Session) (*notes, error) {
			if s.ID() == 3 {
				return nil, errors.New("no paper")
			}
			return &notes{seen: &seen, id: s.ID()}, nil
		})
		for _, name := range []string{"Notes", "Again"} {
			if err := srv.RegisterName(name, factory); err != nil {
				t.Fatal(err)
			}
		}
		add := func(client *bsrpc.Client, method string) (n int) {
			if err := client.Call(t.Context(), method, nil, &n); err != nil {
				t.Error(err)
			}
			return n
		}
		one, two := mustEnter(t, srv), mustEnter(t, srv)
		if got := []int{add(one, "Notes.Add"), add(one, "Again.Add"), add(two, "Notes.Add")}; !slices.Equal(got, []int{1, 2, 1}) {
			t.Errorf("got %v: a session has one receiver of a factory, and sessions share none", got)
		}
		if _, _, err := enter(t.Context(), srv, nil); err == nil || err.Error() != "no paper" {
			t.Errorf("a factory that fails: %v", err)
		}
		synctest.Wait()
		one.Close()
		synctest.Wait()
		two.Close()
		srv.Close()
		const want = "disconnect 3, closed 1 with 2, disconnect 1, closed 2 with 1, disconnect 2"
		if seen.String() != want {
			t.Errorf("got  %s\nwant %s", &seen, want)
		}
	})
}

// The next client is admitted when the last handler and OnDisconnect have returned,
// and then at once.
func TestNextAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen diary
		start := time.Now()
		at := func() int64 { return time.Since(start).Milliseconds() }
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1,
			OnConnect: func(_ context.Context, s *bsrpc.Session) error { seen.add("%d in at %d", s.ID(), at()); return nil },
			OnDisconnect: func(s *bsrpc.Session) {
				seen.add("%d leaves at %d", s.ID(), at())
				time.Sleep(50 * time.Millisecond)
				seen.add("%d out at %d", s.ID(), at())
			}})
		first := mustEnter(t, srv)
		go first.Call(context.Background(), "Desk.Sleep", []any{100})
		time.Sleep(20 * time.Millisecond)
		second := make(chan *bsrpc.Client)
		go func() { second <- mustEnter(t, srv) }()
		time.Sleep(20 * time.Millisecond)
		first.Close()
		(<-second).Close()
		srv.Close()
		const want = "1 in at 0, 1 leaves at 100, 1 out at 150, 2 in at 150, 2 leaves at 150, 2 out at 200"
		if seen.String() != want {
			t.Errorf("got  %s\nwant %s", &seen, want)
		}
	})
}

// Waiting clients get their position after each change, and may not call.
func TestOnWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1, MaxWaiting: 3})
		holder := mustEnter(t, srv)
		var positions [3]diary
		clients := make([]chan *bsrpc.Client, 3)
		var cancel [3]context.CancelFunc
		for i := range clients {
			clients[i] = make(chan *bsrpc.Client, 1)
			ctx, stop := context.WithCancel(t.Context())
			cancel[i] = stop
			go func() {
				client, _, err := enter(ctx, srv, &bsrpc.ClientOptions{OnWait: func(n int) { positions[i].add("%d", n) }})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				clients[i] <- client
			}()
			synctest.Wait()
		}
		_, _, err := enter(t.Context(), srv, nil)
		var e *bsrpc.Error
		if !errors.As(err, &e) || e.Code != bsrpc.CodeResourceExhausted || !strings.HasPrefix(e.Message, "bsrpc: the server's queue is full") {
			t.Errorf("one more than MaxWaiting: %v", err)
		}
		time.Sleep(time.Second)
		cancel[0]() // the head leaves
		if <-clients[0] != nil {
			t.Error("a client was made of one that gave up")
		}
		time.Sleep(time.Second)
		holder.Close()
		next := <-clients[1]
		time.Sleep(time.Second)
		next.Close()
		(<-clients[2]).Close()
		for i, want := range []string{"1", "2, 1", "3, 2, 1"} {
			if positions[i].String() != want {
				t.Errorf("waiter %d was told %s, want %s", i, &positions[i], want)
			}
		}
		for _, stop := range cancel {
			stop()
		}
		srv.Close()
	})
}

func TestRefuseWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1, RefuseWhenFull: true})
		client := mustEnter(t, srv)
		_, _, err := enter(t.Context(), srv, nil)
		if want := "bsrpc: the server is full: it has MaxSessions (1) sessions, and RefuseWhenFull is set"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		client.Close()
		synctest.Wait()
		mustEnter(t, srv).Close()
		srv.Close()
	})
}

// The closed client gets the reason, and the next client is admitted.
func TestSessionClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1})
		client := mustEnter(t, srv)
		sleeping := make(chan error)
		go func() { sleeping <- client.Call(context.Background(), "Desk.Sleep", []any{100}) }()
		time.Sleep(10 * time.Millisecond)
		srv.Sessions()[0].Close("the laser is on fire")
		for _, err := range []error{<-sleeping, client.Call(t.Context(), "Desk.Who", nil, new(uint64))} {
			var e *bsrpc.Error
			if !errors.As(err, &e) || e.Code != bsrpc.CodeAborted || e.Message != "the laser is on fire" || !e.Remote {
				t.Errorf("got %#v", err)
			}
		}
		mustEnter(t, srv).Close()
		srv.Close()
	})
}

// An idle session lasts, unless SessionMaxHold is set and another client waits.
func TestSessionMaxHold(t *testing.T) {
	t.Parallel()
	patience := 24 * time.Hour
	if !bsrpc.LongTests {
		patience /= 8
	}
	for _, hold := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1, SessionMaxHold: hold})
			start := time.Now()
			first := mustEnter(t, srv)
			time.Sleep(3 * time.Hour)
			if err := first.Err(); err != nil {
				t.Errorf("nobody waits, but: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			second, _, err := enter(ctx, srv, nil)
			if (err == nil) != (hold > 0) {
				t.Fatalf("SessionMaxHold %v: %v", hold, err)
			}
			if hold > 0 {
				if took := time.Since(start) - 3*time.Hour; took > time.Second {
					t.Errorf("the next waited %v", took)
				}
				time.Sleep(30 * time.Minute)
				third := make(chan error)
				go func() {
					client, _, err := enter(ctx, srv, nil)
					if err == nil {
						client.Close()
					}
					third <- err
				}()
				if err := <-third; err != nil {
					t.Error(err)
				}
				if held := time.Since(start) - 3*time.Hour; held < time.Hour || held > time.Hour+time.Second {
					t.Errorf("the second held its place for %v", held)
				}
				second.Close()
			}
			first.Close()
			srv.Close()
		})
	}
}

// SessionMaxHold ends one session for each client that waits, the oldest first.
func TestSessionMaxHoldEndsAsManyAsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 4, SessionMaxHold: time.Hour})
		clients := make([]*bsrpc.Client, 4)
		for i := range clients {
			clients[i] = mustEnter(t, srv)
			time.Sleep(10 * time.Minute)
		}
		time.Sleep(35 * time.Minute) // the first two are older than an hour
		came := make(chan *bsrpc.Client, 3)
		wantEnded := func(step string, n int) {
			t.Helper()
			synctest.Wait()
			for i, client := range clients {
				if err := client.Err(); (err != nil) != (i < n) {
					t.Errorf("%s: client %d of 4: %v, want the first %d ended", step, i+1, err, n)
				}
			}
		}
		wait := func() { go func() { came <- mustEnter(t, srv) }() }
		wantEnded("none waits", 0)
		wait()
		wantEnded("one has waited", 1)
		wait()
		wait()
		wantEnded("two more wait", 2)
		time.Sleep(20 * time.Minute)
		wantEnded("all are, and none waits", 3)
		for range 3 {
			clients = append(clients, <-came)
		}
		for _, client := range clients[3:] {
			who(t, client)
			client.Close()
		}
		srv.Close()
	})
}

// A client that falls silent while a handler runs for it is found dead within PingAfter and
// PingTimeout: then the context of the handler ends.
func TestFrozenCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		ended := make(chan time.Time, 1)
		if err := srv.RegisterFunc("Desk.Wait", func(ctx context.Context) { <-ctx.Done(); ended <- time.Now() }); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		conn := &frozenConn{Conn: near, thaw: make(chan struct{})}
		client, err := bsrpc.NewClient(t.Context(), conn, &bsrpc.ClientOptions{Logger: quiet, DefaultCallTimeout: bsrpc.NoLimit})
		if err != nil {
			t.Fatal(err)
		}
		go client.Call(t.Context(), "Desk.Wait", nil)
		time.Sleep(10 * time.Minute) // it answers PINGs
		if len(ended) > 0 {
			t.Fatal("the context has ended too early")
		}
		conn.freeze()
		start := time.Now()
		if d := (<-ended).Sub(start); d > 50*time.Second {
			t.Errorf("after %v, want 50 s at most", d)
		}
		srv.Close()
		close(conn.thaw)
		client.Close()
	})
}

// A frozen client, admitted or waiting, is found within its lease and blocks no other
// client.
func TestFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1})
		freezer := func() *frozenConn {
			near, far := net.Pipe()
			go srv.ServeConn(far)
			return &frozenConn{Conn: near, thaw: make(chan struct{})}
		}
		holder, waiter := freezer(), freezer()
		if _, err := bsrpc.NewClient(t.Context(), holder, nil); err != nil {
			t.Fatal(err)
		}
		go bsrpc.NewClient(t.Context(), waiter, nil)
		synctest.Wait()
		time.Sleep(time.Minute)
		holder.freeze()
		waiter.freeze()
		start := time.Now()
		client := mustEnter(t, srv)
		if took := time.Since(start); took > 31*time.Second || took < 10*time.Second {
			t.Errorf("the place was free after %v, the lease is 20 s", took)
		}
		client.Close()
		srv.Close()
		close(holder.thaw)
		close(waiter.thaw)
	})
}

// A frozenConn stops reading when it is frozen.
type frozenConn struct {
	net.Conn
	frozen atomic.Bool
	thaw   chan struct{}
}

func (c *frozenConn) freeze() { c.frozen.Store(true) }

func (c *frozenConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.frozen.Load() {
		<-c.thaw
		return 0, net.ErrClosed
	}
	return n, err
}

// Many clients wait, with MaxSessions 1, and some of them die. The others are served
// in order, never two at a time.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for seed := range uint64(bsrpc.Rounds(2, 5)) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 50))
			var inside, holders atomic.Int32
			var order []uint64 // of sessions admitted; under the place itself
			srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1,
				OnConnect: func(_ context.Context, s *bsrpc.Session) error {
					if inside.Add(1) != 1 {
						t.Error("two sessions in one place")
					}
					order = append(order, s.ID())
					return nil
				},
				OnDisconnect: func(*bsrpc.Session) {
					time.Sleep(time.Millisecond)
					inside.Add(-1)
				}})
			var wg sync.WaitGroup
			for range 50 {
				dies, stays := rng.IntN(3) == 0, time.Duration(rng.IntN(300))*time.Millisecond
				ctx, cancel := context.WithCancel(t.Context())
				if dies {
					time.AfterFunc(time.Duration(1+rng.IntN(5000))*time.Millisecond, cancel)
				}
				wg.Go(func() {
					defer cancel()
					client, nc, err := enter(ctx, srv, nil)
					if err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						return
					}
					holders.Add(1)
					time.Sleep(stays)
					if stays%2 == 0 {
						nc.Close() // as if the process had died
					}
					client.Close()
				})
				synctest.Wait() // arrival is the order
			}
			wg.Wait()
			time.Sleep(time.Second) // the last one's OnDisconnect
			if !slices.IsSorted(order) || inside.Load() != 0 || holders.Load() < 25 || len(order) < int(holders.Load()) {
				t.Errorf("order %v, %d inside, %d were admitted", order, inside.Load(), holders.Load())
			}
			srv.Close()
		})
	}
}

// Shutdown refuses waiting clients, and ends all sessions with their hooks.
func TestShutdownSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen diary
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1, OnDisconnect: func(s *bsrpc.Session) {
			time.Sleep(time.Second)
			seen.add("disconnect %d", s.ID())
		}})
		client := mustEnter(t, srv)
		waiting := make(chan error)
		go func() {
			_, _, err := enter(t.Context(), srv, nil)
			waiting <- err
		}()
		synctest.Wait()
		go client.Call(context.Background(), "Desk.Sleep", []any{3000})
		synctest.Wait()
		start := time.Now()
		done := make(chan error)
		go func() { done <- srv.Shutdown(t.Context()) }()
		var e *bsrpc.Error
		if err := <-waiting; !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeNotRun || time.Since(start) > time.Second {
			t.Errorf("the waiter: %v after %v", err, time.Since(start))
		}
		if err := <-done; err != nil || time.Since(start) < 4*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		if seen.String() != "disconnect 1" {
			t.Errorf("seen: %s", &seen)
		}
		client.Close()
	})
}

// An ended session stays ended. Its values can be read, its context is done, and Close
// has no effect.
func TestEndedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Int32
		srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1, OnDisconnect: func(s *bsrpc.Session) {
			left.Add(1)
			s.Close("from inside of its end")
		}})
		client := mustEnter(t, srv)
		synctest.Wait()
		session := srv.Sessions()[0]
		session.Set("key", 7)
		session.Close("for good")
		session.Close("again")
		<-client.Done()
		synctest.Wait()
		session.Close("and again")
		if session.Context().Err() == nil || session.Value("key") != 7 || left.Load() != 1 {
			t.Errorf("%v, %v, OnDisconnect ran %d times", session.Context().Err(), session.Value("key"), left.Load())
		}
		if err := client.Err(); err == nil || !strings.Contains(err.Error(), "for good") {
			t.Errorf("the client heard %v", err)
		}
		mustEnter(t, srv).Close()
		srv.Close()
	})
}

// However a server is stopped, and how often, each session ends once.
func TestSessionsEndOnce(t *testing.T) {
	for name, stop := range map[string]func(*bsrpc.Server){
		"Close twice": func(s *bsrpc.Server) { s.Close(); s.Close() },
		"Close during Shutdown": func(s *bsrpc.Server) {
			done := make(chan error)
			go func() { done <- s.Shutdown(context.Background()) }()
			synctest.Wait()
			s.Close()
			<-done
		},
		"Shutdown twice, at once": func(s *bsrpc.Server) {
			done := make(chan error)
			for range 2 {
				go func() { done <- s.Shutdown(context.Background()) }()
			}
			<-done
			<-done
		},
		"Shutdown that is out of time": func(s *bsrpc.Server) {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				panic(fmt.Sprint("Shutdown: ", err))
			}
			s.Close() // waits for OnDisconnect, as Shutdown does no longer
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var left atomic.Int32
				srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 2, OnDisconnect: func(*bsrpc.Session) { left.Add(1) }})
				for range 2 {
					client := mustEnter(t, srv)
					defer client.Close()
					go client.Call(context.Background(), "Desk.Sleep", []any{300})
				}
				waiter := make(chan error)
				go func() {
					_, _, err := enter(t.Context(), srv, nil)
					waiter <- err
				}()
				synctest.Wait()
				stop(srv)
				if err := <-waiter; err == nil {
					t.Error("a waiter was admitted by a server that stops")
				}
				if n := len(srv.Sessions()); left.Load() != 2 || n != 0 {
					t.Errorf("OnDisconnect ran %d times, %d sessions are left", left.Load(), n)
				}
			})
		})
	}
}

type fragile struct{ how string }

func (*fragile) Nothing() {}
func (f *fragile) Close() {
	if f.how == "Close" {
		panic("on purpose")
	}
}

// A panic or runtime.Goexit in a hook ends at most that session. The next client is
// admitted, and OnDisconnect is called if OnConnect has accepted the client.
func TestPanicInHooks(t *testing.T) {
	for _, tt := range []struct {
		how     string
		refused string // the text of the error at the client
		left    int32
	}{
		{"OnConnect", "panic in OnConnect", 0},
		{"OnConnect, Goexit", "panic in OnConnect", 0},
		{"PerSession", "panic in PerSession", 1},
		{"Close", "", 1},
		{"OnDisconnect", "", 1},
	} {
		t.Run(tt.how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var left atomic.Int32
				trip := func(s *bsrpc.Session, hook string) {
					switch {
					case s.ID() == 1 && tt.how == hook:
						panic("on purpose")
					case s.ID() == 1 && tt.how == hook+", Goexit":
						runtime.Goexit()
					}
				}
				srv := newOffice(t, bsrpc.ServerOptions{MaxSessions: 1,
					OnConnect:    func(_ context.Context, s *bsrpc.Session) error { trip(s, "OnConnect"); return nil },
					OnDisconnect: func(s *bsrpc.Session) { left.Add(1); trip(s, "OnDisconnect") },
				})
				perSession := bsrpc.PerSession(func(_ context.Context, s *bsrpc.Session) (*fragile, error) {
					trip(s, "PerSession")
					return &fragile{how: tt.how}, nil
				})
				if err := srv.RegisterName("Fragile", perSession); err != nil {
					t.Fatal(err)
				}
				client, _, err := enter(t.Context(), srv, nil)
				if (err != nil) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want %q", err, tt.refused)
				}
				if client != nil {
					client.Close()
				}
				next := mustEnter(t, srv)
				if left.Load() != tt.left {
					t.Errorf("OnDisconnect ran %d times, want %d", left.Load(), tt.left)
				}
				next.Close()
				srv.Close()
			})
		})
	}
}
