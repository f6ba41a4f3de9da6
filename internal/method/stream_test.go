package method

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/bsrpc/bsrpc/internal/codec"
)

var errCut = errors.New("cut")

// encoded is a stream between its two ends: the bytes of its items, and its error.
type encoded struct {
	item    *codec.Codec
	items   [][]byte
	err     error // after the items; nil for the end
	stopped int
}

// encodeItems ranges over a stream in v.
func encodeItems(t *testing.T, st *Stream, v *Values) *encoded {
	t.Helper()
	e := &encoded{item: st.Item, err: io.EOF}
	items := st.Items(v)
	if items == nil {
		return e
	}
	items(func(item codec.Ref, err error) bool {
		if err != nil {
			e.err = err
			return false
		}
		var enc codec.Encoder
		if err := st.Item.Append(&enc, item); err != nil {
			t.Error(err)
		}
		e.items = append(e.items, enc.Buf)
		return true
	})
	return e
}

func (e *encoded) open() (ItemReader, error) { return e, nil }

func (e *encoded) Next(item codec.Ref) error {
	if len(e.items) == 0 {
		return e.err
	}
	data := e.items[0]
	e.items = e.items[1:]
	return e.item.Read(&codec.Decoder{Data: data}, item)
}

func (e *encoded) Stop() { e.stopped++ }

// signatureOf compiles the type of fn.
func signatureOf(t *testing.T, fn any) *Signature {
	t.Helper()
	s, problems := compile("S.M", reflect.TypeOf(fn), 0, new(codec.MethodTag))
	if problems != nil {
		t.Fatal(problems)
	}
	return s
}

// seqOf yields items, and then err unless it is nil.
func seqOf[T any](err error, items ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// collect ranges over a stream to its end.
func collect[T any](seq iter.Seq2[T, error]) (items []T, err error) {
	for item, failed := range seq {
		if failed != nil {
			err = failed
			if !reflect.ValueOf(&item).Elem().IsZero() {
				err = errors.New("an item beside an error")
			}
			continue
		}
		items = append(items, item)
	}
	return items, err
}

// checkItems sends items as a parameter and as a result.
func checkItems[T any](t *testing.T, items ...T) {
	t.Helper()
	for _, end := range []error{nil, errCut} {
		s := signatureOf(t, func(context.Context, bool, iter.Seq2[T, error]) (r iter.Seq2[T, error], err error) { return })
		v, served := s.NewValues(), s.NewValues()
		v.args.Field(1).Set(reflect.ValueOf(seqOf(end, items...)))
		param, result := s.ParamStreams()[0], s.ResultStream()
		param.SetItems(served, encodeItems(t, param, v).open)
		served.results.Field(0).Set(served.args.Field(1))
		result.SetItems(v, encodeItems(t, result, served).open)
		back := v.results.Field(0).Interface().(iter.Seq2[T, error])
		served.Free()
		v.Free()
		got, err := collect(back)
		if !reflect.DeepEqual(got, items) || err != end {
			t.Errorf("%T: got %v %v, want %v %v", items, got, err, items, end)
		}
	}
}

type streamed struct {
	ID   int32
	Note string
	Next *streamed
}

// Items of every kind arrive as they were sent, through both ends of both directions.
func TestStreamItems(t *testing.T) {
	next := &streamed{ID: 2}
	checkItems(t, &streamed{ID: 1, Note: "a", Next: next}, nil, next)
	checkItems(t, &point{1, 2}, &point{3, 4})
	checkItems(t, streamed{ID: 1, Note: "a", Next: next}, streamed{}, *next)
	checkItems(t, "a", "", "a text that takes more than a word")
	checkItems(t, []byte("a"), []byte("bc"))
	checkItems(t, []string{"a"}, []string{"b", "c"})
	checkItems(t, map[string]int{"a": 1}, map[string]int{"b": 2})
	checkItems(t, 1, -1, 1<<30)
	checkItems[int8](t, 1, -1)
	checkItems(t, true, false)
	checkItems(t, 0.5, -1)
	checkItems[float32](t, 0.5, -1)
	checkItems(t, [2]string{"a", "b"}, [2]string{})
	checkItems(t, time.Unix(1, 2).UTC())
	checkItems(t, struct{}{}, struct{}{})
	checkItems(t, shapeNest{A: -1, E: 0.5, F: true}, shapeNest{})
	checkItems(t, shapeFew{1, 2, 3}, shapeFew{4, 5, 6})
	checkItems(t, shapeFloats{[1]float32{0.5}, []int16{1, 2}, -1}, shapeFloats{})
	checkItems(t, [1]string{"a"}, [1]string{"b"})
	checkItems(t, struct{ A, B, C, D string }{"a", "b", "c", "d"}) // more than registers
	checkItems(t, struct{ A, B, C, D float64 }{1, 2, 3, 4})        // the same for floats
	checkItems(t, struct{ A, B, C []byte }{[]byte("a"), []byte("b"), []byte("c")})
	checkItems(t, struct {
		A float64
		B float32
	}{1, 2})
	checkItems(t, complex(1, 2))
	checkItems[*string](t)
}

// Structs that yield takes without reflection, with pointers that nothing else holds.
func TestStructItems(t *testing.T) {
	type row struct {
		ID    int64
		Name  string
		Flags uint32
		Value float64
	}
	type nested struct {
		ID   uint64
		Part struct{ Name, Note string }
	}
	type shifted struct { // its last field is not where that of a flat struct would be
		Part struct {
			A int64
			B int32
		}
		C int32
	}
	checkItems(t, row{-1, "a", 1 << 31, 0.5}, row{}, row{1 << 62, "b", 1, -1})
	checkItems(t, nested{1, struct{ Name, Note string }{"a", "b"}}, nested{})
	checkItems(t, struct{ T, V float64 }{1, 2})
	checkItems(t, struct{ X, Y uint32 }{1, 2}, struct{ X, Y uint32 }{3, 4})
	checkItems(t, struct {
		N int32
		S string
	}{-1, "a"})
	checkItems(t, struct {
		N int
		P *point
	}{1, &point{1, 2}})
	checkItems(t, struct{ A, B, C, D int }{1, 2, 3, 4})
	checkItems(t, shifted{C: 7})
	if code := seqCodeOf(reflect.TypeFor[iter.Seq2[shifted, error]]()); code.hasItems() {
		t.Error("a struct with room in its middle is taken for a flat one")
	}

	s := signatureOf(t, func() (r iter.Seq2[row, error], err error) { return })
	v := s.NewValues()
	v.results.Field(0).Set(reflect.ValueOf(iter.Seq2[row, error](func(yield func(row, error) bool) {
		for i := range 1000 {
			if !yield(row{ID: int64(i), Name: strings.Repeat("x", i)}, nil) {
				return
			}
		}
	})))
	i := 0
	s.ResultStream().Items(v)(func(item codec.Ref, err error) bool {
		if i%100 == 0 {
			runtime.GC()
		}
		var enc codec.Encoder
		if err := s.ResultStream().Item.Append(&enc, item); err != nil || len(enc.Buf) < i || strings.Count(string(enc.Buf), "x") < i {
			t.Fatalf("item %d: %q, %v", i, enc.Buf, err)
		}
		i++
		return true
	})
	v.Free()
	if i != 1000 {
		t.Errorf("%d items", i)
	}
}

type point struct{ X, Y int32 }

// A nil iterator is found; an iter.Seq has no errors.
func TestStreamOfContract(t *testing.T) {
	s := signatureOf(t, func(iter.Seq[string], iter.Seq[point]) error { return nil })
	v := s.NewValues()
	if s.ParamStreams()[0].Items(v) != nil || s.ParamStreams()[1].Items(v) != nil {
		t.Error("a nil iterator has items")
	}
	v.args.Field(0).Set(reflect.ValueOf(slices.Values([]string{"a", "b"})))
	v.args.Field(1).Set(reflect.ValueOf(slices.Values([]point{{1, 2}})))
	for i, want := range []int{2, 1} {
		if e := encodeItems(t, s.ParamStreams()[i], v); len(e.items) != want || e.err != io.EOF {
			t.Errorf("stream %d: %d items, %v", i, len(e.items), e.err)
		}
	}
	if got := s.Layout("S", "M").String(); got != "S.M(stream(string.le4), stream({X int.le4; Y int.le4}))" {
		t.Error(got)
	}
	if plain := signatureOf(t, func(int, []string) (int, error) { return 0, nil }); plain.ParamStreams() != nil || plain.ResultStream() != nil || !plain.EndsInError() {
		t.Error("a method without streams has some")
	}
}

// received is an iterator of T over a stream of items.
func received[T any](t *testing.T, items ...T) (iter.Seq2[T, error], *encoded) {
	s := signatureOf(t, func() iter.Seq2[T, error] { return nil })
	v := s.NewValues()
	defer v.Free()
	v.results.Field(0).Set(reflect.ValueOf(seqOf(nil, items...)))
	e := encodeItems(t, s.ResultStream(), v)
	s.ResultStream().SetItems(v, e.open)
	return v.results.Field(0).Interface().(iter.Seq2[T, error]), e
}

// Stop is called once where a range ends early, however it ends, and not where the
// stream has ended.
func testRanges[T any](t *testing.T, items ...T) {
	ends := map[string]func(iter.Seq2[T, error]){
		"break": func(seq iter.Seq2[T, error]) {
			for range seq {
				break
			}
		},
		"panic": func(seq iter.Seq2[T, error]) {
			defer func() { _ = recover() }()
			for range seq {
				panic("body")
			}
		},
		"Goexit": func(seq iter.Seq2[T, error]) {
			done := make(chan bool)
			go func() {
				defer close(done)
				for range seq {
					runtime.Goexit()
				}
			}()
			<-done
		},
		"Pull": func(seq iter.Seq2[T, error]) {
			next, stop := iter.Pull2(seq)
			if item, err, ok := next(); !reflect.DeepEqual(item, items[0]) || err != nil || !ok {
				t.Errorf("Pull: %v %v %v", item, err, ok)
			}
			stop()
		},
	}
	for name, end := range ends {
		seq, e := received(t, items...)
		end(seq)
		if e.stopped != 1 {
			t.Errorf("%T, %s: stopped %d times", items, name, e.stopped)
		}
	}
	seq, e := received(t, items...)
	if got, err := collect(seq); len(got) != len(items) || err != nil || e.stopped != 0 {
		t.Errorf("%T: %d items, %v, stopped %d times", items, len(got), err, e.stopped)
	}
	seq, e = received(t, items...)
	e.items[1] = []byte{7}
	if got, err := collect(seq); len(got) != 1 || err == nil || e.stopped != 0 {
		t.Errorf("%T: %d items, %v, stopped %d times", items, len(got), err, e.stopped)
	}
}

func TestStreamRanges(t *testing.T) {
	testRanges(t, &point{1, 2}, &point{3, 4})
	testRanges(t, point{1, 2}, point{3, 4})
}

// An iterator that goes on after false, and one that yields after its end, reach
// nothing.
func testYieldAfterFalse[T any](t *testing.T, item T) {
	s := signatureOf(t, func() iter.Seq2[T, error] { return nil })
	v := s.NewValues()
	var kept func(T, error) bool
	v.results.Field(0).Set(reflect.ValueOf(iter.Seq2[T, error](func(yield func(T, error) bool) {
		kept = yield
		for range 3 {
			yield(item, nil)
		}
	})))
	n := 0
	s.ResultStream().Items(v)(func(codec.Ref, error) bool { n++; return false })
	if kept(item, nil) || n != 1 {
		t.Errorf("%T: yielded %d times", item, n)
	}
	n = 0
	s.ResultStream().Items(v)(func(codec.Ref, error) bool { n++; return true })
	if kept(item, nil) || n != 3 {
		t.Errorf("%T: yielded %d times", item, n)
	}
}

func TestYieldAfterFalse(t *testing.T) {
	testYieldAfterFalse(t, "a")
	testYieldAfterFalse(t, point{})
}

type files struct{}

func (files) Open(name string) (io.ReadCloser, error) {
	if name == "" {
		return nil, errCut
	}
	return io.NopCloser(strings.NewReader(name)), nil
}

func (files) Count(r io.Reader, more int) (int, error) {
	b, err := io.ReadAll(r)
	return len(b) + more, err
}

// Readers pass through methods and proxies as they are.
func TestReaders(t *testing.T) {
	funcs, problems := FuncsOf("Files", files{})
	if problems != nil {
		t.Fatal(problems)
	}
	type files struct {
		Open  func(string) (io.ReadCloser, error)
		Count func(context.Context, io.Reader, int) (int, error)
	}
	var proxy files
	stubs, err := bindable("Files", reflect.TypeFor[files]())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stubs {
		f := funcs[slices.IndexFunc(funcs, func(f *Func) bool { return f.Name == s.Name })]
		if f.Hash != s.Hash {
			t.Fatalf("%s: %s", s.Layout, f.Layout)
		}
		s.Fill(reflect.ValueOf(&proxy).Elem(), callerFunc(func(ctx context.Context, v *Values) error {
			served := f.Sig.NewValues()
			defer served.Free()
			served.args.Set(v.args)
			if streams := s.Sig.ParamStreams(); streams != nil {
				if r := streams[0].Reader(v); r != nil {
					streams[0].SetReader(served, io.NopCloser(io.MultiReader(r, strings.NewReader("!"))))
				}
			}
			if err := f.Invoke(nil, served); err != nil {
				return err
			}
			if st := s.Sig.ResultStream(); st != nil {
				st.SetReader(v, st.Reader(served).(io.ReadCloser))
			}
			v.results.Set(served.results)
			return nil
		}))
	}
	r, err := proxy.Open("abc")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := proxy.Count(t.Context(), r, 10); n != 14 || err != nil {
		t.Error(n, err)
	}
	if r, err := proxy.Open(""); r != nil || err != errCut {
		t.Error(r, err)
	}
}

// A func without an error gives that of its call as the stream's.
func TestStreamWithoutError(t *testing.T) {
	type contract struct {
		Watch func(string) iter.Seq2[*point, error]
		Both  func(string) (int, iter.Seq2[point, error])
		Open  func() io.ReadCloser
	}
	var proxy contract
	stubs, err := bindable("S", reflect.TypeFor[contract]())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stubs {
		if s.Sig.EndsInError() {
			t.Error(s.Name, "ends in error")
		}
		s.Fill(reflect.ValueOf(&proxy).Elem(), callerFunc(func(context.Context, *Values) error { return errCut }))
	}
	if items, err := collect(proxy.Watch("")); items != nil || err != errCut {
		t.Error(items, err)
	}
	if n, items := proxy.Both(""); n != 0 {
		t.Error(n)
	} else if items, err := collect(items); items != nil || err != errCut {
		t.Error(items, err)
	}
	r := proxy.Open()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != errCut || r.Close() != nil {
		t.Error(n, err)
	}
}

// Values in the pool do not hold iterators.
func TestFreeDropsStreams(t *testing.T) {
	s := signatureOf(t, func(*point, iter.Seq2[*point, error], io.Reader) (iter.Seq2[point, error], error) { return nil, nil })
	v := s.NewValues()
	kept := new([64]byte)
	v.args.Field(1).Set(reflect.ValueOf(iter.Seq2[*point, error](func(func(*point, error) bool) { kept[0]++ })))
	v.results.Field(0).Set(reflect.ValueOf(iter.Seq2[point, error](func(func(point, error) bool) { kept[0]++ })))
	v.args.Field(2).Set(reflect.ValueOf(strings.NewReader("")))
	w := weak.Make(kept)
	kept = nil
	v.Free()
	for range 3 {
		runtime.GC()
	}
	if w.Value() != nil {
		t.Error("the values hold an iterator")
	}
	runtime.KeepAlive(v)
}

type jobs struct{}

func (jobs) Sum(ctx context.Context, items iter.Seq2[int, error]) (int, error) {
	sum := 0
	for n, err := range items {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// A method of a contract with an iter.Seq takes an iter.Seq2.
func TestSeqInContract(t *testing.T) {
	type contract struct {
		Sum func(iter.Seq[int]) (int, error)
	}
	funcs, problems := FuncsAs("Jobs", reflect.TypeFor[contract](), jobs{})
	if problems != nil {
		t.Fatal(problems)
	}
	stubs, err := bindable("Jobs", reflect.TypeFor[contract]())
	if err != nil || stubs[0].Hash != funcs[0].Hash {
		t.Fatal(err, funcs[0].Layout)
	}
	var proxy contract
	stubs[0].Fill(reflect.ValueOf(&proxy).Elem(), callerFunc(func(ctx context.Context, v *Values) error {
		f := funcs[0]
		served := f.Sig.NewValues()
		served.Ctx = ctx
		f.Sig.ParamStreams()[0].SetItems(served, encodeItems(t, stubs[0].Sig.ParamStreams()[0], v).open)
		if err := f.Invoke(nil, served); err != nil {
			return err
		}
		v.results.Set(served.results)
		return nil
	}))
	if n, err := proxy.Sum(slices.Values([]int{1, 2, 3})); n != 6 || err != nil {
		t.Error(n, err)
	}
	_, problems = FuncsAs("Jobs", reflect.TypeFor[contract](), &contract{Sum: func(iter.Seq[int]) (int, error) { return 0, nil }})
	if len(problems) != 1 {
		t.Error(problems)
	}
}

type (
	named   iter.Seq2[int, error]
	yielder func(yield func(int, error) bool)
)

// Each line is a func, and its problem at a handler.
func TestStreamProblems(t *testing.T) {
	const (
		place   = "S.M, parameter 1: "
		result  = "S.M, result 1: "
		noForm  = " has no wire form; "
		noPart  = "use a slice, as only a whole parameter or result of a method can be a stream"
		noBytes = "use a []byte, as only a whole parameter or result of a method can be a reader"
	)
	for _, test := range []struct {
		fn   any
		want string
	}{
		{func(iter.Seq[point]) {}, place + "a handler could not tell an iter.Seq[method.point] that was cut from a whole one; declare it as iter.Seq2[method.point, error]"},
		{func() iter.Seq[int] { return nil }, result + "iter.Seq[int]" + noForm + "it could not tell a stream that was cut from a whole one, so declare it as iter.Seq2[int, error]"},
		{func(iter.Seq2[int, string]) {}, place + "iter.Seq2[int, string]" + noForm + "declare it as iter.Seq2[T, error], T being a struct of both values"},
		{func() iter.Seq2[int, point] { return nil }, result + "iter.Seq2[int, method.point]" + noForm + "declare it as iter.Seq2[T, error], T being a struct of both values"},
		{func(func(func(int, error) bool)) {}, place + "func(func(int, error) bool)" + noForm + "declare it as iter.Seq2[int, error]"},
		{func(named) {}, "S.M, parameter 1, named: method.named" + noForm + "declare it as iter.Seq2[int, error]"},
		{func() yielder { return nil }, "S.M, result 1, yielder: method.yielder" + noForm + "declare it as iter.Seq2[int, error]"},
		{func(chan point) {}, place + "chan method.point" + noForm + "declare it as iter.Seq2[method.point, error]"},
		{func() io.Reader { return nil }, "S.M, result 1, Reader: io.Reader" + noForm + "declare it as io.ReadCloser"},
		{func(io.ReadCloser) {}, "S.M, parameter 1, ReadCloser: io.ReadCloser" + noForm + "declare it as io.Reader; one that is an io.Closer is closed after its last Read"},
		{func(io.ReadSeeker) {}, "S.M, parameter 1, ReadSeeker: io.ReadSeeker" + noForm + "declare it as io.Reader"},
		{func(io.Writer) {}, "S.M, parameter 1, Writer: io.Writer" + noForm + "to read bytes from a method, return an io.ReadCloser"},
		{func() io.Writer { return nil }, "S.M, result 1, Writer: io.Writer" + noForm + "to send bytes to a method, declare a parameter as io.Reader"},
		{func([]iter.Seq2[int, error]) {}, "S.M, parameter 1, []: iter.Seq2[int, error]" + noForm + noPart},
		{func(*iter.Seq2[int, error]) {}, place + "iter.Seq2[int, error]" + noForm + noPart},
		{func(struct{ R io.Reader }) {}, "S.M, parameter 1, R: io.Reader" + noForm + noBytes},
		{func(iter.Seq2[iter.Seq2[int, error], error]) {}, place + "iter.Seq2[int, error]" + noForm + noPart},
		{func(iter.Seq2[io.Reader, error]) {}, "S.M, parameter 1, Reader: io.Reader" + noForm + noBytes},
		{func(iter.Seq2[func(), error]) {}, place + "func()" + noForm + "only a whole parameter of a method can be a func"},
		{func(iter.Seq2[struct{ A []struct{} }, error]) {}, "S.M, parameter 1, A: elements take no bytes on the wire"},
		{func() (_ iter.Seq2[int, error], _ io.ReadCloser) { return }, "S.M: 2 results are streams or readers; a method has one at most"},
	} {
		_, problems := FuncOf("S", "M", reflect.ValueOf(test.fn))
		if len(problems) != 1 || problems[0].String() != test.want {
			t.Errorf("%T:\n%v\nwant\n%s", test.fn, problems, test.want)
		}
	}
}

// Formats apply to the items; a reader takes none.
func TestStreamTags(t *testing.T) {
	type contract struct {
		A func(int, iter.Seq[int]) (iter.Seq2[[]int, error], error) `bsrpc:"(le2,varint) list le1"`
	}
	stubs, err := bindable("S", reflect.TypeFor[contract]())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := stubs[0].Layout, "S.A(int.le2, stream(int.varint)) stream([le4]int.le1)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	type wrong struct {
		A func(io.Reader) error                 `bsrpc:"(le2)"`
		B func(iter.Seq[string]) error          `bsrpc:"(le2)"`
		C func() (iter.Seq2[int, error], error) `bsrpc:"id=7"`
		D func(iter.Seq[string]) int
	}
	_, err = bindable("S", reflect.TypeFor[wrong]())
	want := `bsrpc: bind S: 4 problems
    S.D: must end in error: a call can fail on the way
    S.A, parameter 1, Reader: io.Reader does not take "le2"; it takes no words
    S.B, parameter 1: string does not take "le2"; it takes len=, max=, utf8, fixed=, until= or rest
    S.C: peers of basic-socket-rpc have no streams and callbacks; leave out id=, or the streams, readers and funcs`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

// Errors of items have the place of their stream.
func TestItemErrors(t *testing.T) {
	s := signatureOf(t, func(int, iter.Seq2[*streamed, error]) {})
	err := codec.Decode(s.ParamStreams()[0].Item, []byte{1, 2}, codec.RefTo(reflect.New(reflect.TypeFor[*streamed]())))
	if want := "parameter 2, streamed.ID: want 4 bytes, have 1, offset 1"; fmt.Sprint(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}
