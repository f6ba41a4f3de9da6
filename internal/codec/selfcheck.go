//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

import (
	"bytes"
	"reflect"
	"sync"
	"time"
)

// useFast reports whether the fast executor gives what the plain one gives on
// this machine. If ever it does not, the plain one is used for everything.
var useFast = sync.OnceValue(func() bool { return agree() })

// A sample has one of everything that the fast executor does by itself.
type sample struct {
	A    int64
	B    int32
	C    uint32
	Bool bool
	Text string
	F    float64
	G    float32
	Raw  []uint16
	Blob []byte
	Runs []sampleRun
	Next *sample
	Map  map[uint8]string
	Arr  [3]struct {
		X int8
		Y string
	}
	Cplx complex128
	Big  int64 `bsrpc:"be8"`
	Var  []int `bsrpc:"varint"`
	When time.Time
}

type sampleRun struct {
	A, B int64
	Text string
}

// agree runs a sample through both executors.
func agree() (same bool) {
	n := newCompiler(root{}).node(reflect.TypeFor[sample](), nil, site{})
	n.finish()
	v := &sample{
		A: -2, B: 3, C: 1 << 31, Bool: true, Text: "text", F: -0.5, G: 1e-3,
		Raw: []uint16{1, 0xff00}, Blob: []byte{0, 1, 2}, Runs: []sampleRun{{1, -1, "a"}, {2, -2, "eight of it"}},
		Next: &sample{Text: "inner"}, Map: map[uint8]string{2: "b", 1: "a"}, Cplx: complex(1, -1),
		Big: 1 << 40, Var: []int{0, -1, 1 << 20}, When: time.Unix(1, 2).UTC(),
	}
	v.Next.Map, v.Next.When = map[uint8]string{}, v.When
	var w writer
	w.begin(&Encoder{})
	fast, err1 := w.fast(nil, n, address(v), 0)
	plain, err2 := w.plain(nil, n, reflect.ValueOf(v).Elem(), 0)
	if err1 != nil || err2 != nil || !bytes.Equal(fast, plain) {
		return false
	}
	var back sample
	var r reader
	r.begin(&Decoder{Data: plain})
	return r.fast(n, address(&back), 0) == nil && r.off == len(plain) && reflect.DeepEqual(*v, back)
}
