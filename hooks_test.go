package bsrpc

import (
	"context"
	"errors"
	"iter"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
)

// A hooked server has one failing hook, in the session with an id.
type hooked struct {
	hook string
	fall func(thaw chan struct{})
	id   uint64
	thaw chan struct{} // closed to end all hangs
}

func (h *hooked) run(hook string, s *Session) {
	if h.hook == hook && s.ID() == h.id {
		h.fall(h.thaw)
	}
}

// An ownThing is a receiver of one session.
type ownThing struct {
	h *hooked
	s *Session
}

func (*ownThing) Nothing() {}
func (o *ownThing) Close() { o.h.run("Close", o.s) }

// An ownError is returned by OnConnect and has methods of its own.
type ownError struct {
	h *hooked
	s *Session
}

func (e *ownError) Error() string         { e.h.run("Error", e.s); return "refused" }
func (e *ownError) ExceptionName() string { e.h.run("ExceptionName", e.s); return "Refused" }
func (e *ownError) As(any) bool           { e.h.run("As", e.s); return false }

func (h *hooked) server(t *testing.T) *Server {
	h.thaw = make(chan struct{})
	srv := testeeServer(t, newTestee(), &ServerOptions{
		OnConnect: func(_ context.Context, s *Session) error {
			h.run("OnConnect", s)
			switch h.hook {
			case "Error", "ExceptionName", "As":
				if s.ID() == h.id {
					return &ownError{h, s}
				}
			}
			return nil
		},
		OnDisconnect: func(s *Session) { h.run("OnDisconnect", s) },
	})
	if err := srv.RegisterName("Own", PerSession(func(_ context.Context, s *Session) (*ownThing, error) {
		h.run("make", s)
		return &ownThing{h, s}, nil
	})); err != nil {
		t.Fatal(err)
	}
	return srv
}

var allHooks = []string{"OnConnect", "make", "Close", "OnDisconnect", "Error", "ExceptionName", "As"}

// A hook that panics or hangs ends at most its own session. Other calls continue, the
// next client is admitted, and the server closes in time.
func TestHooksAreGuarded(t *testing.T) {
	for _, hook := range allHooks {
		for name, fall := range falls {
			for end, stop := range map[string]func(*testing.T, *Server){
				"client leaves": func(*testing.T, *Server) {},
				"Close": func(t *testing.T, srv *Server) {
					start := time.Now()
					srv.Close()
					if took := time.Since(start); took > stuckLog {
						t.Errorf("Close took %v", took)
					}
				},
				"Shutdown": func(t *testing.T, srv *Server) {
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					defer cancel()
					start := time.Now()
					err := srv.Shutdown(ctx)
					if took := time.Since(start); took > 3*time.Second || (err != nil) != (name == "hang") {
						t.Errorf("Shutdown returned %v after %v", err, took)
					}
				},
			} {
				t.Run(hook+" "+name+" "+end, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						h := &hooked{hook: hook, fall: fall, id: 2}
						srv := h.server(t)
						quit := witness(t, srv)
						near, far := net.Pipe()
						go srv.ServeConn(far)
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						if client, err := NewClient(ctx, near, &ClientOptions{Logger: quiet}); err == nil {
							client.Close()
						}
						cancel()
						near.Close()
						next, proxy := testeeClient(t, srv, nil)
						if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
							t.Errorf("the next session: %d, %v", sum, err)
						}
						quit()
						stop(t, srv)
						next.Close()
						close(h.thaw)
						synctest.Wait()
						srv.Close()
						checkBooked(t, srv)
						if n := len(srv.sessions.all()); n != 0 {
							t.Errorf("%d sessions are left", n)
						}
					})
				})
			}
		}
	}
}

// The next client is admitted after a hook has panicked. If OnDisconnect hangs, it is
// admitted only when that returns.
func TestHooksAndAdmission(t *testing.T) {
	for _, hook := range allHooks {
		for name, fall := range falls {
			for _, basic := range []bool{false, true} {
				t.Run(hook+" "+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						h := &hooked{hook: hook, fall: fall, id: 1, thaw: make(chan struct{})}
						srv := h.server(t)
						srv.sessions.queue, srv.registry.table.ByID, srv.settings.Basic = admission.NewQueue(1, 10), true, true
						first := rawDial(t, srv)
						if basic {
							first.write([]byte(basicInit))
						} else {
							go visit(first.nc)
						}
						synctest.Wait()
						first.nc.Close()
						next := nativeWaiter(t, srv)
						start := time.Now()
						if name == "hang" {
							time.AfterFunc(time.Minute, func() { close(h.thaw) })
						}
						(<-next).Close()
						if held := time.Since(start) >= time.Minute; held != (name == "hang" && !h.refuses()) {
							t.Errorf("the next was admitted after %v", time.Since(start))
						}
						time.Sleep(time.Minute)
						srv.Close()
					})
				})
			}
		}
	}
}

// visit is a client that disconnects after its admission.
func visit(nc net.Conn) {
	if client, err := NewClient(context.Background(), nc, &ClientOptions{Logger: quiet}); err == nil {
		client.Close()
	}
}

func (h *hooked) refuses() bool {
	return h.hook == "Error" || h.hook == "ExceptionName" || h.hook == "As"
}

// Hooks may close and shut down their server.
func TestHooksCloseTheServer(t *testing.T) {
	for _, hook := range []string{"OnConnect", "make", "Close", "OnDisconnect"} {
		for how, stop := range map[string]func(*Server) error{
			"Close":    (*Server).Close,
			"Shutdown": func(srv *Server) error { return srv.Shutdown(context.Background()) },
		} {
			for wire, dial := range map[string]func(*testing.T, *Server) net.Conn{
				"native": func(t *testing.T, srv *Server) net.Conn {
					nc := dialed(srv)
					go visit(nc)
					return nc
				},
				"basic": func(t *testing.T, srv *Server) net.Conn {
					nc := dialed(srv)
					go func() {
						nc.Write([]byte(basicInit))
						nc.Read(make([]byte, 100))
					}()
					return nc
				},
			} {
				t.Run(hook+" "+how+" "+wire, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var srv *Server
						var once sync.Once
						h := &hooked{hook: hook, id: 1, fall: func(chan struct{}) {
							once.Do(func() {
								start := time.Now()
								if err := stop(srv); err != nil || time.Since(start) > time.Second {
									t.Errorf("%v after %v", err, time.Since(start))
								}
							})
						}}
						srv = h.server(t)
						srv.registry.table.ByID, srv.settings.Basic = true, true
						first := dial(t, srv)
						synctest.Wait()
						second := dial(t, srv)
						synctest.Wait()
						first.Close()
						time.Sleep(time.Second)
						select {
						case <-srv.sessions.draining:
						default:
							t.Error("the hook has not run")
						}
						second.Close()
						if err := srv.Shutdown(context.Background()); err != nil {
							t.Error(err)
						}
					})
				})
			}
		}
	}
}

// Handlers can observe a shutdown, and calls ended by it report it to the caller.
func TestHandlersObserveShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		for name, f := range map[string]any{
			"Poll.Wait":   func(ctx context.Context) string { <-SessionFrom(ctx).Draining(); return "nothing new" },
			"Poll.Cut":    func(ctx context.Context) { <-ctx.Done() },
			"Poll.Ignore": func() { time.Sleep(time.Minute) },
		} {
			if err := srv.RegisterFunc(name, f); err != nil {
				t.Fatal(err)
			}
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, nil)
		if err != nil {
			t.Fatal(err)
		}
		polled, cut := make(chan error), make(chan error)
		go func() {
			var text string
			err := client.Call(context.Background(), "Poll.Wait", nil, &text)
			if text != "nothing new" {
				t.Errorf("Wait: %q", text)
			}
			polled <- err
		}()
		for _, method := range []string{"Poll.Cut", "Poll.Ignore"} {
			go func() { cut <- client.Call(context.Background(), method, nil) }()
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		if err := <-polled; err != nil {
			t.Errorf("a call that watches Draining: %v", err)
		}
		for range 2 {
			wantCall(t, <-cut, CodeUnavailable, OutcomeUnknown, "the server has shut down")
		}
		client.Close()
		time.Sleep(time.Minute)
	})
}

// A nil *Error, whose methods panic, fails what it is the error of, and nothing else.
func TestNilErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := func(yield func(int, error) bool) { yield(0, (*Error)(nil)) }
		s := newSite(t, nil)
		s.quiet = true
		begin := func() {
			srv := NewServer(&s.opts)
			if err := errors.Join(srv.RegisterFunc("N.Down", func() iter.Seq2[int, error] { return items }), srv.RegisterName("Office", new(office))); err != nil {
				t.Fatal(err)
			}
			s.add("a", srv)
		}
		begin()
		client := s.dial(t, "a", &ClientOptions{OnReconnect: func(context.Context, *Client) error { return (*Error)(nil) }})
		type downs struct {
			Down func(ctx context.Context) iter.Seq2[int, error]
		}
		type ups struct {
			Sum func(ctx context.Context, in iter.Seq2[int, error]) (int, error)
		}
		down, up := bound[downs](t, client, "N"), bound[ups](t, client, "Office")
		for _, err := range down.Down(t.Context()) {
			if CodeOf(err) != CodeInternal {
				t.Error("a result stream:", err)
			}
		}
		if _, err := up.Sum(t.Context(), items); CodeOf(err) != CodeInternal {
			t.Error("an argument:", err)
		}
		s.kill("a")
		begin()
		if _, err := up.Sum(t.Context(), items); CodeOf(err) != CodeUnavailable || !strings.Contains(err.Error(), "OnReconnect: an error of type *bsrpc.Error") {
			t.Error("OnReconnect:", err)
		}
		_, err := s.tryDial("", &ClientOptions{Endpoints: func(context.Context) ([]Endpoint, error) { return nil, (*Error)(nil) }})
		if CodeOf(err) != CodeUnavailable {
			t.Error("Endpoints:", err)
		}
		_, err = s.tryDial("", &ClientOptions{Endpoints: func(context.Context) ([]Endpoint, error) { panic("hunter2") }})
		if CodeOf(err) != CodeUnavailable || !strings.HasPrefix(err.Error(), "bsrpc: panic in Endpoints (id ") {
			t.Error("a panic in Endpoints:", err)
		}
	})
}

// A nilErrorConn returns a nil *Error in place of each error.
type nilErrorConn struct{ net.Conn }

func (c nilErrorConn) Read(b []byte) (int, error)  { return nilError(c.Conn.Read(b)) }
func (c nilErrorConn) Write(b []byte) (int, error) { return nilError(c.Conn.Write(b)) }

func nilError(n int, err error) (int, error) {
	if err != nil {
		err = (*Error)(nil)
	}
	return n, err
}

// A connection with such errors is lost as any other, within the handshake and later.
func TestNilErrorsOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		there.Close()
		if _, err := NewClient(t.Context(), nilErrorConn{here}, &ClientOptions{Logger: quiet}); err == nil || !strings.Contains(err.Error(), "the net.Conn's error of Write panicked") {
			t.Error("the handshake:", err)
		}
		srv := NewServer(&ServerOptions{Logger: quiet})
		here, there = net.Pipe()
		go srv.ServeConn(nilErrorConn{there})
		client, err := NewClient(t.Context(), nilErrorConn{here}, &ClientOptions{Logger: quiet, NoReconnect: true})
		if err != nil {
			t.Fatal(err)
		}
		there.Close()
		<-client.Done()
		if err := client.Err(); CodeOf(err) != CodeUnavailable || !strings.Contains(err.Error(), "the net.Conn's error of Read panicked") {
			t.Error("later:", err)
		}
		if err := srv.Serve(nilErrorListener{}); err == nil || !strings.Contains(err.Error(), "accept: an error of type *bsrpc.Error") {
			t.Error("a listener:", err)
		}
		srv.Close()
	})
}

// A nilErrorListener accepts no connection.
type nilErrorListener struct{}

func (nilErrorListener) Accept() (net.Conn, error) { return nil, (*Error)(nil) }
func (nilErrorListener) Close() error              { return nil }
func (nilErrorListener) Addr() net.Addr            { return &net.TCPAddr{} }
