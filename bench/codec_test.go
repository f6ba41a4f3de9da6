package main

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"io"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"
	kelindar "github.com/kelindar/binary"
	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bench/mp"
	"github.com/bsrpc/bsrpc/bench/proto/pb"
)

// The codecs beside each other: by hand, generated, and by reflection.
//
//	go test -run '^$' -bench . -count 6 . | benchstat -col /codec -

// A codecCase appends one value, and reads its bytes into a new one. Codecs
// that cannot append to a buffer make their own: that is their natural API.
type codecCase struct {
	name   string
	append func(dst []byte) ([]byte, error)
	read   func(b []byte) (any, error) // the new value, as a pointer
	want   any
}

func newCase[T any](name string, v *T, add func([]byte, *T) ([]byte, error), read func([]byte, *T) error) codecCase {
	return codecCase{
		name:   name,
		append: func(dst []byte) ([]byte, error) { return add(dst, v) },
		read: func(b []byte) (any, error) {
			got := new(T)
			err := read(b, got)
			return got, err
		},
		want: v,
	}
}

// made is newCase for a codec that returns a slice of its own.
func made[T any](name string, v *T, marshal func(any) ([]byte, error), unmarshal func([]byte, any) error) codecCase {
	return newCase(name, v,
		func(_ []byte, v *T) ([]byte, error) { return marshal(v) },
		func(b []byte, v *T) error { return unmarshal(b, v) })
}

func smallCodecs() []codecCase {
	v := small
	m := &mp.Small{ID: v.ID, Name: v.Name, Flags: v.Flags, Value: v.Value}
	p := protoSmall(&v)
	byHand := newCase("hand-written", &v,
		func(dst []byte, v *Small) ([]byte, error) { return appendSmall(dst, v), nil }, readSmall)
	generated := []codecCase{
		newCase("msgp", m,
			func(dst []byte, v *mp.Small) ([]byte, error) { return v.MarshalMsg(dst) },
			func(b []byte, v *mp.Small) error { _, err := v.UnmarshalMsg(b); return err }),
		newCase("vtprotobuf", p, appendVT[*pb.Small],
			func(b []byte, v *pb.Small) error { return v.UnmarshalVT(b) }),
		newCase("protobuf", p,
			func(dst []byte, v *pb.Small) ([]byte, error) { return proto.MarshalOptions{}.MarshalAppend(dst, v) },
			func(b []byte, v *pb.Small) error { return proto.Unmarshal(b, v) }),
	}
	return append(append([]codecCase{byHand}, generated...), reflective(&v)...)
}

func itemsCodecs() []codecCase {
	v := makeItems(itemCount)
	m := make(mp.Items, len(v))
	for i, it := range v {
		m[i] = mp.Item(it)
	}
	p := protoItems(v)
	byHand := newCase("hand-written", &v,
		func(dst []byte, v *[]Item) ([]byte, error) { return appendItems(dst, *v), nil },
		func(b []byte, v *[]Item) (err error) { *v, err = readItems(b); return err })
	generated := []codecCase{
		newCase("msgp", &m,
			func(dst []byte, v *mp.Items) ([]byte, error) { return v.MarshalMsg(dst) },
			func(b []byte, v *mp.Items) error { _, err := v.UnmarshalMsg(b); return err }),
		newCase("vtprotobuf", p, appendVT[*pb.Items],
			func(b []byte, v *pb.Items) error { return v.UnmarshalVT(b) }),
		newCase("protobuf", p,
			func(dst []byte, v *pb.Items) ([]byte, error) { return proto.MarshalOptions{}.MarshalAppend(dst, v) },
			func(b []byte, v *pb.Items) error { return proto.Unmarshal(b, v) }),
	}
	return append(append([]codecCase{byHand}, generated...), reflective(&v)...)
}

// reflective are the codecs that need no generated code.
func reflective[T any](v *T) []codecCase {
	return []codecCase{
		newCase("bsrpc", v,
			func(dst []byte, v *T) ([]byte, error) { return bsrpc.Append(dst, v) },
			func(b []byte, v *T) error { return bsrpc.Unmarshal(b, v) }),
		made("kelindar", v, kelindar.Marshal, kelindar.Unmarshal),
		made("cbor", v, cbor.Marshal, cbor.Unmarshal),
		made("msgpack", v, msgpack.Marshal, msgpack.Unmarshal),
		made("json", v, json.Marshal, json.Unmarshal),
		gobCase(v),
	}
}

type vtMessage interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

func appendVT[M vtMessage](dst []byte, m M) ([]byte, error) {
	n := m.SizeVT()
	dst = append(dst, make([]byte, n)...)
	_, err := m.MarshalToSizedBufferVT(dst[len(dst)-n:])
	return dst, err
}

// gobCase is a gob stream whose types have been sent already.
func gobCase[T any](v *T) codecCase {
	var buf bytes.Buffer
	enc := gob.NewEncoder(&buf)
	enc.Encode(v)
	types := bytes.Clone(buf.Bytes())
	in := &refilled{rest: types}
	dec := gob.NewDecoder(in)
	dec.Decode(new(T))
	return newCase("gob", v,
		func(_ []byte, v *T) ([]byte, error) {
			buf.Reset()
			err := enc.Encode(v)
			return buf.Bytes(), err
		},
		func(b []byte, v *T) error {
			in.rest = b
			return dec.Decode(v)
		})
}

// A refilled reads one message after another. It has ReadByte so that gob does
// not buffer it.
type refilled struct{ rest []byte }

func (r *refilled) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *refilled) ReadByte() (byte, error) {
	var b [1]byte
	_, err := r.Read(b[:])
	return b[0], err
}

func forCodecs(f func(value string, c codecCase)) {
	for _, c := range smallCodecs() {
		f("small", c)
	}
	for _, c := range itemsCodecs() {
		f("items", c)
	}
}

func TestCodecs(t *testing.T) {
	forCodecs(func(value string, c codecCase) {
		b, err := c.append(nil)
		if err != nil {
			t.Fatalf("%s, %s: %v", c.name, value, err)
		}
		got, err := c.read(b)
		same := reflect.DeepEqual(got, c.want)
		if m, ok := c.want.(proto.Message); ok {
			same = proto.Equal(got.(proto.Message), m)
		}
		if err != nil || !same {
			t.Errorf("%s, %s: other than it was: %v", c.name, value, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	forCodecs(func(value string, c codecCase) {
		b.Run("value="+value+"/codec="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = c.append(dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(dst)), "wire-B")
		})
	})
}

func BenchmarkRead(b *testing.B) {
	forCodecs(func(value string, c codecCase) {
		b.Run("value="+value+"/codec="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			data, err := c.append(nil)
			if err != nil {
				b.Fatal(err)
			}
			data = bytes.Clone(data)
			for b.Loop() {
				if _, err := c.read(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
