package codec

import (
	"bytes"
	"io"
	"iter"
	"reflect"
	"testing"
)

// Elements that are streams take no bytes, wherever they stand, and reading leaves them
// as they are.
func TestStreamsTakeNoBytes(t *testing.T) {
	type run struct {
		A, B int64
		Text string
	}
	reader, seq := reflect.TypeFor[io.Reader](), reflect.TypeFor[iter.Seq2[run, error]]()
	for _, test := range []struct{ with, without []any }{
		{[]any{reader}, nil},
		{[]any{seq, seq, reader}, nil},
		{[]any{uint8(1), reader, "text"}, []any{uint8(1), "text"}},
		{[]any{seq, uint32(1), uint32(2), reader, uint32(3)}, []any{uint32(1), uint32(2), uint32(3)}},
		{[]any{&run{1, 2, "text"}, seq}, []any{&run{1, 2, "text"}}},
		{[]any{seq, &run{1, 2, "text"}}, []any{&run{1, 2, "text"}}},
		{[]any{[]string{"a"}, seq, map[string]int{"a": 1}}, []any{[]string{"a"}, map[string]int{"a": 1}}},
	} {
		codec, v := listOf(t, test.with)
		plain, values := listOf(t, test.without)
		var want, got Encoder
		if err := plain.Append(&want, RefTo(values)); err != nil {
			t.Fatal(err)
		}
		if err := codec.Append(&got, RefTo(v)); err != nil || !bytes.Equal(got.Buf, want.Buf) {
			t.Errorf("%v: % x %v, want % x", test.with, got.Buf, err, want.Buf)
		}
		back := reflect.New(codec.Type())
		for i := range back.Elem().NumField() {
			if f := back.Elem().Field(i); f.Type() == reader {
				f.Set(reflect.ValueOf(bytes.NewReader(nil)))
				v.Elem().Field(i).Set(f)
			}
		}
		if err := codec.Read(&Decoder{Data: got.Buf}, RefTo(back)); err != nil || !reflect.DeepEqual(v.Interface(), back.Interface()) {
			t.Errorf("%v: read %v %v", test.with, back.Elem(), err)
		}
		if codec.Min() != plain.Min() {
			t.Errorf("%v: at least %d bytes, want %d", test.with, codec.Min(), plain.Min())
		}
	}
}

// listOf returns a codec for values, and a pointer to their list. A type stands for its
// zero value.
func listOf(t *testing.T, values []any) (*Codec, reflect.Value) {
	types := make([]reflect.Type, len(values))
	for i, v := range values {
		var ok bool
		if types[i], ok = v.(reflect.Type); !ok {
			types[i] = reflect.TypeOf(v)
		}
	}
	c, err := CompileList("parameter", types, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := reflect.New(c.Type())
	for i, v := range values {
		if _, ok := v.(reflect.Type); !ok {
			list.Elem().Field(i).Set(reflect.ValueOf(v))
		}
	}
	return c, list
}

// Streams are neither values nor parts of them.
func TestStreamsAreNoValues(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[iter.Seq2[int, error]](), reflect.TypeFor[struct{ R io.Reader }](), reflect.TypeFor[[]iter.Seq[int]]()} {
		if _, err := Compile(typ, nil); err == nil {
			t.Errorf("%v has a codec", typ)
		}
	}
	if IsStream("result", reflect.TypeFor[io.Reader]()) || IsStream("parameter", reflect.TypeFor[io.ReadCloser]()) || IsStream("result", reflect.TypeFor[iter.Seq[int]]()) {
		t.Error("a parameter's form among the results, or the other way around")
	}
}

// Parameters after an optional one are optional, and streams never are.
func TestOptionalElements(t *testing.T) {
	number, seq, reader := reflect.TypeFor[int](), reflect.TypeFor[iter.Seq2[int, error]](), reflect.TypeFor[io.Reader]()
	optional := &Tag{Optional: true}
	for _, test := range []struct {
		types []reflect.Type
		tags  []*Tag
		want  string
	}{
		{[]reflect.Type{number, number}, []*Tag{nil, optional}, ""},
		{[]reflect.Type{number, number}, []*Tag{{Optional: true, Ignorable: true}, optional}, ""},
		{[]reflect.Type{number, number}, []*Tag{optional, nil}, "parameter 2: must be optional, too, as parameter 1 before it"},
		{[]reflect.Type{number, seq}, []*Tag{optional, nil}, "parameter 2: must be optional, too, as parameter 1 before it"},
		{[]reflect.Type{seq}, []*Tag{optional}, "parameter 1: streams and readers are never optional; add a method"},
		{[]reflect.Type{reader}, []*Tag{optional}, "parameter 1, Reader: streams and readers are never optional; add a method"},
	} {
		c, err := CompileList("parameter", test.types, test.tags, nil)
		if test.want == "" && err == nil && c.Optional() > 0 {
			continue
		}
		if err == nil || err.Error() != test.want {
			t.Errorf("%v, %v: %v, want %s", test.types, test.tags, err, test.want)
		}
	}
}

// Fields of items with a misspelt key are found.
func TestMisspelledKeysOfItems(t *testing.T) {
	type item struct {
		A int `bsrp:"le2"`
	}
	if found := FindMisspelledKeys([]reflect.Type{reflect.TypeFor[iter.Seq2[*item, error]]()}); len(found) != 1 {
		t.Error(found)
	}
}
