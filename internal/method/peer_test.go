package method

import (
	"context"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/layout"
)

// Two versions of a method.
type (
	oldOrder struct {
		ID    int64
		Name  string
		Gone  string `bsrpc:"optional"`
		Noise string `bsrpc:"optional,ignorable"`
	}
	newOrder struct {
		Note string `bsrpc:"optional"`
		Name string
		ID   int64
	}
	oldMethod func(ctx context.Context, n int16, o oldOrder, more iter.Seq2[oldOrder, error], tell func(newOrder) (oldOrder, error)) (oldOrder, error)
	newMethod func(ctx context.Context, n int64, o newOrder, more iter.Seq2[newOrder, error], tell func(oldOrder) (newOrder, error)) (newOrder, error)
)

func versionFor[F any](t *testing.T) (*Signature, *layout.Method) {
	t.Helper()
	s, problems := compile("S.M", reflect.TypeFor[F](), 0, new(codec.MethodTag))
	if problems != nil {
		t.Fatal(problems)
	}
	return s, s.Layout("S", "M")
}

// pass writes a value with one codec and reads it with another.
func pass(from, to *codec.Codec, in any) (out reflect.Value, err error) {
	var enc codec.Encoder
	out = reflect.New(to.Type())
	if err := from.Append(&enc, codec.RefTo(reflect.ValueOf(in))); err != nil {
		return out.Elem(), err
	}
	return out.Elem(), to.Read(&codec.Decoder{Data: enc.Buf}, codec.RefTo(out))
}

// An old caller and a new callee. What the caller writes the callee reads, and the reverse:
// arguments and items of streams go there, results come back, and a func among the arguments
// is called by the callee.
func TestForPeer(t *testing.T) {
	old, oldLayout := versionFor[oldMethod](t)
	now, newLayout := versionFor[newMethod](t)
	caller, err := old.ForPeer(newLayout, true, "the server")
	if err != nil {
		t.Fatal(err)
	}
	callee, err := now.ForPeer(oldLayout, false, "the client")
	if err != nil {
		t.Fatal(err)
	}
	if caller.Args == old.Args || caller.Results == old.Results || callee.Args == now.Args || callee.Results != now.Results {
		t.Error("a caller writes arguments and reads results in another way, a callee reads arguments")
	}

	args := func(o oldOrder) any {
		v := reflect.New(old.Args.Type())
		v.Elem().Field(0).SetInt(-9)
		v.Elem().Field(1).Set(reflect.ValueOf(o))
		return v.Interface()
	}
	out, err := pass(caller.Args, callee.Args, args(oldOrder{ID: -2, Name: "n", Noise: "dropped"}))
	if got := out.Field(1).Interface(); err != nil || out.Field(0).Int() != -9 || got != (newOrder{ID: -2, Name: "n"}) {
		t.Errorf("arguments: %+v, %v", out, err)
	}
	if _, err = pass(caller.Args, callee.Args, args(oldOrder{Gone: "x"})); err == nil || !strings.Contains(err.Error(), "parameter 2, oldOrder.Gone: the server does not know it") {
		t.Errorf("an argument that the server does not know: %v", err)
	}
	results := reflect.New(now.Results.Type())
	results.Elem().Field(0).Set(reflect.ValueOf(newOrder{"dropped", "n", 1 << 20}))
	out, err = pass(callee.Results, caller.Results, results.Interface())
	if got := out.Field(0).Interface(); err != nil || got != (oldOrder{ID: 1 << 20, Name: "n"}) {
		t.Errorf("results: %+v, %v", got, err)
	}

	items, read := caller.paramStreams[0].Item, callee.paramStreams[0].Item
	out, err = pass(items, read, &oldOrder{ID: 3, Name: "i"})
	if err != nil || out.Interface() != (newOrder{ID: 3, Name: "i"}) {
		t.Errorf("items: %+v, %v", out, err)
	}
	if _, err = pass(items, read, &oldOrder{Gone: "x"}); err == nil {
		t.Error("an item lost what the server does not know")
	}

	// The callee calls the func: its contract has the old argument and the new result.
	tell, told := callee.ParamFuncs()[0].Sig, caller.ParamFuncs()[0].Sig
	arg := reflect.New(tell.Args.Type())
	arg.Elem().Field(0).Set(reflect.ValueOf(oldOrder{ID: 4, Name: "f"}))
	out, err = pass(tell.Args, told.Args, arg.Interface())
	if got := out.Field(0).Interface(); err != nil || got != (newOrder{ID: 4, Name: "f"}) {
		t.Errorf("arguments of a func: %+v, %v", got, err)
	}
	result := reflect.New(told.Results.Type())
	result.Elem().Field(0).Set(reflect.ValueOf(oldOrder{ID: 5, Name: "r", Gone: "dropped"}))
	out, err = pass(told.Results, tell.Results, result.Interface())
	if got := out.Field(0).Interface(); err != nil || got != (newOrder{ID: 5, Name: "r"}) {
		t.Errorf("results of a func: %+v, %v", got, err)
	}
}

// A caller sends parameters that its peer lacks, which skips them, if they are zero: the peer
// has no place for other values.
func TestForPeerFewerParameters(t *testing.T) {
	s, problems := compile("S.M", reflect.TypeFor[func(a int64, b string, tell func(string)) error](), 0,
		&codec.MethodTag{ID: -1, Params: []*codec.Tag{{}, {Optional: true}, {Optional: true}}})
	if problems != nil {
		t.Fatal(problems)
	}
	peer, err := layout.ParseMethod("S.M(int.le8)")
	if err != nil || len(layout.Compare(s.Layout("S", "M"), peer)) > 0 {
		t.Fatal(err)
	}
	caller, err := s.ForPeer(peer, true, "the server")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"": "", "b": "parameter 2: the server does not know it"} {
		v := reflect.New(s.Args.Type())
		v.Elem().Field(1).SetString(text)
		var enc codec.Encoder
		err := caller.Args.Append(&enc, codec.RefTo(v))
		if want == "" && (err != nil || len(enc.Buf) != 8+4+1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %x, %v", text, enc.Buf, err)
		}
	}
	if own := caller.ParamFuncs()[0].Sig; own == s.ParamFuncs()[0].Sig || own.Args != s.ParamFuncs()[0].Sig.Args {
		t.Error("a func that the peer lacks has another signature")
	}
}

// A client compiles a version once, however often it binds, and what does not fit never.
func TestVersionOf(t *testing.T) {
	old, own := versionFor[oldMethod](t)
	_, newLayout := versionFor[newMethod](t)
	first, differences := VersionOf(old, own, newLayout.String(), "the server")
	if first == nil || differences != nil {
		t.Fatal(differences)
	}
	again, _ := versionFor[oldMethod](t) // another bind
	second, _ := VersionOf(again, own, newLayout.String(), "the server")
	if second == nil || second == first || second.Args != first.Args || second.Results != first.Results || second.shared != first.shared {
		t.Error("the second bind compiled again, or shares the values of calls")
	}
	if other, _ := VersionOf(old, own, newLayout.String(), "the client"); other == nil || other.Args == first.Args {
		t.Error("the errors of a session name the server")
	}
	misfit, _ := layout.ParseMethod("S.M(bool)")
	if none, differences := VersionOf(old, own, misfit.String(), "the server"); none != nil || len(differences) == 0 {
		t.Errorf("%v, %v", none, differences)
	}
	if none, differences := VersionOf(old, own, "S.M(", "the server"); none != nil || differences != nil {
		t.Errorf("%v, %v", none, differences)
	}
}

// BenchmarkVersionOf is what a bind pays for a method with another version at the server.
func BenchmarkVersionOf(b *testing.B) {
	s, _ := compile("S.M", reflect.TypeFor[oldMethod](), 0, new(codec.MethodTag))
	n, _ := compile("S.M", reflect.TypeFor[newMethod](), 0, new(codec.MethodTag))
	m, text := s.Layout("S", "M"), n.Layout("S", "M")
	b.Run("shared", func(b *testing.B) {
		for b.Loop() {
			VersionOf(s, m, text.String(), "the server")
		}
	})
	b.Run("compiled", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.ForPeer(text, true, "the server"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
