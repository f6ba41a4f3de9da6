package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/trace"
)

// Errors that errors.Is and errors.As never come to an end of.

// A knot unwraps to itself. It is a value and, with its pointer, a type with a layout.
type knot struct{ N int }

func (k knot) Error() string { return "a knot" }
func (k knot) Unwrap() error { return k }

// A half unwraps to the other one.
type half struct{ other *half }

func (h *half) Error() string { return "a half" }
func (h *half) Unwrap() error { return h.other }

// A bush has 2 to the power of its height leaves.
type bush int

func (b bush) Error() string   { return "a bush" }
func (b bush) Unwrap() []error { return []error{b - 1, b - 1}[:2*min(int(b), 1)] }

// A well has no bottom.
type well int

func (w well) Error() string { return "a well" }
func (w well) Unwrap() error { return w + 1 }

// endlessErrors returns an error of each kind, by what its text says.
func endlessErrors() map[string]error {
	pair := new(half)
	pair.other = &half{pair}
	return map[string]error{
		"a knot (bsrpc_test.knot unwraps to itself": knot{},
		"a half (*bsrpc_test.half unwraps":          pair,
		"a bush (bsrpc_test.bush unwraps":           bush(64),
		"a well (bsrpc_test.well unwraps":           well(0),
		"within: a knot (*fmt.wrapError unwraps":    fmt.Errorf("within: %w", knot{}),
	}
}

type dividing struct {
	Div func(ctx context.Context, a, b int32) (int32, error) `bsrpc:"id=1"`
}

// A divider returns its error in place of a quotient by 0.
type divider struct{ err error }

func (d divider) Div(a, b int32) (int32, error) {
	if b == 0 {
		return 0, d.err
	}
	return a / b, nil
}

// A call that fails with such an error is answered with its text, and the next one passes, on each
// wire, with interceptors that look into the error and without.
func TestEndlessErrors(t *testing.T) {
	look := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
		call.OnEnd(func(err error) { bsrpc.CodeOf(err) })
		err := next(ctx, call)
		if errors.Is(err, io.EOF) {
			t.Error("io.EOF:", err)
		}
		return err
	})
	replace := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
		if err := next(ctx, call); err != nil {
			return knot{}
		}
		return nil
	})
	for text, failure := range endlessErrors() {
		if code := bsrpc.CodeOf(failure); code != bsrpc.CodeUnknown {
			t.Errorf("%s: %v", text, code)
		}
		for name, list := range map[string][]bsrpc.Interceptor{"none": nil, "look": {look}, "replace": {replace, look}} {
			want := text
			if name == "replace" {
				want = "a knot (bsrpc_test.knot"
			}
			synctest.Test(t, func(t *testing.T) {
				srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Interceptors: list, Basic: true, Errors: map[string]error{"listed": io.ErrNoProgress}})
				if err := bsrpc.RegisterAs[dividing](srv, "S", divider{failure}); err != nil {
					t.Fatal(err)
				}
				for _, basic := range []bool{false, true} {
					near, far := net.Pipe()
					go srv.ServeConn(far)
					client, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Logger: quiet, Basic: basic})
					if err != nil {
						t.Fatal(err)
					}
					p, err := bsrpc.Bind[dividing](t.Context(), client, "S")
					if err != nil {
						t.Fatal(err)
					}
					_, err = p.Div(t.Context(), 1, 0)
					wantError(t, err, bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, want)
					if n, err := p.Div(t.Context(), 8, 2); n != 4 || err != nil {
						t.Errorf("the next call: %d, %v", n, err)
					}
					client.Close()
				}
				srv.Close()
			})
		}
	}
}

// The same for the errors of iterators, readers and callbacks, at both ends, and of encoders and
// decoders.
func TestEndlessErrorsWithinCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := func(yield func(int, error) bool) { yield(0, knot{}) }
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := errors.Join(
			srv.RegisterFunc("S.Down", func() iter.Seq2[int, error] { return items }),
			srv.RegisterFunc("S.Read", func() io.ReadCloser { return io.NopCloser(knotReader{}) }),
			srv.RegisterFunc("S.Up", func(in iter.Seq2[int, error]) error {
				for _, err := range in {
					return err
				}
				return nil
			}),
			srv.RegisterFunc("S.Run", func(f func() error) error { return f() }),
			srv.RegisterFunc("S.Take", func(knotted) {}),
			srv.RegisterFunc("S.Give", func(how string) knotted { return knotted{how} }),
		); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		p, err := bsrpc.Bind[struct {
			Down func(context.Context) iter.Seq2[int, error]
			Read func(context.Context) (io.ReadCloser, error)
			Up   func(context.Context, iter.Seq2[int, error]) error
			Run  func(context.Context, func() error) error
			Take func(context.Context, knotted) error
			Give func(context.Context, string) (knotted, error)
		}](t.Context(), client, "S")
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		_, down := bsrpctest.Collect(p.Down(ctx))
		r, read := p.Read(ctx)
		if read == nil {
			_, read = io.ReadAll(r)
		}
		_, give := p.Give(ctx, "Marshal")
		_, panicked := p.Give(ctx, "panic")
		_, decode := p.Give(ctx, "Unmarshal")
		const text = "a knot (bsrpc_test.knot unwraps"
		for name, test := range map[string]struct {
			err  error
			text string
		}{
			"Down": {down, text}, "Read": {read, text}, "Up": {p.Up(ctx, items), text},
			"Run":     {p.Run(ctx, func() error { return knot{} }), text},
			"Take":    {p.Take(ctx, knotted{"Marshal"}), "Marshal"},
			"Give":    {give, "Marshal"},
			"a panic": {panicked, "panic in the handler"},
			"decode":  {decode, "Unmarshal"},
			"args":    {p.Take(ctx, knotted{"Unmarshal"}), "Unmarshal"},
		} {
			if test.err == nil || !strings.Contains(test.err.Error(), test.text) {
				t.Errorf("%s: %v", name, test.err)
			}
			errors.Is(test.err, io.EOF) // ends
		}
		if got, err := p.Give(ctx, "fine"); got.how != "fine" || err != nil {
			t.Errorf("at last: %q, %v", got, err)
		}
	})
}

type knotReader struct{}

func (knotReader) Read([]byte) (int, error) { return 0, knot{} }

// A knotted value is the name of its method that fails with a knot.
type knotted struct{ how string }

func (k knotted) MarshalText() ([]byte, error) {
	switch k.how {
	case "Marshal":
		return nil, knot{}
	case "panic":
		panic(knot{})
	}
	return []byte(k.how), nil
}

func (k *knotted) UnmarshalText(b []byte) error {
	if k.how = string(b); k.how == "Unmarshal" {
		return knot{}
	}
	return nil
}

// The same for the errors of hooks: they refuse what they are asked about.
func TestEndlessErrorsOfHooks(t *testing.T) {
	const text = "a knot (bsrpc_test.knot unwraps"
	for name, test := range map[string]struct {
		server bsrpc.ServerOptions
		client bsrpc.ClientOptions
		code   bsrpc.Code
		text   string // in the error, or in the log of the server
	}{
		"Authenticate": {server: bsrpc.ServerOptions{Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error { return knot{} }}, code: bsrpc.CodeUnauthenticated, text: "unauthenticated"},
		"OnConnect":    {server: bsrpc.ServerOptions{OnConnect: func(context.Context, *bsrpc.Session) error { return knot{} }}, code: bsrpc.CodePermissionDenied, text: text},
		"Authorize":    {server: bsrpc.ServerOptions{Authorize: func(context.Context, *bsrpc.Session, bsrpc.Method) error { return knot{} }}, code: bsrpc.CodePermissionDenied, text: text},
		"Credentials": {client: bsrpc.ClientOptions{InsecureCredentials: true, Credentials: func(context.Context) (bsrpc.Credentials, error) { return bsrpc.Credentials{}, knot{} }},
			server: bsrpc.ServerOptions{Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error { return nil }}, code: bsrpc.CodeUnavailable, text: text},
		"Endpoints":   {client: bsrpc.ClientOptions{Endpoints: func(context.Context) ([]bsrpc.Endpoint, error) { return nil, knot{} }}, code: bsrpc.CodeUnavailable, text: text},
		"interceptor": {client: bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{around(func(context.Context, *bsrpc.Call, bsrpc.CallFunc) error { return knot{} })}}, text: "a knot"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, _ := guardedServer(t, &test.server)
				test.client.Logger = quiet
				var client *bsrpc.Client
				var err error
				if test.client.Endpoints != nil {
					client, err = bsrpc.Dial(t.Context(), "", "", &test.client)
				} else {
					client, err = bsrpctest.Dial(t, srv, &test.client)
				}
				if err == nil {
					defer client.Close()
					err = client.Call(t.Context(), "Who.Am", nil, new(string))
				}
				if err == nil || !strings.Contains(err.Error(), test.text) {
					t.Fatal(err)
				}
				if test.code != 0 && bsrpc.CodeOf(err) != test.code {
					t.Errorf("%v: %v", bsrpc.CodeOf(err), err)
				}
			})
		})
	}
}

// The same for what carries calls and connections.
func TestEndlessErrorsOfCarriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []knotCarrier{{}, {items: true}} {
			client := bsrpc.NewClientOver(c, &bsrpc.ClientOptions{Logger: quiet})
			var items iter.Seq2[int, error]
			err := client.Call(t.Context(), "S.Down", nil, &items)
			if err == nil {
				_, err = bsrpctest.Collect(items)
			}
			if err == nil || bsrpc.CodeOf(err) != bsrpc.CodeUnavailable || !strings.Contains(err.Error(), "a knot (bsrpc_test.knot unwraps") {
				t.Errorf("%+v: %v", c, err)
			}
			client.Close()
		}
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		near, far := net.Pipe()
		go srv.ServeConn(knotConn{far})
		client, err := bsrpc.NewClient(t.Context(), trace.NewConn(knotConn{near}, io.Discard, nil), &bsrpc.ClientOptions{Logger: quiet, NoReconnect: true})
		if err != nil {
			t.Fatal(err)
		}
		far.Close()
		<-client.Done()
		if err := client.Err(); bsrpc.CodeOf(err) != bsrpc.CodeUnavailable || !strings.Contains(err.Error(), "a knot (") {
			t.Error("a connection:", err)
		}
		if err := srv.Serve(knotListener{}); err == nil || !strings.Contains(err.Error(), "accept: a knot (") {
			t.Error("a listener:", err)
		}
		srv.Close()
	})
}

// A knotCarrier fails calls, or the streams among their results.
type knotCarrier struct{ items bool }

func (c knotCarrier) RoundTrip(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
	if !c.items {
		return nil, knot{}
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	srv.RegisterFunc("S.Down", func() iter.Seq2[int, error] { return func(func(int, error) bool) {} })
	reply := srv.Handle(ctx, r)
	if reply.Items != nil {
		reply.Items = func(yield func([]byte, error) bool) { yield(nil, knot{}) }
	}
	return reply, nil
}

// A knotConn fails with knots.
type knotConn struct{ net.Conn }

func (c knotConn) Read(b []byte) (int, error)  { return knotFor(c.Conn.Read(b)) }
func (c knotConn) Write(b []byte) (int, error) { return knotFor(c.Conn.Write(b)) }

func knotFor(n int, err error) (int, error) {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = knot{}
	}
	return n, err
}

type knotListener struct{}

func (knotListener) Accept() (net.Conn, error) { return nil, knot{} }
func (knotListener) Close() error              { return nil }
func (knotListener) Addr() net.Addr            { return &net.TCPAddr{} }

// A listed type may unwrap to itself: its errors are only their text. A listed value must not.
func TestEndlessErrorsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Errors: map[string]error{"knot": unknotted{}}})
		if err := srv.RegisterFunc("S.Fail", func() error { return unknotted{7} }); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Logger: quiet, Errors: map[string]error{"knot": knot{}}})
		if err != nil {
			t.Fatal(err)
		}
		err = client.Call(t.Context(), "S.Fail", nil)
		var e *bsrpc.Error
		if errors.Is(err, io.EOF) || !errors.As(err, &e) || e.Name != "knot" || e.Message != "not a knot" || errors.As(err, new(knot)) {
			t.Error(err)
		}
		bad := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Errors: map[string]error{"knot": knot{7}}})
		if err := bad.Serve(knotListener{}); err == nil || !strings.Contains(err.Error(), `key "knot": a knot (bsrpc_test.knot unwraps to itself`) {
			t.Error("a listed value:", err)
		}
	})
}

// An unknotted error has the fields of a knot.
type unknotted struct{ N int }

func (unknotted) Error() string { return "not a knot" }
