package bsrpc_test

import (
	"context"
	"errors"
	"iter"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A shape is a union, recursive by its last member.
type shape struct {
	_      struct{} `bsrpc:"union"`
	Circle *float64
	Rect   *struct{ W, H int32 }
	Label  *string `bsrpc:"len=le1"`
	Group  *[]shape
}

func shapeCircle(r float64) shape      { return shape{Circle: &r} }
func shapeLabel(text string) shape     { return shape{Label: &text} }
func shapeGroup(shapes ...shape) shape { return shape{Group: &shapes} }
func shapeRect(w, h int32) (s shape)   { s.Rect = &struct{ W, H int32 }{w, h}; return s }
func shapes() []shape {
	return []shape{shapeCircle(1), shapeRect(2, 3), shapeLabel("a"), shapeGroup(shapeCircle(4), shapeGroup(shapeLabel("")))}
}

// drawing has unions at all places of a call.
type drawing struct {
	Copy    func(ctx context.Context, s shape) (shape, error)                                                  `bsrpc:"id=1"`
	Pointer func(ctx context.Context, s *shape) (*shape, error)                                                `bsrpc:"id=2"`
	All     func(ctx context.Context, list []shape, named map[string]shape) (map[string]shape, []shape, error) `bsrpc:"id=3"`
	Stream  func(ctx context.Context, in iter.Seq[shape]) iter.Seq2[shape, error]
	Call    func(ctx context.Context, s shape, f func(shape) (shape, error)) (shape, error)
}

type canvas struct{}

func (canvas) Copy(s shape) shape      { return s }
func (canvas) Pointer(s *shape) *shape { return s }
func (canvas) All(list []shape, named map[string]shape) (map[string]shape, []shape) {
	return named, list
}

func (canvas) Stream(_ context.Context, in iter.Seq2[shape, error]) iter.Seq2[shape, error] {
	return in
}
func (canvas) Call(s shape, f func(shape) (shape, error)) (shape, error) { return f(s) }

// sketch is drawing without streams and funcs, for the basic wire.
type sketch struct {
	Copy    func(ctx context.Context, s shape) (shape, error)                                                  `bsrpc:"id=1"`
	Pointer func(ctx context.Context, s *shape) (*shape, error)                                                `bsrpc:"id=2"`
	All     func(ctx context.Context, list []shape, named map[string]shape) (map[string]shape, []shape, error) `bsrpc:"id=3"`
}

func canvasServer(t *testing.T, opts *bsrpc.ServerOptions) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[drawing](srv, "Canvas", canvas{}); err != nil {
		t.Fatal(err)
	}
	return srv
}

func TestUnionCalls(t *testing.T) {
	proxy := bsrpctest.Bind[drawing](t, canvasServer(t, nil), "Canvas")
	checkSketch(t, &sketch{proxy.Copy, proxy.Pointer, proxy.All})
	got, err := bsrpctest.Collect(proxy.Stream(t.Context(), func(yield func(shape) bool) {
		for _, s := range shapes() {
			if !yield(s) {
				return
			}
		}
	}))
	if err != nil || !reflect.DeepEqual(got, shapes()) {
		t.Errorf("stream: %+v, %v", got, err)
	}
	s, err := proxy.Call(t.Context(), shapeCircle(1), func(s shape) (shape, error) { return shapeGroup(s, s), nil })
	if err != nil || !reflect.DeepEqual(s, shapeGroup(shapeCircle(1), shapeCircle(1))) {
		t.Errorf("callback: %+v, %v", s, err)
	}
}

// On the basic wire a union has the same bytes.
func TestUnionBasic(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Basic: true, Logger: quiet})
	if err := bsrpc.RegisterAs[sketch](srv, "Canvas", canvas{}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Basic: true})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[sketch](t.Context(), client, "Canvas")
	if err != nil {
		t.Fatal(err)
	}
	checkSketch(t, proxy)
}

// checkSketch calls the methods without streams.
func checkSketch(t *testing.T, proxy *sketch) {
	t.Helper()
	for _, want := range shapes() {
		got, err := proxy.Copy(t.Context(), want)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %+v, %v", want, got, err)
		}
		pointed, err := proxy.Pointer(t.Context(), &want)
		if err != nil || !reflect.DeepEqual(*pointed, want) {
			t.Errorf("%+v: %+v, %v", want, pointed, err)
		}
	}
	if got, err := proxy.Pointer(t.Context(), nil); got != nil || err != nil {
		t.Errorf("nil: %+v, %v", got, err)
	}
	named := map[string]shape{"a": shapes()[0], "b": shapes()[3]}
	gotNamed, got, err := proxy.All(t.Context(), shapes(), named)
	if err != nil || !reflect.DeepEqual(got, shapes()) || !reflect.DeepEqual(gotNamed, named) {
		t.Errorf("%+v, %+v, %v", gotNamed, got, err)
	}
	_, _, err = proxy.All(t.Context(), []shape{shapeCircle(1), {}}, nil)
	checkUnionError(t, err, "All, parameter 1, []shape: no member of the union is set; set one")
	two := shapeCircle(1)
	two.Label = ptr("a")
	_, err = proxy.Copy(t.Context(), two)
	checkUnionError(t, err, "Copy, parameter 1, shape: Circle and Label are set, two members of a union; set one")
}

func checkUnionError(t *testing.T, err error, want string) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != bsrpc.CodeInvalidArgument || e.Outcome != bsrpc.OutcomeNotRun || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%#v\nwant %s", err, want)
	}
}

// Without a contract the types of the caller may be narrower, and in another order.
func TestUnionDynamic(t *testing.T) {
	type mine struct {
		Group *[]mine
		Label *string
		_     struct{} `bsrpc:"union"`
		Rect  *struct{ H, W int8 }
		Round *float32 `bsrpc:"name=Circle"`
	}
	client, err := bsrpctest.Dial(t, canvasServer(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	in, out := mine{Group: &[]mine{{Rect: &struct{ H, W int8 }{1, 2}}, {Round: ptr(float32(0.5))}}}, mine{}
	if err := client.Call(t.Context(), "Canvas.Copy", []any{in}, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%+v, %v", out, err)
	}
	var same *shape
	if err := client.Call(t.Context(), "Canvas.Copy", []any{&in}, &same); err != nil || !reflect.DeepEqual(*same, shapeGroup(shapeRect(2, 1), shapeCircle(0.5))) {
		t.Errorf("%+v, %v", same, err)
	}
	for _, arg := range []any{struct{ Circle, Rect, Label, Group *int }{}, nil, 5} {
		err := client.Call(t.Context(), "Canvas.Copy", []any{arg}, &out)
		if err == nil || !strings.Contains(err.Error(), "does not fit <Circle float.le8; Rect {W int.le4; H int.le4}; Label string.le1; Group []^2>") {
			t.Errorf("%T: %v", arg, err)
		}
	}
}

// A contract with other members differs at the member.
func TestUnionMismatch(t *testing.T) {
	type part struct {
		_      struct{} `bsrpc:"union"`
		Circle *float64
		Rect   *struct{ W, H int64 }
		Label  *string `bsrpc:"len=le1"`
	}
	type contract struct {
		Copy func(ctx context.Context, s part) (part, error)
	}
	client, err := bsrpctest.Dial(t, canvasServer(t, &bsrpc.ServerOptions{Logger: quiet}), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bsrpc.Bind[contract](t.Context(), client, "Canvas")
	for _, want := range []string{"parameter 1, part.Rect.W: client int.le8, server int.le4", "result 1, part.Group: only on the server; tag it optional at the server"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// A server answers a union without a valid number with the place, and does not run the method.
func TestUnionInvalidNumber(t *testing.T) {
	near, far := net.Pipe()
	srv := canvasServer(t, &bsrpc.ServerOptions{Logger: quiet, Basic: true})
	go srv.ServeConn(far)
	t.Cleanup(func() { near.Close(); srv.Close() })
	for _, step := range []struct{ write, want string }{
		{"\x08\x00\x00\x00\x00\x00\x00\x01", "\x06\x00\x00\x00\x00\x01"},
		{"\x08\x00\x00\x00\x01\x01\x00\x05", "want 1 to 4 for the member of a union"},
		{"\x08\x00\x00\x00\x01\x01\x00\x00", "want 1 to 4 for the member of a union"},
		{"\x09\x00\x00\x00\x01\x01\x00\x03\x00", "\x07\x00\x00\x00\x01\x03\x00"},
	} {
		go near.Write([]byte(step.write))
		b := make([]byte, 500)
		n, err := near.Read(b)
		if err != nil || !strings.Contains(string(b[:n]), step.want) {
			t.Errorf("%q: %q, %v", step.write, b[:n], err)
		}
	}
	if _, err := bsrpc.Marshal(shape{}); err == nil || err.Error() != "bsrpc: shape: no member of the union is set; set one" {
		t.Error(err)
	}
}
