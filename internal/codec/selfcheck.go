//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

import (
	"bytes"
	"io"
	"reflect"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/layout"
)

// fastWorks reports whether the fast executor agrees with the reflect executor
// on this platform. Otherwise the reflect executor is used for everything, so
// that an unexpected memory layout costs speed instead of correctness.
func fastWorks() bool {
	selfCheckOnce.Do(func() { selfCheckPassed = selfCheck() })
	return selfCheckPassed
}

var (
	selfCheckOnce   sync.Once
	selfCheckPassed bool
)

// A sample covers all code of the fast executor.
type sample struct {
	A     int64
	B     int32
	C     uint32
	Bool  bool
	Text  string
	F     float64
	G     float32
	Raw   []uint16
	Lists [][]uint16
	Swaps []uint32 `bsrpc:"elem=be4"`
	Blob  []byte
	Runs  []sampleRun
	Flats []sampleSimple
	Fixed []sampleFixed
	Ptrs  []*sampleFixed
	Next  *sample
	Map   map[uint8]string
	Arr   [3]struct {
		X int8
		Y string
	}
	More sampleMore
}

type sampleMore struct {
	Cplx complex128
	Big  int64 `bsrpc:"be8"`
	Var  []int `bsrpc:"varint"`
	Two  []int `bsrpc:"uvarint"`
	Odd  [2]struct {
		L int   `bsrpc:"le3"`
		B int64 `bsrpc:"be7"`
	}
	When   time.Time
	Unions []sampleUnion
	_      uint32         `bsrpc:"be3,const=0xB562"`
	_      [2]byte        `bsrpc:"pad"`
	Line   string         `bsrpc:"until=10"`
	Lens   []string       `bsrpc:"bytes=le2"`
	Each   []uint32       `bsrpc:"bytes=le1"`
	Pair   map[int]string `bsrpc:"bytes=varint,key=varint"`
}

type sampleUnion struct {
	_    struct{} `bsrpc:"union"`
	Flag *bool
	Runs *[]sampleRun
	None *struct{}
	Rec  *sampleUnion
}

// A sampleRun is for loopRunString.
type sampleRun struct {
	A, B int64
	Text string
}

// A sampleSimple is for loopSimple, with all sizes of copies.
type sampleSimple struct {
	A    uint16
	Text string
	B    [3]byte
	C    uint16 `bsrpc:"be2"`
	More string
	D    [9]byte
	E    uint64
}

// A sampleFixed is for loopFixedSize and loopPointer.
type sampleFixed struct {
	A uint32 `bsrpc:"be4"`
	B uint64
}

// A sampleRest covers elements up to the end.
type sampleRest struct {
	Rest []sampleRun `bsrpc:"rest"`
}

// A samplePointer covers structs by pointer.
type samplePointer struct{ V *sampleRun }

// A sampleList covers elements without bytes.
type sampleList struct {
	A0 uint32
	A1 io.Reader
	A2 *sampleRun
	A3 io.Reader
	A4 string
	A5 func()
	A6 func()
}

// selfCheck compares both executors on all samples.
func selfCheck() bool {
	simple := sampleSimple{1, "a text that takes more than two moves", [3]byte{1, 2, 3}, 4, "short", [9]byte{8: 9}, 1 << 60}
	fixed := sampleFixed{1 << 30, 2}
	next := sample{Text: "inner", Map: map[uint8]string{}, More: sampleMore{When: time.Unix(1, 2).UTC(), Pair: map[int]string{}}}
	return selfCheckValue(&sample{
		A: -2, B: 3, C: 1 << 31, Bool: true, Text: "text", F: -0.5, G: 1e-3,
		Raw: []uint16{1, 0xff00}, Lists: [][]uint16{{1, 2}, {0xfffe}}, Swaps: []uint32{1, 1 << 31}, Blob: []byte{0, 1, 2},
		Runs: []sampleRun{{1, -1, "a"}, {2, -2, "eight of it"}}, Flats: []sampleSimple{simple, simple},
		Fixed: []sampleFixed{fixed, fixed}, Ptrs: []*sampleFixed{&fixed, nil, &fixed},
		Next: &next, Map: map[uint8]string{2: "b", 1: "a"},
		More: sampleMore{Cplx: complex(1, -1), Big: 1 << 40, Var: []int{0, -1, 1 << 20}, When: next.More.When,
			Unions: []sampleUnion{{Flag: new(bool)}, {None: &struct{}{}}, {Rec: &sampleUnion{Runs: &[]sampleRun{{1, 2, "a"}}}}},
			Two:    []int{300, -2}, Odd: [2]struct {
				L int   `bsrpc:"le3"`
				B int64 `bsrpc:"be7"`
			}{{-2, 1 << 54}, {1 << 22, -1 << 55}}, Line: "line", Lens: []string{"a", ""}, Each: []uint32{1, 2},
			Pair: map[int]string{-1: "a", 300: "b"}},
	}) && selfCheckValue(&simple) && selfCheckValue(&fixed) && selfCheckValue(&sampleRest{[]sampleRun{{1, 2, "a"}, {3, 4, ""}}}) &&
		selfCheckValue(&samplePointer{&sampleRun{1, 2, "room for it"}}) && selfCheckValue(&samplePointer{&sampleRun{1, 2, simple.Text}}) &&
		selfCheckList(&sampleList{A0: 1, A2: &sampleRun{1, 2, "text"}, A4: simple.Text})
}

// selfCheckValue compares the encodings of a value by both executors, and it with its
// decoding by the fast one.
func selfCheckValue(pointer any) bool {
	// Compile would call fastWorks and deadlock in selfCheckOnce.
	v := reflect.ValueOf(pointer)
	n := newCompiler(pathRoot{typ: v.Type().Elem()}).node(v.Type().Elem(), nil, location{})
	return selfCheckNode(n, pointer)
}

// selfCheckList is selfCheckValue for a list of parameters, at pointer.
func selfCheckList(pointer any) bool {
	t := reflect.TypeOf(pointer).Elem()
	c, n := newCompiler(pathRoot{typ: t, word: "parameter"}), listNode(t)
	funcs := map[int]*layout.Signature{5: {}, 6: {}}
	for i := range t.NumField() {
		n.addElement(t, c.element(t.Field(i).Type, nil, funcs[i], location{}), nil)
	}
	return selfCheckNode(n, pointer)
}

// selfCheckNode is selfCheckValue with the node of the value.
func selfCheckNode(n *node, pointer any) bool {
	v := reflect.ValueOf(pointer)
	n.finish()
	root := pathRoot{typ: v.Type().Elem()}
	plain, fast := &Codec{node: n, root: root}, &Codec{node: n, root: root}
	fast.enableFast()
	var want, got Encoder
	ref := RefTo(v)
	if plain.Append(&want, ref) != nil || fast.Append(&got, ref) != nil || !bytes.Equal(want.Buf, got.Buf) {
		return false
	}
	back := reflect.New(v.Type().Elem())
	return fast.Read(&Decoder{Data: want.Buf}, RefTo(back)) == nil && reflect.DeepEqual(pointer, back.Interface())
}
