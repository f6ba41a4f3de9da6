package codec

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc/internal/wire"
)

type link struct {
	Val  uint8
	Next *link
}

type recursiveSlice struct{ Kids []recursiveSlice }

type recursiveMap map[string]recursiveMap

type twoPointers struct{ Left, Right *twoPointers }

func newList(n int) *link {
	var l *link
	for range n {
		l = &link{Next: l}
	}
	return l
}

func TestDepth(t *testing.T) {
	c := compileType(t, reflect.TypeFor[link]())
	for _, test := range []struct{ length, depth, fits int }{{65, 0, 65}, {66, 0, 65}, {4, 3, 4}, {5, 3, 4}, {5000, -1, 1 << 30}} {
		in := newList(test.length)
		data, err := appendAll(t, c, Encoder{Depth: test.depth}, reflect.ValueOf(in))
		if ok := err == nil; ok != (test.length <= test.fits) || !ok && !errors.Is(err, ErrLimit) {
			t.Errorf("appending %d links with depth %d: %v", test.length, test.depth, err)
		}
		if err != nil {
			data, _ = appendAll(t, c, Encoder{Depth: -1}, reflect.ValueOf(in))
		}
		_, err = readAllDeep(t, c, Decoder{Data: data, Depth: test.depth})
		if ok := err == nil; ok != (test.length <= test.fits) || !ok && !errors.Is(err, ErrLimit) {
			t.Errorf("reading %d links with depth %d: %v", test.length, test.depth, err)
		}
	}
}

// readAllDeep is readAll without appending the result, limited to the default
// depth.
func readAllDeep(t *testing.T, c *Codec, d Decoder) (reflect.Value, error) {
	v := reflect.New(c.Type())
	var errs []error
	for _, form := range executors(c) {
		d := d
		errs = append(errs, form.Read(&d, RefTo(v)))
	}
	if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
		t.Errorf("fast %v\nreflect %v", errs[0], errs[1])
	}
	return v, errs[0]
}

// A cyclic value is an error, not a stack overflow.
func TestCyclicValues(t *testing.T) {
	l := &link{}
	l.Next = l
	f := recursiveSlice{make([]recursiveSlice, 1)}
	f.Kids[0] = f
	k := recursiveMap{}
	k["k"] = k
	for _, v := range []any{l, &f, &k} {
		_, err := appendAll(t, compileType(t, reflect.TypeOf(v).Elem()), Encoder{}, reflect.ValueOf(v))
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "nested deeper than MaxDepth (64), or the value is cyclic") {
			t.Errorf("%T: %.200v", v, err)
		}
	}
}

// A value with exponentially many references to one part exceeds Max early.
func TestMaxBoundsSharedValues(t *testing.T) {
	p := &twoPointers{}
	for range 60 {
		p = &twoPointers{p, p}
	}
	_, err := appendAll(t, compileType(t, reflect.TypeFor[twoPointers]()), Encoder{Max: 10_000}, reflect.ValueOf(p))
	if !errors.Is(err, ErrLimit) || !strings.HasSuffix(err.Error(), ": too long") {
		t.Errorf("%.200v", err)
	}
}

func TestMax(t *testing.T) {
	checkMax(t, &struct {
		A string
		B []uint32
		C []byte
	}{"four", []uint32{1}, []byte{1, 2}})
	checkMax(t, &benchSmall{1, "four", 2, 3})
	checkMax(t, &[]benchItem{{Name: "a"}, {Name: "bb"}})
	checkMax(t, &map[string][]bool{"a": {true}, "b": nil})
}

// checkMax appends the value at ptr with all limits around its size.
func checkMax(t *testing.T, ptr any) {
	c := compileType(t, reflect.TypeOf(ptr).Elem())
	data, err := appendAll(t, c, Encoder{}, reflect.ValueOf(ptr))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(data)+1; n++ {
		for _, room := range []int{0, 1000} {
			_, err := appendAll(t, c, Encoder{Body: wire.Body{Buf: append(make([]byte, 0, 6+room), "before"...)}, Max: n}, reflect.ValueOf(ptr))
			if (err == nil) != (n >= len(data)) || err != nil && !errors.Is(err, ErrLimit) {
				t.Errorf("%v: limit of %d for %d bytes: %v", c.Type(), n, len(data), err)
			}
		}
	}
}

func TestBudget(t *testing.T) {
	data := encode(t, make([]string, 1000))
	c := compileType(t, reflect.TypeFor[[]string]())
	size := int64(reflect.TypeFor[string]().Size()) * 1000
	if _, err := readAll(t, c, Decoder{Data: data, Budget: size}); err != nil {
		t.Error(err)
	}
	_, err := readAll(t, c, Decoder{Data: data, Budget: size - 1, BudgetName: "Limits.DecodeBudget"})
	want := fmt.Sprintf("[]string: needs more memory than Limits.DecodeBudget (%d) allows, offset 8", size-1)
	if !errors.Is(err, ErrLimit) || err.Error() != want {
		t.Error(err)
	}
}

// Unexported fields count as memory.
func TestBudgetCountsHiddenFields(t *testing.T) {
	type wide struct {
		A uint8
		b [1 << 20]byte //lint:ignore U1000 only its size matters
	}
	data := encode(t, make([]wide, 3))
	c := compileType(t, reflect.TypeFor[[]wide]())
	if _, err := readAll(t, c, Decoder{Data: data, Budget: 3 << 20}); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
}

// A count beyond the input allocates nothing.
func TestForgedCounts(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[[]uint64](), reflect.TypeFor[[]string](), reflect.TypeFor[map[string]string](), reflect.TypeFor[[][]link](), reflect.TypeFor[[]*link](),
	} {
		c := compileType(t, typ)
		for _, data := range []string{
			"\xff\xff\xff\xff\xff\xff\xff\xff", "\x04\x00\x00\x00\xff\xff\xff\xff", "\x08\x00\x00\x00\xff\xff\xff\x7f\x00\x00\x00\x00",
			"\xff\xff\xff\x7f", "\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x03\x00\x00\x00\x00\x00\x00",
		} {
			used := allocated(func() {
				if _, err := readAll(t, c, Decoder{Data: []byte(data)}); err == nil {
					t.Errorf("%v reads %x", typ, data)
				}
			})
			if used > 64<<10 {
				t.Errorf("%v of %x allocates %d bytes", typ, data, used)
			}
		}
	}
}

// allocated returns the number of bytes allocated by f.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Elements without bytes are a problem at any place.
func TestZeroSizeElements(t *testing.T) {
	type (
		kids  struct{ Kids []struct{} }
		inner struct{ A, B [0]int }
	)
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[[]struct{}]():              "[]: elements take no bytes on the wire",
		reflect.TypeFor[[][0]int]():                "[][0]int: elements take no bytes on the wire",
		reflect.TypeFor[kids]():                    "kids.Kids: elements take no bytes on the wire",
		reflect.TypeFor[map[string][]inner]():      "map[string][]inner: elements take no bytes on the wire",
		reflect.TypeFor[*[]struct{ a struct{} }](): "[]: struct { a struct {} } has fields but none is exported; export some, implement MarshalBinary and UnmarshalBinary, or use another type",
	} {
		if _, err := Compile(typ, nil); fmt.Sprint(err) != want {
			t.Errorf("%v: %v, want %s", typ, err, want)
		}
	}
	if _, err := Compile(reflect.TypeFor[map[uint8]struct{}](), nil); err != nil {
		t.Error("a set:", err)
	}
}

// Types with exponentially large layouts are a problem, unlike recursive types.
func TestLayoutTooLarge(t *testing.T) {
	_, err := Compile(reflect.TypeFor[threePointers[threePointers[threePointers[threePointers[threePointers[threePointers[threePointers[threePointers[threePointers[threePointers[threePointers[uint8]]]]]]]]]]]](), nil)
	if err == nil || !strings.HasSuffix(err.Error(), "the layout has more than 65536 nodes; use a smaller type") {
		t.Errorf("%.200v", err)
	}
}

// The minimum size of a type is limited, so that sums cannot overflow.
func TestHugeTypes(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[[1 << 30]byte](), reflect.TypeFor[*struct{ A, B [1 << 29]uint8 }](), reflect.TypeFor[[][1 << 16][1 << 14]bool](),
	} {
		if _, err := Compile(typ, nil); err == nil || !strings.HasSuffix(err.Error(), "every value takes at least 1 GiB; use a slice") {
			t.Errorf("%v: %v", typ, err)
		}
	}
}

type threePointers[T any] struct{ A, B, C *T }

// Concurrent calls of Compile return the same codec.
func TestConcurrentCompile(t *testing.T) {
	for n := range 20 {
		typ := reflect.StructOf([]reflect.StructField{
			{Name: fmt.Sprint("F", n), Type: reflect.TypeFor[tree]()}, {Name: "G", Type: reflect.TypeFor[[]item]()},
		})
		codecs := make([]*Codec, 64)
		var group sync.WaitGroup
		for i := range codecs {
			group.Go(func() {
				codecs[i] = compileType(t, typ)
				v := reflect.New(typ)
				v.Elem().Field(1).Set(reflect.ValueOf([]item{{"name", price{1}, nil}}))
				if data, err := appendAll(t, codecs[i], Encoder{}, v); err != nil {
					t.Error(err)
				} else if _, err := readAll(t, codecs[i], Decoder{Data: data}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, c := range codecs {
			if c != codecs[0] {
				t.Fatal("more than one codec for a type")
			}
		}
	}
}

// Many pointers to one value have an encoding larger than an int of 32 bits.
// Max applies before the product of sizes overflows.
func TestMaxWithRepeatedPointers(t *testing.T) {
	list := make([]*[1<<16 - 1]byte, 1<<16)
	for i, one := 0, new([1<<16 - 1]byte); i < len(list); i++ {
		list[i] = one
	}
	c := compileType(t, reflect.TypeOf(list))
	e := Encoder{Max: 1 << 20}
	if err := c.Append(&e, RefTo(reflect.ValueOf(&list))); !errors.Is(err, ErrLimit) {
		t.Errorf("%v, want ErrLimit", err)
	}
}
