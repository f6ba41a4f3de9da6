package codec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// Extreme values of all kinds round-trip bit by bit.
func TestExtremeValues(t *testing.T) {
	checkRoundTrip(t, int8(math.MinInt8), int8(math.MaxInt8), int8(0), int8(-1))
	checkRoundTrip(t, int16(math.MinInt16), int16(math.MaxInt16), int16(0), int16(-1))
	checkRoundTrip(t, int32(math.MinInt32), int32(math.MaxInt32), int32(0), int32(-1))
	checkRoundTrip(t, int64(math.MinInt64), int64(math.MaxInt64), int64(0), int64(-1))
	checkRoundTrip(t, int(math.MinInt), int(math.MaxInt), int(0), int(-1))
	checkRoundTrip(t, uint8(0), uint8(math.MaxUint8))
	checkRoundTrip(t, uint16(0), uint16(math.MaxUint16))
	checkRoundTrip(t, uint32(0), uint32(math.MaxUint32))
	checkRoundTrip(t, uint64(0), uint64(math.MaxUint64))
	checkRoundTrip(t, uint(0), uint(math.MaxUint))
	for _, bits := range []uint32{0, 1 << 31, 1, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0xffbfffff} {
		f := math.Float32frombits(bits)
		data := encode(t, f)
		if want := fmt.Sprintf("%08x", bits); reversed(data) != want {
			t.Errorf("float32 %s appends as %x", want, data)
		}
		out, err := readAll(t, compileType(t, reflect.TypeFor[float32]()), Decoder{Data: data})
		if got := math.Float32bits(*out.Interface().(*float32)); err != nil || got != bits {
			t.Errorf("float32 %x reads as %x, %v", bits, got, err)
		}
		checkBitsRoundTrip(t, struct {
			A uint8
			F [3]float32
			C complex64
		}{1, [3]float32{f, f, f}, complex(f, f)})
	}
	for _, bits := range []uint64{0, 1 << 63, 1, 0x7ff << 52, 0xfff << 52, 0x7ff8000000000001, 0x7ff0000000000001} {
		f := math.Float64frombits(bits)
		if data := encode(t, f); reversed(data) != fmt.Sprintf("%016x", bits) {
			t.Errorf("float64 %016x appends as %x", bits, data)
		}
		checkBitsRoundTrip(t, struct {
			A []float64
			B float64 `bsrpc:"be8"`
			C complex128
		}{[]float64{f}, f, complex(f, f)})
	}
}

func reversed(b []byte) string {
	var s string
	for _, x := range b {
		s = fmt.Sprintf("%02x", x) + s
	}
	return s
}

// checkRoundTrip appends and reads values in all formats with sufficient range.
func checkRoundTrip[T comparable](t *testing.T, values ...T) {
	t.Helper()
	typ := reflect.TypeFor[T]()
	for _, format := range []string{"", "le8", "be8", "varint", "uvarint"} {
		tag, err := ParseTag(format)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Compile(typ, tag)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			data, err := appendAll(t, c, Encoder{}, reflect.ValueOf(&v))
			if err != nil {
				t.Fatalf("%v %d %q: %v", typ, i, format, err)
			}
			out, err := readAll(t, c, Decoder{Data: data})
			if got := *out.Interface().(*T); err != nil || got != v {
				t.Errorf("%v %d %q: %v", typ, i, format, err)
			}
		}
	}
}

// checkBitsRoundTrip compares encodings, as NaN is not equal to itself.
func checkBitsRoundTrip[T any](t *testing.T, v T) {
	t.Helper()
	data := encode(t, v)
	out, err := readAll(t, compileType(t, reflect.TypeFor[T]()), Decoder{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if again := encode(t, *out.Interface().(*T)); !bytes.Equal(again, data) {
		t.Errorf("%T: %x, want %x", v, again, data)
	}
}

// A value has a single encoding; lenient decoders accept any true.
func TestSingleEncoding(t *testing.T) {
	for _, test := range []struct {
		typ     reflect.Type
		data    string
		lenient bool
		want    string
	}{
		{reflect.TypeFor[map[uint8]uint8](), "\x08\x00\x00\x00\x02\x00\x00\x00\x01\x01\x01\x02", false, "map[uint8]uint8[key]: want unique keys in the order of their bytes, offset 10"},
		{reflect.TypeFor[map[float32]uint8](), "\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\xc0\x7f\x01", false, "map[float32]uint8[key]: NaN and -0 cannot be map keys, offset 8"},
		{reflect.TypeFor[bool](), "\x02", false, "want 0 or 1 for a bool, offset 0"},
		{reflect.TypeFor[bool](), "\x02", true, "<nil>"},
		{reflect.TypeFor[[]bool](), "\x05\x00\x00\x00\x01\x00\x00\x00\x02", false, "[]bool: want 0 or 1 for a bool, offset 8"},
		{reflect.TypeFor[[2]bool](), "\x02\xff", true, "<nil>"},
		{reflect.TypeFor[string](), "\x01\x00\x00\x00\xff", false, "<nil>"},
		{reflect.TypeFor[string](), "\x01\x00\x00\x00\xff", true, "not UTF-8, offset 5"},
		{reflect.TypeFor[[]string](), "\x09\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\xff", true, "[]string: not UTF-8, offset 13"},
	} {
		out, err := readAll(t, compileType(t, test.typ), Decoder{Data: []byte(test.data), Lenient: test.lenient})
		if fmt.Sprint(err) != test.want {
			t.Errorf("%v %x: %v, want %s", test.typ, test.data, err, test.want)
		}
		if test.lenient && test.typ.Kind() == reflect.Bool && !out.Elem().Bool() {
			t.Error("2 is not true")
		}
	}
	bad := "\xff"
	_, err := appendAll(t, compileType(t, reflect.TypeFor[string]()), Encoder{Lenient: true}, reflect.ValueOf(&bad))
	if fmt.Sprint(err) != "not UTF-8" {
		t.Error(err)
	}
}

// int and uint have eight bytes on every platform. Values out of range are
// errors.
func TestIntWidth(t *testing.T) {
	v := struct {
		A int
		B uint
		C []int
	}{-2, 3, []int{4}}
	data := encode(t, v)
	want := "\xfe\xff\xff\xff\xff\xff\xff\xff\x03\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"
	if string(data) != want {
		t.Errorf("%x", data)
	}
	c := compileType(t, reflect.TypeOf(v))
	for _, at := range []int{4, 12, 28} {
		big := bytes.Clone(data)
		big[at] ^= 1
		_, err := readAll(t, c, Decoder{Data: big})
		if strconv.IntSize == 64 && err != nil || strconv.IntSize == 32 && !strings.Contains(fmt.Sprint(err), "does not fit in") {
			t.Errorf("%x: %v", big, err)
		}
	}
}

// MaxPerByte holds for inputs chosen to maximize memory.
func TestMaxPerByte(t *testing.T) {
	type wide struct {
		P *wide
		S []string
		M map[uint8]string
		F [20]int
	}
	for _, v := range []any{
		ptrTo(make([]string, 20000)), ptrTo(make([][]byte, 20000)), ptrTo(make([]*link, 20000)), ptrTo(make([]map[string]string, 5000)),
		ptrTo(repeated(20000, "a")), ptrTo(repeated(20000, []byte("a"))), ptrTo(repeated(20000, []uint8{1})), ptrTo(repeated(5000, map[string]string{"": ""})),
		ptrTo(repeated(5000, map[uint8]uint8{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9})), ptrTo(repeated(20000, &link{})),
		ptrTo(repeated(5000, [1][]uint16{{1}})), ptrTo(bigMap(20000)), ptrTo(bigMap(14336)), ptrTo(bigMap(14337)), ptrTo(repeated(2000, wide{P: &wide{}})),
		ptrTo(repeated(20000, strings.Repeat("b", 200))), ptrTo(repeated(20000, strings.Repeat("b", 257))),
	} {
		c := compileType(t, reflect.TypeOf(v).Elem())
		e := Encoder{}
		if err := c.Append(&e, RefTo(reflect.ValueOf(v))); err != nil {
			t.Fatal(err)
		}
		out := reflect.New(c.Type())
		used := allocated(func() {
			if err := c.Read(&Decoder{Data: e.Buf}, RefTo(out)); err != nil {
				t.Fatal(err)
			}
		})
		if most := uint64(c.MaxPerByte()*len(e.Buf) + 64<<10); used > most {
			t.Errorf("%v: %d bytes of %d: %.1f per byte, MaxPerByte is %d", c.Type(), used, len(e.Buf), float64(used)/float64(len(e.Buf)), c.MaxPerByte())
		}
	}
}

func ptrTo[T any](v T) *T { return &v }

func repeated[T any](n int, v T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}

func bigMap(n int) map[uint32]uint8 {
	m := map[uint32]uint8{}
	for i := range n {
		m[uint32(i)] = 1
	}
	return m
}
