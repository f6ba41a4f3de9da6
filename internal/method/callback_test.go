package method

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// backwards is the connection of a callback: from a func stored at a handler to the
// caller's.
type backwards struct{ fn *Func }

func (b backwards) Call(ctx context.Context, v *Values) error {
	if err := v.sig.AppendArgs(&v.Enc, v); err != nil {
		return err
	}
	run := b.fn.Sig.NewValues()
	defer run.Free()
	run.Ctx, run.Dec.Data = ctx, bytes.Clone(v.Enc.Buf)
	if err := run.ReadArgs(); err != nil {
		return err
	}
	if err := b.fn.Invoke(nil, run); err != nil {
		return err
	}
	if err := run.AppendResults(); err != nil {
		return err
	}
	v.Dec.Data = bytes.Clone(run.Enc.Buf)
	return ReadResults(v.sig, v)
}

// callWithFuncs serves a call with callbacks.
func callWithFuncs(ctx context.Context, f *Func, sig *Signature, v *Values) error {
	served := f.Sig.NewValues()
	defer served.Free()
	for i, p := range f.Sig.ParamFuncs() {
		SetCaller(p, served, backwards{sig.ParamFuncs()[i].Func(v)})
	}
	if err := v.sig.AppendArgs(&v.Enc, v); err != nil {
		return err
	}
	served.Ctx, served.Dec.Data = ctx, bytes.Clone(v.Enc.Buf)
	if err := served.ReadArgs(); err != nil {
		return err
	}
	if err := f.Invoke(nil, served); err != nil {
		return err
	}
	if err := served.AppendResults(); err != nil {
		return err
	}
	v.Dec.Data = bytes.Clone(served.Enc.Buf)
	return ReadResults(v.sig, v)
}

type (
	progress func(ctx context.Context, done int, parts ...string)
	asker    struct{}
	asking   struct {
		Run func(ctx context.Context, n int, p progress, ask func(context.Context, *point, string) (bool, error), note string, check func() error) (string, error)
	}
)

func (asker) Run(ctx context.Context, n int, p progress, ask func(context.Context, *point, string) (bool, error), note string, check func() error) (string, error) {
	said := fmt.Sprintf("%d %s %v %v %v", n, note, p != nil, ask != nil, check != nil)
	if p != nil {
		p(ctx, 1, "a", "b")
	}
	if ask != nil {
		ok, err := ask(ctx, &point{1, 2}, "go on?")
		said += fmt.Sprint(" ", ok, " ", err)
	}
	if check != nil {
		said += fmt.Sprint(" ", check())
	}
	return said, nil
}

// Funcs are called with their arguments and context, and answer; nil arrives as nil.
func TestCallbacks(t *testing.T) {
	funcs, problems := FuncsAs("Ask", reflect.TypeFor[asking](), asker{})
	if problems != nil {
		t.Fatal(problems)
	}
	stubs, err := bindable("Ask", reflect.TypeFor[asking]())
	if err != nil {
		t.Fatal(err)
	}
	const want = "Ask.Run(int.le8, func(int.le8, []string.le4) oneway, func(*{X int.le4; Y int.le4}, string.le4) bool, string.le4, func()) string.le4"
	if stubs[0].Layout != want || stubs[0].Hash != funcs[0].Hash {
		t.Errorf("%s, %s, want %s", stubs[0].Layout, funcs[0].Layout, want)
	}
	var proxy asking
	stubs[0].Fill(reflect.ValueOf(&proxy).Elem(), callerFunc(func(ctx context.Context, v *Values) error {
		return callWithFuncs(ctx, funcs[0], stubs[0].Sig, v)
	}))
	if p := stubs[0].Sig.ParamFuncs(); len(p) != 3 || p[0].Index != 1 || !p[0].Oneway() || p[1].Oneway() || p[2].Oneway() {
		t.Errorf("%v", p)
	}
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "mine")
	var heard string
	said, err := proxy.Run(ctx, 7,
		func(ctx context.Context, done int, parts ...string) {
			heard = fmt.Sprint(ctx.Value(key{}), done, parts)
		},
		func(ctx context.Context, p *point, text string) (bool, error) {
			if ctx.Value(key{}) != "mine" || *p != (point{1, 2}) || text != "go on?" {
				t.Error(p, text)
			}
			return true, nil
		}, "note", func() error { return errCut })
	if want := "7 note true true true true <nil> cut"; said != want || err != nil || heard != "mine1 [a b]" {
		t.Errorf("%q %v %q, want %q", said, err, heard, want)
	}
	said, err = proxy.Run(ctx, 1, nil, func(context.Context, *point, string) (bool, error) { return true, errCut }, "", nil)
	if want := "1  false true false false cut"; said != want || err != nil {
		t.Errorf("%q %v, want %q", said, err, want)
	}
	if said, err = proxy.Run(ctx, 1, nil, nil, "", nil); said != "1  false false false" || err != nil {
		t.Errorf("%q %v", said, err)
	}
}

// A byte other than 0 and 1 is an error, and leaves nil.
func TestFuncByte(t *testing.T) {
	s := signatureOf(t, func(func(), int8) {})
	for data, want := range map[string]string{
		"\x02\x01":     "parameter 1: want 0 or 1 for the presence of a func, offset 0",
		"":             "parameter 1: want 1 byte, have 0, offset 0",
		"\x01":         "parameter 2: want 1 byte, have 0, offset 1",
		"\x01\x02":     "",
		"\x00\x02":     "",
		"\x00\x02\x03": "1 trailing byte, offset 2",
	} {
		v := s.NewValues()
		SetCaller(s.ParamFuncs()[0], v, callerFunc(func(context.Context, *Values) error { return nil }))
		v.Dec.Data = []byte(data)
		err := v.ReadArgs()
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %s", data, err, want)
		}
		if set := s.ParamFuncs()[0].Func(v) != nil; err == nil && set != (data[0] == 1) {
			t.Errorf("%q: set %v", data, set)
		}
		v.Free()
	}
}

// A oneway func drops the error of its call.
func TestOnewayFunc(t *testing.T) {
	s := signatureOf(t, func(func(string), func(context.Context)) {})
	v := s.NewValues()
	got := ""
	SetCaller(s.ParamFuncs()[0], v, callerFunc(func(_ context.Context, v *Values) error {
		got = v.args.Field(0).String()
		return errCut
	}))
	v.args.Field(0).Interface().(func(string))("a")
	if got != "a" {
		t.Error(got)
	}
}

// The values of a call's funcs belong to its signature alone, and the pool keeps none of
// the funcs.
func TestFuncsAreNotKept(t *testing.T) {
	fn := func(func(*point) error) {}
	a, b := signatureOf(t, fn), signatureOf(t, fn)
	if a.ParamFuncs()[0].Sig == b.ParamFuncs()[0].Sig {
		t.Error("two signatures share a pool")
	}
	v := a.NewValues()
	kept := new([64]byte)
	v.args.Field(0).Set(reflect.ValueOf(func(*point) error { kept[0]++; return nil }))
	w := weak.Make(kept)
	kept = nil
	v.Free()
	for range 3 {
		runtime.GC()
	}
	if w.Value() != nil {
		t.Error("the values hold a func")
	}
	runtime.KeepAlive(v)
}

// Each line is a func, and its problem.
func TestFuncProblems(t *testing.T) {
	const (
		place   = "S.M, parameter 1: "
		inside  = "S.M, parameter 1, func's parameter 1"
		noForm  = " has no wire form; "
		onlyArg = "only a whole parameter of a method can be a func"
	)
	for _, test := range []struct {
		fn   any
		want string
	}{
		{func(func() int) {}, place + "func() int must end in error: a call can fail on the way, and a zero would look like an answer"},
		{func(func() (int, string)) {}, place + "func() (int, string) must end in error: a call can fail on the way, and a zero would look like an answer"},
		{func(func(chan int)) {}, inside + ": chan int" + noForm + "use a slice, as only a whole parameter or result of a method can be a stream"},
		{func(func(iter.Seq2[int, error])) {}, inside + ": iter.Seq2[int, error]" + noForm + "use a slice, as only a whole parameter or result of a method can be a stream"},
		{func(func(io.Reader)) {}, inside + ", Reader: io.Reader" + noForm + "use a []byte, as only a whole parameter or result of a method can be a reader"},
		{func(func(func())) {}, inside + ": func()" + noForm + onlyArg},
		{func(func() (func(), error)) {}, "S.M, parameter 1, func's result 1: func()" + noForm + onlyArg},
		{func(func(int, context.Context)) {}, "S.M, parameter 1, func's parameter 2, Context: context.Context" + noForm + "it can only be a method's first parameter"},
		{func() func() { return nil }, "S.M, result 1: func()" + noForm + onlyArg},
		{func([]func()) {}, "S.M, parameter 1, []: func()" + noForm + onlyArg},
		{func(...func()) {}, "S.M, parameter 1, []: func()" + noForm + onlyArg},
		{func(*func()) {}, place + "func()" + noForm + onlyArg},
		{func(struct{ F func() }) {}, "S.M, parameter 1, F: func()" + noForm + onlyArg},
	} {
		_, problems := FuncOf("S", "M", reflect.ValueOf(test.fn))
		if len(problems) != 1 || problems[0].String() != test.want {
			t.Errorf("%T:\n%v\nwant\n%s", test.fn, problems, test.want)
		}
	}
	type contract struct {
		A func(func(int) error) error `bsrpc:"(le2)"`
		B func(func(int) error) error `bsrpc:"id=7"`
	}
	_, err := bindable("S", reflect.TypeFor[contract]())
	want := `bsrpc: bind S: 2 problems
    S.A, parameter 1: func(int) error does not take "le2"; it takes no words
    S.B: peers of basic-socket-rpc have no streams and callbacks; leave out id=, or the streams, readers and funcs`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

// Values that do not fit name the func's parameter; misspelt keys are found in it.
func TestFuncPaths(t *testing.T) {
	type item struct {
		A int `bsrp:"le2"`
		B int `bsrpc:"le2"`
	}
	s := signatureOf(t, func(int, func(string, item) error) {})
	v := s.ParamFuncs()[0].Sig.NewValues()
	v.args.Field(1).Set(reflect.ValueOf(item{B: 1 << 20}))
	err := v.sig.AppendArgs(&v.Enc, v)
	if want := "func's parameter 2, item.B: does not fit in 2 bytes"; !errors.Is(err, codec.ErrRange) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if keys := MisspeltKeys(s); len(keys) != 1 || !strings.Contains(fmt.Sprint(keys), "item.A") {
		t.Error(keys)
	}
}

// A oneway method is another one than the same with an answer.
func TestOnewayMethods(t *testing.T) {
	type contract struct {
		Log func(string) error `bsrpc:"(len=le1),oneway"`
		Say func(string) error `bsrpc:"oneway,name=Tell"`
		Ask func(string) error
	}
	stubs, err := bindable("S", reflect.TypeFor[contract]())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"S.Log(string.le1) oneway", "S.Tell(string.le4) oneway", "S.Ask(string.le4)"} {
		if got := stubs[i]; got.Layout != want || got.Sig.Oneway() != strings.HasSuffix(want, " oneway") || got.Sig.Layout("S", got.Name[2:]).String() != want {
			t.Errorf("got %s, want %s", got.Layout, want)
		}
	}
	say := func(string) error { return nil }
	funcs, problems := FuncsAs("S", reflect.TypeFor[contract](), &contract{say, say, say})
	if problems != nil {
		t.Fatal(problems)
	}
	for i, f := range funcs {
		if f.Hash != stubs[i].Hash {
			t.Errorf("the handler has %s, the contract %s", f.Layout, stubs[i].Layout)
		}
	}
	type wrong struct {
		A func() (int, error)                                        `bsrpc:"oneway"`
		B func(iter.Seq2[int, error], func()) (io.ReadCloser, error) `bsrpc:"oneway,id=7"`
		C func() error                                               `bsrpc:"oneway=1"`
	}
	_, err = bindable("S", reflect.TypeFor[wrong]())
	want := `bsrpc: bind S: 5 problems
    S.C: "oneway" takes no value
    S.A: oneway: nothing comes back; return an error alone, or leave out the word
    S.B: peers of basic-socket-rpc have no streams and callbacks; leave out id=, or the streams, readers and funcs
    S.B: oneway: nothing comes back; return an error alone, or leave out the word
    S.B: oneway: streams and funcs live as long as their call, and this one is over when it is sent; pass values`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
