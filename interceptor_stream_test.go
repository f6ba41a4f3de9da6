package bsrpc_test

// Interceptors and calls with streams.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// feed is a service with streams in each direction.
type feed struct{}

// Send sends n items, and then ends as asked for.
func (feed) Send(ctx context.Context, n int, end string) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		switch end {
		case "error":
			yield(0, &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no more"})
		case "panic":
			panic("hunter2")
		case "Goexit":
			runtime.Goexit()
		case "wait":
			<-ctx.Done()
			yield(0, ctx.Err())
		}
	}
}

func (feed) Sum(in iter.Seq2[int, error]) (int, error) {
	sum := 0
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

type feedContract struct {
	Send func(ctx context.Context, n int, end string) (iter.Seq2[int, error], error)
	Sum  func(ctx context.Context, in iter.Seq2[int, error]) (int, error)
}

// A feedLog has what interceptors have noted, in order.
type feedLog struct {
	mu   sync.Mutex
	list []string
}

func (l *feedLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprintf(format, args...))
}

func (l *feedLog) take() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

func newFeed(t *testing.T, server, client []bsrpc.Interceptor) (*bsrpc.Server, *feedContract) {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Interceptors: server, Logger: quiet})
	if err := bsrpc.RegisterAs[feedContract](srv, "Feed", feed{}); err != nil {
		t.Fatal(err)
	}
	c, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Interceptors: client, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[feedContract](t.Context(), c, "Feed")
	if err != nil {
		t.Fatal(err)
	}
	return srv, proxy
}

// receive ranges over a stream.
func receive(items iter.Seq2[int, error], most int) (n int, err error) {
	for _, err := range items {
		if err != nil {
			return n, err
		}
		if n++; n == most {
			break
		}
	}
	return n, nil
}

// At a server next returns when the stream is over, with its last error, which an
// interceptor may replace. At a client next returns with the func, and OnEnd has the rest.
func TestNextAndStreams(t *testing.T) {
	for _, tt := range []struct {
		end, seen, sent string // what next returned, and what the caller got
		most            int    // items
	}{
		{"", "<nil>", "<nil>", 100},
		{"error", "no more", "instead of no more", 100},
		{"panic", "bsrpc: Feed.Send: panic in the handler", "instead of bsrpc: Feed.Send: panic in the handler", 100},
		{"Goexit", "", "bsrpc: Feed.Send: panic in the handler", 100},
		{"wait", "context canceled", "<nil>", 3}, // the caller breaks out
	} {
		t.Run(tt.end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var near, far feedLog
				server := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
					call.OnEnd(func(err error) { far.add("end %v", err) })
					defer far.add("deferred")
					err := next(ctx, call)
					far.add("next %v, %v", err, call.Kind())
					if err != nil {
						return &bsrpc.Error{Code: bsrpc.CodeAborted, Message: "instead of " + err.Error()}
					}
					return nil
				})
				client := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
					call.OnEnd(func(err error) { near.add("end %v", err) })
					err := next(ctx, call)
					near.add("next %v, %v", err, call.Kind())
					return err
				})
				srv, proxy := newFeed(t, []bsrpc.Interceptor{server}, []bsrpc.Interceptor{client})
				items, err := proxy.Send(t.Context(), 3, tt.end)
				if err != nil {
					t.Fatal(err)
				}
				n, err := receive(items, tt.most)
				if n != 3 || !strings.HasPrefix(fmt.Sprint(err), tt.sent) {
					t.Errorf("%d items, %v; want %s", n, err, tt.sent)
				}
				if got := near.take(); len(got) != 2 || got[0] != "next <nil>, server stream" || tt.most > 3 && !strings.HasPrefix(got[1], "end "+tt.sent) {
					t.Errorf("at the client: %q", got)
				}
				got := far.take()
				if tt.end == "Goexit" {
					got = slices.Insert(got, 0, "next , server stream")
				}
				if len(got) != 3 || !strings.HasPrefix(got[0], "next "+tt.seen) || got[1] != "deferred" || !strings.HasPrefix(got[2], "end ") {
					t.Errorf("at the server: %q", got)
				}
				if (got[2] == "end <nil>") != (tt.end == "") {
					t.Errorf("at the server: %q", got[2])
				}
				srv.Close()
			})
		})
	}
}

// The context of a client's interceptor lives until the stream is over.
func TestContextOfInterceptedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept context.Context
		type key struct{}
		keep := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			kept = ctx
			return next(context.WithValue(ctx, key{}, 1), call)
		})
		_, proxy := newFeed(t, nil, []bsrpc.Interceptor{keep})
		items, err := proxy.Send(context.Background(), 3, "wait")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // DefaultCallTimeout limits the wait for the stream only
		next, stop := iter.Pull2(items)
		for i := range 3 {
			if n, err, ok := next(); n != i || err != nil || !ok {
				t.Errorf("got %d, %v, %v", n, err, ok)
			}
		}
		if _, ok := kept.Deadline(); ok || kept.Err() != nil {
			t.Errorf("the context has a deadline, or has ended: %v", kept.Err())
		}
		stop()
	})
}

// OnItem sees the items of both directions at both ends. Its error ends the stream.
func TestOnItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var near, far feedLog
		watch := func(l *feedLog) bsrpc.Interceptor {
			return around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
				call.OnItem(func(in bool, item any) error {
					n := *item.(*int)
					l.add("%v %d", in, n)
					if n == 7 {
						return &bsrpc.Error{Code: bsrpc.CodeOutOfRange, Message: "seven"}
					}
					return nil
				})
				return next(ctx, call)
			})
		}
		_, proxy := newFeed(t, []bsrpc.Interceptor{watch(&far)}, []bsrpc.Interceptor{watch(&near)})
		items, err := proxy.Send(t.Context(), 3, "")
		if err != nil {
			t.Fatal(err)
		}
		receive(items, 100)
		if got := near.take(); !slices.Equal(got, []string{"true 0", "true 1", "true 2"}) {
			t.Errorf("received: %q", got)
		}
		if got := far.take(); !slices.Equal(got, []string{"false 0", "false 1", "false 2"}) {
			t.Errorf("sent: %q", got)
		}
		numbers := func(yield func(int, error) bool) { _ = yield(1, nil) && yield(2, nil) }
		if sum, err := proxy.Sum(t.Context(), numbers); sum != 3 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
		if got := near.take(); !slices.Equal(got, []string{"false 1", "false 2"}) {
			t.Errorf("sent: %q", got)
		}
		if got := far.take(); !slices.Equal(got, []string{"true 1", "true 2"}) {
			t.Errorf("received: %q", got)
		}
		items, err = proxy.Send(t.Context(), 10, "")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := receive(items, 100); n != 7 {
			t.Errorf("%d items, %v", n, err)
		} else {
			wantError(t, err, bsrpc.CodeOutOfRange, bsrpc.OutcomeAnswered, "seven")
		}
	})
}

// At a client next can be called again after a stream of results, and not after a stream
// of arguments has been sent.
func TestNextAgainAndStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l feedLog
		twice := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			call.OnEnd(func(err error) { l.add("end %v", err) })
			if err := next(ctx, call); err != nil {
				t.Error(err)
			}
			return next(ctx, call)
		})
		_, proxy := newFeed(t, nil, []bsrpc.Interceptor{twice})
		items, err := proxy.Send(t.Context(), 3, "")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := receive(items, 100); n != 3 || err != nil {
			t.Errorf("%d items, %v", n, err)
		}
		if got := l.take(); !slices.Equal(got, []string{"end <nil>"}) {
			t.Errorf("got %q", got)
		}
		_, err = proxy.Sum(t.Context(), func(yield func(int, error) bool) { yield(1, nil) })
		wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeUnknown, "bsrpc: Feed.Sum: next called again after a stream of the call has been sent")
	})
}

// An interceptor may refuse a result stream, or answer with one of its own.
func TestInterceptorsReplaceStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			if err := next(ctx, call); err != nil {
				t.Error(err)
			}
			return errors.New("not today")
		})
		_, proxy := newFeed(t, nil, []bsrpc.Interceptor{refuse})
		if _, err := proxy.Send(t.Context(), 3, "wait"); err == nil || err.Error() != "not today" {
			t.Error(err)
		}
		own := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			*call.Results()[0].(*iter.Seq2[int, error]) = func(yield func(int, error) bool) { _ = yield(41, nil) && yield(42, nil) }
			return nil
		})
		_, proxy = newFeed(t, []bsrpc.Interceptor{own}, nil)
		items, err := proxy.Send(t.Context(), 3, "")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := receive(items, 100); n != 2 || err != nil {
			t.Errorf("%d items, %v", n, err)
		}
	})
}

// What an interceptor leaves nil is an empty stream or reader, at either end.
func TestInterceptorsLeaveStreamsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := []bsrpc.Interceptor{func(bsrpc.CallFunc) bsrpc.CallFunc {
			return func(context.Context, *bsrpc.Call) error { return nil }
		}}
		for name, ends := range map[string][2][]bsrpc.Interceptor{"server": {none, nil}, "client": {nil, none}} {
			p, s, client, srv := bindKinds(t, &bsrpc.ServerOptions{Interceptors: ends[0]}, &bsrpc.ClientOptions{Interceptors: ends[1]})
			opened, err := p.Opened(t.Context(), 3)
			if err != nil {
				t.Fatal(err)
			}
			var named iter.Seq2[int, error]
			if err := client.Call(t.Context(), "S.Opened", []any{3}, &named); err != nil {
				t.Fatal(err)
			}
			for _, items := range []iter.Seq2[int, error]{opened, named, p.Watch(t.Context(), 3)} {
				if n, err := receive(items, 100); n != 0 || err != nil {
					t.Errorf("%s: %d items, %v", name, n, err)
				}
			}
			r, err := p.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); len(b) > 0 || err != nil || r.Close() != nil || len(s.ended) > 0 {
				t.Errorf("%s: %q, %v", name, b, err)
			}
			srv.Close()
		}
	})
}

// A panic in an OnItem func ends its stream, and nothing else, at either end and in either direction.
func TestOnItemPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fall := []bsrpc.Interceptor{around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			call.OnItem(func(bool, any) error { panic("hunter2") })
			return next(ctx, call)
		})}
		for name, ends := range map[string][2][]bsrpc.Interceptor{"server": {fall, nil}, "client": {nil, fall}} {
			_, proxy := newFeed(t, ends[0], ends[1])
			items, err := proxy.Send(t.Context(), 3, "")
			if err != nil {
				t.Fatal(err)
			}
			n, err := receive(items, 100)
			if n != 0 || bsrpc.CodeOf(err) != bsrpc.CodeInternal || !strings.HasPrefix(err.Error(), "bsrpc: Feed.Send: panic in the OnItem func (id ") {
				t.Errorf("%s: %d items, %v", name, n, err)
			}
			_, sent := proxy.Sum(t.Context(), func(yield func(int, error) bool) { yield(1, nil) })
			if bsrpc.CodeOf(sent) != bsrpc.CodeInternal || !strings.HasPrefix(sent.Error(), "bsrpc: Feed.Sum: panic in the OnItem func") {
				t.Errorf("%s: a parameter: %v", name, sent)
			}
		}
	})
}

// A reader among the arguments is closed once, after its last Read, whatever the interceptors of
// its caller do: also if nothing is sent, and if the call is repeated.
func TestInterceptorsAndReaders(t *testing.T) {
	vain := func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if err := next(ctx, call); !errors.Is(err, context.Canceled) {
			t.Errorf("next with a canceled context: %v", err)
		}
	}
	for name, f := range map[string]func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error{
		"passes":  func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error { return next(ctx, call) },
		"answers": func(context.Context, *bsrpc.Call, bsrpc.CallFunc) error { return nil },
		"refuses": func(context.Context, *bsrpc.Call, bsrpc.CallFunc) error { return errors.New("not today") },
		"panics":  func(context.Context, *bsrpc.Call, bsrpc.CallFunc) error { panic("on purpose") },
		"fails": func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			return errors.Join(next(ctx, call), errors.New("not today"))
		},
		"repeats": func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			vain(ctx, call, next)
			return next(ctx, call)
		},
		"repeats in vain": func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			vain(ctx, call, next)
			vain(ctx, call, next)
			return errors.New("not today")
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, _, client, _ := bindKinds(t, nil, &bsrpc.ClientOptions{Logger: quiet, Interceptors: []bsrpc.Interceptor{around(f)}})
			for _, call := range []func(r io.Reader) (n int64, err error){
				func(r io.Reader) (int64, error) { return p.Read(t.Context(), r) },
				func(r io.Reader) (n int64, err error) {
					err = client.Call(t.Context(), "S.Read", []any{r}, &n)
					return n, err
				},
			} {
				var closed, late atomic.Int32
				rest := strings.NewReader("abc")
				n, err := call(&closeFunc{readFunc(func(b []byte) (int, error) {
					late.Add(closed.Load())
					return rest.Read(b)
				}), func() { closed.Add(1) }})
				synctest.Wait()
				if closed.Load() != 1 || late.Load() != 0 {
					t.Errorf("%s: closed %d times, %d times read after that", name, closed.Load(), late.Load())
				}
				if whole := name == "passes" || name == "repeats"; (n == 3) != whole || (err == nil) != (whole || name == "answers") {
					t.Errorf("%s: %d bytes, %v", name, n, err)
				}
			}
		})
	}
}

type closeFunc struct {
	io.Reader
	f func()
}

func (c *closeFunc) Close() error { c.f(); return nil }
