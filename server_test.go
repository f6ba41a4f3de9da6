package bsrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A memListener is a listener in memory. It can return errors between its connections.
type memListener struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
	asked  atomic.Int64
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), errs: make(chan error, 1000), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	l.asked.Add(1)
	select {
	case err := <-l.errs:
		return nil, err
	default:
	}
	select {
	case nc := <-l.conns:
		return nc, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *memListener) dial(t testing.TB) net.Conn {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
	case <-l.closed:
		far.Close()
	}
	return near
}

// A temporary error is returned by Accept once, and not the next time.
type temporary struct{}

func (temporary) Error() string   { return "too many open files" }
func (temporary) Temporary() bool { return true }

// Close from many goroutines during calls, at either end.
func TestConcurrentClose(t *testing.T) {
	for _, end := range []string{"client", "server"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				client, proxy := testeeClient(t, srv, nil)
				calls := make(chan error, 200)
				for i := range 200 {
					go func() {
						switch i % 3 {
						case 0:
							calls <- proxy.Hold(t.Context())
						case 1:
							_, err := proxy.Echo(t.Context(), make([]byte, 300_000))
							calls <- err
						case 2:
							_, err := proxy.Sleep(t.Context(), 1e6)
							calls <- err
						}
					}()
				}
				time.Sleep(time.Second / 2)
				start := time.Now()
				var wg sync.WaitGroup
				for range 32 {
					wg.Go(func() {
						var err error
						if end == "client" {
							err = client.Close()
						} else {
							err = srv.Close()
						}
						if err != nil {
							t.Errorf("Close: %v", err)
						}
					})
				}
				wg.Wait()
				for range 200 {
					err := <-calls
					if err == nil {
						continue // answered before
					}
					if end == "client" && !errors.Is(err, ErrClosed) {
						t.Errorf("got %v", err)
					}
					var e *Error
					if !errors.As(err, &e) || end == "server" && e.Code != CodeUnavailable {
						t.Errorf("got %#v", err)
					}
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("took %v", took)
				}
				client.Close()
				srv.Close()
				time.Sleep(time.Second) // Sleep does not look at its context
				checkBooked(t, srv)
			})
		})
	}
}

// Close while writes and reads are blocked, and handlers run, also those that ignore
// their context.
func TestCloseWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		logged := new(logLines)
		srv := testeeServer(t, service, &ServerOptions{Logger: slog.New(slog.NewTextHandler(logged, nil))})
		client, proxy := testeeClient(t, srv, nil)
		deaf := make(chan error, 2)
		go func() { deaf <- proxy.Deaf(context.Background()) }()
		go func() { deaf <- proxy.Deaf(context.Background()) }()
		<-service.began
		p := rawClient(t, srv) // it reads nothing more
		p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2}, []byte(u32(1<<20)))
		stuck, _, q := rawServer(t, nil) // whose server reads nothing more
		blocked := make(chan error, 1)
		go func() { blocked <- stuck.Call(context.Background(), "Probe.Fail", nil) }()
		time.Sleep(time.Second)
		start := time.Now()
		stuck.Close()
		srv.Close()
		<-p.served
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := <-blocked; !errors.Is(err, ErrClosed) {
			t.Errorf("the blocked write: %v", err)
		}
		wantCall(t, <-deaf, CodeUnavailable, OutcomeUnknown, "")
		wantCall(t, <-deaf, CodeUnavailable, OutcomeUnknown, "")
		if text := logged.String(); strings.Count(text, "Close returns while a handler runs") != 2 || !strings.Contains(text, "Probe.Deaf") {
			t.Errorf("the log: %s", text)
		}
		close(service.release)
		synctest.Wait()
		client.Close()
		q.nc.Close()
		p.nc.Close()
		checkBooked(t, srv)
	})
}

// Close says nothing about handlers that end with their contexts, of a client that has left or
// not.
func TestCloseOfHandlersThatEnd(t *testing.T) {
	for _, leaves := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			logged, began := new(logLines), make(chan struct{})
			srv := NewServer(&ServerOptions{
				Logger: slog.New(slog.NewTextHandler(logged, nil)), OnDisconnect: func(*Session) {}, // Close waits for it
			})
			if err := srv.RegisterFunc("Probe.Watch", func(ctx context.Context) error { close(began); <-ctx.Done(); return ctx.Err() }); err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, nil)
			if err != nil {
				t.Fatal(err)
			}
			go client.Call(context.Background(), "Probe.Watch", nil)
			<-began
			if leaves {
				client.Close()
				synctest.Wait() // the server knows
			}
			srv.Close()
			if text := logged.String(); text != "" {
				t.Errorf("the log: %s", text)
			}
			client.Close()
		})
	}
}

type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Close during calls is a normal event: nothing is logged.
func TestCloseIsNotLogged(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			logged := new(logLines)
			log := slog.New(slog.NewTextHandler(logged, nil))
			srv := testeeServer(t, newTestee(), &ServerOptions{Logger: log})
			client, proxy := testeeClient(t, srv, &ClientOptions{Logger: log})
			for range 20 {
				go func() {
					for range 20 {
						if _, err := proxy.Echo(t.Context(), make([]byte, 100)); err != nil {
							return
						}
					}
				}()
			}
			client.Close()
			synctest.Wait()
			srv.Close()
			if text := logged.String(); text != "" {
				t.Errorf("the log: %s", text)
			}
		})
	}
}

// A call after Close fails with ErrClosed.
func TestCallAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		client, proxy := testeeClient(t, srv, nil)
		client.Close()
		start := time.Now()
		for range 3 {
			_, err := proxy.Add(t.Context(), 1, 2)
			if !errors.Is(err, ErrClosed) {
				t.Errorf("got %v", err)
			}
			wantCall(t, err, CodeCanceled, OutcomeNotRun, "client closed")
			_, err = proxy.Echo(t.Context(), make([]byte, 1<<20))
			wantCall(t, err, CodeCanceled, OutcomeNotRun, "client closed")
		}
		if err := client.Call(t.Context(), "Probe.Fail", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Call: %v", err)
		}
		if _, err := Bind[testeeContract](t.Context(), client, "Probe"); !errors.Is(err, ErrClosed) {
			t.Errorf("Bind: %v", err)
		}
		if !errors.Is(client.Err(), ErrClosed) || time.Since(start) != 0 {
			t.Errorf("Err: %v after %v", client.Err(), time.Since(start))
		}
		srv.Close()
	})
}

// After the loss of a connection, running and later calls fail with CodeUnavailable
// and the cause.
func TestLostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, nil)
		call := make(chan error, 1)
		go func() { call <- proxy.Fail(t.Context()) }()
		p.read()
		p.nc.Close()
		err := <-call
		wantCall(t, err, CodeUnavailable, OutcomeUnknown, "connection lost")
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		<-client.Done()
		wantCall(t, proxy.Fail(t.Context()), CodeUnavailable, OutcomeNotRun, "connection lost")
		client.Close()
		err = proxy.Fail(t.Context())
		wantCall(t, err, CodeCanceled, OutcomeNotRun, "client closed; before that: connection lost")
		if !errors.Is(err, ErrClosed) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	})
}

// The listener is closed by its owner.
func TestListenerClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		l := newMemListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		client, proxy := testeeClientOn(t, l.dial(t), nil)
		l.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) || errors.Is(err, ErrServerClosed) || !strings.HasPrefix(err.Error(), "bsrpc: accept: ") {
			t.Errorf("Serve: %v", err)
		}
		if n := l.asked.Load(); n > 3 {
			t.Errorf("Accept was called %d times", n)
		}
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("a connection of before: %d, %v", sum, err)
		}
		client.Close()
		srv.Close()
	})
}

// Temporary errors of Accept are retried after 5 ms up to 1 s, and a success resets
// the delay.
func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		l := newMemListener()
		for range 10 {
			l.errs <- temporary{}
		}
		start := time.Now()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		nc := l.dial(t)
		// 5, 10, ... 640 ms, then 1 s twice
		if took, want := time.Since(start), 1275*time.Millisecond+2*time.Second; took != want {
			t.Errorf("accepted after %v, want %v", took, want)
		}
		client, _ := testeeClientOn(t, nc, nil)
		l.errs <- temporary{}
		start = time.Now()
		other, _ := testeeClientOn(t, l.dial(t), nil)
		if took := time.Since(start); took > 10*time.Millisecond {
			t.Errorf("after a success: accepted after %v", took)
		}
		client.Close()
		other.Close()
		srv.Close()
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
}

// Stopping twice, before serving, and serving afterwards.
func TestStopAndServe(t *testing.T) {
	stops := map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				for range 3 { // before serving, and again
					if err := stop(srv); err != nil {
						t.Errorf("stop: %v", err)
					}
				}
				l := newMemListener()
				if err := srv.Serve(l); err != ErrServerClosed {
					t.Errorf("Serve: %v", err)
				}
				if _, err := l.Accept(); err == nil {
					t.Error("Serve left the listener open")
				}
				near, far := net.Pipe()
				if err := srv.ServeConn(far); err != ErrServerClosed {
					t.Errorf("ServeConn: %v", err)
				}
				if _, err := near.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("ServeConn left the connection open: %v", err)
				}
				if err := srv.ListenAndServe("tcp", "127.0.0.1:0"); err != ErrServerClosed {
					t.Errorf("ListenAndServe: %v", err)
				}
			})
			synctest.Test(t, func(t *testing.T) { // while serving
				srv := testeeServer(t, newTestee(), nil)
				l, m := newMemListener(), newMemListener()
				served := make(chan error, 3)
				go func() { served <- srv.Serve(l) }()
				go func() { served <- srv.Serve(m) }()
				near, far := net.Pipe()
				go func() { served <- srv.ServeConn(far) }()
				client, _ := testeeClientOn(t, near, nil)
				half := l.dial(t) // in its handshake
				synctest.Wait()
				for range 2 {
					if err := stop(srv); err != nil {
						t.Errorf("stop: %v", err)
					}
				}
				for range 3 {
					if err := <-served; err != ErrServerClosed {
						t.Errorf("serving: %v", err)
					}
				}
				<-client.Done()
				client.Close()
				half.Close()
				checkBooked(t, srv)
			})
		})
	}
}

// Invalid options are reported by every way to serve.
func TestBadOptionsDoNotServe(t *testing.T) {
	srv := NewServer(&ServerOptions{MaxMessage: -7})
	l := newMemListener()
	near, far := net.Pipe()
	defer near.Close()
	for name, err := range map[string]error{
		"Serve": srv.Serve(l), "ServeConn": srv.ServeConn(far), "ListenAndServe": srv.ListenAndServe("tcp", "127.0.0.1:0"),
	} {
		if err == nil || !strings.Contains(err.Error(), "MaxMessage") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}

// Shutdown lets running calls finish, refuses new ones as not run, and then closes.
func TestShutdownWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, nil)
		l := newMemListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		client, proxy := testeeClientOn(t, l.dial(t), nil)
		idle, _ := testeeClientOn(t, l.dial(t), nil)
		held := make(chan error, 2)
		for range 2 {
			go func() { held <- proxy.Hold(t.Context()) }()
		}
		<-service.began
		<-service.began
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		<-idle.Done() // has no call running
		var e *Error
		if !errors.As(idle.Err(), &e) || e.Code != CodeUnavailable || !e.Remote || !strings.Contains(e.Message, "shutting down") {
			t.Errorf("the idle client: %v", idle.Err())
		}
		for range 5 {
			_, err := proxy.Add(t.Context(), 1, 2)
			wantCall(t, err, CodeUnavailable, OutcomeNotRun, "the server is shutting down")
			_, err = proxy.Echo(t.Context(), make([]byte, 1<<20))
			wantCall(t, err, CodeUnavailable, OutcomeNotRun, "the server is shutting down")
		}
		time.Sleep(time.Minute / 10)
		select {
		case err := <-stopped:
			t.Errorf("Shutdown returned with calls running: %v", err)
		default:
		}
		close(service.release)
		for range 2 {
			if err := <-held; err != nil {
				t.Errorf("a call of before: %v", err)
			}
		}
		if err := <-stopped; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-client.Done()
		client.Close()
		idle.Close()
		checkBooked(t, srv)
	})
}

// When the context of Shutdown ends, the contexts of handlers are cancelled and the
// connections closed.
func TestShutdownContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, nil)
		client, proxy := testeeClient(t, srv, nil)
		calls := make(chan error, 2)
		go func() { calls <- proxy.Hold(context.Background()) }()
		go func() { calls <- proxy.Deaf(context.Background()) }()
		<-service.began
		<-service.began
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		} else if want := "bsrpc: shutdown: context deadline exceeded; still running: Probe.Deaf, Probe.Hold"; err.Error() != want {
			t.Errorf("Shutdown: %v, want %s", err, want)
		}
		for range 2 {
			wantCall(t, <-calls, CodeUnavailable, OutcomeUnknown, "")
		}
		close(service.release)
		client.Close()
		checkBooked(t, srv)
	})
}

// Shutdown does not wait for a last call that is refused, cancelled while it arrives,
// or late.
func TestShutdownAfterUnfinishedRequest(t *testing.T) {
	for _, end := range []string{"cancelled", "late", "gone"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				p := rawClient(t, srv)
				p.write(bigRequest(2, rawEcho, 1<<20, 10))
				synctest.Wait()
				stopped := make(chan error, 1)
				go func() { stopped <- srv.Shutdown(t.Context()) }()
				synctest.Wait()
				switch end {
				case "cancelled":
					p.send(wire.Frame{Type: wire.Cancel, ID: 2}, nil)
					p.wantError(2, CodeCanceled, wire.NotRun, "canceled")
					p.wantClose(CodeUnavailable, "shutting down")
				case "late":
					p.wantError(2, CodeDeadlineExceeded, wire.NotRun, "FrameTimeout")
					p.wantClose(CodeUnavailable, "shutting down")
				case "gone":
					p.nc.Close()
				}
				start := time.Now()
				if err := <-stopped; err != nil || time.Since(start) > time.Second {
					t.Errorf("Shutdown: %v after %v", err, time.Since(start))
				}
				p.nc.Close()
				<-p.served
				checkBooked(t, srv)
			})
		})
	}
}

// A slow peer reads the last answer of a shutdown completely.
func TestShutdownLetsSlowPeersRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		p := rawClient(t, srv)
		p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2}, []byte(u32(1<<20)))
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		for got := 0; got < 4+1<<20; {
			time.Sleep(2 * time.Second)
			f, body := p.read()
			if got += len(body); f.ID != 2 {
				t.Fatalf("got %v after %d bytes", f.Type, got)
			}
		}
		p.wantClose(CodeUnavailable, "shutting down")
		if err := <-stopped; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		p.nc.Close()
	})
}

// A client in its handshake learns that its server stops, at each of the steps.
func TestShutdownInHandshakes(t *testing.T) {
	for _, stop := range []func(*Server){func(s *Server) { s.Close() }, func(s *Server) { s.Shutdown(context.Background()) }} {
		for sent, init := range map[string]string{"nothing": "", "half an INIT": nativeInit(1, "")[:7], "INIT": nativeInit(1, "")} {
			synctest.Test(t, func(t *testing.T) {
				authenticating := make(chan struct{})
				srv := testeeServer(t, newTestee(), &ServerOptions{Authenticate: func(context.Context, *Peer, Credentials) error {
					<-authenticating
					return nil
				}})
				p := rawDial(t, srv)
				p.write([]byte(init))
				synctest.Wait()
				go stop(srv)
				time.AfterFunc(time.Second, func() { close(authenticating) })
				typ, payload := p.readBasic()
				if h, err := wire.ReadServerInit(payload); typ != wire.Init || err != nil || Code(h.RefusalCode) != CodeUnavailable || !strings.Contains(h.Refusal, "the server is shutting down") {
					t.Errorf("after %s: %v %+v, %v", sent, typ, h, err)
				}
				p.wantEnd()
				if err := <-p.served; err != ErrServerClosed {
					t.Error(err)
				}
				srv.Close()
				checkBooked(t, srv)
			})
		}
		// With the answer to INIT under way the client is admitted, and told at once that it has to go.
		synctest.Test(t, func(t *testing.T) {
			srv := testeeServer(t, newTestee(), nil)
			p := rawDial(t, srv)
			hello := &wire.Hello{Version: 1, Reconnects: true}
			p.write(wire.AppendClientInit(nil, hello))
			synctest.Wait()
			go stop(srv)
			synctest.Wait()
			typ, payload := p.readBasic()
			if h, err := wire.ReadServerInit(payload); typ != wire.Init || err != nil || h.RefusalCode != 0 {
				t.Fatalf("%v %+v, %v", typ, h, err)
			}
			p.want(wire.Draining, 0, 0, 0)
			p.want(wire.Close, 0, uint16(CodeUnavailable), wire.NotRun)
			p.wantEnd()
			if err := <-p.served; err != ErrServerClosed {
				t.Error(err)
			}
		})
	}
}

// stormed counts its calls.
type stormed struct{ ran atomic.Int64 }

func (s *stormed) Do([]byte) { s.ran.Add(1) }
func (s *stormed) Sum(in iter.Seq2[int, error]) (sum int, err error) {
	s.ran.Add(1)
	for n, err := range in {
		if sum += n; err != nil {
			return sum, err
		}
	}
	return sum, nil
}
func (s *stormed) Count(n int) iter.Seq2[int, error] {
	s.ran.Add(1)
	return func(yield func(int, error) bool) {
		for i := 0; i < n && yield(i, nil); i++ {
		}
	}
}
func (s *stormed) Ask(ctx context.Context, f func(context.Context) error) error {
	s.ran.Add(1)
	return f(ctx)
}

type stormContract struct {
	Do    func(ctx context.Context, b []byte) error
	Sum   func(ctx context.Context, in iter.Seq2[int, error]) (int, error)
	Count func(ctx context.Context, n int) iter.Seq2[int, error]
	Ask   func(ctx context.Context, f func(context.Context) error) error
}

// calls are calls of each kind.
func (p *stormContract) calls() []func(ctx context.Context) error {
	count := func(yield func(int, error) bool) {
		for i := 0; i < 10 && yield(i, nil); i++ {
		}
	}
	return []func(ctx context.Context) error{
		func(ctx context.Context) error { return p.Do(ctx, make([]byte, 100)) },
		func(ctx context.Context) error { _, err := p.Sum(ctx, count); return err },
		func(ctx context.Context) (last error) {
			for _, err := range p.Count(ctx, 10) {
				last = err
			}
			return last
		},
		func(ctx context.Context) error { return p.Ask(ctx, func(context.Context) error { return nil }) },
	}
}

// A connection admitted while Close runs has a second to read that it has to go: it does not outlive
// the server, however patient that is with peers that read nothing.
func TestCloseEndsThoseJustAdmitted(t *testing.T) {
	for _, stop := range []func(*Server){func(s *Server) { s.Close() }, func(s *Server) { s.Shutdown(context.Background()) }} {
		synctest.Test(t, func(t *testing.T) {
			srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{WriteStall: NoLimit}})
			p := rawDial(t, srv)
			p.write([]byte(nativeInit(1, "")))
			synctest.Wait() // the answer is being written
			began := time.Now()
			stopped := make(chan time.Duration, 1)
			go func() {
				stop(srv)
				stopped <- time.Since(began)
			}()
			synctest.Wait()
			p.readBasic()
			time.Sleep(time.Minute)
			select {
			case d := <-stopped:
				if d > 2*time.Second {
					t.Errorf("stopped after %v", d)
				}
			default:
				t.Error("the server waits for a peer that reads nothing")
			}
			select {
			case <-p.served:
			default:
				t.Error("the connection outlives the server")
			}
			p.nc.Close()
		})
	}
}

// During a shutdown each of many calls is answered, or refused as not run; none is
// lost.
func TestShutdownInAStorm(t *testing.T) {
	rounds := 30
	if !LongTests {
		rounds = 2
	}
	serverTLS, clientTLS := tlsConfigs(t)
	for name, network := range map[string]struct {
		pair           func(testing.TB) (near, far net.Conn)
		server, client *tls.Config
	}{
		"tcp": {tcpPair, nil, nil}, "unix": {unixPair, nil, nil}, "TLS": {tcpPair, serverTLS, clientTLS},
		"memory": {func(testing.TB) (near, far net.Conn) { return net.Pipe() }, nil, nil},
	} {
		for range rounds {
			service := new(stormed)
			srv := NewServer(&ServerOptions{Logger: quiet, TLS: network.server})
			if err := srv.RegisterName("Storm", service); err != nil {
				t.Fatal(err)
			}
			near, far := network.pair(t)
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, &ClientOptions{TLS: network.client, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := Bind[stormContract](t.Context(), client, "Storm")
			if err != nil {
				t.Fatal(err)
			}
			var answered, refused, lost atomic.Int64
			var wg sync.WaitGroup
			for i, call := range slices.Repeat(proxy.calls(), 4) {
				wg.Go(func() {
					for {
						err := call(t.Context())
						var e *Error
						switch {
						case err == nil:
							answered.Add(1)
							continue
						case !errors.As(err, &e) || e.Code != CodeUnavailable:
							t.Errorf("%s, call %d: %v", name, i, err)
						case e.Outcome == OutcomeNotRun:
							refused.Add(1)
						default:
							lost.Add(1)
						}
						return
					}
				})
			}
			eventually(t, func() string {
				if service.ran.Load() < 100 {
					return "the calls do not run"
				}
				return ""
			})
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			wg.Wait()
			if ran := service.ran.Load(); ran != answered.Load() || lost.Load() != 0 {
				t.Errorf("%s: %d ran, %d were answered, %d refused, %d have an unknown outcome", name, ran, answered.Load(), refused.Load(), lost.Load())
			}
			client.Close()
		}
	}
}

// unixPair returns both ends of a unix socket.
func unixPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}
