package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A tripper is a RoundTripper that is a func.
type tripper func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error)

func (f tripper) RoundTrip(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
	return f(ctx, r)
}

type noteV1 struct{ Text string }

type noteV2 struct {
	Text string
	By   string `bsrpc:"optional"`
}

type notesV1 struct {
	Add func(ctx context.Context, n noteV1) (noteV1, error)
	All func(ctx context.Context) iter.Seq2[noteV1, error]
}

type notesV2 struct {
	Add func(ctx context.Context, n noteV2) (noteV2, error)
	All func(ctx context.Context) iter.Seq2[noteV2, error]
}

// Each call may reach a server of another version.
func TestRoundTripVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v1, v2, v3 := bsrpc.NewServer(quietServer()), bsrpc.NewServer(quietServer()), bsrpc.NewServer(quietServer())
		for _, err := range []error{
			bsrpc.RegisterAs[notesV1](v1, "Notes", &notesV1{
				func(_ context.Context, n noteV1) (noteV1, error) { return noteV1{"v1 " + n.Text}, nil },
				func(context.Context) iter.Seq2[noteV1, error] {
					return func(yield func(noteV1, error) bool) { yield(noteV1{"v1"}, nil) }
				}}),
			bsrpc.RegisterAs[notesV2](v2, "Notes", &notesV2{
				func(_ context.Context, n noteV2) (noteV2, error) { return noteV2{"v2 " + n.Text, "by " + n.By}, nil },
				func(context.Context) iter.Seq2[noteV2, error] {
					return func(yield func(noteV2, error) bool) { yield(noteV2{"v2", "x"}, nil) }
				}}),
			v3.RegisterFunc("Notes.Add", func(n int) (int, error) { return n, nil }),
			v3.RegisterFunc("Notes.All", func(n int) (int, error) { return n, nil }),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		target, trips := v1, 0
		client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			trips++
			return bsrpctest.Direct(target).RoundTrip(ctx, r)
		}), nil)
		defer client.Close()
		p, err := bsrpc.Bind[notesV2](t.Context(), client, "Notes")
		if err != nil {
			t.Fatal(err)
		}
		add := func(srv *bsrpc.Server, by, want string, most int) {
			t.Helper()
			target, trips = srv, 0
			got, err := p.Add(t.Context(), noteV2{"a", by})
			if text := fmt.Sprint(got, err); !strings.Contains(text, want) || trips > most {
				t.Errorf("got %s after %d trips, want %s after %d", text, trips, want, most)
			}
		}
		add(v1, "", "{v1 a } <nil>", 1)
		add(v1, "me", "By: the server does not know it", 1)
		add(v2, "me", "{v2 a by me} <nil>", 1)
		add(v3, "", "disagree", 1)
		add(v1, "", "{v1 a } <nil>", 1)
		for _, srv := range []*bsrpc.Server{v1, v2, v1} {
			target = srv
			got, err := bsrpctest.Collect(p.All(t.Context()))
			if err != nil || len(got) != 1 || got[0].Text != map[*bsrpc.Server]string{v1: "v1", v2: "v2"}[srv] {
				t.Errorf("got %v, %v", got, err)
			}
		}
		target = v3
		var mismatch *bsrpc.MismatchError
		if _, err := bsrpctest.Collect(p.All(t.Context())); !errors.As(err, &mismatch) {
			t.Errorf("got %v", err)
		}
		if _, err := bsrpc.Bind[notesV1](t.Context(), client, "Notes"); !errors.As(err, &mismatch) || len(mismatch.Differences) < 2 {
			t.Errorf("got %v", err)
		}
		// An old client, which v2 does not know: each method takes one more round trip, once.
		target = v1
		old, err := bsrpc.Bind[notesV1](t.Context(), client, "Notes")
		if err != nil {
			t.Fatal(err)
		}
		target, trips = v2, 0
		for range 3 {
			if got, err := old.Add(t.Context(), noteV1{"b"}); got.Text != "v2 b" || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
		}
		if trips != 4 {
			t.Errorf("%d trips for three calls, want 4", trips)
		}
		// By name, the layout is asked for again.
		var got any
		for _, srv := range []*bsrpc.Server{v2, v1, v2} {
			target = srv
			if err := client.Call(t.Context(), "Notes.Add", []any{map[string]any{"Text": "c"}}, &got); err != nil {
				t.Errorf("got %v, %v", got, err)
			}
		}
	})
}

func quietServer() *bsrpc.ServerOptions { return &bsrpc.ServerOptions{Logger: quiet} }

// What the server decides over a connection it decides here too.
func TestHandleRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var refused []string
		opts := &bsrpc.ServerOptions{
			MaxMessage: 1000,
			Authenticate: func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
				if c.Token() == "" {
					return errors.New("secret reason")
				}
				p.Name, p.Roles = c.User(), []string{c.Token()}
				return nil
			},
			Roles: map[string]string{"Stock.*": "clerk|boss", "Stock.Note": "boss"},
			Authorize: func(ctx context.Context, s *bsrpc.Session, m bsrpc.Method) error {
				if m.Name == "Stock.Open" {
					return fmt.Errorf("%s may not", s.Peer().Name)
				}
				return nil
			},
			OnRefused: func(_ context.Context, _ *bsrpc.Session, m bsrpc.Method, err *bsrpc.Error) {
				mu.Lock()
				defer mu.Unlock()
				refused = append(refused, m.Name+" "+err.Code.String())
			},
		}
		srv := depotServer(t, opts)
		token := ""
		client := overClient(bsrpctest.Direct(srv), &bsrpc.ClientOptions{Credentials: func(context.Context) (bsrpc.Credentials, error) {
			return bsrpc.NewCredentials("ann", token), nil
		}})
		defer client.Close()
		if _, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock"); bsrpc.CodeOf(err) != bsrpc.CodeUnauthenticated || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
		token = "clerk"
		p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := p.Put(t.Context(), "a", 1); n != 2 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if _, err := p.Open(t.Context(), "a"); bsrpc.CodeOf(err) != bsrpc.CodePermissionDenied || !strings.Contains(err.Error(), "ann may not") {
			t.Errorf("got %v", err)
		}
		if _, err := p.Put(t.Context(), strings.Repeat("a", 1000), 1); bsrpc.CodeOf(err) != bsrpc.CodeResourceExhausted || !strings.Contains(err.Error(), "the server's MaxMessage is 1000") {
			t.Errorf("got %v", err)
		}
		token = "nobody"
		if _, err := p.Put(t.Context(), "a", 1); bsrpc.CodeOf(err) != bsrpc.CodePermissionDenied {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		mu.Lock()
		if got := strings.Join(refused, ", "); got != "unknown unauthenticated, Stock.Open permission denied, Stock.Put resource exhausted, Stock.Put permission denied" {
			t.Errorf("refused: %s", got)
		}
		mu.Unlock()
	})
	for name, opts := range map[string]*bsrpc.ServerOptions{
		"MaxSessions": {MaxSessions: 2},
		"OnConnect":   {OnConnect: func(context.Context, *bsrpc.Session) error { return nil }},
	} {
		reply := depotServer(t, opts).Handle(t.Context(), &bsrpc.Request{Method: bsrpc.BindMethod})
		if reply.Status != bsrpc.StatusError || reply.Err.Outcome != bsrpc.OutcomeNotRun || !strings.Contains(reply.Err.Message, name) {
			t.Errorf("%s: got %+v", name, reply)
		}
	}
	for _, timeout := range []time.Duration{0, time.Minute, math.MaxInt64} {
		if reply := depotServer(t, nil).Handle(t.Context(), &bsrpc.Request{Method: bsrpc.BindMethod, Timeout: timeout}); reply.Status != bsrpc.StatusOK {
			t.Errorf("%v: got %+v", timeout, reply)
		}
	}
	if reply := depotServer(t, nil).Handle(t.Context(), &bsrpc.Request{Method: bsrpc.BindMethod, Timeout: -1}); reply.Err == nil || reply.Err.Code != bsrpc.CodeDeadlineExceeded {
		t.Errorf("got %+v, want that the time is over", reply)
	}
}

// A session of Handle lasts for the call.
func TestHandleSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(quietServer())
		type key struct{}
		err := srv.RegisterFunc("S.Try", func(ctx context.Context) (string, error) {
			s := bsrpc.SessionFrom(ctx)
			if s.Value(key{}) != nil || s.ID() != 0 || ctx.Value(outerKey{}) != "value" || s.Peer().Name != "ann" {
				return "", fmt.Errorf("%v %d %v %v", s.Value(key{}), s.ID(), ctx.Value(outerKey{}), s.Peer())
			}
			s.Set(key{}, 1)
			if s.Value(key{}) != 1 {
				return "", errors.New("the value is lost")
			}
			_, err := bsrpc.Bind[struct{ F func() error }](ctx, s, "X")
			acquired := s.Acquire(ctx, "g")
			s.Release("g")
			if !errors.Is(err, bsrpc.ErrNoSession) || !errors.Is(acquired, bsrpc.ErrNoSession) {
				return "", fmt.Errorf("%v, %v", err, acquired)
			}
			return fmt.Sprint(s.RemoteAddr()), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.RegisterFunc("S.Leave", func(ctx context.Context) error { bsrpc.SessionFrom(ctx).Close("enough"); return nil }); err != nil {
			t.Fatal(err)
		}
		client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			own := *r
			own.Peer = bsrpc.Peer{Name: "ann", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
			return srv.Handle(context.WithValue(ctx, outerKey{}, "value"), &own), nil
		}), nil)
		defer client.Close()
		for range 2 {
			var got string
			if err := client.Call(t.Context(), "S.Try", nil, &got); got != "127.0.0.1:1" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if err := client.Call(t.Context(), "S.Leave", nil); bsrpc.CodeOf(err) != bsrpc.CodeAborted || err.Error() != "enough" {
			t.Errorf("got %v", err)
		}
		if err := client.Call(t.Context(), "bsrpc.v1.Counters", nil, new(any)); bsrpc.CodeOf(err) != bsrpc.CodeUnimplemented {
			t.Errorf("got %v, want that a loopback address is no operator", err)
		}
	})
}

// Shutdown waits for the calls of Handle, streams included, and ends them with its context.
func TestHandleShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := depotServer(t, nil)
		client := overClient(bsrpctest.Direct(srv), nil)
		defer client.Close()
		p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		next, stop := iter.Pull2(p.Count(t.Context(), 1_000_000))
		defer stop()
		next()
		called := make(chan error, 1)
		go func() {
			_, err := p.Put(t.Context(), "wait", 1)
			called <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Stock.Count, Stock.Put") {
			t.Errorf("got %v", err)
		}
		var e *bsrpc.Error
		if err := <-called; !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeUnknown {
			t.Errorf("got %v", err)
		}
		for {
			_, err, ok := next()
			if err != nil {
				if bsrpc.CodeOf(err) != bsrpc.CodeUnavailable {
					t.Errorf("got %v", err)
				}
				break
			} else if !ok {
				t.Error("the stream has ended without an error")
				break
			}
		}
	})
}

// A RoundTripper may do anything: each mistake is one error of its call.
func TestHostileRoundTripper(t *testing.T) {
	type reply = bsrpc.Reply
	var hash bsrpc.Hash
	for name, test := range map[string]struct {
		trip tripper
		want string
		code bsrpc.Code
	}{
		"nil":      {func(context.Context, *bsrpc.Request) (*reply, error) { return nil, nil }, "neither a reply nor an error", bsrpc.CodeInternal},
		"panic":    {func(context.Context, *bsrpc.Request) (*reply, error) { panic("x") }, "panic in RoundTrip", bsrpc.CodeInternal},
		"error":    {func(context.Context, *bsrpc.Request) (*reply, error) { return nil, errors.New("broken") }, "Stock.Put: round trip: broken", bsrpc.CodeUnavailable},
		"canceled": {func(context.Context, *bsrpc.Request) (*reply, error) { return nil, context.Canceled }, "round trip: context canceled", bsrpc.CodeUnavailable},
		"hang":     {func(context.Context, *bsrpc.Request) (*reply, error) { select {} }, "no answer in 20s", bsrpc.CodeDeadlineExceeded},
		"status":   {func(context.Context, *bsrpc.Request) (*reply, error) { return &reply{Status: 9}, nil }, "status 9", bsrpc.CodeInternal},
		"no error": {func(context.Context, *bsrpc.Request) (*reply, error) { return &reply{Status: bsrpc.StatusError}, nil }, "without an error", bsrpc.CodeInternal},
		"hash":     {func(context.Context, *bsrpc.Request) (*reply, error) { return &reply{}, nil }, "a layout that the request did not name", bsrpc.CodeInternal},
		"body":     {func(context.Context, *bsrpc.Request) (*reply, error) { return &reply{Hash: hash, Body: []byte{1}}, nil }, "cannot decode the answer", bsrpc.CodeInternal},
		"long": {func(context.Context, *bsrpc.Request) (*reply, error) {
			return &reply{Hash: hash, Body: make([]byte, 17<<20)}, nil
		}, "this end's MaxMessage", bsrpc.CodeResourceExhausted},
		"metadata": {func(context.Context, *bsrpc.Request) (*reply, error) {
			return &reply{Hash: hash, Metadata: bsrpc.Metadata{"A": ""}}, nil
		}, "metadata of the reply", bsrpc.CodeInternal},
		"items": {func(context.Context, *bsrpc.Request) (*reply, error) {
			return &reply{Hash: hash, Items: func(func([]byte, error) bool) {}}, nil
		}, "has a stream", bsrpc.CodeInternal},
		"differs": {func(context.Context, *bsrpc.Request) (*reply, error) { return &reply{Status: bsrpc.StatusDiffers}, nil }, "layout of Stock.Put", bsrpc.CodeInternal},
		"no differ": {func(_ context.Context, r *bsrpc.Request) (*reply, error) {
			return &reply{Status: bsrpc.StatusDiffers, Layout: putLayout}, nil
		}, "but they are equal", bsrpc.CodeInternal},
		"code":      {func(context.Context, *bsrpc.Request) (*reply, error) { return &reply{Err: new(bsrpc.Error)}, nil }, "unknown", bsrpc.CodeUnknown},
		"nil error": {func(context.Context, *bsrpc.Request) (*reply, error) { return nil, (*bsrpc.Error)(nil) }, "panic in RoundTrip", bsrpc.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := depotServer(t, nil)
				hash = srv.Methods()[3].Hash
				for _, m := range srv.Methods() {
					if m.Name == "Stock.Put" {
						hash, putLayout = m.Hash, m.Layout
					}
				}
				var bound atomic.Bool
				client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*reply, error) {
					if r.Method == bsrpc.BindMethod {
						return bsrpctest.Direct(srv).RoundTrip(ctx, r)
					}
					bound.Store(true)
					if name == "hang" {
						<-ctx.Done() // a bubble must end
					}
					return test.trip(ctx, r)
				}), nil)
				defer client.Close()
				p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
				if err != nil {
					t.Fatal(err)
				}
				if name == "hang" {
					test.trip = func(ctx context.Context, _ *bsrpc.Request) (*reply, error) { return nil, nil }
				}
				_, err = p.Put(t.Context(), "a", 1)
				var e *bsrpc.Error
				if !bound.Load() || !errors.As(err, &e) || e.Code != test.code || !strings.Contains(err.Error(), test.want) || e.Outcome == bsrpc.OutcomeNotRun && name[len(name)-1] != 's' && name != "no differ" {
					t.Errorf("got %v, %+v", err, e)
				}
				if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) != (name == "hang") {
					t.Errorf("%v is the error of a context", err)
				}
			})
		})
	}
}

var putLayout string

// outerKey is the key of a value of a transport.
type outerKey struct{}

// An error among the items after the end of the caller's context becomes the caller's own,
// whichever of the two is seen first.
func TestRoundTripItemsAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		direct := bsrpctest.Direct(depotServer(t, nil))
		client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			reply, err := direct.RoundTrip(ctx, r)
			if items := reply.Items; items != nil {
				reply.Items = func(yield func([]byte, error) bool) {
					for item := range items {
						yield(item, nil)
						break
					}
					<-ctx.Done()
					yield(nil, errors.New("the transport has lost the call"))
				}
			}
			return reply, err
		}), nil)
		defer client.Close()
		p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			items := 0
			var last error
			for _, err := range p.Count(ctx, 3) {
				if last = err; err == nil {
					items++
					cancel()
				}
			}
			cancel()
			if !errors.Is(last, context.Canceled) || items != 1 {
				t.Fatalf("got %v after %d items", last, items)
			}
		}
	})
}

// The end of the client is the reason of a call whose server has heard of it first.
func TestRoundTripClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		direct := bsrpctest.Direct(depotServer(t, nil))
		called := make(chan error, 2)
		client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			if r.Method == bsrpc.BindMethod {
				return direct.RoundTrip(ctx, r)
			}
			<-ctx.Done()
			e := &bsrpc.Error{Code: bsrpc.CodeCanceled, Outcome: bsrpc.OutcomeAnswered, Message: "context canceled"}
			return &bsrpc.Reply{Status: bsrpc.StatusError, Err: e}, nil
		}), nil)
		p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := p.Put(t.Context(), "a", 1)
			called <- err
		}()
		go func() {
			_, err := bsrpctest.Collect(p.Count(t.Context(), 1))
			called <- err
		}()
		synctest.Wait()
		client.Close()
		for range 2 {
			if err := <-called; !errors.Is(err, bsrpc.ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
	})
}

// The Timeout of a request ends its call, without a deadline of the context of Handle.
func TestHandleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		args, err := bsrpc.Append(nil, "wait")
		if err == nil {
			args, err = bsrpc.Append(args, 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		srv := depotServer(t, nil)
		began := time.Now()
		for _, m := range srv.Methods() {
			if m.Name != "Stock.Put" {
				continue
			}
			reply := srv.Handle(context.Background(), &bsrpc.Request{Method: m.Name, Hash: m.Hash, Body: args, Timeout: time.Second})
			if reply.Err == nil || reply.Err.Code != bsrpc.CodeDeadlineExceeded || time.Since(began) != time.Second {
				t.Errorf("got %+v after %v", reply, time.Since(began))
			}
		}
	})
}

// A deadline of the transport alone ends a call, and is not the time of its caller. The same deadline,
// seen by the transport a little earlier, is.
func TestHandleDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(quietServer())
		var left time.Duration
		err := srv.RegisterFunc("S.Wait", func(ctx context.Context) error {
			at, _ := ctx.Deadline()
			left = time.Until(at)
			<-ctx.Done()
			return ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		var limit time.Duration
		client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (reply *bsrpc.Reply, _ error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
			defer cancel()
			srv.ServeRequest(ctx, r, func(r *bsrpc.Reply) { reply = r })
			return reply, nil
		}), &bsrpc.ClientOptions{DefaultCallTimeout: 10 * time.Second})
		defer client.Close()
		for _, limit = range []time.Duration{-time.Second, time.Second, 9 * time.Second, 10*time.Second - 15*time.Millisecond, 10 * time.Second, time.Minute} {
			began := time.Now()
			err := client.Call(context.Background(), "S.Wait", nil)
			synctest.Wait()
			want := max(0, min(limit, 10*time.Second))
			if took := time.Since(began); bsrpc.CodeOf(err) != bsrpc.CodeDeadlineExceeded || took != want || want > 0 && left != want {
				t.Errorf("%v: %v after %v, %v were left", limit, err, took, left)
			}
			if is := errors.Is(err, context.DeadlineExceeded); is != (limit > 9*time.Second) || is != strings.Contains(err.Error(), "no answer in 10s") {
				t.Errorf("%v: errors.Is is %v of %v", limit, is, err)
			}
		}
	})
}

// Transports with an address for each service find it in each request.
func TestRequestService(t *testing.T) {
	direct := bsrpctest.Direct(depotServer(t, nil))
	var services []string
	client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
		services = append(services, r.Method+" "+r.Service())
		return direct.RoundTrip(ctx, r)
	}), nil)
	defer client.Close()
	p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
	if err != nil {
		t.Fatal(err)
	}
	p.Put(t.Context(), "a", 1)
	if got := strings.Join(services, ", "); got != "bsrpc.v1.Bind Stock, Stock.Put Stock" {
		t.Errorf("got %s", got)
	}
	for _, r := range []*bsrpc.Request{{}, {Method: "Put"}, {Method: bsrpc.BindMethod}, {Method: bsrpc.BindMethod, Body: []byte("\x00\xff\xff")}, {Method: bsrpc.BindMethod, Body: []byte("\xff\x01\x00S\x00\x00")}} {
		if got := r.Service(); got != "" {
			t.Errorf("%s: got %q", r.Method, got)
		}
	}
}

// Calls of Handle cannot pile up hanging calls of Authenticate.
func TestHandleAuthenticateHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := depotServer(t, &bsrpc.ServerOptions{Limits: bsrpc.Limits{MaxHandshakes: 4}, Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error {
			<-release
			return nil
		}})
		codes := make(chan bsrpc.Code, 10)
		for range cap(codes) {
			go func() {
				code := bsrpc.CodeOK
				if e := srv.Handle(t.Context(), &bsrpc.Request{Method: "Stock.Put"}).Err; e != nil {
					code = e.Code
				}
				codes <- code
			}()
			synctest.Wait()
		}
		for range cap(codes) - 2 { // half of the limit is for one address
			if code := <-codes; code != bsrpc.CodeResourceExhausted {
				t.Errorf("got %v", code)
			}
		}
		close(release)
		for range 2 {
			if code := <-codes; code != bsrpc.CodeOK {
				t.Errorf("got %v", code)
			}
		}
		srv.Close()
	})
}
