package bsrpc

// Every ending of a stream at either end, exactly once.

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A streamEnding is one way in which a result stream ends.
type streamEnding struct {
	name string
	end  func(read func() error, cancel func(), client *Client, srv *Server)
}

var streamEndings = []streamEnding{
	{"read for a while, and left", func(read func() error, cancel func(), _ *Client, _ *Server) { read(); cancel() }},
	{"canceled before it is read", func(_ func() error, cancel func(), _ *Client, _ *Server) { cancel() }},
	{"connection lost", func(read func() error, _ func(), client *Client, _ *Server) { read(); client.Close() }},
	{"session closed", func(read func() error, _ func(), _ *Client, srv *Server) {
		read()
		for _, v := range srv.Sessions() {
			v.Close("enough")
		}
	}},
	{"server closed", func(read func() error, _ func(), _ *Client, srv *Server) { read(); srv.Close() }},
}

// A handler's iterator is ranged over exactly once, and its reader closed exactly once.
func TestEndingsOfResults(t *testing.T) {
	for _, e := range streamEndings {
		t.Run(e.name, func(t *testing.T) {
			var begun, ended, closed atomic.Int32
			s := &usedService{
				count: func(ctx context.Context, n uint32) iter.Seq2[uint32, error] {
					return func(yield func(uint32, error) bool) {
						begun.Add(1)
						defer ended.Add(1)
						upTo(ctx, n)(yield)
					}
				},
				open: func(context.Context) (io.ReadCloser, error) {
					return &closing{zeros{}, func() { closed.Add(1) }}, nil
				},
			}
			check := func(want int32, what string, counts ...*atomic.Int32) {
				for _, c := range counts {
					if n := c.Load(); n != want {
						t.Errorf("%s: %d times, want %d", what, n, want)
					}
				}
			}
			withUsed(t, s, nil, func(p *usedContract, client *Client, srv *Server) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				next, stop := iter.Pull2(p.Count(ctx, endless))
				defer stop()
				synctest.Wait()
				e.end(func() error { _, err, _ := next(); return err }, cancel, client, srv)
				time.Sleep(time.Minute)
				check(1, "the iterator", &begun, &ended)
			})
			withUsed(t, s, nil, func(p *usedContract, client *Client, srv *Server) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				r, err := p.Open(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				synctest.Wait()
				e.end(func() error { _, err := r.Read(make([]byte, 10)); return err }, cancel, client, srv)
				time.Sleep(time.Minute)
				check(1, "the reader", &closed)
			})
		})
	}
}

// With an error, neither is touched.
func TestResultsBesideAnError(t *testing.T) {
	closed := 0
	s := &usedService{open: func(context.Context) (io.ReadCloser, error) {
		return &closing{zeros{}, func() { closed++ }}, io.ErrUnexpectedEOF
	}}
	withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
		if _, err := p.Open(context.Background()); !errors.Is(err, io.ErrUnexpectedEOF) || closed != 0 {
			t.Errorf("got %v, %d times closed", err, closed)
		}
	})
}

// A brokenText cannot be encoded.
type brokenText struct{ broken func() }

func (b brokenText) MarshalText() ([]byte, error) { b.broken(); return nil, nil }
func (*brokenText) UnmarshalText([]byte) error    { return nil }

// The stream of a call whose other results cannot be encoded is ended too.
func TestResultsBesideABrokenEncoder(t *testing.T) {
	for _, broken := range []func(){func() { panic("on purpose") }, runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			srv := NewServer(&ServerOptions{Logger: quiet})
			closed := 0
			if err := srv.RegisterFunc("Pair.Get", func() (brokenText, io.ReadCloser, error) {
				return brokenText{broken}, &closing{zeros{}, func() { closed++ }}, nil
			}); err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			p, err := Bind[struct {
				Get func(context.Context) (brokenText, io.ReadCloser, error)
			}](t.Context(), client, "Pair")
			if err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				var e *Error
				if _, _, err := p.Get(context.Background()); !errors.As(err, &e) || e.Code != CodeInternal {
					t.Errorf("got %v", err)
				}
				synctest.Wait()
				if closed != n+1 {
					t.Errorf("%d times closed in %d calls", closed, n+1)
				}
			}
			checkNothing(t, client)
			client.Close()
			srv.Close()
			checkBooked(t, srv)
		})
	}
}

// A panic, and runtime.Goexit, in an iterator or reader is one failed call, at either end. So
// is a reader that returns impossible counts.
func TestBrokenStreams(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func()
		n    int
		text string
	}{
		{"panic", func() { panic("on purpose") }, 0, "panic"},
		{"Goexit", runtime.Goexit, 0, "panic"},
		{"negative count", func() {}, -1, "impossible count"},
		{"count above the length", func() {}, 1 << 30, "impossible count"},
		{"nothing, again and again", func() {}, 0, io.ErrNoProgress.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := func(yield func(uint32, error) bool) {
				if yield(1, nil) {
					tt.run()
				}
			}
			read := readFunc(func([]byte) (int, error) { tt.run(); return tt.n, nil })
			s := &usedService{
				count: func(context.Context, uint32) iter.Seq2[uint32, error] { return broken },
				open:  func(context.Context) (io.ReadCloser, error) { return io.NopCloser(read), nil },
			}
			withUsed(t, s, nil, func(p *usedContract, _ *Client, _ *Server) {
				check := func(what string, err error) {
					t.Helper()
					if err == nil || !strings.Contains(err.Error(), tt.text) {
						t.Errorf("%s: got %v, want %q", what, err, tt.text)
					}
					checkAdd(t, p)
				}
				if tt.text == "panic" {
					check("iterator of a handler", rangeOverAll(p.Count(context.Background(), 1)).err)
					_, err := p.Total(context.Background(), broken)
					check("iterator of a caller", err)
				}
				r, err := p.Open(context.Background())
				if err == nil {
					_, err = io.ReadAll(r)
				}
				check("reader of a handler", err)
				_, err = p.Feed(context.Background(), read)
				check("reader of a caller", err)
			})
		})
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Methods of an error that ends a stream may panic or call runtime.Goexit. That is one failed
// call: the other end gets the end of the stream, and interceptors get that of the call.
func TestHostileErrorsOfStreams(t *testing.T) {
	for _, method := range []string{"Error", "Is", "As", "Unwrap", "ExceptionName"} {
		for _, name := range []string{"panic", "Goexit"} {
			hostile := &hostileError{func(m string) {
				if m == method {
					falls[name](nil)
				}
			}}
			broken := func(yield func(uint32, error) bool) { _ = yield(1, nil) && yield(0, hostile) }
			read := readFunc(func([]byte) (int, error) { return 0, hostile })
			s := &usedService{
				count: func(context.Context, uint32) iter.Seq2[uint32, error] { return broken },
				open:  func(context.Context) (io.ReadCloser, error) { return io.NopCloser(read), nil },
			}
			var begun, ended atomic.Int32
			count := func(next CallFunc) CallFunc {
				return func(ctx context.Context, c *Call) error {
					begun.Add(1)
					c.OnEnd(func(error) { ended.Add(1) })
					return next(ctx, c)
				}
			}
			for _, interceptors := range [][]Interceptor{nil, {count}} {
				withUsed(t, s, &ServerOptions{Errors: shopErrors, Interceptors: interceptors}, func(p *usedContract, _ *Client, _ *Server) {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					check := func(what string, err error) {
						t.Helper()
						var e *Error
						if !errors.As(err, &e) || e.Code != CodeInternal || !strings.Contains(err.Error(), "panic in ") {
							t.Errorf("%s in %s, %s: %v", name, method, what, err)
						}
						synctest.Wait()
						if n, m := begun.Load(), ended.Load(); n != m {
							t.Errorf("%s in %s, %s: %d calls of %d have ended", name, method, what, m, n)
						}
					}
					check("iterator of a handler", rangeOverAll(p.Count(ctx, 1)).err)
					r, err := p.Open(ctx)
					if err == nil {
						_, err = io.ReadAll(r)
					}
					check("reader of a handler", err)
					_, err = p.Total(ctx, broken)
					check("iterator of a caller", err)
					_, err = p.Feed(ctx, read)
					check("reader of a caller", err)
				})
			}
		}
	}
}

// Encoders and decoders of items may panic or call runtime.Goexit, at either end. That is a failed
// call, also if an iterator recovers the panic: a stream without one of its items is not complete.
// Nor does a decoder of the other results leave the stream open.
func TestEncodersOfItems(t *testing.T) {
	type contract struct {
		Items func(ctx context.Context, how string) iter.Seq2[moody, error]
		Load  func(ctx context.Context, in iter.Seq2[moody, error]) (int, error)
		List  func(ctx context.Context, how string, ask func() error) (moody, iter.Seq2[uint32, error], error)
		Ask   func(ctx context.Context, how string, ask func() error) (moody, error)

		Beside func(ctx context.Context, how string) (moody, iter.Seq2[uint32, error], error)
	}
	var running atomic.Int32
	give := func(how string) iter.Seq2[moody, error] {
		return func(yield func(moody, error) bool) {
			for _, m := range []moody{{"calm"}, {how}, {"calm"}} {
				func() {
					defer func() { recover() }()
					yield(m, nil)
				}()
			}
		}
	}
	take := func(items iter.Seq2[moody, error]) (n int, err error) {
		for _, err := range items {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	beside := func(ctx context.Context, how string) (moody, iter.Seq2[uint32, error], error) {
		return moody{how}, func(yield func(uint32, error) bool) {
			running.Add(1)
			defer running.Add(-1)
			upTo(ctx, endless)(yield)
		}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := RegisterAs[contract](srv, "Moods", &contract{
			Beside: beside,
			Items:  func(_ context.Context, how string) iter.Seq2[moody, error] { return give(how) },
			Load:   func(_ context.Context, in iter.Seq2[moody, error]) (int, error) { return take(in) },
			List: func(ctx context.Context, how string, _ func() error) (moody, iter.Seq2[uint32, error], error) {
				return beside(ctx, how)
			},
			Ask: func(_ context.Context, how string, _ func() error) (moody, error) { return moody{how}, nil },
		}); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Bind[contract](t.Context(), client, "Moods")
		if err != nil {
			t.Fatal(err)
		}
		for _, how := range []string{"enc panic", "dec panic", "enc Goexit", "dec Goexit"} {
			for name, f := range map[string]func(ctx context.Context) error{
				"result":    func(ctx context.Context) error { _, err := take(p.Items(ctx, how)); return err },
				"parameter": func(ctx context.Context) error { _, err := p.Load(ctx, give(how)); return err },
				"beside a stream": func(ctx context.Context) error {
					_, _, err := p.List(ctx, how, func() error { return nil })
					return err
				},
				"beside a callback": func(ctx context.Context) error {
					_, err := p.Ask(ctx, how, func() error { return nil })
					return err
				},
			} {
				exited := true
				var err error
				var end sync.WaitGroup
				end.Go(func() {
					err = f(context.Background())
					exited = false
				})
				end.Wait()
				if own := how == "dec Goexit" && name != "parameter"; exited != own {
					t.Errorf("%s, %s: the goroutine has ended: %v", how, name, exited)
				} else if !exited && CodeOf(err) != CodeInternal {
					t.Errorf("%s, %s: %v", how, name, err)
				}
				synctest.Wait()
				if n := running.Load(); n != 0 {
					t.Errorf("%s, %s: %d iterators go on", how, name, n)
				}
				checkNothing(t, client)
			}
		}
		over := NewClientOver(directly{srv}, &ClientOptions{Logger: quiet})
		apart, err := Bind[struct {
			Beside func(ctx context.Context, how string) (moody, iter.Seq2[uint32, error], error)
		}](t.Context(), over, "Moods")
		if err != nil {
			t.Fatal(err)
		}
		var end sync.WaitGroup
		end.Go(func() { apart.Beside(context.Background(), "dec Goexit") })
		end.Wait()
		synctest.Wait()
		if n := running.Load(); n != 0 {
			t.Errorf("without a connection: %d iterators go on", n)
		}
		over.Close()
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// directly is a RoundTripper to a server in the same program.
type directly struct{ srv *Server }

func (d directly) RoundTrip(ctx context.Context, r *Request) (*Reply, error) {
	return d.srv.Handle(ctx, r), nil
}
