package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"testing"
)

// Each benchmark of the codec is paired with one of handwritten code.

type benchSmall struct {
	A int64
	B string
	C uint32
	D float64
}

type benchItem struct {
	ID      int64
	X, Y, Z float64
	Name    string
}

// A benchArgument is the parameter list of a call with a pointer to a struct.
type benchArgument struct{ V *benchSmall }

var errShort = errors.New("short")

func appendSmall(b []byte, v *benchSmall) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(v.A))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v.B)))
	b = append(b, v.B...)
	b = binary.LittleEndian.AppendUint32(b, v.C)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v.D))
}

func readSmall(b []byte, v *benchSmall) error {
	if len(b) < 12 {
		return errShort
	}
	v.A = int64(binary.LittleEndian.Uint64(b))
	n := int(binary.LittleEndian.Uint32(b[8:]))
	if b = b[12:]; len(b)-12 != n {
		return errShort
	}
	v.B = string(b[:n])
	b = b[n:]
	v.C = binary.LittleEndian.Uint32(b)
	v.D = math.Float64frombits(binary.LittleEndian.Uint64(b[4:]))
	return nil
}

func appendArgument(b []byte, v *benchArgument) []byte {
	if v.V == nil {
		return append(b, 0)
	}
	return appendSmall(append(b, 1), v.V)
}

func readArgument(b []byte) (*benchSmall, error) {
	if len(b) < 1 || b[0] > 1 {
		return nil, errShort
	}
	if b[0] == 0 {
		return nil, nil
	}
	v := new(benchSmall)
	return v, readSmall(b[1:], v)
}

func appendItems(b []byte, list []benchItem) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(list)))
	for i := range list {
		v := &list[i]
		b = binary.LittleEndian.AppendUint64(b, uint64(v.ID))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.X))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Y))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Z))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(v.Name)))
		b = append(b, v.Name...)
	}
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func readItems(b []byte) ([]benchItem, error) {
	if len(b) < 8 || int(binary.LittleEndian.Uint32(b)) != len(b)-4 {
		return nil, errShort
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if b = b[8:]; n > len(b)/36 {
		return nil, errShort
	}
	list := make([]benchItem, n)
	for i := range list {
		if len(b) < 36 {
			return nil, errShort
		}
		v := &list[i]
		v.ID = int64(binary.LittleEndian.Uint64(b))
		v.X = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
		v.Y = math.Float64frombits(binary.LittleEndian.Uint64(b[16:]))
		v.Z = math.Float64frombits(binary.LittleEndian.Uint64(b[24:]))
		size := int(binary.LittleEndian.Uint32(b[32:]))
		if b = b[36:]; size > len(b) {
			return nil, errShort
		}
		v.Name = string(b[:size])
		b = b[size:]
	}
	return list, nil
}

var (
	small    = &benchSmall{-5, "sixteen letters!", 7, 0.25}
	argument = &benchArgument{small}
	items    = func() []benchItem {
		list := make([]benchItem, 1000)
		for i := range list {
			list[i] = benchItem{int64(i), 1, 2, float64(i), "name num"}
		}
		return list
	}()
	numbers = make([]uint32, 250_000)
	blob    = make([]byte, 1<<20)
)

func mustCompile[T any](b testing.TB) *Codec {
	c, err := Compile(reflect.TypeFor[T](), nil)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// benchAppend measures appending v to a reused buffer.
func benchAppend[T any](b *testing.B, v *T) {
	c := mustCompile[T](b)
	var e Encoder
	ref := RefTo(reflect.ValueOf(v))
	b.ReportAllocs()
	for b.Loop() {
		e.Buf = e.Buf[:0]
		if err := c.Append(&e, ref); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(e.Buf)))
}

// benchRead measures reading the encoding of v.
func benchRead[T any](b *testing.B, v *T) {
	c := mustCompile[T](b)
	var e Encoder
	if err := c.Append(&e, RefTo(reflect.ValueOf(v))); err != nil {
		b.Fatal(err)
	}
	var out T
	ref := RefTo(reflect.ValueOf(&out))
	d := Decoder{Data: e.Buf}
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Buf)))
	for b.Loop() {
		if err := c.Read(&d, ref); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	var buf []byte
	b.Run("small/hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = appendSmall(buf[:0], small)
		}
	})
	b.Run("small/codec", func(b *testing.B) { benchAppend(b, small) })
	b.Run("argument/hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = appendArgument(buf[:0], argument)
		}
	})
	b.Run("argument/codec", func(b *testing.B) { benchAppend(b, argument) })
	b.Run("items/hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = appendItems(buf[:0], items)
		}
	})
	b.Run("items/codec", func(b *testing.B) { benchAppend(b, &items) })
	b.Run("numbers/copy", func(b *testing.B) {
		view := make([]byte, 4*len(numbers))
		for b.Loop() {
			buf = append(buf[:0], view...)
		}
	})
	b.Run("numbers/codec", func(b *testing.B) { benchAppend(b, &numbers) })
	b.Run("bytes/copy", func(b *testing.B) {
		for b.Loop() {
			buf = binary.LittleEndian.AppendUint32(buf[:0], uint32(len(blob))) // its four bytes cost alignment
			buf = append(buf, blob...)
		}
	})
	b.Run("bytes/codec", func(b *testing.B) { benchAppend(b, &blob) })
}

var (
	sinkSmall    benchSmall
	sinkArgument *benchSmall
	sinkItems    []benchItem
	sinkNumbers  []uint32
	sinkBytes    []byte
)

func BenchmarkRead(b *testing.B) {
	b.Run("small/hand", func(b *testing.B) {
		data := appendSmall(nil, small)
		b.ReportAllocs()
		for b.Loop() {
			if err := readSmall(data, &sinkSmall); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("small/codec", func(b *testing.B) { benchRead(b, small) })
	b.Run("argument/hand", func(b *testing.B) {
		data := appendArgument(nil, argument)
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if sinkArgument, err = readArgument(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("argument/codec", func(b *testing.B) { benchRead(b, argument) })
	b.Run("items/hand", func(b *testing.B) {
		data := appendItems(nil, items)
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if sinkItems, err = readItems(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("items/codec", func(b *testing.B) { benchRead(b, &items) })
	b.Run("numbers/copy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sinkNumbers = make([]uint32, len(numbers))
			copy(sinkNumbers, numbers)
		}
	})
	b.Run("numbers/codec", func(b *testing.B) { benchRead(b, &numbers) })
	b.Run("bytes/copy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sinkBytes = make([]byte, len(blob))
			copy(sinkBytes, blob)
		}
	})
	b.Run("bytes/codec", func(b *testing.B) { benchRead(b, &blob) })
}
