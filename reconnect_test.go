package bsrpc

// Clients that stay connected, over connections in memory.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/reconnect"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A site is servers by address, which tests start and kill.
type site struct {
	mu      sync.Mutex
	servers map[string]*siteServer
	dials   []time.Time
	refuse  error // of an address without a server
	opts    ServerOptions
	clients []*Client
	quiet   bool // a bubble of synctest

	wrap func(net.Conn) net.Conn // of the client's end; nil for none
	raw  func(net.Conn)          // serves in place of the servers; nil for none
	hang bool                    // attempts last until the end of their context
}

// A siteServer is one server of a site, with the ends of its connections.
type siteServer struct {
	*Server
	conns []net.Conn
}

// A till is the service of a site.
type till struct {
	at    string
	calls atomic.Int64
	site  *site
}

func (s *till) Where() string { s.calls.Add(1); return s.at }
func (s *till) Sleep(ctx context.Context, ms int) (string, error) {
	s.calls.Add(1)
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return s.at, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
func (s *till) Again(ctx context.Context, ms int) (string, error) {
	if id, ok := MetadataFrom(ctx)["id"]; ok {
		SetReplyMetadata(ctx, "echo", id)
	}
	return s.Sleep(ctx, ms)
}
func (s *till) Keep(ctx context.Context) string { SessionFrom(ctx).Set(siteKey{}, 1); return s.at }

type siteKey struct{}

// Tills is the contract of a till.
type Tills struct {
	Where func(ctx context.Context) (string, error)
	Sleep func(ctx context.Context, ms int) (string, error)
	Again func(ctx context.Context, ms int) (string, error) `bsrpc:"idempotent"`
	Keep  func(ctx context.Context) (string, error)
}

// newSite returns a site whose servers have opts; nil for the defaults.
func newSite(t testing.TB, opts *ServerOptions) *site {
	s := &site{servers: make(map[string]*siteServer), refuse: syscall.ECONNREFUSED}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.Logger = quiet
	t.Cleanup(func() {
		for _, c := range s.clients {
			c.Close()
		}
		for at := range s.servers {
			s.kill(at)
		}
		if s.wrap != nil {
			time.Sleep(roundTrip) // what is on its way
		}
	})
	return s
}

// calmSite is newSite in a bubble, with a server at "a".
func calmSite(t testing.TB, opts *ServerOptions) *site {
	s := newSite(t, opts)
	s.quiet = true
	s.start("a")
	return s
}

// start starts a server at an address.
func (s *site) start(at string) *till {
	srv := NewServer(&s.opts)
	service := &till{at: at, site: s}
	if err := srv.RegisterName("Till", service); err != nil {
		panic(err)
	}
	s.add(at, srv)
	return service
}

// add makes srv the server at an address.
func (s *site) add(at string, srv *Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers[at] = &siteServer{Server: srv}
}

// take removes the server at an address from the site, so that it accepts no more.
func (s *site) take(at string) *siteServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	srv := s.servers[at]
	delete(s.servers, at)
	return srv
}

// kill ends the server at an address as a crash does: clients see a reset only.
func (s *site) kill(at string) {
	srv := s.take(at)
	if srv == nil {
		return
	}
	if s.quiet {
		time.Sleep(10 * time.Millisecond) // so that the client reads, and notices at once
	}
	for _, nc := range srv.conns {
		nc.Close()
	}
	if s.quiet {
		synctest.Wait()
	}
	srv.Close()
}

// open is dialer.open.
func (s *site) open(ctx context.Context, e Endpoint) (net.Conn, error) {
	if s.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	srv := s.servers[e.Address]
	near, far := net.Pipe()
	if s.wrap != nil {
		near = s.wrap(near)
	}
	if s.raw != nil {
		go s.raw(far)
		return near, nil
	}
	if srv == nil {
		near.Close()
		return nil, &net.OpError{Op: "dial", Net: e.Network, Err: os.NewSyscallError("connect", s.refuse)}
	}
	srv.conns = append(srv.conns, far)
	go srv.ServeConn(far)
	return near, nil
}

// dialed returns the number of attempts to connect so far.
func (s *site) dialed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dials)
}

// dial returns a client of the site.
func (s *site) dial(t testing.TB, at string, opts *ClientOptions) *Client {
	t.Helper()
	client, err := s.tryDial(at, opts)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// tryDial is dial with its error.
func (s *site) tryDial(at string, opts *ClientOptions) (*Client, error) {
	if opts == nil {
		opts = new(ClientOptions)
	}
	own := *opts
	own.Logger = quiet
	d, err := newDialer(&own)
	if err != nil {
		return nil, err
	}
	d.open = s.open
	client, err := d.dial(context.Background(), Endpoint{"mem", at, ""})
	if err == nil {
		s.clients = append(s.clients, client)
	}
	return client, publicError(err)
}

// tills binds the contract of a site.
func tills(t testing.TB, c *Client) *Tills {
	t.Helper()
	p, err := Bind[Tills](context.Background(), c, "Till")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantAt checks the answer of a call.
func wantAt(t testing.TB, got string, err error, want string) {
	t.Helper()
	if err != nil || got != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// A proxy works after the restart of its server, and calls wait for the first attempt.
func TestReconnectAfterRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", nil)
		p := tills(t, client)
		for range Rounds(40, 200) {
			got, err := p.Where(t.Context())
			wantAt(t, got, err, "a")
			time.Sleep(11 * time.Second) // the connection lives long
			s.kill("a")
			synctest.Wait()
			s.start("a")
			start := time.Now()
			got, err = p.Where(t.Context())
			wantAt(t, got, err, "a")
			if d := time.Since(start); d < firstLeast || d > firstMost+time.Millisecond {
				t.Fatalf("connected again after %v", d)
			}
			var sum string
			if err := client.Call(t.Context(), "Till.Where", nil, &sum); err != nil || sum != "a" {
				t.Fatal(sum, err)
			}
		}
		select {
		case <-client.Done():
			t.Fatal("the client has ended:", client.Err())
		default:
		}
	})
}

const firstLeast, firstMost = 100 * time.Millisecond, 700 * time.Millisecond

// Without a server, calls fail once the first attempt has failed, with its cause, and then at
// once. With WaitForReady they wait for the server, within their time.
func TestReconnectWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		p := tills(t, s.dial(t, "a", nil))
		s.kill("a")
		synctest.Wait()
		start := time.Now()
		_, err := p.Where(t.Context())
		check := func(err error) {
			t.Helper()
			var e *Error
			if !errors.As(err, &e) || e.Code != CodeUnavailable || e.Outcome != OutcomeNotRun || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("got %v (%+v)", err, e)
			}
			if want := "bsrpc: Till.Where: not connected: dial mem: connect: connection refused"; err.Error() != want {
				t.Fatalf("got %q, want %q", err, want)
			}
		}
		check(err)
		if d := time.Since(start); d < firstLeast || d > firstMost {
			t.Fatal("failed after", d)
		}
		start = time.Now()
		_, err = p.Where(t.Context())
		check(err)
		if d := time.Since(start); d != 0 {
			t.Fatal("the second call waited for", d)
		}
		// With WaitForReady a call waits.
		ctx, cancel := context.WithTimeout(WithWaitForReady(t.Context()), time.Second)
		defer cancel()
		_, err = p.Where(ctx)
		if want := "bsrpc: Till.Where: context deadline exceeded; it waited for a connection: dial mem: connect: connection refused"; fmt.Sprint(err) != want {
			t.Fatalf("got %q, want %q", err, want)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.ECONNREFUSED) || err.(*Error).Outcome != OutcomeNotRun {
			t.Fatalf("%#v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Fatal("waited for", d)
		}
		time.AfterFunc(5*time.Second, func() { s.start("a") })
		got, err := p.Where(WithWaitForReady(t.Context()))
		wantAt(t, got, err, "a")
		s.kill("a")
		synctest.Wait()
		// The default time of a call spans its attempts.
		start = time.Now()
		_, err = p.Where(WithWaitForReady(t.Context()))
		if want := "bsrpc: Till.Where: no answer in 20s (DefaultCallTimeout); give the context a deadline, or the method timeout=; it waited for a connection: dial mem: connect: connection refused"; fmt.Sprint(err) != want || time.Since(start) != 20*time.Second {
			t.Fatalf("got %q after %v, want %q", err, time.Since(start), want)
		}
	})
}

// A call whose request may have run is sent again only if its method is idempotent: with its
// metadata.
func TestReconnectResends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		first := s.start("a")
		p := tills(t, s.dial(t, "a", nil))
		results := make(chan error, 2)
		go func() { _, err := p.Sleep(t.Context(), 1000); results <- err }()
		again := make(chan error, 2)
		ctx, reply := WithReplyMetadata(WithMetadata(t.Context(), Metadata{"id": "7"}))
		go func() { _, err := p.Again(ctx, 1000); again <- err }()
		time.Sleep(100 * time.Millisecond)
		s.kill("a")
		second := s.start("a")
		err := <-results
		if e := new(*Error); !errors.As(err, e) || (*e).Outcome != OutcomeUnknown || (*e).Code != CodeUnavailable {
			t.Fatal(err)
		}
		if err := <-again; err != nil {
			t.Fatal(err)
		}
		if a, b := first.calls.Load(), second.calls.Load(); a != 2 || b != 1 {
			t.Fatal("ran", a, "and", b)
		}
		if md := reply.Get(); len(md) != 1 || md["echo"] != "7" {
			t.Error("the reply to the second request has", map[string]string(md))
		}
	})
}

// The time of a call spans all its attempts.
func TestReconnectTimeSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		p := tills(t, s.dial(t, "a", &ClientOptions{DefaultCallTimeout: 3 * time.Second}))
		start := time.Now()
		go func() {
			time.Sleep(2 * time.Second)
			s.kill("a")
			s.start("a")
		}()
		_, err := p.Again(t.Context(), 10_000)
		if CodeOf(err) != CodeDeadlineExceeded || time.Since(start).Round(time.Millisecond) != 3*time.Second {
			t.Fatalf("got %v after %v", err, time.Since(start))
		}
	})
}

// Close ends calls that wait, and a sleeping backoff; later calls wrap ErrClosed.
func TestReconnectClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", &ClientOptions{WaitForReady: true})
		p := tills(t, client)
		s.kill("a")
		time.Sleep(30 * time.Second)
		waiting := make(chan error)
		go func() { _, err := p.Where(t.Context()); waiting <- err }()
		synctest.Wait()
		start := time.Now()
		client.Close()
		client.Close()
		if d := time.Since(start); d > time.Second {
			t.Fatal("Close took", d)
		}
		for _, err := range []error{<-waiting, client.Err(), func() error { _, err := p.Where(t.Context()); return err }(), client.Call(t.Context(), "Till.Where", nil)} {
			if !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
		}
		if _, err := Bind[Tills](t.Context(), client, "Till"); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		<-client.Done()
	})
}

// Where sessions hold something, and with NoReconnect, the client ends with its connection.
func TestReconnectNot(t *testing.T) {
	factory := PerSession(func(context.Context, *Session) (*till, error) { return &till{}, nil })
	for name, tt := range map[string]struct {
		server  ServerOptions
		client  ClientOptions
		factory bool
		end     func(s *site, p *Tills)
		code    Code
	}{
		"NoReconnect":  {client: ClientOptions{NoReconnect: true}},
		"MaxSessions":  {server: ServerOptions{MaxSessions: 1}},
		"OnDisconnect": {server: ServerOptions{OnDisconnect: func(*Session) {}}},
		"Handlers":     {client: ClientOptions{Handlers: NewServer(&ServerOptions{Logger: quiet})}},
		"Session.Set":  {end: func(s *site, p *Tills) { p.Keep(context.Background()); s.kill("a") }},
		"Session.Close": {server: ServerOptions{OnConnect: func(ctx context.Context, v *Session) error {
			time.AfterFunc(time.Second, func() { v.Close("enough") })
			return nil
		}}, end: func(*site, *Tills) {}, code: CodeAborted},
		"a new session of": {factory: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, &tt.server)
				s.start("a")
				if tt.factory {
					srv := NewServer(&ServerOptions{Logger: quiet})
					srv.RegisterName("Till", factory)
					s.kill("a")
					s.add("a", srv)
				}
				client := s.dial(t, "a", &tt.client)
				p := tills(t, client)
				if tt.end == nil {
					s.kill("a")
				} else {
					tt.end(s, p)
				}
				s.start("a")
				<-client.Done()
				if got := CodeOf(client.Err()); got != max(tt.code, 0) && (tt.code != 0 || got != CodeUnavailable) {
					t.Fatal(client.Err())
				}
				if _, err := p.Where(t.Context()); err == nil || err.(*Error).Outcome != OutcomeNotRun {
					t.Fatal(err)
				}
			})
		})
	}
}

// The first Set, Acquire or Bind on a session makes it stateful, before that call is answered. Then
// its client ends with the connection.
func TestReconnectStateful(t *testing.T) {
	type alone struct {
		Alone func(ctx context.Context) error `bsrpc:"exclusive=g"`
	}
	for name, test := range map[string]struct {
		do    func(ctx context.Context, v *Session) error
		state bool
	}{
		"Value":   {func(_ context.Context, v *Session) error { v.Value(siteKey{}); v.Release("g"); return nil }, false},
		"Set":     {func(_ context.Context, v *Session) error { v.Set(siteKey{}, nil); return nil }, true},
		"Acquire": {func(ctx context.Context, v *Session) error { return v.Acquire(ctx, "g") }, true},
		"Bind": {func(ctx context.Context, v *Session) error {
			_, err := Bind[alone](ctx, v, "Client") // which the client lacks
			if err == nil {
				return errors.New("bound")
			}
			return nil
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, nil)
				s.quiet = true
				start := func() {
					srv := NewServer(&s.opts)
					err := errors.Join(RegisterAs[alone](srv, "G", &alone{func(context.Context) error { return nil }}),
						srv.RegisterFunc("S.Do", func(ctx context.Context) error { return test.do(ctx, SessionFrom(ctx)) }))
					if err != nil {
						t.Fatal(err)
					}
					s.add("a", srv)
				}
				start()
				client := s.dial(t, "a", nil)
				if err := client.Call(t.Context(), "S.Do", nil); err != nil {
					t.Fatal(err)
				}
				s.kill("a")
				start()
				err := client.Call(t.Context(), "S.Do", nil)
				if (err != nil) != test.state || CodeOf(client.Err()) == CodeUnavailable != test.state {
					t.Errorf("the next call: %v; the client: %v", err, client.Err())
				}
			})
		})
	}
}

// A client whose server refuses it, or speaks another version, tries no further.
func TestReconnectRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", nil)
		p := tills(t, client)
		s.opts.OnConnect = func(context.Context, *Session) error { return errors.New("not you") }
		s.kill("a")
		s.start("a")
		_, err := p.Where(t.Context())
		if CodeOf(err) != CodePermissionDenied || CodeOf(client.Err()) != CodePermissionDenied {
			t.Fatal(err, client.Err())
		}
		<-client.Done()
		if n := len(s.dials); n != 2 {
			t.Fatal(n, "dials")
		}
	})
}

// The same for an unproved client, and a server of another version; OnReconnect is not reached.
func TestReconnectUnwelcome(t *testing.T) {
	for want, raw := range map[string]func(p *rawPeer){
		"the server speaks version 2 of the native wire, this end version 1": func(p *rawPeer) {
			p.readBasic()
			p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 2}))
			p.nc.Close()
		},
		"unauthenticated": nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := calmSite(t, nil)
			client := s.dial(t, "a", &ClientOptions{WaitForReady: true, OnReconnect: func(context.Context, *Client) error {
				t.Error("OnReconnect is called")
				return nil
			}})
			p := tills(t, client)
			s.kill("a")
			s.opts.Authenticate = func(context.Context, *Peer, Credentials) error { return errors.New("who?") }
			s.start("a")
			if raw != nil {
				s.raw = func(nc net.Conn) { raw(&rawPeer{t: t, nc: nc}) }
			}
			_, err := p.Where(t.Context())
			<-client.Done()
			if err == nil || !strings.Contains(err.Error(), want) || client.Err() == nil || len(s.dials) != 2 {
				t.Errorf("got %v, %v after %d dials, want %s", err, client.Err(), len(s.dials), want)
			}
		})
	}
}

// The first use of a session by a handler, or by OnConnect, keeps its client from connecting again
// by itself: the client knows before the answer.
func TestReconnectNotFromState(t *testing.T) {
	type group struct {
		Sleep func(ctx context.Context, ms int) (string, error) `bsrpc:"exclusive=psu"`
	}
	acquire := func(ctx context.Context) error { return SessionFrom(ctx).Acquire(ctx, "psu") }
	set := func(ctx context.Context) error { SessionFrom(ctx).Set(siteKey{}, 1); return nil }
	none := func(context.Context) error { return nil }
	for name, use := range map[string]struct {
		handler   func(ctx context.Context) error
		onConnect func(ctx context.Context) error
	}{
		"Set":                  {set, nil},
		"Acquire":              {acquire, nil},
		"Bind":                 {func(ctx context.Context) error { Bind[Bells](ctx, SessionFrom(ctx), "Bell"); return nil }, nil},
		"Set in OnConnect":     {none, set},
		"Acquire in OnConnect": {none, acquire},
	} {
		synctest.Test(t, func(t *testing.T) {
			var opts ServerOptions
			if use.onConnect != nil {
				opts.OnConnect = func(ctx context.Context, _ *Session) error { return use.onConnect(ctx) }
			}
			s := newSite(t, &opts)
			srv := NewServer(&s.opts)
			if err := errors.Join(srv.RegisterFunc("Till.Use", use.handler), RegisterAs[group](srv, "Group", &till{})); err != nil {
				t.Fatal(err)
			}
			s.add("a", srv)
			client := s.dial(t, "a", nil)
			if err := client.Call(t.Context(), "Till.Use", nil); err != nil {
				t.Fatal(name, err)
			}
			s.servers["a"].conns[0].Close() // at once
			<-client.Done()
			if len(s.dials) != 1 {
				t.Errorf("%s: %d dials", name, len(s.dials))
			}
		})
	}
}

// While a new connection waits for admission, calls wait too, and OnState says so.
func TestReconnectWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, &ServerOptions{MaxSessions: 1})
		var states []State
		client := s.dial(t, "a", &ClientOptions{OnReconnect: func(context.Context, *Client) error { return nil }, OnState: func(state State) { states = append(states, state) }})
		p := tills(t, client)
		s.kill("a")
		s.start("a")
		other := s.dial(t, "a", nil)
		time.Sleep(time.Second)
		time.AfterFunc(15*time.Second, func() { other.Close() })
		start := time.Now()
		got, err := p.Where(t.Context())
		wantAt(t, got, err, "a")
		synctest.Wait()
		want := []State{StateConnecting, StateReady, StateLost, StateConnecting, StateWaiting, StateReady}
		if d := time.Since(start); d != 15*time.Second || !slices.Equal(states, want) {
			t.Error(d, states)
		}
	})
}

// OnReconnect prepares each new connection, and the calls of other proxies wait for it.
func TestOnReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, &ServerOptions{OnDisconnect: func(*Session) {}})
		s.quiet = true
		s.start("a")
		var mu sync.Mutex
		tries := 0
		var states []State
		client := s.dial(t, "a", &ClientOptions{
			OnReconnect: func(ctx context.Context, c *Client) error {
				mu.Lock()
				tries++
				n := tries
				mu.Unlock()
				time.Sleep(time.Second)
				switch n {
				case 1:
					return errors.New("not yet")
				case 2:
					panic("oops")
				}
				_, err := tills(t, c).Keep(ctx)
				return err
			},
			OnState: func(state State) { mu.Lock(); states = append(states, state); mu.Unlock() },
		})
		p := tills(t, client)
		s.kill("a")
		service := s.start("a")
		start := time.Now()
		_, err := p.Where(t.Context())
		if want := "bsrpc: Till.Where: not connected: OnReconnect: not yet"; fmt.Sprint(err) != want {
			t.Fatalf("got %v, want %s", err, want)
		}
		got, err := p.Where(WithWaitForReady(t.Context()))
		wantAt(t, got, err, "a")
		if d := time.Since(start); d < 3*time.Second || tries != 3 || service.calls.Load() != 1 {
			t.Fatal(d, tries, service.calls.Load())
		}
		client.Close()
		synctest.Wait()
		want := []State{StateConnecting, StateReady, StateLost, StateConnecting, StateLost, StateConnecting, StateLost, StateConnecting, StateReady, StateClosed}
		if !slices.Equal(states, want) {
			t.Fatal(states)
		}
	})
}

// Shutdown tells clients: their new calls go to the next server while old ones end.
func TestReconnectDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		p := tills(t, s.dial(t, "a", nil))
		slow := make(chan error, 1)
		go func() { _, err := p.Sleep(t.Context(), 5000); slow <- err }()
		synctest.Wait()
		old := s.take("a")
		next := s.start("a")
		down := make(chan error, 1)
		go func() { down <- old.Shutdown(t.Context()) }()
		synctest.Wait()
		for range 10 {
			got, err := p.Where(t.Context())
			wantAt(t, got, err, "a")
		}
		if next.calls.Load() != 10 {
			t.Fatal("the new server had", next.calls.Load(), "calls")
		}
		if err := <-slow; err != nil {
			t.Fatal(err)
		}
		if err := <-down; err != nil {
			t.Fatal(err)
		}
	})
}

// After the end of a server that drained, calls have the newest cause, not that of an older
// loss, and not the reason of the connection that has ended.
func TestReconnectDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		s.start("a")
		p := tills(t, s.dial(t, "a", nil))
		s.kill("a")
		s.start("a")
		if _, err := p.Where(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.take("a").Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // before the first attempt
		defer cancel()
		_, err := p.Where(ctx)
		if want := "bsrpc: Till.Where: context deadline exceeded; it waited for a connection: the server is shutting down"; fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		time.Sleep(time.Second) // between attempts
		_, err = p.Where(t.Context())
		if want := "bsrpc: Till.Where: not connected: dial mem: connect: connection refused"; fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// An interceptor that refuses a call as unavailable is not a server that drains: the connection
// stays, the call goes to another server if there is one, and its error is that of the interceptor.
func TestReconnectInterceptorRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Bool // b takes calls
		var refused atomic.Int64
		s := newSite(t, nil)
		s.quiet = true
		refuse := func(at string) Interceptor {
			return func(next CallFunc) CallFunc {
				return func(ctx context.Context, call *Call) error {
					if at == "b" && open.Load() {
						return next(ctx, call)
					}
					refused.Add(1)
					return &Error{Code: CodeUnavailable, Message: "no more jobs", Outcome: OutcomeNotRun}
				}
			}
		}
		for _, at := range []string{"a", "b"} {
			s.opts.Interceptors = []Interceptor{refuse(at)}
			s.start(at)
		}
		one := tills(t, s.dial(t, "a", &ClientOptions{WaitForReady: true, OnState: func(state State) {
			if state == StateLost {
				t.Error("the connection was left")
			}
		}}))
		began := time.Now()
		_, err := one.Where(t.Context())
		if e := new(Error); !errors.As(err, &e) || e.Message != "no more jobs" || e.Outcome != OutcomeNotRun || refused.Load() != 1 || time.Since(began) != 0 {
			t.Errorf("got %v after %v, sent %d times", err, time.Since(began), refused.Load())
		}
		synctest.Wait()

		two := tills(t, s.dial(t, "", &ClientOptions{Endpoints: endpointsOf("a", "b")}))
		synctest.Wait()
		refused.Store(0)
		if _, err := two.Where(t.Context()); err == nil || err.Error() != "no more jobs" || refused.Load() != 2 {
			t.Errorf("both refuse: %v, sent %d times", err, refused.Load())
		}
		open.Store(true)
		for range 10 {
			got, err := two.Where(t.Context())
			wantAt(t, got, err, "b")
		}
	})
}

// A lateContext ends after its first look.
type lateContext struct {
	context.Context
	looks atomic.Int32
}

func (c *lateContext) Err() error {
	if c.looks.Add(1) == 1 {
		return nil
	}
	return c.Context.Err()
}

// A call that ends while it finds its connection lost has not the reason of that loss, which is
// old, but what is true now.
func TestReconnectCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		p := tills(t, s.dial(t, "a", nil))
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		check := func(want string) {
			t.Helper()
			for range 20 { // over the first attempt
				_, err := p.Where(&lateContext{Context: canceled})
				if e := new(*Error); fmt.Sprint(err) != want || !errors.As(err, e) || (*e).Outcome != OutcomeNotRun {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		}
		s.kill("a")
		check("bsrpc: Till.Where: context canceled; it waited for a connection: connection lost: closed by the peer")
		time.Sleep(time.Second) // between attempts
		check("bsrpc: Till.Where: not connected: dial mem: connect: connection refused")
	})
}

// endpointsOf returns a func for ClientOptions.Endpoints.
func endpointsOf(names ...string) func(context.Context) ([]Endpoint, error) {
	return func(context.Context) (list []Endpoint, err error) {
		for _, n := range names {
			list = append(list, Endpoint{"mem", n, ""})
		}
		return list, nil
	}
}

// Calls go to the connection with fewest open calls, and elsewhere when it is lost.
func TestEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		services := map[string]*till{}
		for _, at := range []string{"a", "b", "c"} {
			services[at] = s.start(at)
		}
		p := tills(t, s.dial(t, "", &ClientOptions{Endpoints: endpointsOf("a", "b", "c")}))
		synctest.Wait()
		var calls sync.WaitGroup
		for range 30 {
			calls.Go(func() {
				if _, err := p.Sleep(t.Context(), 1000); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		for at, service := range services {
			if n := service.calls.Load(); n != 10 {
				t.Errorf("%d calls at %s, want 10", n, at)
			}
		}
		s.kill("b")
		synctest.Wait()
		for range 100 {
			if got, err := p.Where(t.Context()); err != nil || got == "b" {
				t.Fatal(got, err)
			}
		}
		services["b"] = s.start("b")
		time.Sleep(time.Second)
		for range 100 {
			p.Where(t.Context())
		}
		if services["b"].calls.Load() == 0 {
			t.Fatal("no calls at b after its return")
		}
	})
}

// One stateful call makes the client use its connection alone.
func TestEndpointsPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		for _, at := range []string{"a", "b", "c"} {
			s.start(at)
		}
		client := s.dial(t, "", &ClientOptions{Endpoints: endpointsOf("a", "b", "c")})
		p := tills(t, client)
		synctest.Wait()
		at, err := p.Keep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			got, err := p.Where(t.Context())
			wantAt(t, got, err, at)
		}
		time.Sleep(time.Minute)
		for range 100 {
			got, err := p.Where(t.Context())
			wantAt(t, got, err, at)
		}
		s.kill(at)
		<-client.Done()
	})
}

// Other is a contract that a till does not fit.
type Other struct {
	Where func(ctx context.Context) (int, error)
	Sleep func(ctx context.Context, ms int) (string, error)
}

// A server changed meanwhile gives the methods concerned their mismatch.
func TestReconnectMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", nil)
		p := tills(t, client)
		s.kill("a")
		srv := NewServer(&ServerOptions{Logger: quiet})
		srv.RegisterName("Till", odd{})
		s.add("a", srv)
		for range 3 {
			_, err := p.Where(t.Context())
			if e := new(MismatchError); !errors.As(err, &e) || CodeOf(err) != CodeFailedPrecondition {
				t.Fatal(err)
			}
		}
		got, err := p.Sleep(t.Context(), 1)
		wantAt(t, got, err, "odd")
		time.Sleep(time.Minute)
		if n := len(s.dials); n != 2 {
			t.Fatal(n, "dials")
		}
	})
}

// What the last server did not know does not keep a call from the next one.
func TestReconnectToNewerServer(t *testing.T) {
	type item struct {
		Name string
		Note string `bsrpc:"optional"`
	}
	type contract struct {
		Put    func(ctx context.Context, i item) error
		Change func(ctx context.Context, n int) error
	}
	type oldItem struct{ Name string }
	serve := func(s *site, put, change any) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		for name, f := range map[string]any{"Till.Put": put, "Till.Change": change} {
			if err := srv.RegisterFunc(name, f); err != nil {
				t.Fatal(err)
			}
		}
		s.add("a", srv)
	}
	for what, call := range map[string]func(ctx context.Context, p *contract) error{
		"a new field":  func(ctx context.Context, p *contract) error { return p.Put(ctx, item{Note: "fragile"}) },
		"another type": func(ctx context.Context, p *contract) error { return p.Change(ctx, 1) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, nil)
			s.quiet = true
			serve(s, func(oldItem) {}, func(string) {})
			p, err := Bind[contract](t.Context(), s.dial(t, "a", &ClientOptions{WaitForReady: true}), "Till")
			if e := new(MismatchError); !errors.As(err, &e) {
				t.Fatal(err)
			}
			if err := call(t.Context(), p); CodeOf(err) != CodeInvalidArgument && CodeOf(err) != CodeFailedPrecondition {
				t.Errorf("%s, old server: %v", what, err)
			}
			s.kill("a")
			time.Sleep(time.Minute) // between attempts
			time.AfterFunc(time.Second, func() { serve(s, func(item) {}, func(int) {}) })
			if err := call(t.Context(), p); err != nil {
				t.Errorf("%s, while the server is replaced: %v", what, err)
			}
		})
	}
}

type odd struct{}

func (odd) Where() int          { return 1 }
func (odd) Sleep(ms int) string { return "odd" }

// A contract is bound by the endpoints it fits; a mismatch counts only without any.
func TestEndpointsMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		srv := NewServer(&ServerOptions{Logger: quiet})
		srv.RegisterName("Till", odd{})
		s.add("b", srv)
		client := s.dial(t, "", &ClientOptions{Endpoints: endpointsOf("b", "a")})
		synctest.Wait()
		p := tills(t, client)
		for range 50 {
			got, err := p.Where(t.Context())
			wantAt(t, got, err, "a")
		}
		s.kill("a")
		synctest.Wait()
		_, err := Bind[Tills](t.Context(), client, "Till")
		if e := new(MismatchError); !errors.As(err, &e) {
			t.Fatal(err)
		}
	})
}

// An endpoint that ends its connection for a reason of its own is not connected to again while it is
// listed; with the last one the client ends.
func TestEndpointsThatRefuse(t *testing.T) {
	for name, end := range map[string]func(s *site, at string){
		"Session.Close": func(s *site, at string) {
			for _, v := range s.servers[at].Sessions() {
				v.Close("enough")
			}
		},
		"OnConnect": func(s *site, at string) {
			s.kill(at)
			s.opts.OnConnect = func(context.Context, *Session) error { return errors.New("enough") }
			s.start(at)
			s.opts.OnConnect = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := calmSite(t, nil)
				s.start("b")
				s.start("c")
				var listed atomic.Value
				listed.Store([]string{"a", "b", "c"})
				client := s.dial(t, "", &ClientOptions{MaxEndpoints: 2, Endpoints: func(ctx context.Context) ([]Endpoint, error) {
					return endpointsOf(listed.Load().([]string)...)(ctx)
				}})
				p := tills(t, client)
				synctest.Wait()
				end(s, "b")
				time.Sleep(5 * time.Second) // c takes its place
				dials := s.dialed()
				time.Sleep(5 * time.Minute)
				if n := s.dialed() - dials; n != 0 {
					t.Errorf("%d further connections to b", n)
				}
				end(s, "a")
				time.Sleep(5 * time.Second)
				got, err := p.Where(t.Context())
				wantAt(t, got, err, "c")
				listed.Store([]string{"a", "c"})
				time.Sleep(time.Minute)
				listed.Store([]string{"a", "b", "c"}) // b is another one now
				s.kill("b")
				s.start("b")
				time.Sleep(time.Minute)
				end(s, "c")
				time.Sleep(5 * time.Second)
				got, err = p.Where(t.Context())
				wantAt(t, got, err, "b")
				end(s, "b")
				<-client.Done()
				if !strings.Contains(client.Err().Error(), "enough") {
					t.Error(client.Err())
				}
			})
		})
	}
}

// Bind returns once the contract fits on one connection. A frozen server does not delay it, and
// neither does one that is about to leave.
func TestEndpointsBindBesideFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "", &ClientOptions{Endpoints: endpointsOf("a", "b")})
		time.Sleep(time.Second)
		s.mu.Lock()
		s.raw = func(nc net.Conn) { // b, at its next attempt
			p := &rawPeer{t: t, nc: nc}
			p.readBasic()
			p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, Stateless: true}))
			p.readAll()
		}
		s.mu.Unlock()
		time.Sleep(time.Minute)
		if n := client.Stats().Connections; n != 2 {
			t.Fatal(n, "connections")
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		p, err := Bind[Tills](ctx, client, "Till")
		cancel()
		if err != nil || time.Since(start) > 0 {
			t.Fatal(err, time.Since(start))
		}
		for range 20 {
			got, err := p.Where(t.Context())
			wantAt(t, got, err, "a")
		}
		s.kill("a")
		start = time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err = Bind[Tills](ctx, client, "Till"); CodeOf(err) != CodeDeadlineExceeded || time.Since(start) != 5*time.Second {
			t.Error(err, time.Since(start))
		}
		start = time.Now()
		if _, err = Bind[Tills](t.Context(), client, "Till"); CodeOf(err) != CodeDeadlineExceeded || time.Since(start) != 20*time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

// Calls by name go to the connection with fewest open calls, of those whose server has the method.
func TestEndpointsByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		services := map[string]*till{}
		for _, at := range []string{"a", "b", "c"} {
			services[at] = s.start(at)
		}
		for _, add := range services {
			s.servers[add.at].RegisterFunc("Only.At"+add.at, func() string { return add.at })
		}
		client := s.dial(t, "", &ClientOptions{Endpoints: endpointsOf("a", "b", "c")})
		synctest.Wait()
		var calls sync.WaitGroup
		for range 30 {
			calls.Go(func() {
				if err := client.Call(t.Context(), "Till.Sleep", []any{1000}, new(string)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		for at, service := range services {
			if n := service.calls.Load(); n != 10 {
				t.Errorf("%d calls at %s, want 10", n, at)
			}
		}
		for range 10 {
			for at := range services {
				var got string
				err := client.Call(t.Context(), "Only.At"+at, nil, &got)
				wantAt(t, got, err, at)
			}
		}
		if err := client.Call(t.Context(), "Only.Atd", nil); CodeOf(err) != CodeUnimplemented {
			t.Error(err)
		}
	})
}

// Frozen servers together take no more than the time of one call by name.
func TestEndpointsByNameFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		s.raw = func(nc net.Conn) {
			p := &rawPeer{t: t, nc: nc}
			p.readBasic()
			p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, Stateless: true}))
			p.readAll()
		}
		client := s.dial(t, "", &ClientOptions{Endpoints: endpointsOf("a", "b", "c")})
		time.Sleep(time.Second)
		start := time.Now()
		if err := client.Call(t.Context(), "Till.Where", nil, new(string)); CodeOf(err) != CodeDeadlineExceeded || time.Since(start) != 20*time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

// Endpoints may fail in any way: Dial returns within DialTimeout.
func TestEndpointsFailAtDial(t *testing.T) {
	for want, f := range map[string]func(ctx context.Context) ([]Endpoint, error){
		"Endpoints has not returned in 10s (DialTimeout)": func(context.Context) ([]Endpoint, error) { time.Sleep(time.Hour); return nil, nil },
		"Endpoints has not returned in 10s":               func(ctx context.Context) ([]Endpoint, error) { <-ctx.Done(); return nil, ctx.Err() },
		"panic in Endpoints":                              func(context.Context) ([]Endpoint, error) { panic("oops") },
		"Endpoints: no endpoints":                         func(context.Context) ([]Endpoint, error) { return nil, nil },
		"Endpoints: no DNS":                               func(context.Context) ([]Endpoint, error) { return nil, errors.New("no DNS") },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := calmSite(t, nil)
			start := time.Now()
			_, err := s.tryDial("", &ClientOptions{Endpoints: f})
			if CodeOf(err) != CodeUnavailable && CodeOf(err) != CodeDeadlineExceeded || !strings.Contains(err.Error(), want) || time.Since(start) > 10*time.Second {
				t.Errorf("got %v, %v after %v, want %s", CodeOf(err), err, time.Since(start), want)
			}
			time.Sleep(2 * time.Hour) // until the last one has returned
		})
	}
}

// Authorize may deny a call as unavailable: its connection is not left because of that.
func TestReconnectUnavailableCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := calmSite(t, &ServerOptions{Authorize: func(_ context.Context, _ *Session, m Method) error {
			if m.Name == "Till.Where" {
				asked++
				return &Error{Code: CodeUnavailable, Message: "no directory"}
			}
			return nil
		}})
		p := tills(t, s.dial(t, "a", nil))
		start := time.Now()
		_, err := p.Where(t.Context())
		if err == nil || err.Error() != "no directory" || err.(*Error).Outcome != OutcomeNotRun || time.Since(start) != 0 {
			t.Error(err, time.Since(start))
		}
		got, err := p.Sleep(t.Context(), 1000)
		wantAt(t, got, err, "a")
		if asked != 1 || len(s.dials) != 1 {
			t.Errorf("asked %d times on %d connections", asked, len(s.dials))
		}
	})
}

// The context of a call ends between two attempts: the call ends then, with its reason and the
// cause; one that may have run says so.
func TestReconnectEndsBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", &ClientOptions{WaitForReady: true})
		p := tills(t, client)
		within := func(d time.Duration, call func(ctx context.Context) error) error {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(d, cancel)
			start := time.Now()
			err := call(ctx)
			if time.Since(start) != d {
				t.Errorf("ended after %v, want %v", time.Since(start), d)
			}
			return err
		}
		time.AfterFunc(time.Second, func() { s.kill("a") })
		err := within(10*time.Second, func(ctx context.Context) error { _, err := p.Again(ctx, 3000); return err })
		if e, ok := err.(*Error); !ok || e.Outcome != OutcomeUnknown || e.Code != CodeUnavailable {
			t.Error("a call that may have run:", err)
		}
		for name, call := range map[string]func(ctx context.Context) error{
			"proxy":       func(ctx context.Context) error { _, err := p.Where(ctx); return err },
			"idempotent":  func(ctx context.Context) error { _, err := p.Again(ctx, 1); return err },
			"Call":        func(ctx context.Context) error { return client.Call(ctx, "Till.Where", nil, new(string)) },
			"CallEncoded": func(ctx context.Context) error { _, err := client.CallEncoded(ctx, "Till.Where", nil, nil); return err },
			"Bind":        func(ctx context.Context) error { _, err := Bind[Tills](ctx, client, "Till"); return err },
		} {
			err := within(100*time.Millisecond, call)
			if e, ok := err.(*Error); !ok || e.Outcome != OutcomeNotRun || !errors.Is(err, context.Canceled) || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A connection that is lost in the BIND of a contract, or begins to drain then, is replaced in it.
func TestReconnectInBind(t *testing.T) {
	for _, drains := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, nil)
			s.raw = func(nc net.Conn) {
				p := &rawPeer{t: t, nc: nc}
				p.readBasic()
				p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, Stateless: true}))
				f, _ := p.read()
				s.raw = nil
				s.start("a")
				if drains {
					p.send(wire.Frame{Type: wire.Draining}, nil)
					p.send(wire.Frame{Type: wire.Error, ID: f.ID, Arg: uint16(CodeUnavailable), Flags: wire.NotRun}, nil)
					p.readAll()
				}
				nc.Close()
			}
			got, err := tills(t, s.dial(t, "a", nil)).Where(t.Context())
			wantAt(t, got, err, "a")
		})
	}
}

// All servers drain at once, again and again, under calls: none fails.
func TestEndpointsAllDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		all := []string{"a", "b", "c"}
		for _, at := range all {
			s.start(at)
		}
		p := tills(t, s.dial(t, "", &ClientOptions{Endpoints: endpointsOf(all...)}))
		stop := make(chan struct{})
		var calls sync.WaitGroup
		for i := range 5 {
			calls.Go(func() {
				for {
					if _, err := p.Sleep(t.Context(), 50+30*i); err != nil {
						t.Error(err)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		for range 3 {
			time.Sleep(3 * time.Second)
			var down sync.WaitGroup
			for _, at := range all {
				old := s.take(at)
				s.start(at)
				down.Go(func() {
					if err := old.Shutdown(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			down.Wait()
		}
		close(stop)
		calls.Wait()
	})
}

// Endpoints answers another list each time, with repetitions, or nothing; it panics and hangs. Servers
// come and go, and no call fails.
func TestEndpointsAtRandom(t *testing.T) {
	for seed := range uint64(Rounds(2, 50)) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			random := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n)
			}
			s := newSite(t, nil)
			s.quiet = true
			all := []string{"a", "b", "c", "d", "e"}
			for _, at := range all {
				s.start(at)
			}
			var asked atomic.Int64
			client := s.dial(t, "", &ClientOptions{WaitForReady: true, MaxEndpoints: 3, Endpoints: func(ctx context.Context) ([]Endpoint, error) {
				if asked.Add(1) > 1 {
					switch random(8) {
					case 0:
						return nil, nil
					case 1:
						panic("oops")
					case 2:
						time.Sleep(time.Minute)
					}
				}
				var list []string
				for range 1 + random(8) {
					list = append(list, all[random(5)])
				}
				return endpointsOf(list...)(ctx)
			}})
			p := tills(t, client)
			stop := make(chan struct{})
			var calls sync.WaitGroup
			for i := range 3 {
				calls.Go(func() {
					for {
						if _, err := p.Again(t.Context(), 50+i*7); err != nil {
							t.Error("seed", seed, err)
						}
						select {
						case <-stop:
							return
						case <-time.After(300 * time.Millisecond):
						}
					}
				})
			}
			for range 10 {
				time.Sleep(time.Duration(random(20)) * time.Second)
				at := all[random(5)]
				if random(2) == 0 {
					s.kill(at)
					s.start(at)
				} else {
					old := s.take(at)
					s.start(at)
					old.Shutdown(t.Context())
				}
			}
			close(stop)
			calls.Wait()
			client.Close()
			time.Sleep(2 * time.Minute) // until the last question has been answered
		})
	}
}

// A call that draining servers refuse is sent again three times.
func TestReconnectResendsThreeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		requests := 0
		s.raw = func(nc net.Conn) {
			p := &rawPeer{t: t, nc: nc}
			p.answerBind(&wire.Hello{Version: 1, Stateless: true})
			f, _ := p.read()
			requests++
			p.send(wire.Frame{Type: wire.Draining}, nil)
			p.send(wire.Frame{Type: wire.Error, ID: f.ID, Arg: uint16(CodeUnavailable), Flags: wire.NotRun}, (&wire.Failure{Message: "I go"}).Append(nil))
			p.readAll()
		}
		p := tills(t, s.dial(t, "a", nil))
		_, err := p.Where(WithWaitForReady(t.Context()))
		if want := "I go; it was sent again 3 times"; err == nil || err.Error() != want || err.(*Error).Outcome != OutcomeNotRun || requests != 4 {
			t.Errorf("got %v after %d requests, want %s after 4", err, requests, want)
		}
	})
}

// A server that accepts and dies in a loop is left alone for longer and longer.
func TestReconnectCrashLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", nil)
		minutes := Rounds(2, 10)
		stop := time.Now().Add(time.Duration(minutes) * time.Minute)
		for time.Now().Before(stop) {
			time.Sleep(100 * time.Millisecond)
			s.kill("a")
			s.start("a")
		}
		if n := len(s.dials); n < 6*minutes || n > 13*minutes {
			t.Fatal(n, "connections in", minutes, "minutes")
		}
		client.Close()
	})
}

// A Bind in a loop leaves nothing behind.
func TestReconnectKeepsNoContracts(t *testing.T) {
	s := newSite(t, nil)
	s.start("a")
	client := s.dial(t, "a", nil)
	for range 100 {
		tills(t, client)
	}
	eventually(t, func() string {
		runtime.GC()
		if n := reconnect.Contracts(client.conn.(*steadyLink).Group); n > 0 {
			return fmt.Sprint(n, " contracts")
		}
		return ""
	})
}

// What a client with several endpoints adds to a call: the choice, and the count of its
// connection. Of many short runs the shortest counts, because other work only adds to one.
func BenchmarkLeast(b *testing.B) {
	const run = 5000
	measure := func(name string, call func()) {
		b.Run(name, func(b *testing.B) {
			shortest := time.Hour
			for b.Loop() {
				start := time.Now()
				for range run {
					call()
				}
				shortest = min(shortest, time.Since(start))
			}
			b.ReportMetric(float64(shortest)/run, "ns/call")
		})
	}
	for _, n := range []int{2, 3, 8} {
		var list []*binding
		for range n {
			list = append(list, &binding{conn: reconnect.NewConn()})
		}
		measure(fmt.Sprint(n), func() {
			c := least(list).conn
			c.Calls++
			c.Calls--
		})
	}
	var count atomic.Int32
	measure("two atomic additions", func() {
		count.Add(1)
		count.Add(-1)
	})
}
