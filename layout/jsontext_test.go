package layout_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/jsontext"
)

type named []map[name]any
type name string

func TestJSONTextAppend(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{nil, "null"},
		{true, "true"},
		{0.1, "0.1"},
		{float32(0.1), "0.1"},
		{1e21, "1e+21"},
		{5e-324, "5e-324"},
		{math.NaN(), `"NaN"`},
		{int8(-1), "-1"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{"a\xff\"", `"a\udcff\""`},
		{json.Number("1.50"), "1.50"},
		{json.RawMessage(` {"a": [1]}`), ` {"a": [1]}`},
		{[]byte{1, 2}, `"AQI="`},
		{time.Unix(0, 1).UTC(), `"1970-01-01T00:00:00.000000001Z"`},
		{90 * time.Second, `"90s"`},
		{[]any{nil, []any{}, 1.5}, "[null,[],1.5]"},
		{[]any(nil), "null"},
		{map[string]any(nil), "null"},
		{map[string]any{"a": map[string]any{"b": "c"}}, `{"a":{"b":"c"}}`},
		{named{{"x": true}}, `[{"x":true}]`},
		{[]int{1, 2}, "[1,2]"},
		{new(any), "null"},
	} {
		got, err := jsontext.Append([]byte("x"), test.value)
		if err != nil || string(got) != "x"+test.want {
			t.Errorf("%T %v: got %s, %v, want %s", test.value, test.value, got, err, test.want)
		}
	}
	cyclic := map[string]any{}
	cyclic["a"] = []any{cyclic}
	for _, test := range []struct {
		value any
		want  string
	}{
		{cyclic, "nested deeper than 1000, or cyclic"},
		{[]any{json.Number("1,2")}, "is not JSON text"},
		{json.Number(""), "is not JSON text"},
		{[]any{json.RawMessage("1,2")}, "is not JSON text"},
		{json.RawMessage(nil), "is not JSON text"},
		{json.RawMessage(strings.Repeat("[", 2000)), "is not JSON text"},
		{struct{ A int }{}, "a struct { A int } has no JSON; want values as from encoding/json"},
		{map[int]any{}, "a map[int]interface {} has no JSON; want values as from encoding/json"},
		{make(chan int), "a chan int has no JSON; want values as from encoding/json"},
	} {
		if got, err := jsontext.Append(nil, test.value); err == nil || err.Error() != test.want {
			t.Errorf("%T: got %s, %v, want %s", test.value, got, err, test.want)
		}
	}
}

func TestJSONTextValue(t *testing.T) {
	text := `{"a":[1,-0.5,"x\n\u00e9",null,true,[],{}],"b":{"c":"1"}}`
	var want any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	budget := int64(1 << 20)
	got, err := jsontext.Value(text, &budget)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v, want %#v", got, err, want)
	}
	used := 1<<20 - budget
	for budget = range used {
		left := budget
		if _, err := jsontext.Value(text, &left); err != jsontext.ErrMemory {
			t.Fatalf("with %d of %d bytes: %v", budget, used, err)
		}
	}
	// Bytes that are not UTF-8 are kept.
	if got, err := jsontext.Value(`"a\udcff"`, &used); err != nil || got != "a\xff" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, text := range []string{"", "1 2", "[1", `{"a":}`, `{"a"}`, "1e999", "nul"} {
		if got, err := jsontext.Value(text, &used); err == nil {
			t.Errorf("%s: got %v", text, got)
		}
	}
}

// The budget is for the memory that values take.
func TestJSONTextMemory(t *testing.T) {
	for _, unit := range []string{"[],", "{},", `"",`, "1,", `"abcdefgh",`, `{"a":{}},`, "[[[]]],"} {
		text := "[" + strings.TrimSuffix(strings.Repeat(unit, 10000), ",") + "]"
		budget := int64(math.MaxInt64)
		var stats []uint64
		for range 2 {
			stats = append(stats, allocatedBytes(func() { _, _ = jsontext.Value(text, &budget) }))
		}
		budget = math.MaxInt64
		_, _ = jsontext.Value(text, &budget)
		// The race detector makes some values larger, by less than an eighth.
		if most := uint64(math.MaxInt64-budget)*9/8 + 64<<10; min(stats[0], stats[1]) > most {
			t.Errorf("%.20s: %d bytes for a budget of %d", unit, stats, most)
		}
	}
}

// FuzzJSONText compares the scanner with encoding/json.
func FuzzJSONText(f *testing.F) {
	for _, text := range []string{`{"a":[1,-0.5e+3,"x\n\u00e9",null,true,[],{}],"b":{"c":"1"}}`, `"\udcff"`, ` [ ] `, "01", "1e", `"\ud83d\udca9"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want any
		wantErr := json.Unmarshal([]byte(text), &want)
		budget := int64(1 << 30)
		got, err := jsontext.Value(text, &budget)
		if err == nil && wantErr != nil {
			t.Fatalf("%q: got %v, but encoding/json says %v", text, got, wantErr)
		}
		// It accepts what is not UTF-8, and halves of surrogate pairs.
		if err != nil && wantErr == nil && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "half of") {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		if !strings.Contains(text, `\u`) && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, want %v", text, got, want)
		}
		again, err := jsontext.Append(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := jsontext.Value(string(again), &budget); err != nil || !reflect.DeepEqual(back, got) {
			t.Fatalf("%q: %s is %v, %v, want %v", text, again, back, err, got)
		}
	})
}
