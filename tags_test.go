package bsrpc_test

import (
	"encoding/hex"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/wire"
)

type (
	enum  uint8
	celsi float64
	id    [2]byte
)

func (e enum) MarshalText() ([]byte, error)  { return []byte{'e', '0' + byte(e)}, nil }
func (e *enum) UnmarshalText(b []byte) error { *e = enum(b[1] - '0'); return nil }

func (i id) MarshalBinary() ([]byte, error)     { return i[:], nil }
func (i *id) UnmarshalBinary(data []byte) error { copy(i[:], data); return nil }

// Each line is a field of that type with that tag, and its value's bytes.
var tagBytes = []struct {
	tag   string
	value any
	bytes string // in hex, spaces as they help
}{
	// Numbers: their own width, little-endian.
	{``, true, "01"},
	{``, false, "00"},
	{``, int8(-2), "fe"},
	{``, int16(-2), "feff"},
	{``, int32(-2), "feffffff"},
	{``, int64(-2), "feffffffffffffff"},
	{``, int(-2), "feffffffffffffff"},
	{``, uint8(200), "c8"},
	{``, uint16(0x1234), "3412"},
	{``, uint32(0x12345678), "78563412"},
	{``, uint64(1), "0100000000000000"},
	{``, uint(1), "0100000000000000"},
	{`le1`, int64(-2), "fe"},
	{`be1`, int64(-2), "fe"},
	{`le2`, int64(-2), "feff"},
	{`be2`, int64(-2), "fffe"},
	{`le4`, 0x12345678, "78563412"},
	{`be4`, 0x12345678, "12345678"},
	{`le8`, int8(1), "0100000000000000"},
	{`be8`, uint8(1), "0000000000000001"},
	{`be8`, uint64(1 << 63), "8000000000000000"},
	{`varint`, uint32(300), "ac02"},
	{`varint`, int32(0), "00"},
	{`varint`, int32(-1), "01"},
	{`varint`, int32(1), "02"},
	{`varint`, uint64(math.MaxUint64), "ffffffffffffffffff01"},
	{`le3`, int64(-2), "feffff"},
	{`be3`, int32(-1 << 23), "800000"},
	{`le3`, uint32(0x123456), "563412"},
	{`be3`, uint32(0x123456), "123456"},
	{`le5`, int64(0x123456789a), "9a78563412"},
	{`be5`, int64(0x123456789a), "123456789a"},
	{`le6`, uint64(1<<48 - 1), "ffffffffffff"},
	{`be6`, int64(-2), "fffffffffffe"},
	{`le7`, int64(-1 << 55), "00000000000080"},
	{`be7`, uint8(1), "00000000000001"},
	{`be7`, int16(-2), "fffffffffffffe"},
	{`uvarint`, 300, "ac02"},
	{`uvarint`, int8(-1), "ffffffffffffffffff01"},
	{`uvarint`, int64(math.MinInt64), "80808080808080808001"},
	{`uvarint`, int64(math.MaxInt64), "ffffffffffffffff7f"},
	{`uvarint`, uint32(300), "ac02"},
	{``, float32(1), "0000803f"},
	{`be4`, float32(1), "3f800000"},
	{`le4`, float32(1), "0000803f"},
	{``, celsi(1), "000000000000f03f"},
	{`be8`, 1.0, "3ff0000000000000"},
	{``, complex64(complex(1, 2)), "0000803f 00000040"},
	{`be8`, complex(1, 2), "3ff0000000000000 4000000000000000"},
	{``, 2 * time.Nanosecond, "0200000000000000"},
	{``, time.Unix(1, 2).UTC(), "0100000000000000 02000000"},
	{``, time.Time{}, "0009 6e88f1ffffff 00000000"},

	// Strings and bytes: a length first.
	{``, "hé", "03000000 68c3a9"},
	{`len=le1`, "ab", "02 6162"},
	{`len=be2`, "ab", "0002 6162"},
	{`len=varint`, "ab", "02 6162"},
	{`len=be3`, "ab", "000002 6162"},
	{`max=2`, "ab", "02000000 6162"},
	{`utf8`, "hé", "03000000 68c3a9"},
	{`fixed=4`, "ab", "61620000"},
	{`fixed=4`, "abcd", "61626364"},
	{``, []byte{1, 2}, "02000000 0102"},
	{``, []byte(nil), "00000000"},
	{`fixed=2`, []byte{1, 0}, "0100"},
	{`len=le2 max=9`, []byte{1, 2}, "0200 0102"},
	{`le1`, []byte{1, 2}, "06000000 02000000 0102"},
	{`list`, []byte{1, 2}, "02000000 0102"},
	{`list,le2`, []byte{1, 2}, "02000000 0100 0200"},
	{``, []enum{1, 2}, "02000000 0102"},

	// Ends without a length.
	{`until=0`, "ab", "6162 00"},
	{`until=0x0A`, "", "0a"},
	{`until=10 max=2 utf8`, "hé"[:1], "68 0a"},
	{`until=255`, []byte{1, 0}, "0100 ff"},
	{`until=0`, []byte(nil), "00"},
	{`until=0`, [2]string{"a", "b"}, "6100 6200"},
	{`list,elem=until=0`, []string{"a", ""}, "02000000 6100 00"},
	{`list,key=until=0,elem=until=0x0d`, map[string]string{"b": "x", "ab": ""}, "02000000 616200 0d 6200 780d"},
	{`rest`, "ab", "6162"},
	{`rest`, "", ""},
	{`rest,max=2,utf8`, ptr("ab"), "01 6162"},
	{`rest`, (*[]byte)(nil), "00"},
	{`rest`, []byte{1, 2}, "0102"},
	{`rest,max=2`, []byte{1, 2}, "0102"},
	{`rest`, []uint16{1, 2}, "01000200"},
	{`rest,be2`, []uint16{1, 2}, "00010002"},
	{`rest,le2`, []byte{1, 2}, "01000200"},
	{`rest`, []uint16(nil), ""},
	{`rest,elem=len=le1`, []string{"a", "", "bc"}, "0161 00 026263"},
	{`rest,elem=until=0,max=2`, []string{"a", "bc"}, "6100 626300"},
	{`rest,varint`, []int{1, -1, 300}, "02 01 d804"},
	{`bytes=le1`, []uint16{1, 2}, "04 01000200"},
	{`bytes=be2,be2`, []uint16{1, 2}, "0004 00010002"},
	{`bytes=varint,elem=len=le1`, []string{"a", "", "bc"}, "06 0161 00 026263"},
	{`bytes=le1`, []uint16(nil), "00"},
	{`bytes=le1,le1`, []byte{1, 2}, "02 0102"},
	{`bytes=le1,elem=bytes=le1`, [][]int8{{1}, nil, {2, 3}}, "06 01 01 00 02 0203"},
	{`bytes=le1`, map[uint8]uint16{2: 20, 1: 10}, "06 01 0a00 02 1400"},
	{`bytes=le3,key=len=le1,max=2`, map[string]bool{"b": true, "": false}, "050000 0000 016201"},
	{`bytes=le1`, map[uint8]bool{}, "00"},

	// Arrays, slices and maps.
	{``, [3]uint16{1, 2, 3}, "010002000300"},
	{`be2`, [2]int{1, 2}, "0001 0002"},
	{``, []uint16{1, 2}, "08000000 02000000 01000200"},
	{`list`, []uint16{1, 2}, "02000000 01000200"},
	{`list,len=le1`, []uint16{1, 2}, "02 01000200"},
	{`len=le2`, []uint16{1, 2}, "0600 0200 01000200"},
	{`len=varint`, []uint16{1, 2}, "05 02 01000200"},
	{`len=uvarint`, []uint16{1, 2}, "05 02 01000200"},
	{`len=le3`, []uint16{1, 2}, "070000 020000 01000200"},
	{`list,len=be5,le3`, []int8{1, -2}, "0000000002 010000 feffff"},
	{`list,len=le1,key=be3,elem=uvarint`, map[int]int{2: -2, -1: 1}, "02 000002 feffffffffffffffff01 ffffff 01"},
	{`varint list`, []int{1, -1}, "02000000 02 01"},

	// These change no bytes.
	{`be2,optional`, 5, "0005"},
	{`optional ignorable len=le1`, "ab", "02 6162"},
	{`secret`, "ab", "02000000 6162"},
	{`be2 secret`, 5, "0005"},
	{`le1`, [][]int{{1}, {2, 3}}, "17000000 02000000 0500000001000000 01 0600000002000000 0203"},
	{`list,len=le2,elem=(len=le1 max=32)`, []string{"a", "bc"}, "0200 01 61 02 6263"},
	{`elem=fixed=2`, []string{"a", "bc"}, "08000000 02000000 6100 6263"},
	{``, map[uint8]uint16{2: 20, 1: 10}, "0a000000 02000000 01 0a00 02 1400"},
	{`list`, map[uint8]bool{}, "00000000"},
	{`list,len=le1,key=len=le1,elem=be2`, map[string]uint16{"b": 1, "a": 2}, "02 0161 0002 0162 0001"},
	{`le1 key=(len=varint)`, map[string]int{"a": 2}, "07000000 01000000 0161 02"},
	{`list`, map[int8]int8{-1: 1, 1: 2}, "02000000 01 02 ff 01"},
	{`be2`, []map[bool][1]int{{true: {7}}}, "0f000000 01000000 0700000001000000 01 0007"},

	// Pointers and structs.
	{``, (*int8)(nil), "00"},
	{`le2`, ptr(5), "01 0500"},
	{`len=le1`, ptr("a"), "01 01 61"},
	{``, struct{ A, B uint16 }{1, 2}, "0100 0200"},
	{``, struct {
		A uint8 `bsrpc:"-"`
		B uint16
		c int
	}{0, 2, 0}, "0200"},
	{``, struct{}{}, ""},

	// Unions: the number of the member, from 1, and its value.
	{``, either{A: ptr(uint16(300))}, "01 012c"},
	{``, either{B: ptr("ab")}, "02 02 6162"},
	{`list`, []either{{B: ptr("")}, {A: ptr(uint16(1))}}, "02000000 02 00 01 0001"},

	// Blank fields.
	{``, struct {
		_ uint16 `bsrpc:"be2,const=0xB562"`
		A uint8
		_ [3]byte `bsrpc:"pad"`
		_ int     `bsrpc:"varint,const=-2"`
	}{A: 1}, "b562 01 000000 03"},
	{`list`, []struct {
		_ [2][2]uint16 `bsrpc:"pad"`
		_ uint32       `bsrpc:"be4,const=0x52494646"`
	}{{}, {}}, "02000000 0000000000000000 52494646 0000000000000000 52494646"},
	{``, struct {
		_ int8   `bsrpc:"const=-128"`
		_ int64  `bsrpc:"le3,const=-0x800000"`
		_ uint64 `bsrpc:"const=18446744073709551615"`
		_ uint   `bsrpc:"varint,const=300"`
		_ int16  `bsrpc:"uvarint,const=-1"`
		_ int    `bsrpc:"const=5"`
	}{}, "80 000080 ffffffffffffffff ac02 ffffffffffffffffff01 0500000000000000"},
	{`list`, map[struct {
		A uint8
		_ uint8 `bsrpc:"const=9"`
	}]bool{{A: 1}: true}, "01000000 0109 01"},

	// Encodings of a type's own.
	{``, id{1, 2}, "02000000 0102"},
	{`binary`, id{1, 2}, "02000000 0102"},
	{`le1`, id{1, 2}, "0102"},
	{``, []id{{1, 2}}, "0a000000 01000000 02000000 0102"},
	{``, netip.MustParseAddr("1.2.3.4"), "04000000 01020304"},
	{`text`, netip.MustParseAddr("1.2.3.4"), "07000000 312e322e332e34"},
	{``, enum(3), "03"},
	{`text`, enum(3), "02000000 6533"},
	{`elem=text`, map[uint8]enum{1: 3}, "0b000000 01000000 01 02000000 6533"},
	{``, *big.NewInt(77), "02000000 3737"},
	{`max=2`, *big.NewInt(77), "02000000 3737"},
	{`binary`, time.Unix(1, 0).UTC(), "0f000000 01 0000000e7791f701 00000000 ffff"},
}

func ptr[T any](v T) *T { return &v }

// field makes a struct type with one field V.
func field(t reflect.Type, tag string) reflect.Type {
	return reflect.StructOf([]reflect.StructField{{Name: "V", Type: t, Tag: reflect.StructTag(`bsrpc:"` + tag + `"`)}})
}

func TestTagBytes(t *testing.T) {
	for _, test := range tagBytes {
		want, err := hex.DecodeString(strings.ReplaceAll(test.bytes, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		typ := field(reflect.TypeOf(test.value), test.tag)
		c, err := codec.Compile(typ, nil)
		if err != nil {
			t.Errorf("%T %q: %v", test.value, test.tag, err)
			continue
		}
		in, out := reflect.New(typ), reflect.New(typ)
		in.Elem().Field(0).Set(reflect.ValueOf(test.value))
		var e codec.Encoder
		if err := c.Append(&e, codec.RefTo(in)); err != nil || string(e.Buf) != string(want) {
			t.Errorf("%T %q: %v, %x, want %x", test.value, test.tag, err, e.Buf, want)
		}
		if err := c.Read(&codec.Decoder{Data: want}, codec.RefTo(out)); err != nil || !reflect.DeepEqual(in.Interface(), out.Interface()) {
			t.Errorf("%T %q: %v, %+v, want %+v", test.value, test.tag, err, out.Elem(), in.Elem())
		}
	}
}

type (
	either struct {
		_ struct{} `bsrpc:"union"`
		A *uint16  `bsrpc:"be2"`
		B *string  `bsrpc:"len=le1,name=Text"`
	}
	badMembers struct {
		_ struct{} `bsrpc:"union"`
		A int
		B []*int
		C *float64 `bsrpc:"le4"`
		d *int     //lint:ignore U1000 only the type is looked at
		E *int
		F *int `bsrpc:"name=E"`
	}
	alone struct {
		_ struct{} `bsrpc:"union,list"`
		A *int
	}
	noMembers struct {
		_ struct{} `bsrpc:"union"`
		A *int     `bsrpc:"-"`
	}
	notBlank struct {
		A *int `bsrpc:"union"`
	}
	paddedUnion struct {
		_ uint16 `bsrpc:"union"`
		A *int
	}
	misspeltUnion struct {
		_ struct{} `bsrpc:"unoin"`
		A *int
	}
	endless struct {
		_ struct{} `bsrpc:"union"`
		A *endless
		B *struct{ Both [2]endless }
	}
	//lint:ignore U1000 only the type is looked at
	hidden   struct{ a, b int }
	promoted struct {
		netip.Addr
		Port uint16
	}
	unexported struct{ base }
	base       struct{ X int }
	twins      struct {
		A int `bsrpc:"name=B"`
		B int
	}
	self struct {
		Self []self `bsrpc:"le4"`
	}
	tagHidden struct {
		A int
		b int `bsrpc:"le4"` //lint:ignore U1000 only the type is looked at
	}
	deep struct {
		Orders map[string][]struct {
			Price int64 `bsrpc:"le9"`
		}
	}
	always struct{ Kids [][0]int }
	tail   struct {
		A    uint8
		Last *struct {
			B    uint8
			Rest []byte `bsrpc:"rest"`
		}
	}
	trails struct {
		Kids []trails
		Rest []byte `bsrpc:"rest"`
	}
	magic struct {
		_ uint16 `bsrpc:"be2,const=0xB562"`
		A uint8
	}
)

// badTag has a tag without quotes; vet would report it in a struct type.
var badTag = reflect.Zero(reflect.StructOf([]reflect.StructField{
	{Name: "A", Type: reflect.TypeFor[int](), Tag: `bsrpc:le4`},
})).Interface()

const theWords = "; the words are le1 to le8, be1 to be8, varint, uvarint, list, utf8, binary, text, raw, optional, ignorable, secret, len=, max=, fixed=, until=, rest, bytes=, key=, elem=, name=, pad and const="

// Each line is a field V of that type with that tag, and why it is refused.
var tagProblems = []struct {
	tag  string
	typ  any
	want string
}{
	{`le9`, int64(0), `V: unknown format "le9"; int64 takes le1 to le8, be1 to be8, varint or uvarint`},
	{`le3`, float32(1.5), `V: float32 does not take "le3"; it takes le4 or be4`},
	{`uvarint`, 1.5, `V: float64 does not take "uvarint"; it takes le8 or be8`},
	{`uvarnt`, 5, `V: unknown word "uvarnt"; did you mean uvarint?`},
	{`be3,uvarint`, 5, `V: two formats, "be3" and "uvarint"; give one`},
	{`len=le3,max=16777216`, "", `V: max=16777216 does not fit in len=le3`},
	{`le16`, int64(0), `V: unknown format "le16"; int64 takes le1 to le8, be1 to be8, varint or uvarint`},
	{`be`, int64(0), `V: unknown format "be"; int64 takes le1 to le8, be1 to be8, varint or uvarint`},
	{`LE4`, int64(0), `V: unknown word "LE4"; did you mean le4?`},
	{`uint32`, int64(0), `V: unknown word "uint32"` + theWords},
	{`price,omitempty`, int64(0), `V: unknown word "price"; to name the field, write name=price` + theWords},
	{`omitempty`, int64(0), `V: unknown word "omitempty"` + theWords},
	{`le4;max=3`, int64(0), `V: unknown word "le4;max="; words are separated by commas or spaces, and values follow =`},
	{`max:3`, "", `V: unknown word "max:3"; words are separated by commas or spaces, and values follow =`},
	{`utf-8`, "", `V: unknown word "utf-8"; did you mean utf8?`},
	{`maxx=3`, "", `V: unknown word "maxx="; did you mean max=?`},
	{`timeout=3s`, "", `V: unknown word "timeout="; it is an option of a func; options follow the formats of a func's tag after a comma`},
	{`lsit`, []int64(nil), `V: unknown word "lsit"; did you mean list?`},
	{`le4`, 1.5, `V: float64 does not take "le4"; it takes le8 or be8`},
	{`varint`, float32(1.5), `V: float32 does not take "varint"; it takes le4 or be4`},
	{`le4`, true, `V: bool does not take "le4"; it takes no words`},
	{`le4`, "", `V: string does not take "le4"; it takes len=, max=, utf8, fixed=, until= or rest`},
	{`list`, "", `V: string does not take "list"; it takes len=, max=, utf8, fixed=, until= or rest`},
	{`utf8`, []byte(nil), `V: []uint8 does not take "utf8"; it takes len=, max=, fixed=, until=, rest, le1 or list`},
	{`elem=le1`, []byte(nil), `V: []uint8 does not take "elem="; it takes len=, max=, fixed=, until=, rest, le1 or list`},
	{`max=3`, 5, `V: int does not take "max="; it takes le1 to le8, be1 to be8, varint or uvarint`},
	{`key=le1`, []int(nil), `V: []int does not take "key="; it takes list, len=, max=, bytes=, rest, elem= or a format of its numbers`},
	{`utf8`, []string(nil), `V: []string does not take "utf8"; it takes list, len=, max=, bytes=, rest, elem= or a format of its numbers`},
	{`fixed=3`, map[int]int(nil), `V: map[int]int does not take "fixed="; it takes list, len=, max=, bytes=, key=, elem= or a format of its numbers`},
	{`le4`, time.Second, `V: time.Duration does not take "le4"; it takes no words`},
	{`le4`, time.Time{}, `V: time.Time does not take "le4"; it takes binary or text, or no word`},
	{`le4`, struct{ A int }{}, `V: struct { A int } does not take "le4"; it takes no words; tag its fields instead`},
	{`len=le1`, netip.Addr{}, `V: netip.Addr does not take "len="; it takes binary or max=`},
	{`binary,text`, netip.Addr{}, `V: binary and text exclude each other; give one`},
	{`binary`, 5, `V: int does not take "binary"; it takes le1 to le8, be1 to be8, varint or uvarint`},
	{`le4 elem=le2`, []int(nil), `V: two formats, "le4" and "le2" within elem=; give one`},
	{`le4,le8`, 5, `V: two formats, "le4" and "le8"; give one`},
	{`max=3,max=4`, "", `V: duplicate word "max="`},
	{`list,list`, []int(nil), `V: duplicate word "list"`},
	{`max=0`, "", `V: max=0: want a number from 1 to 2147483647`},
	{`max=x`, "", `V: max=x: want a number from 1 to 2147483647`},
	{`fixed=-1`, "", `V: fixed=-1: want a number from 1 to 2147483647`},
	{`len=le9`, "", `V: len=le9: want le1 to le8, be1 to be8, varint or uvarint`},
	{`len=`, "", `V: "len=" needs a value, as in len=le2`},
	{`len`, "", `V: "len" needs a value, as in len=le2`},
	{`list=1`, []int(nil), `V: "list" takes no value`},
	{`optional=1`, 5, `V: "optional" takes no value`},
	{`optional,optional`, 5, `V: duplicate word "optional"`},
	{`ignorable`, 5, `V: ignorable goes with optional: a call drops the value if the server lacks its place`},
	{`secret=1`, 5, `V: "secret" takes no value`},
	{`elem=secret`, []int(nil), `V[]: secret applies to struct fields, and to whole parameters and results of a method`},
	{`elem=optional`, []int(nil), `V[]: optional applies to struct fields, and to whole parameters and results of a method`},
	{`list,elem=(optional ignorable)`, []int(nil), `V[]: optional applies to struct fields, and to whole parameters and results of a method`},
	{`key=optional`, map[int]int(nil), `V[key]: optional applies to struct fields, and to whole parameters and results of a method`},
	{`size=3`, "", `V: unknown word "size="; the words are le1 to le8, be1 to be8, varint, uvarint, list, utf8, binary, text, raw, optional, ignorable, secret, len=, max=, fixed=, until=, rest, bytes=, key=, elem=, name=, pad and const=`},
	{`le4,-`, 5, `V: "-" must stand alone; it skips the field`},
	{`le4,,max=1`, 5, `V: "le4,,max=1": missing word at a comma`},
	{`elem=(len=le1,max=3)`, []string(nil), `V: "len=le1,max=3": words are separated by spaces here`},
	{`elem=(len=le1`, []string(nil), `V: "elem=(len=le1": unbalanced parentheses`},
	{`elem=name=x`, []string(nil), `V: name= applies to struct fields only`},
	{`name=a-b`, 5, `V: name=a-b: want letters, digits and _, not starting with a digit`},
	{`len=le1,max=256`, "", `V: max=256 does not fit in len=le1`},
	{`fixed=3,len=le1`, "", `V: fixed=3 has no length prefix; omit len= and max=`},
	{``, make(chan int), `V: chan int has no wire form; use a slice, as only a whole parameter or result of a method can be a stream`},
	{``, func() {}, `V: func() has no wire form; only a whole parameter of a method can be a func`},
	{``, []any(nil), `V[]: interface {} has no wire form; use a concrete type`},
	{``, uintptr(0), `V: uintptr has no wire form; addresses are meaningless in other processes`},
	{``, hidden{}, `V: bsrpc_test.hidden has fields but none is exported; export some, implement MarshalBinary and UnmarshalBinary, or use another type`},
	{``, struct{ _ [3]uint16 }{}, `V._: a blank field of 6 bytes is not encoded, unlike padding in encoding/binary; tag it pad, const= or "-", or name it`},
	{``, struct {
		_ uint16 `bsrpc:"be2"`
	}{}, `V._: a blank field of 2 bytes is not encoded, unlike padding in encoding/binary; tag it pad, const= or "-", or name it`},
	{`until=256`, "", `V: until=256: want a byte, 0 to 255 or 0x00 to 0xff`},
	{`until=-1`, "", `V: until=-1: want a byte, 0 to 255 or 0x00 to 0xff`},
	{`until=x`, "", `V: until=x: want a byte, 0 to 255 or 0x00 to 0xff`},
	{`until`, "", `V: "until" needs a value, as in until=0`},
	{`rest=3`, "", `V: "rest" takes no value`},
	{`bytes=le9`, []int8(nil), `V: bytes=le9: want le1 to le8, be1 to be8, varint or uvarint`},
	{`bytes`, []int8(nil), `V: "bytes" needs a value, as in bytes=le2`},
	{`until=0,fixed=3`, "", `V: fixed= and until= exclude each other; give one`},
	{`rest,until=0`, "", `V: until= and rest exclude each other; give one`},
	{`rest,bytes=le1`, []int8(nil), `V: rest and bytes= exclude each other; give one`},
	{`until=0,len=le2`, "", `V: until= leaves no place for another length or count; omit list and len=`},
	{`rest,list`, []int8(nil), `V: rest leaves no place for another length or count; omit list and len=`},
	{`bytes=le1,len=le2`, []int8(nil), `V: bytes= leaves no place for another length or count; omit list and len=`},
	{`until=0`, []string(nil), `V: []string does not take "until="; it takes list, len=, max=, bytes=, rest, elem= or a format of its numbers`},
	{`until=0`, 3, `V: int does not take "until="; it takes le1 to le8, be1 to be8, varint or uvarint`},
	{`rest`, 3, `V: int does not take "rest"; it takes le1 to le8, be1 to be8, varint or uvarint`},
	{`rest`, map[int]int(nil), `V: map[int]int does not take "rest"; it takes list, len=, max=, bytes=, key=, elem= or a format of its numbers`},
	{`bytes=le1`, "", `V: string does not take "bytes="; it takes len=, max=, utf8, fixed=, until= or rest`},
	{`bytes=le1`, []byte(nil), `V: []uint8 does not take "bytes="; it takes len=, max=, fixed=, until=, rest, le1 or list`},
	{`rest`, netip.Addr{}, `V: netip.Addr does not take "rest"; it takes binary or max=`},
	{`rest`, [1]string{}, `V[]: rest goes on to the end of the message, so it is for the last field only`},
	{`elem=rest`, []string{}, "V: elements take no bytes on the wire\n" + `V[]: rest goes on to the end of the message, so it is for the last field only`},
	{`key=rest`, map[string]int{}, `V[key]: rest goes on to the end of the message, so it is for the last field only`},
	{`rest`, []struct{}{}, `V: elements take no bytes on the wire`},
	{`bytes=le1`, []struct{}{}, `V: elements take no bytes on the wire`},
	{``, struct {
		A tail
		B *tail
	}{}, `V.A.Last.Rest: rest goes on to the end of the message, so it is for the last field only`},
	{``, trails{}, `V.Kids[].Rest: rest goes on to the end of the message, so it is for the last field only`},
	{``, []tail{}, `V[].Last.Rest: rest goes on to the end of the message, so it is for the last field only`},
	{``, struct {
		_ struct{} `bsrpc:"union"`
		_ uint8    `bsrpc:"const=1"`
		A *int8
	}{}, `V._: a union has neither constants nor padding; declare them in a struct around it`},
	{`pad`, [3]byte{}, `V: pad and const= are for blank fields, such as _ [3]byte`},
	{`const=3`, 3, `V: pad and const= are for blank fields, such as _ [3]byte`},
	{`elem=pad`, [][3]byte{}, `V: pad and const= apply to blank fields of structs only`},
	{`elem=(const=3)`, []int{}, `V: pad and const= apply to blank fields of structs only`},
	{`const=3.5`, 3, `V: const=3.5: want an integer, decimal or hexadecimal as 0xB562`},
	{`const=017`, 3, `V: const=017: want an integer, decimal or hexadecimal as 0xB562`},
	{`const=18446744073709551616`, 3, `V: const=18446744073709551616: want an integer, decimal or hexadecimal as 0xB562`},
	{`const`, 3, `V: "const" needs a value, as in const=0xB562`},
	{`pad=3`, 3, `V: "pad" takes no value`},
	{`pad,le2`, 3, `V: pad must stand alone`},
	{`name=_`, 3, `V: name=_: blank fields have this name in the layout; choose another one`},
	{``, struct {
		a int           //lint:ignore U1000 only the type is looked at
		_ [3]int        `bsrpc:"pad"`
		_ string        `bsrpc:"pad"`
		_ uint16        `bsrpc:"const=65536"`
		_ int32         `bsrpc:"le2,const=-32769"`
		_ uint8         `bsrpc:"be2,const=256"`
		_ uint8         `bsrpc:"const=-1"`
		_ [4]byte       `bsrpc:"const=1"`
		_ bool          `bsrpc:"const=1"`
		_ uint8         `bsrpc:"max=2,const=1"`
		_ time.Duration `bsrpc:"const=1"`
	}{}, "V._: [3]int does not take \"pad\"; pad takes numbers of a fixed size, and arrays of them, such as [3]byte\n" +
		"V._: string does not take \"pad\"; pad takes numbers of a fixed size, and arrays of them, such as [3]byte\n" +
		"V._: const=65536 does not fit in le2 of uint16\n" +
		"V._: const=-32769 does not fit in le2 of int32\n" +
		"V._: const=256 does not fit in be2 of uint8\n" +
		"V._: const=-1 does not fit in le1 of uint8\n" +
		"V._: [4]uint8 does not take \"const=\"; a constant is an integer, such as uint32 with be4 for four letters\n" +
		"V._: bool does not take \"const=\"; a constant is an integer, such as uint32 with be4 for four letters\n" +
		"V._: uint8 does not take \"max=\"; it takes le1 to le8, be1 to be8, varint or uvarint\n" +
		"V._: time.Duration does not take \"const=\"; a constant is an integer, such as uint32 with be4 for four letters"},
	{``, map[struct {
		A int
		_ uint8 `bsrpc:"pad"`
	}]int{}, `V[key]._: map keys must not contain padding: their order depends on their bytes`},
	{``, promoted{}, `V: bsrpc_test.promoted is encoded by methods promoted from its embedded field Addr, without its other fields; name that field, or accept this with the tag binary or text`},
	{``, unexported{}, `V.base: embedded but unexported, so its fields are not encoded; give it an exported name, or tag it "-"` + "\n" +
		`V: bsrpc_test.unexported has fields but none is exported; export some, implement MarshalBinary and UnmarshalBinary, or use another type`},
	{``, twins{}, `V.B: duplicate field name B; rename one with name=`},
	{``, self{}, `V.Self[]: bsrpc_test.self does not take "le4"; it takes no words; tag its fields instead`},
	{``, badTag, "V.A: malformed tag \"bsrpc:le4\"; want `bsrpc:\"...\"`"},
	{``, tagHidden{}, `V.b: unexported fields are not encoded and take no tag`},
	{``, deep{}, `V.Orders[][].Price: unknown format "le9"; int64 takes le1 to le8, be1 to be8, varint or uvarint`},
	{``, always{}, `V.Kids: elements take no bytes on the wire`},
	{``, map[*int]int{}, `V[key]: *int: map keys must not contain pointers`},
	{``, map[struct{ P *int }]int{}, `V[key].P: *int: map keys must not contain pointers`},
	{``, map[time.Time]int{}, `V[key]: time.Time contains a pointer, and map keys must not; use its Unix time`},
	{``, map[either]int{}, `V[key]: bsrpc_test.either is a union of pointers, and map keys must not contain pointers`},
	{``, badMembers{}, "V.A: the members of a union are pointers; declare it as *int\n" +
		"V.B: the members of a union are pointers; declare it as *[]*int\n" +
		"V.C: float64 does not take \"le4\"; it takes le8 or be8\n" +
		"V.d: not exported, but a member of a union; export it, or tag it \"-\"\n" +
		"V.F: duplicate field name E; rename one with name="},
	{``, noMembers{}, `V: bsrpc_test.noMembers is a union without members; declare them as pointers`},
	{``, alone{}, `V._: union must stand alone; tag the members instead`},
	{``, notBlank{}, `V.A: union marks a struct, as the tag of a blank field without a size: _ struct{}`},
	{``, paddedUnion{}, `V._: union marks a struct, as the tag of a blank field without a size: _ struct{}`},
	{``, misspeltUnion{}, `V._: unknown word "unoin"; did you mean union?`},
	{`union`, 5, `V: union marks a struct, as the tag of a blank field without a size: _ struct{}`},
	{`elem=union`, []int(nil), `V: union marks a struct, as the tag of a blank field without a size: _ struct{}`},
	{`union=2`, 5, `V: "union" takes no value`},
	{`list`, either{}, `V: bsrpc_test.either does not take "list"; it takes no words; tag its fields instead`},
	{``, endless{}, `V: a value of bsrpc_test.endless is infinite, as each member contains another one; add a member without, or make one a slice`},
	{``, map[struct{}]struct{}{}, `V: elements take no bytes on the wire`},
}

func TestTagProblems(t *testing.T) {
	for _, test := range tagProblems {
		_, err := codec.Compile(field(reflect.TypeOf(test.typ), test.tag), nil)
		if err == nil {
			t.Errorf("%T %q: no problem", test.typ, test.tag)
		} else if err.Error() != test.want {
			t.Errorf("%T %q:\n\t%v\nwant\n\t%s", test.typ, test.tag, err, test.want)
		}
	}
}

// Each line is a value that cannot be appended.
var appendErrors = []struct {
	tag   string
	value any
	want  string
}{
	{`le1`, 128, `V: does not fit in 1 byte`},
	{`le1`, uint(256), `V: does not fit in 1 byte`},
	{`le4`, int64(1 << 31), `V: does not fit in 4 bytes`},
	{`le3`, 1 << 23, `V: does not fit in 3 bytes`},
	{`be3`, -1<<23 - 1, `V: does not fit in 3 bytes`},
	{`le3`, uint32(1 << 24), `V: does not fit in 3 bytes`},
	{`be5`, int64(1 << 39), `V: does not fit in 5 bytes`},
	{`be6`, uint64(1 << 48), `V: does not fit in 6 bytes`},
	{`le7`, []int64{0, -1<<55 - 1}, `V[]: does not fit in 7 bytes`},
	{`list,key=be3`, map[uint32]bool{1 << 24: true}, `V[key]: does not fit in 3 bytes`},
	{`be2`, []int{1, 1 << 20}, `V[]: does not fit in 2 bytes`},
	{`max=2`, "abc", `V: 3 bytes exceed max=2`},
	{`max=2`, []int{1, 2, 3}, `V: 3 elements exceed max=2`},
	{`fixed=2`, "abc", `V: 3 bytes exceed fixed=2`},
	{`fixed=2`, "a\x00", `V: ends in a zero byte, ambiguous with the padding of fixed=2`},
	{`fixed=2`, []byte{1}, `V: want 2 bytes (fixed=2), have 1`},
	{`utf8`, "\xff", `V: not UTF-8`},
	{`len=le1`, strings.Repeat("a", 256), `V: 256 bytes do not fit in a length of 1 byte`},
	{`list,len=le1`, make([]bool, 256), `V: 256 elements do not fit in a count of 1 byte`},
	{`len=le1`, make([]uint16, 128), `V: 257 bytes do not fit in a length of 1 byte`},
	{``, either{}, `V: no member of the union is set; set one`},
	{``, []either{{A: ptr(uint16(1)), B: ptr("")}}, `V[]: A and B are set, two members of a union; set one`},
	{``, either{B: ptr(strings.Repeat("a", 256))}, `V.B: 256 bytes do not fit in a length of 1 byte`},
	{`until=0`, "a\x00", `V: contains the byte 0x00, which ends it (until=0)`},
	{`until=0x0d`, []byte{1, 13, 2}, `V: contains the byte 0x0d, which ends it (until=13)`},
	{`list,elem=until=0`, []string{"a", "\x00"}, `V[]: contains the byte 0x00, which ends it (until=0)`},
	{`until=0,max=1`, "ab", `V: 2 bytes exceed max=1`},
	{`until=0,utf8`, "\xff", `V: not UTF-8`},
	{`rest,max=1`, "ab", `V: 2 bytes exceed max=1`},
	{`rest,max=1`, []byte("ab"), `V: 2 bytes exceed max=1`},
	{`rest,max=1`, []int8{1, 2}, `V: 2 elements exceed max=1`},
	{`bytes=le1`, make([]uint16, 128), `V: 256 bytes do not fit in a length of 1 byte`},
	{`bytes=le1,max=1`, []int8{1, 2}, `V: 2 elements exceed max=1`},
	{``, map[float64]int{math.NaN(): 1}, `V[key]: NaN and -0 cannot be map keys`},
	{``, map[float32]int{float32(math.Copysign(0, -1)): 1}, `V[key]: NaN and -0 cannot be map keys`},
	{``, map[[1]complex64]int{{complex(0, float32(math.NaN()))}: 1}, `V[key][]: NaN and -0 cannot be map keys`},
}

func TestAppendErrors(t *testing.T) {
	for _, test := range appendErrors {
		typ := field(reflect.TypeOf(test.value), test.tag)
		c, err := codec.Compile(typ, nil)
		if err != nil {
			t.Fatal(err)
		}
		in := reflect.New(typ)
		in.Elem().Field(0).Set(reflect.ValueOf(test.value))
		e := codec.Encoder{Body: wire.Body{Buf: []byte("x")}}
		if err := c.Append(&e, codec.RefTo(in)); err == nil || err.Error() != test.want || string(e.Buf) != "x" {
			t.Errorf("%T %q: %v, %q\nwant %s", test.value, test.tag, err, e.Buf, test.want)
		}
	}
}

// Each line is bytes that do not read as a field V of the type of value.
var readErrors = []struct {
	tag   string
	value any
	bytes string
	want  string
}{
	{``, uint64(0), "000000", `V: want 8 bytes, have 3, offset 0`},
	{``, uint8(0), "0000", `1 trailing byte, offset 1`},
	{``, true, "02", `V: want 0 or 1 for a bool, offset 0`},
	{``, (*int8)(nil), "02", `V: want 0 or 1 for the presence of a pointer's value, offset 0`},
	{``, either{}, "00", `V: want 1 to 2 for the member of a union, offset 0`},
	{``, either{}, "03", `V: want 1 to 2 for the member of a union, offset 0`},
	{``, either{}, "02 03 6161", `V.B: want 3 bytes, have 2, offset 2`},
	{`varint`, uint64(0), "80", `V: truncated varint, offset 0`},
	{`varint`, uint64(0), "8000", `V: varint is not in its shortest form, offset 0`},
	{`varint`, uint64(0), "ffffffffffffffffff02", `V: varint does not fit in 64 bits, offset 0`},
	{`uvarint`, int64(0), "8000", `V: varint is not in its shortest form, offset 0`},
	{`uvarint`, int64(0), "ffffffffffffffffff02", `V: varint does not fit in 64 bits, offset 0`},
	{`uvarint`, int32(0), "ffffffff0f", `V: does not fit in int32 of 32 bits, offset 0`},
	{`uvarint`, int8(0), "8001", `V: does not fit in int8 of 8 bits, offset 0`},
	{`be3`, int16(0), "008000", `V: does not fit in int16 of 16 bits, offset 0`},
	{`le3`, uint16(0), "000001", `V: does not fit in uint16 of 16 bits, offset 0`},
	{`le7`, 0, "010203040506", `V: want 7 bytes, have 6, offset 0`},
	{`varint`, uint8(0), "8002", `V: does not fit in uint8 of 8 bits, offset 0`},
	{`le8`, int16(0), "0080000000000000", `V: does not fit in int16 of 16 bits, offset 0`},
	{``, "", "05000000 6162", `V: want 5 bytes, have 2, offset 4`},
	{`max=1`, "", "02000000 6162", `V: 2 bytes exceed max=1, offset 0`},
	{`utf8`, "", "01000000 ff", `V: not UTF-8, offset 5`},
	{`fixed=4`, []byte(nil), "010203", `V: want 4 bytes, have 3, offset 0`},
	{``, []uint16(nil), "ff000000 01000000 0100", `V: want 255 bytes of elements, have 6, offset 4`},
	{``, []uint16(nil), "06000000 ffffff7f 0100", `V: want 2147483647 elements of at least 2 bytes, have 2 bytes, offset 4`},
	{``, []uint16(nil), "06000000 00000000 0100", `V: 2 trailing bytes after the elements, offset 8`},
	{`list`, []uint16(nil), "ffffffff", `V: want 4294967295 elements of at least 2 bytes, have 0 bytes, offset 0`},
	{`max=1`, []uint8(nil), "02000000 0102", `V: 2 bytes exceed max=1, offset 0`},
	{`list`, map[uint8]uint8(nil), "02000000 0201 0101", `V[key]: want unique keys in the order of their bytes, offset 6`},
	{`list`, map[uint8]uint8(nil), "02000000 0101 0101", `V[key]: want unique keys in the order of their bytes, offset 6`},
	{`list`, map[float32]uint8(nil), "01000000 0000c07f 01", `V[key]: NaN and -0 cannot be map keys, offset 4`},
	{`list`, map[float32]uint8(nil), "01000000 00000080 01", `V[key]: NaN and -0 cannot be map keys, offset 4`},
	{``, time.Time{}, "0000000000000000 00ca9a3b", `V: want less than 1e9 nanoseconds, offset 8`},
	{``, netip.Addr{}, "01000000 01", `V: netip.Addr.UnmarshalBinary returned an error, offset 0`},
	{``, []struct{ A, B uint32 }{}, "0c000000 01000000 0000000000000000 00", `1 trailing byte, offset 16`},
	{`until=0`, "", "6162", `V: want the byte 0x00 (until=0) in the last 2 bytes, offset 0`},
	{`until=0,max=1`, "", "6162", `V: want at most max=1 bytes before the byte 0x00 (until=0), offset 0`},
	{`until=0,max=1`, "", "616200", `V: want at most max=1 bytes before the byte 0x00 (until=0), offset 0`},
	{`until=0,max=3`, "", "6162", `V: want the byte 0x00 (until=0) in the last 2 bytes, offset 0`},
	{`until=0,utf8`, "", "ff00", `V: not UTF-8, offset 2`},
	{`until=0`, []byte{}, "616200 61", `1 trailing byte, offset 3`},
	{`rest,max=1`, "", "6162", `V: more than max=1 bytes, offset 0`},
	{`rest,max=1`, []uint16{}, "01000200", `V: more than max=1 elements, offset 0`},
	{`rest`, []uint16{}, "010002", `V: want a multiple of 2 bytes, have 3, offset 0`},
	{`rest,varint`, []uint16{}, "01 80", `V[]: truncated varint, offset 1`},
	{`rest,varint,max=1`, []uint16{}, "01 01", `V: more than max=1 elements, offset 1`},
	{`bytes=le1`, []uint16{}, "03 010002", `V: want a multiple of 2 bytes, have 3, offset 1`},
	{`bytes=le1`, []uint16{}, "04 010002", `V: want 4 bytes of elements, have 3, offset 1`},
	{`bytes=le1`, []uint16{}, "02 0100 02", `1 trailing byte, offset 3`},
	{`bytes=le1,elem=len=le1`, []string{}, "03 0161 02 6162", `V[]: want 2 bytes, have 0, offset 4`},
	{`bytes=le1`, map[uint8]uint8{}, "03 0101 02", `V: want a multiple of 2 bytes, have 3, offset 1`},
	{`bytes=le1,varint,max=1`, map[uint8]uint8{}, "04 0101 0202", `V: more than max=1 elements, offset 3`},
	{`bytes=le1,varint`, map[uint8]uint8{}, "04 0201 0102", `V[key]: want unique keys in the order of their bytes, offset 3`},
	{``, magic{}, "b563 01", `V._: want the constant 46434, which is b5 62, offset 0`},
	{``, magic{}, "b5", `V._: want 2 bytes, have 1, offset 0`},
	{``, struct {
		A int8
		_ [5]byte `bsrpc:"pad"`
	}{}, "01020304", `V._: want 5 bytes, have 3, offset 1`},
	{`list`, []struct {
		A uint32
		S string
	}{}, "01000000 00000000 09000000", `V[].S: want 9 bytes, have 0, offset 12`},
}

func TestReadErrors(t *testing.T) {
	for _, test := range readErrors {
		data, err := hex.DecodeString(strings.ReplaceAll(test.bytes, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		typ := field(reflect.TypeOf(test.value), test.tag)
		c, err := codec.Compile(typ, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Read(&codec.Decoder{Data: data}, codec.RefTo(reflect.New(typ))); err == nil || err.Error() != test.want {
			t.Errorf("%T %q %s: %v\nwant %s", test.value, test.tag, test.bytes, err, test.want)
		}
	}
}
