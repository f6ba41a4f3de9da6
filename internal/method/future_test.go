package method

import (
	"bytes"
	"context"
	"iter"
	"reflect"
	"testing"
)

// A later is a future as the root's.
type later[T any] struct {
	FutureOf[T]
	v *Values
}

func (l *later[T]) begin(v *Values) { l.v = v }

// wait gives the result, once.
func (l *later[T]) wait() (t T, err error) {
	err = ReadResults(l.v.sig, l.v)
	CopyResults(l.v, []any{&t})
	l.v.Free()
	return t, err
}

// lateCaller answers each call when its future is waited for.
type lateCaller struct {
	t   *testing.T
	ctx context.Context
}

func (c *lateCaller) Call(context.Context, *Values) error { panic("not a call that waits") }

func (c *lateCaller) Start(ctx context.Context, v *Values, future any) {
	if ctx != c.ctx {
		c.t.Error("another context")
	}
	if err := v.sig.AppendArgs(&v.Enc, v); err != nil {
		c.t.Error(err)
	}
	answer := v.sig.NewValues()
	answer.Dec.Data = bytes.Clone(v.Enc.Buf) // the result is the argument
	future.(interface{ begin(*Values) }).begin(answer)
}

// A func with a future has the layout of one with its value and an error.
func TestFutures(t *testing.T) {
	type contract struct {
		Echo func(context.Context, string) *later[string]
		Find func(*point) *later[*point]            `bsrpc:"name=Echo,timeout=5s"`
		Size func(context.Context, int) *later[int] `bsrpc:"(le2) le2,name=Echo,optional"`
	}
	type served struct {
		Echo func(string) (string, error)
	}
	var proxy contract
	stubs := make([]*Stub, 0, 3)
	for i, m := range []reflect.Type{reflect.TypeFor[struct {
		Echo func(context.Context, string) *later[string]
	}](), reflect.TypeFor[struct{ Find func(*point) *later[*point] }](), reflect.TypeFor[struct {
		Size func(context.Context, int) *later[int] `bsrpc:"(le2) le2"`
	}]()} {
		s, err := bindable("S", m)
		if err != nil {
			t.Fatal(err)
		}
		s[0].index = []int{i}
		stubs = append(stubs, s...)
	}
	for i, want := range []string{"S.Echo(string.le4) string.le4", "S.Find(*{X int.le4; Y int.le4}) *{X int.le4; Y int.le4}", "S.Size(int.le2) int.le2"} {
		if stubs[i].Layout != want || !stubs[i].Sig.EndsInError() {
			t.Errorf("%s, want %s", stubs[i].Layout, want)
		}
	}
	plain, err := bindable("S", reflect.TypeFor[served]())
	if err != nil || plain[0].Hash != stubs[0].Hash {
		t.Error(plain, err)
	}
	c := &lateCaller{t, context.WithValue(t.Context(), c0{}, 1)}
	for i, s := range stubs {
		if i == 1 { // without a context
			s.Fill(reflect.ValueOf(&proxy).Elem(), &lateCaller{t, context.Background()})
		} else {
			s.Fill(reflect.ValueOf(&proxy).Elem(), c)
		}
	}
	echo, find, size := proxy.Echo(c.ctx, "a"), proxy.Find(&point{1, 2}), proxy.Size(c.ctx, 300)
	if n, err := size.wait(); n != 300 || err != nil {
		t.Error(n, err)
	}
	if s, err := echo.wait(); s != "a" || err != nil {
		t.Error(s, err)
	}
	if p, err := find.wait(); *p != (point{1, 2}) || err != nil {
		t.Error(p, err)
	}
}

type c0 struct{}

// Each line is a func of a contract, and its problem.
func TestFutureProblems(t *testing.T) {
	for _, test := range []struct {
		field any
		want  string
	}{
		{func() (*later[int], error) { return nil, nil }, "S.M: *method.later[int] stands for a result and the error; it is the only result of a func"},
		{func() (int, *later[int]) { return 0, nil }, "S.M: *method.later[int] stands for a result and the error; it is the only result of a func"},
		{func() (_ later[int], _ error) { return }, "S.M, result 1: a method.later[int] is not to be copied; declare it as *method.later[int]"},
		{func() *later[iter.Seq2[int, error]] { return nil }, "S.M: a future is of a value; return iter.Seq2[int,error] alone, which comes at once"},
		{func() *later[chan int] { return nil }, "S.M, result 1: chan int has no wire form; declare it as iter.Seq2[int, error]"},
		{func(func() *later[int]) error { return nil }, "S.M, parameter 1: *method.later[int] is for the funcs of a client's contract; return int and an error"},
	} {
		contract := reflect.StructOf([]reflect.StructField{{Name: "M", Type: reflect.TypeOf(test.field)}})
		_, problems := stubsOf("S", contract)
		if len(problems) != 1 || problems[0].String() != test.want {
			t.Errorf("%T:\n%v\nwant\n%s", test.field, problems, test.want)
		}
	}
	const want = "S.M: *method.later[int] is for the funcs of a client's contract; return int and an error"
	type contract struct {
		M func() *later[int]
	}
	fn := func() *later[int] { return nil }
	_, first := FuncsAs("S", reflect.TypeFor[contract](), &contract{fn})
	_, second := FuncOf("S", "M", reflect.ValueOf(fn))
	for _, problems := range [][]Problem{first, second} {
		if len(problems) != 1 || problems[0].String() != want {
			t.Errorf("%v\nwant\n%s", problems, want)
		}
	}
}

// A method with the result and an error implements a func that returns a future.
func TestFutureImplemented(t *testing.T) {
	type contract struct {
		M func(ctx context.Context, s string) *later[int] `bsrpc:"(len=le1) be2"`
	}
	for _, impl := range []any{withM{}, withoutError{}} {
		funcs, problems := FuncsAs("S", reflect.TypeFor[contract](), impl)
		if len(problems) != 0 || len(funcs) != 1 || funcs[0].Description.Layout != "S.M(string.le1) int.be2" {
			t.Errorf("%T: %v", impl, problems)
		}
	}
	const want = "S.M: the contract takes (string) and returns (int), the implementation takes (string) and returns (string)"
	if _, problems := FuncsAs("S", reflect.TypeFor[contract](), withString{}); len(problems) != 1 || problems[0].String() != want {
		t.Errorf("%v\nwant\n%s", problems, want)
	}
}

type (
	withM        struct{}
	withoutError struct{}
	withString   struct{}
)

func (withoutError) M(ctx context.Context, s string) int           { return 0 }
func (withString) M(ctx context.Context, s string) (string, error) { return "", nil }

func (withM) M(s string) (int, error) { return 0, nil }
