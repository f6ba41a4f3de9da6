package bsrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// Each line is a method of lab.Dynamic, an argument as JSON, and the result as JSON.
var dynamicJSON = []struct{ method, arg, result string }{
	{"Int8", "-5", "-5"},
	{"Int8", "5e0", "5"},
	{"Int64", "9007199254740993", `"9007199254740993"`},
	{"Int64", `"9007199254740993"`, `"9007199254740993"`},
	{"Uint16", "65535", "65535"},
	{"Uint64", `"18446744073709551615"`, `"18446744073709551615"`},
	{"Float32", "0.1", "0.1"},
	{"Float32", `"NaN"`, `"NaN"`},
	{"Complex", `[1,"-Infinity"]`, `[1,"-Infinity"]`},
	{"Bool", "true", "true"},
	{"String", `"hé"`, `"hé"`},
	{"Bytes", `"AQI="`, `"AQI="`},
	{"Bytes", "null", `""`},
	{"Ints", "[1,-2]", "[1,-2]"},
	{"Ints", "null", "[]"},
	{"Pair", "[1,2]", "[1,2]"},
	{"Part", `{"Name":"a","ID":1,"Spare":[{"ID":2,"Weight":0.5}]}`, `{"ID":1,"Name":"a","Spare":[{"ID":2,"Name":"","Spare":[],"Weight":0.5}],"Weight":null}`},
	{"PartPointer", "null", "null"},
	{"PartPointer", "{}", `{"ID":0,"Name":"","Spare":[],"Weight":null}`},
	{"Shelf", `{"b":[1],"a":[]}`, `{"a":[],"b":[1]}`},
	{"Time", `"2026-01-31T12:00:00.5+01:00"`, `"2026-01-31T11:00:00.500Z"`},
	{"Duration", `"1m"`, `"60s"`},
	{"Addr", `"AQIDBA=="`, `"AQIDBA=="`},
	{"Big", `"77"`, `"77"`},
	{"Shape", `{"Rect":{"W":1,"H":-2}}`, `{"Rect":{"H":-2,"W":1}}`},
	{"Shape", `{"Group":[{"Label":"a"},{"Group":[]}]}`, `{"Group":[{"Label":"a"},{"Group":[]}]}`},
	{"Keys", `{"-1":true,"2":false}`, `{"-1":true,"2":false}`},
	{"Flags", `{"true":1}`, `{"true":1}`},
}

// Arguments come from encoding/json, in all of its ways, and the result is what it would
// print.
func TestCallWithJSON(t *testing.T) {
	client := dynamicClient(t)
	for _, test := range dynamicJSON {
		numbers := json.NewDecoder(strings.NewReader(test.arg))
		numbers.UseNumber()
		var plain, exact any
		if err := errors.Join(json.Unmarshal([]byte(test.arg), &plain), numbers.Decode(&exact)); err != nil {
			t.Fatal(err)
		}
		for _, arg := range []any{plain, exact, json.RawMessage(test.arg)} {
			if _, ok := arg.(float64); ok && strings.HasPrefix(test.arg, "90") {
				continue // not exact
			}
			var result any
			var raw json.RawMessage
			err := client.Call(t.Context(), "lab.Dynamic."+test.method, []any{arg}, &result)
			if err != nil {
				t.Errorf("%s of %T %s: %v", test.method, arg, test.arg, err)
				continue
			}
			if text, err := json.Marshal(result); err != nil || string(text) != test.result {
				t.Errorf("%s of %T %s: got %s, %v, want %s", test.method, arg, test.arg, text, err, test.result)
			}
			if err := client.Call(t.Context(), "lab.Dynamic."+test.method, []any{result}, &raw); err != nil {
				t.Errorf("%s of its result %s: %v", test.method, test.result, err)
			}
			var back, want any
			if err := errors.Join(json.Unmarshal(raw, &back), json.Unmarshal([]byte(test.result), &want)); err != nil || !reflect.DeepEqual(back, want) {
				t.Errorf("%s: raw result %s, %v, want %s", test.method, raw, err, test.result)
			}
		}
	}
}

// Values of Go and of JSON mix, and fields that JSON leaves out are zero.
func TestCallWithPartsOfJSON(t *testing.T) {
	client := dynamicClient(t)
	type loose struct {
		ID     any
		Name   json.RawMessage
		Weight any
		Spare  []map[string]any
	}
	type closed struct {
		ID     int
		Name   string
		Weight *float32
		Spare  any
	}
	var got part
	arg := loose{ID: json.Number("7"), Name: json.RawMessage(`"a\u0062"`)}
	if err := client.Call(t.Context(), "lab.Dynamic.Part", []any{part{ID: 1}}, &got); err != nil {
		t.Fatal(err)
	}
	arg.Spare = []map[string]any{{"ID": 8.0}}
	if err := client.Call(t.Context(), "lab.Dynamic.Part", []any{arg}, &got); err != nil || got.ID != 7 || got.Name != "ab" || got.Spare[0].ID != 8 {
		t.Errorf("got %+v, %v", got, err)
	}
	// A part of a recursive layout that refers to its outside has no layout of its own.
	err := client.Call(t.Context(), "lab.Dynamic.Part", []any{closed{}}, &got)
	checkText(t, "Call", err, "bsrpc: lab.Dynamic.Part, parameter 1, closed.Spare: interface {} does not fit a recursive slice")
	if err := client.Call(t.Context(), "lab.Dynamic.Shelf", []any{map[string]any{"a": []any{1, int8(2), uint64(3), json.Number("4"), 5.0, "6"}}}, new(any)); err != nil {
		t.Error(err)
	}
	var ints []any
	if err := client.Call(t.Context(), "lab.Dynamic.Ints", []any{[]any{1.0}}, &ints); err != nil || !reflect.DeepEqual(ints, []any{1.0}) {
		t.Errorf("got %v, %v", ints, err)
	}
	var object map[string]any
	if err := client.Call(t.Context(), "lab.Dynamic.PartPointer", []any{nil}, &object); err != nil || object != nil {
		t.Errorf("got %v, %v", object, err)
	}
	// A string that is not UTF-8 is not changed on the way.
	var text any
	if err := client.Call(t.Context(), "lab.Dynamic.Shelf", []any{map[string]any{"a\xff": nil}}, &text); err != nil || !reflect.DeepEqual(text, map[string]any{"a\xff": []any{}}) {
		t.Errorf("got %q, %v", text, err)
	}
}

var cyclicJSON = func() map[string]any {
	m := map[string]any{}
	m["Spare"] = []any{m}
	return m
}()

// JSON that does not fit is not sent. The error names the place and both types.
func TestCallJSONMisfits(t *testing.T) {
	client := dynamicClient(t)
	for _, test := range []struct {
		method string
		arg    any
		want   string
	}{
		{"Int8", 128.0, `lab.Dynamic.Int8, parameter 1: a number out of range; the layout has an 8-bit integer`},
		{"Int8", 0.5, `lab.Dynamic.Int8, parameter 1: a number with a fraction, or out of range; the layout has an 8-bit integer`},
		{"Int8", math.NaN(), `lab.Dynamic.Int8, parameter 1: not a number; the layout has an 8-bit integer`},
		{"Int8", "many", `lab.Dynamic.Int8, parameter 1: not a number; the layout has an 8-bit integer`},
		{"Float32", 1e300, `lab.Dynamic.Float32, parameter 1: a number out of range; the layout has a 32-bit float`},
		{"String", 5.0, `lab.Dynamic.String, parameter 1: a number; the layout has a string`},
		{"String", json.Number("5"), `lab.Dynamic.String, parameter 1: a number; the layout has a string`},
		{"String", json.RawMessage(`"a`), `lab.Dynamic.String, parameter 1: is not JSON text`},
		{"Bool", "true", `lab.Dynamic.Bool, parameter 1: a string; the layout has a bool`},
		{"Time", 5.0, `lab.Dynamic.Time, parameter 1: a number; the layout has a time, a string as in RFC 3339`},
		{"Part", map[string]any{"ID": 1, "Nme": "a"}, `lab.Dynamic.Part, parameter 1: unknown field; did you mean Name?`},
		{"Part", map[string]any{"Spare": []any{map[string]any{"Weight": "heavy"}}}, `lab.Dynamic.Part, parameter 1, Spare[0].Weight: not a number; the layout has a 32-bit float`},
		{"Part", map[string]any{"Spare": []any{nil}}, `lab.Dynamic.Part, parameter 1, Spare[0]: null; the layout has a struct, an object`},
		{"Part", map[string]any{"Name": make(chan int)}, `lab.Dynamic.Part, parameter 1: a chan int has no JSON; want values as from encoding/json`},
		{"Part", []any{}, `lab.Dynamic.Part, parameter 1: a list; the layout has a struct, an object`},
		{"Part", cyclicJSON, `lab.Dynamic.Part, parameter 1: nested deeper than 1000, or cyclic`},
		{"Shape", map[string]any{}, `lab.Dynamic.Shape, parameter 1: an empty object; the layout has a union, an object with one of Circle, Rect, Label, Group`},
		{"Shape", map[string]any{"Circle": 1.0, "Label": ""}, `lab.Dynamic.Shape, parameter 1: an object with two members; the layout has a union, an object with one of Circle, Rect, Label, Group`},
		{"Shape", map[string]any{"Group": []any{map[string]any{"Rect": 5.0}}}, `lab.Dynamic.Shape, parameter 1, Group[0].Rect: a number; the layout has a struct, an object`},
		{"Keys", map[string]any{"2147483648": true}, `lab.Dynamic.Keys, parameter 1, [0][key]: a number out of range; the layout has a 32-bit integer`},
		{"Flags", map[string]any{"yes": 1.0}, `lab.Dynamic.Flags, parameter 1, [0][key]: neither "true" nor "false"; the layout has a bool`},
		{"Pair", []any{1.0}, `lab.Dynamic.Pair, parameter 1: a list of 1; the layout has a list of 2`},
		{"Shelf", map[string]any{"a": []any{1.0, "x"}}, `lab.Dynamic.Shelf, parameter 1, [0][1]: not a number; the layout has a 32-bit integer`},
	} {
		err := client.Call(t.Context(), "lab.Dynamic."+test.method, []any{test.arg}, new(any))
		checkNotSent(t, err, bsrpc.CodeInvalidArgument, test.want)
	}
	for _, test := range []struct {
		method      string
		arg, result any
		want        string
	}{
		{"Int8", 5, new(map[string]any), `lab.Dynamic.Int8, result 1: map[string]interface {} does not take a number`},
		{"Ints", []int{1}, new(map[string]any), `lab.Dynamic.Ints, result 1: map[string]interface {} does not take a list`},
	} {
		err := client.Call(t.Context(), "lab.Dynamic."+test.method, []any{test.arg}, test.result)
		wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, "")
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// A result may take many times its bytes as a value of JSON. It counts in the budget, and a
// long argument in the peer's MaxMessage.
func TestCallJSONLimits(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{MaxMessage: 1 << 20})
	if err := srv.RegisterName("dynamic", dynamic{}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Limits: bsrpc.Limits{DecodeBudget: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 20_000)
	for i := range list {
		list[i] = 1.0
	}
	err = client.Call(t.Context(), "dynamic.Ints", []any{list}, new(any))
	wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, "")
	if err == nil || !strings.Contains(err.Error(), "dynamic.Ints, result 1: needs more memory than Limits.DecodeBudget (1048576) allows") {
		t.Error(err)
	}
	err = client.Call(t.Context(), "dynamic.String", []any{json.RawMessage(`"` + strings.Repeat("a", 2<<20) + `"`)}, new(any))
	wantError(t, err, bsrpc.CodeResourceExhausted, bsrpc.OutcomeNotRun, "")
	if err == nil || !strings.Contains(err.Error(), "MaxMessage") {
		t.Error(err)
	}
}

// flows is a service of streams and readers.
type flows struct{}

func (flows) Count(from, to int) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		for i := from; i < to; i++ {
			if !yield(part{ID: uint16(i)}, nil) {
				return
			}
		}
		if to < 0 {
			yield(part{}, errors.New("counted down"))
		}
	}
}

func (flows) Sum(in iter.Seq2[part, error]) (sum int, err error) {
	for p, err := range in {
		if err != nil {
			return 0, err
		}
		sum += int(p.ID)
	}
	return sum, nil
}

func (flows) Both(in iter.Seq2[float32, error]) (iter.Seq2[float64, error], error) {
	return func(yield func(float64, error) bool) {
		for f, err := range in {
			if !yield(2*float64(f), err) {
				return
			}
		}
	}, nil
}

func (flows) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "" {
		return nil, errors.New("no name")
	}
	return io.NopCloser(strings.NewReader("text of " + name)), nil
}

func (flows) Store(in io.Reader) (int, error) {
	b, err := io.ReadAll(in)
	return len(b), err
}

func (flows) Ask(f func(string) error) error { return f("?") }

func (flows) Tell(before int, f, g func(string) error, after string) (string, error) {
	return fmt.Sprint(before, f == nil, g == nil, after), nil
}

// flowsClient returns a client of a server with flows.
func flowsClient(t *testing.T) *bsrpc.Client {
	t.Helper()
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("flows", flows{}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// drain returns the items of a stream, and its error.
func drain[T any](in iter.Seq2[T, error]) (items []T, err error) {
	for item, err := range in {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

// sequence returns an iterator over items.
func sequence(items ...any) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

func TestCallStreams(t *testing.T) {
	client := flowsClient(t)
	var items iter.Seq2[any, error]
	if err := client.Call(t.Context(), "flows.Count", []any{1.0, "3"}, &items); err != nil {
		t.Fatal(err)
	}
	got, err := drain(items)
	if text, _ := json.Marshal(got); err != nil || string(text) != `[{"ID":1,"Name":"","Spare":[],"Weight":null},{"ID":2,"Name":"","Spare":[],"Weight":null}]` {
		t.Errorf("got %s, %v", text, err)
	}
	if _, err := drain(items); err != bsrpc.ErrStreamUsed {
		t.Errorf("ranged over again: %v", err)
	}
	// Without knowing that it is a stream, and with types of one's own.
	var unknown any
	if err := client.Call(t.Context(), "flows.Count", []any{1, 2}, &unknown); err != nil {
		t.Fatal(err)
	}
	if items, ok := unknown.(iter.Seq2[any, error]); !ok {
		t.Errorf("got a %T", unknown)
	} else if got, err := drain(items); len(got) != 1 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	var typed iter.Seq2[myPart, error]
	if err := client.Call(t.Context(), "flows.Count", []any{1, 2}, &typed); err != nil {
		t.Fatal(err)
	}
	if got, err := drain(typed); len(got) != 1 || got[0].ID != 1 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if err := client.Call(t.Context(), "flows.Count", []any{1, -1}, &items); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(items); err == nil || !strings.Contains(err.Error(), "counted down") {
		t.Errorf("a stream with an error: %v", err)
	}

	var sum any
	for _, in := range []any{
		sequence(map[string]any{"ID": 1.0}, json.RawMessage(`{"ID":"2"}`)),
		iter.Seq[any](func(yield func(any) bool) { _ = yield(map[string]any{"ID": 1}) && yield(map[string]any{"ID": 2}) }),
		func(yield func(part, error) bool) { _ = yield(part{ID: 1}, nil) && yield(part{ID: 2}, nil) },
		func(yield func(*myPart) bool) { yield(&myPart{ID: 3}) },
	} {
		if err := client.Call(t.Context(), "flows.Sum", []any{in}, &sum); err != nil || sum != "3" {
			t.Errorf("%T: got %v, %v", in, sum, err)
		}
	}
	if err := client.Call(t.Context(), "flows.Sum", []any{nil}, &sum); err != nil || sum != "0" {
		t.Errorf("nil: got %v, %v", sum, err)
	}
	err = client.Call(t.Context(), "flows.Sum", []any{sequence(map[string]any{}, map[string]any{"ID": -1.0})}, &sum)
	if err == nil || !strings.Contains(err.Error(), "flows.Sum, item 2: parameter 1, ID: a number out of range; the layout has an unsigned 16-bit integer") {
		t.Errorf("an item that does not fit: %v", err)
	}

	var both iter.Seq2[any, error]
	if err := client.Call(t.Context(), "flows.Both", []any{sequence(0.5, "1", json.Number("2"))}, &both); err != nil {
		t.Fatal(err)
	}
	if got, err := drain(both); fmt.Sprint(got) != "[1 2 4]" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// countedCloser is a reader that counts calls of Close.
type countedCloser struct {
	io.Reader
	closed int
}

func (c *countedCloser) Close() error {
	c.closed++
	return nil
}

func TestCallReaders(t *testing.T) {
	client := flowsClient(t)
	var file io.ReadCloser
	if err := client.Call(t.Context(), "flows.Open", []any{"a"}, &file); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(file); string(text) != "text of a" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	file.Close()
	var unknown any
	var reader io.Reader
	for _, result := range []any{&unknown, &reader} {
		if err := client.Call(t.Context(), "flows.Open", []any{"a"}, result); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok := unknown.(io.ReadCloser); !ok || reader == nil {
		t.Errorf("got a %T", unknown)
	} else if text, err := io.ReadAll(r); string(text) != "text of a" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if err := client.Call(t.Context(), "flows.Open", []any{""}, &file); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("got %v", err)
	}

	var size any
	in := &countedCloser{Reader: bytes.NewReader(make([]byte, 100_000))}
	if err := client.Call(t.Context(), "flows.Store", []any{in}, &size); err != nil || size != "100000" || in.closed != 1 {
		t.Errorf("got %v, %v, closed %d times", size, err, in.closed)
	}
	// A reader is closed if the call does not begin, too.
	for name, results := range map[string][]any{"flows.Store": nil, "flows.Nothing": {&size}, "": {&size}, "flows.Open": {&size}} {
		in := &countedCloser{Reader: strings.NewReader("")}
		if err := client.Call(t.Context(), name, []any{in}, results...); err == nil || in.closed != 1 {
			t.Errorf("%s: %v, closed %d times", name, err, in.closed)
		}
	}
}

// A nil func needs no contract: the handler gets nil.
func TestCallNilFuncs(t *testing.T) {
	client := flowsClient(t)
	var told string
	if err := client.Call(t.Context(), "flows.Tell", []any{7, nil, nil, ", end"}, &told); err != nil || told != "7 true true, end" {
		t.Errorf("got %q, %v", told, err)
	}
}

func TestCallStreamMisfits(t *testing.T) {
	client := flowsClient(t)
	for _, test := range []struct {
		method  string
		args    []any
		results []any
		want    string
	}{
		{"Sum", []any{[]any{1}}, []any{new(any)}, "flows.Sum, parameter 1: []interface {} does not fit stream({ID uint.be2; Name string.le1; Weight *float.le4; Spare []^2}); want an iter.Seq2[T, error]"},
		{"Sum", []any{func(yield func(int, int) bool) {}}, []any{new(any)}, "flows.Sum, parameter 1: func(func(int, int) bool) does not fit stream({ID uint.be2; Name string.le1; Weight *float.le4; Spare []^2}); want an iter.Seq2[T, error]"},
		{"Both", []any{iter.Seq[chan int](nil)}, []any{new(any)}, "flows.Both, parameter 1: chan int does not fit float.le4"},
		{"Both", []any{nil}, []any{new([]any)}, "flows.Both, result 1: []interface {} does not fit stream(float.le8); want an iter.Seq2[T, error]"},
		{"Both", []any{nil}, []any{new(iter.Seq[any])}, "flows.Both, result 1: iter.Seq[interface {}] does not fit stream(float.le8); want an iter.Seq2[T, error]"},
		{"Store", []any{"text"}, []any{new(any)}, "flows.Store, parameter 1: string does not fit reader; want an io.Reader"},
		{"Open", []any{"a"}, []any{new([]byte)}, "flows.Open, result 1: []uint8 does not fit reader; want an io.ReadCloser"},
		{"Ask", []any{func(string) error { return nil }}, nil, "flows.Ask, parameter 1: a func needs a contract; use Bind, or pass nil"},
		{"Ask", []any{(func(string) error)(nil)}, nil, "flows.Ask, parameter 1: a func needs a contract; use Bind, or pass nil"},
	} {
		err := client.Call(t.Context(), "flows."+test.method, test.args, test.results...)
		checkNotSent(t, err, bsrpc.CodeInvalidArgument, test.want)
	}
}

// Interceptors see the items of a call by name, and a client that connects again makes such
// calls.
func TestCallStreamsEverywhere(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("flows", flows{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	var seen []any
	client, err := bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), &bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{
		func(next bsrpc.CallFunc) bsrpc.CallFunc {
			return func(ctx context.Context, call *bsrpc.Call) error {
				call.OnItem(func(in bool, item any) error {
					seen = append(seen, *item.(*any))
					return nil
				})
				return next(ctx, call)
			}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var items iter.Seq2[any, error]
	if err := client.Call(t.Context(), "flows.Both", []any{sequence(1.5)}, &items); err != nil {
		t.Fatal(err)
	}
	if got, err := drain(items); fmt.Sprint(got) != "[3]" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if fmt.Sprint(seen) != "[1.5 3]" {
		t.Errorf("the interceptor has seen %v", seen)
	}
}
