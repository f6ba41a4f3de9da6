//go:build !bsrpc_safe

package codec

import (
	"bytes"
	"math"
	"math/rand"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/internal/wire"
)

func TestSelfCheck(t *testing.T) {
	if !selfCheck() {
		t.Fatal("the fast executor is not in use")
	}
}

// Targets of pointers are newly allocated and zero, for all sizes and for types
// stored directly in interfaces.
func TestPointersAreFresh(t *testing.T) {
	type holder struct {
		A *benchSmall
		B *string
		C **int16
		D *struct{ M map[uint8]uint8 }
		E *[1]*int8
		F *[40]uint64
		G *[]byte
		H *uintptrSized
		I *[maxBoxed]byte
		J *[maxBoxed + 1]byte
	}
	n, small := int8(1), int16(2)
	p := &small
	in := holder{
		A: &benchSmall{A: 1, B: "text"}, B: new(string), C: &p,
		D: &struct{ M map[uint8]uint8 }{map[uint8]uint8{1: 2}}, E: &[1]*int8{&n},
		F: &[40]uint64{39: 1}, G: &[]byte{1}, H: &uintptrSized{3, 4}, I: new([maxBoxed]byte), J: new([maxBoxed + 1]byte),
	}
	c := mustCompile[holder](t)
	var e Encoder
	if err := c.Append(&e, RefTo(reflect.ValueOf(&in))); err != nil {
		t.Fatal(err)
	}
	var all [3]holder
	for i := range all {
		back := &all[i]
		if err := c.Read(&Decoder{Data: e.Buf}, RefTo(reflect.ValueOf(back))); err != nil || !reflect.DeepEqual(in, *back) {
			t.Fatalf("%v: %+v", err, *back)
		}
		runtime.GC()
		for _, other := range all[:i] {
			for f := range reflect.TypeFor[holder]().NumField() {
				if a, b := reflect.ValueOf(other).Field(f), reflect.ValueOf(*back).Field(f); a.Pointer() == b.Pointer() {
					t.Errorf("%v: target shared by two values", a.Type())
				}
			}
		}
		*back.A, *back.B, **back.C, back.D.M, back.E[0] = benchSmall{A: 9, B: "other"}, "other", 9, nil, nil
		back.F[0], *back.G, *back.H = 9, nil, uintptrSized{9, 9}
	}
}

// A uintptrSized has the size of a pointer on 64-bit platforms, but is not one.
type uintptrSized struct{ A, B uint32 }

// RefAt works for addresses unknown to reflection.
func TestRefAt(t *testing.T) {
	in, out := small, benchSmall{}
	c := mustCompile[benchSmall](t)
	var e Encoder
	if err := c.Append(&e, RefAt(unsafe.Pointer(in))); err != nil {
		t.Fatal(err)
	}
	if err := c.Read(&Decoder{Data: e.Buf}, RefAt(unsafe.Pointer(&out))); err != nil || out != *in {
		t.Error(err, out)
	}
}

// Strings at the end of an arena or buffer stay within it.
func TestRunStringsWithinBuffer(t *testing.T) {
	c := mustCompile[[]benchItem](t)
	for size := range 40 {
		list := make([]benchItem, 60)
		for i := range list {
			list[i].Name = "0123456789012345678901234567890123456789"[:size]
		}
		want := appendItems(nil, list)
		for room := range 80 {
			e := Encoder{Body: wire.Body{Buf: make([]byte, 0, room)}}
			if err := c.Append(&e, RefAt(unsafe.Pointer(&list))); err != nil || string(e.Buf) != string(want) {
				t.Fatalf("size %d, room %d: %v", size, room, err)
			}
		}
		out := make([]byte, len(want))
		copy(out, want)
		var back []benchItem
		if err := c.Read(&Decoder{Data: out}, RefAt(unsafe.Pointer(&back))); err != nil || len(back) != 60 || back[59] != list[59] {
			t.Fatalf("size %d: %v", size, err)
		}
	}
}

// Runs and strings of all short lengths stay within their buffers.
func TestSimpleStepsWithinBuffer(t *testing.T) {
	text := "0123456789012345678901234567890123456789"
	for run := 1; run <= len(text); run++ {
		array := reflect.ArrayOf(run, reflect.TypeFor[byte]())
		typ := reflect.StructOf([]reflect.StructField{
			{Name: "A", Type: array}, {Name: "B", Type: reflect.TypeFor[string]()}, {Name: "C", Type: array},
		})
		c, err := Compile(typ, nil)
		if err != nil {
			t.Fatal(err)
		}
		for size := range len(text) + 1 {
			v := reflect.New(typ)
			reflect.Copy(v.Elem().Field(0), reflect.ValueOf([]byte(text)))
			v.Elem().Field(1).SetString(text[:size])
			reflect.Copy(v.Elem().Field(2), reflect.ValueOf([]byte(text)))
			want := text[:run] + string([]byte{byte(size), 0, 0, 0}) + text[:size] + text[:run]
			memory := bytes.Repeat([]byte{0xee}, len(want)+8)
			for _, room := range []int{0, len(want) - 1, len(want), len(want) + 8} {
				e := Encoder{Body: wire.Body{Buf: memory[:0:room]}}
				if err := c.Append(&e, RefTo(v)); err != nil || string(e.Buf) != want {
					t.Fatalf("run %d, string %d, room %d: %q, %v, want %q", run, size, room, e.Buf, err, want)
				}
				if bytes.Count(memory[min(room, len(want)):], []byte{0xee}) != len(memory)-min(room, len(want)) {
					t.Fatalf("run %d, string %d, room %d: wrote beyond its end", run, size, room)
				}
			}
			back := reflect.New(typ)
			if err := c.Read(&Decoder{Data: []byte(want)}, RefTo(back)); err != nil || back.Elem().Interface() != v.Elem().Interface() {
				t.Fatalf("run %d, string %d: %v, %v", run, size, back.Elem(), err)
			}
			if err := c.Read(&Decoder{Data: []byte(want)[:len(want)-1]}, RefTo(back)); err == nil {
				t.Fatalf("run %d, string %d: read a truncated encoding", run, size)
			}
		}
	}
}

// Structs in pieces, of all short shapes, stay within their values and buffers.
func TestPiecesWithinBuffer(t *testing.T) {
	kinds := []reflect.Type{reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
		reflect.TypeFor[string](), reflect.TypeFor[[5]byte](), reflect.TypeFor[[3]uint64]()}
	rnd := rand.New(rand.NewSource(1))
	whole := 0
	for range 4000 {
		var fields []reflect.StructField
		for i := range 1 + rnd.Intn(5) {
			fields = append(fields, reflect.StructField{Name: "F" + strconv.Itoa(i), Type: kinds[rnd.Intn(len(kinds))]})
		}
		typ := reflect.StructOf(fields)
		c, err := Compile(typ, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.fastPath != nil && c.fastPath.inPieces.room < math.MaxInt {
			whole++
		}
		v := reflect.New(typ)
		for i := range fields {
			if f := v.Elem().Field(i); f.Kind() == reflect.String {
				f.SetString("0123456789012345678901234567890123456789"[:rnd.Intn(40)])
			} else {
				rnd.Read(bytesView(f.Addr().UnsafePointer(), f.Type().Size()))
			}
		}
		plain := *c
		plain.useFast, plain.fastPath = false, nil
		var want Encoder
		if err := plain.Append(&want, RefTo(v)); err != nil {
			t.Fatal(err)
		}
		for _, room := range []int{0, len(want.Buf) - 1, len(want.Buf), len(want.Buf) + 1, len(want.Buf) + 16} {
			memory := bytes.Repeat([]byte{0xee}, len(want.Buf)+24)
			e := Encoder{Body: wire.Body{Buf: memory[:0:max(room, 0)]}}
			if err := c.Append(&e, RefTo(v)); err != nil || string(e.Buf) != string(want.Buf) {
				t.Fatalf("%v, room %d: %x, %v, want %x", typ, room, e.Buf, err, want.Buf)
			}
			if behind := memory[len(want.Buf):]; bytes.Count(behind, []byte{0xee}) != len(behind) {
				t.Fatalf("%v, room %d: wrote beyond its end: %x", typ, room, behind)
			}
			e = Encoder{Max: len(want.Buf) - 1}
			e.Buf = make([]byte, 0, 256)
			if err := c.Append(&e, RefTo(v)); err == nil && e.Max > 0 || len(e.Buf) > 0 && e.Max > 0 {
				t.Fatalf("%v: %d bytes within a maximum of %d", typ, len(e.Buf), e.Max)
			}
		}
	}
	if littleEndian && whole < 1000 {
		t.Errorf("only %d structs were in pieces", whole)
	}
}

// Fields that are not encoded are not read either: another goroutine may use them.
func TestPiecesLeaveOtherFields(t *testing.T) {
	type value struct {
		A     uint32
		count uint32
		B     string
	}
	c := mustCompile[value](t)
	if c.node.inPieces.room != math.MaxInt {
		t.Error("the word of A reaches into a field that is not encoded")
	}
	v := value{A: 1, count: 2, B: "b"}
	var e Encoder
	if err := c.Append(&e, RefTo(reflect.ValueOf(&v))); err != nil || string(e.Buf) != "\x01\x00\x00\x00\x01\x00\x00\x00b" {
		t.Errorf("%x, %v", e.Buf, err)
	}
}

// A struct shares an allocation with its only string, if short. The string
// stays valid after the input changes and the struct becomes unreachable.
func TestStructWithText(t *testing.T) {
	text := "0123456789012345678901234567890123456789"
	for head := range 120 {
		typ := reflect.StructOf([]reflect.StructField{
			{Name: "A", Type: reflect.ArrayOf(head, reflect.TypeFor[byte]())},
			{Name: "B", Type: reflect.TypeFor[string]()},
		})
		c, err := CompileList("parameter", []reflect.Type{reflect.PointerTo(typ)}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var kept []string
		for size := range len(text) + 1 {
			data := append([]byte{1}, text[:min(head, len(text))]...)
			data = append(append(data, make([]byte, 1+head-len(data))...), byte(size), 0, 0, 0)
			data = append(data, text[:size]...)
			list := reflect.New(c.Type())
			if err := c.Read(&Decoder{Data: data}, RefTo(list)); err != nil {
				t.Fatalf("head %d, text %d: %v", head, size, err)
			}
			var e Encoder
			if err := c.Append(&e, RefTo(list)); err != nil || !bytes.Equal(e.Buf, data) {
				t.Fatalf("head %d, text %d: %q, %v, want %q", head, size, e.Buf, err, data)
			}
			kept = append(kept, list.Elem().Field(0).Elem().Field(1).String())
			for _, short := range [][]byte{data[:len(data)-1], append(bytes.Clone(data), 'x')} {
				if err := c.Read(&Decoder{Data: short}, RefTo(list)); err == nil {
					t.Fatalf("head %d, text %d: read %q", head, size, short)
				}
			}
			clear(data)
		}
		if rounds.Long || head%8 == 0 {
			runtime.GC()
		}
		for size, s := range kept {
			if s != text[:size] {
				t.Fatalf("head %d, text %d: %q after a collection", head, size, s)
			}
		}
	}
}

func TestStructWithTextAllocations(t *testing.T) {
	c, err := CompileList("parameter", []reflect.Type{reflect.TypeFor[*benchSmall]()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		size int
		want float64
	}{{0, 1}, {1, 1}, {c.structWithText.room, 1}, {c.structWithText.room + 1, 2}} {
		text := strings.Repeat("x", tt.size)
		var out benchArgument
		d := Decoder{Data: appendArgument(nil, &benchArgument{&benchSmall{B: text}})}
		n := testing.AllocsPerRun(100, func() {
			if err := c.Read(&d, RefAt(unsafe.Pointer(&out))); err != nil || out.V.B != text {
				t.Fatal(err, out.V)
			}
		})
		if n != tt.want {
			t.Errorf("text of %d bytes: %v allocations, want %v", tt.size, n, tt.want)
		}
	}
	if c.structWithText.room < 16 {
		t.Errorf("space for %d bytes", c.structWithText.room)
	}
}
