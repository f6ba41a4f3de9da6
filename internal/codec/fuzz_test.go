package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The types for FuzzRead.
var fuzzShapes = []reflect.Type{
	reflect.TypeFor[struct {
		A int64
		B string
		C uint32
		D float64
		E bool
	}](),
	reflect.TypeFor[[]benchItem](),
	reflect.TypeFor[[]uint32](),
	reflect.TypeFor[[][]byte](),
	reflect.TypeFor[struct {
		M map[uint32]uint16
		N map[int64]int8 `bsrpc:"key=be8"`
	}](),
	reflect.TypeFor[struct {
		Val  int32
		Next *struct{ A, B uint32 }
	}](),
	reflect.TypeFor[link](),
	reflect.TypeFor[recursiveSlice](),
	reflect.TypeFor[struct {
		A []int32      `bsrpc:"list,len=varint,varint"`
		B string       `bsrpc:"len=be2,max=100,utf8"`
		C string       `bsrpc:"fixed=5"`
		D []string     `bsrpc:"len=varint,elem=utf8"`
		E [3]complex64 `bsrpc:"be4"`
		F []uint8      `bsrpc:"list,be2"`
	}](),
	reflect.TypeFor[struct {
		A int32          `bsrpc:"le3"`
		B []uint64       `bsrpc:"be7,len=le3"`
		C map[int16]int8 `bsrpc:"len=be5,key=be6,le5"`
		D []int16        `bsrpc:"uvarint"`
		E int8           `bsrpc:"uvarint"`
	}](),
	reflect.TypeFor[struct {
		U struct {
			_ struct{} `bsrpc:"union"`
			A *uint16  `bsrpc:"be2"`
			B *struct{}
			C *[2]float32
			D **string
			E *[]uint32
		}
		L []recursiveUnion
	}](),
	reflect.TypeFor[struct {
		_ uint16 `bsrpc:"be2,const=0xB562"`
		A []struct {
			_ uint8 `bsrpc:"varint,const=200"`
			B []uint8
			_ int `bsrpc:"le3,const=-2"`
		}
		_ [3]byte `bsrpc:"pad"`
		C *struct {
			_ int64 `bsrpc:"pad"`
		}
	}](),
	reflect.TypeFor[struct {
		A []string         `bsrpc:"bytes=le2"`
		B []uint32         `bsrpc:"bytes=be2"`
		C map[uint32]int16 `bsrpc:"bytes=be3"`
		D map[uint64]int64 `bsrpc:"bytes=le4,key=varint"`
		E []struct {
			A uint64
			B []uint16 `bsrpc:"bytes=le1"`
		} `bsrpc:"bytes=varint"`
	}](),
	reflect.TypeFor[struct {
		A string `bsrpc:"until=10,max=9"`
		B []byte `bsrpc:"until=0"`
		C *struct {
			D [][2]uint32 `bsrpc:"rest"`
		}
	}](),
	reflect.TypeFor[struct {
		A [2]string `bsrpc:"until=0,utf8"`
		B [][]byte  `bsrpc:"rest,max=100"`
	}](),
	reflect.TypeFor[struct {
		A rawBits `bsrpc:"raw"`
		B []struct {
			N uint16
			R rawBits     `bsrpc:"raw"`
			M *[2]rawMark `bsrpc:"raw"`
		} `bsrpc:"list"`
		C [2]*rawBits `bsrpc:"raw"`
	}](),
	reflect.TypeFor[struct {
		T time.Time
		D []time.Duration
		P **uint16
	}](),
	reflect.TypeFor[struct {
		A netip.Addr
		E []enum
		N named
	}](),
	reflect.TypeFor[struct {
		A []benchRegister
		B []*benchLeaf
		C [][]uint32
		D []float32 `bsrpc:"be4"`
		E []*benchRegister
		G []*struct{}
		F []struct {
			S, T string
			N    int16 `bsrpc:"be2"`
		}
	}](),
	reflect.TypeFor[[]struct {
		K [][][2]int8 `bsrpc:"list"`
		S struct {
			A uint8
			B uint16
			C [2]struct{ X, Y bool }
		}
	}](),
}

// A byte becomes at most 16 bytes of memory. Without a count, by rest or bytes=, a list grows with its
// elements, which takes up to four times its memory: see readRest, and docs/security.md.
func TestFuzzShapes(t *testing.T) {
	for i, typ := range fuzzShapes {
		c, most := compileType(t, typ), 16
		if text := c.Layout().String(); strings.Contains(text, "[rest") || strings.Contains(text, "[bytes=") {
			most = 48
		}
		if c.MaxPerByte() > most {
			t.Errorf("type %d, %s: %d bytes per byte, want at most %d", i, c.Layout(), c.MaxPerByte(), most)
		}
	}
}

// FuzzRead reads data as one of fuzzShapes. A value read must append to the
// same bytes, round-trip, and stay within MaxPerByte. Both executors must
// agree.
func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for i, typ := range fuzzShapes {
		c := compileType(f, typ)
		for range 3 {
			v := reflect.New(typ)
			fill(r, v.Elem(), 0)
			e := Encoder{}
			if err := c.Append(&e, RefTo(v)); err == nil {
				f.Add(uint8(i), e.Buf)
			}
		}
	}
	f.Fuzz(func(t *testing.T, shape uint8, data []byte) {
		c := compileType(t, fuzzShapes[int(shape)%len(fuzzShapes)])
		out := reflect.New(c.Type())
		used := allocated(func() { _ = c.Read(&Decoder{Data: data}, RefTo(out)) })
		if most := uint64(c.MaxPerByte()*len(data) + 64<<10); used > most {
			t.Errorf("%d bytes allocate %d, more than %d", len(data), used, most)
		}
		out, err := readAll(t, c, Decoder{Data: data})
		if err != nil {
			return
		}
		again, err := appendAll(t, c, Encoder{}, out)
		if err != nil || !bytes.Equal(again, data) && !c.UserCode() && !hasPadding(c) {
			t.Fatalf("%s: %x appends as %x, %v", c.Layout(), data, again, err)
		}
		second, err := readAll(t, c, Decoder{Data: again})
		if err != nil {
			t.Fatalf("%s: %x does not read again: %v", c.Layout(), again, err)
		}
		if third, err := appendAll(t, c, Encoder{}, second); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%s: %x appends as %x after a round trip, %v", c.Layout(), again, third, err)
		}
	})
}

// FuzzTypes generates a type and a value from a seed and corrupts the encoding
// at offsets from data.
func FuzzTypes(f *testing.F) {
	f.Add(uint64(1), []byte{0, 0, 1})
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := compileType(t, randomType(r, 3))
		v := reflect.New(c.Type())
		fill(r, v.Elem(), 0)
		buf, err := appendAll(t, c, Encoder{}, v)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(data) >= 3 && len(buf) > 0; data = data[3:] {
			buf[int(binary.LittleEndian.Uint16(data))%len(buf)] ^= data[2]
		}
		if _, err := readAll(t, c, Decoder{Data: buf}); err == nil {
			return
		}
	})
}

// FuzzTags parses tags. A valid tag is unchanged by a round trip through its
// text.
func FuzzTags(f *testing.F) {
	for _, tag := range []string{"le4", "list,len=le2,elem=(len=le1 max=32)", "key=(le2) elem=list", "-", "union", "name=x", "pad", "be2,const=0xB562", "const=-5", "until=0x0a", "rest", "bytes=le1 elem=until=0", "(le4,le4) le4,id=2", "() (le4,),oneway,roles=a|b", "timeout=60s"} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		if tag, skip, err := ParseFieldTag(tag); err == nil && !skip {
			q, _, err := ParseFieldTag(tag.String())
			if err != nil || fmt.Sprint(tag) != fmt.Sprint(q) {
				t.Fatalf("%q is %q, then %q, %v", tag, tag, q, err)
			}
			_, _ = Compile(reflect.TypeFor[map[string][]int](), tag)
		}
		_, _ = ParseMethodTag(tag)
	})
}
