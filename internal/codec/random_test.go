package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// Random types and values from a seed. Values are in the form returned by Read,
// without empty slices and nil maps, so that they are equal after a round trip.

type (
	enum  uint8
	named []int32
	tree  struct {
		Val  int32
		Kids []tree
		Next *tree
		Opt  map[string]*tree
	}
	expr struct {
		_    struct{} `bsrpc:"union"`
		Val  *int32
		Not  *expr
		Pair *[2]expr
		Args *[]expr
		Env  *map[string]expr
	}
)

func (e enum) MarshalText() ([]byte, error)     { return []byte{byte(e)}, nil }
func (e *enum) UnmarshalText(text []byte) error { *e = enum(text[0]); return nil }

var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[int](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](),
	reflect.TypeFor[uint64](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[complex64](),
	reflect.TypeFor[complex128](), reflect.TypeFor[string](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
	reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[enum](),
	reflect.TypeFor[named](), reflect.TypeFor[tree](), reflect.TypeFor[expr](), reflect.TypeFor[rawText](), reflect.TypeFor[rawMark](), reflect.TypeFor[struct{}](),
}

var keys = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[uint8](), reflect.TypeFor[bool](), reflect.TypeFor[float64](),
	reflect.TypeFor[[2]int16](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[struct {
		A string
		B float32
	}](),
}

// randomType returns a type with a codec.
func randomType(r *rand.Rand, depth int) reflect.Type {
	if depth == 0 || r.IntN(4) == 0 {
		return leaves[r.IntN(len(leaves))]
	}
	elem := randomType(r, depth-1)
	switch r.IntN(7) {
	case 0:
		return sliceUnlessEmpty(elem)
	case 1:
		return reflect.ArrayOf(r.IntN(4), elem)
	case 2:
		return reflect.PointerTo(elem)
	case 3:
		return reflect.MapOf(keys[r.IntN(len(keys))], elem)
	case 4:
		return randomUnion(r, depth)
	}
	fields := make([]reflect.StructField, 1+r.IntN(6))
	for i := range fields {
		t := randomType(r, depth-1)
		fields[i] = reflect.StructField{Name: fmt.Sprint("F", i), Type: t, Tag: randomTag(r, t)}
	}
	if r.IntN(8) == 0 && depth == 4 { // the outermost: nothing follows it
		rest := []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[]int16](), reflect.TypeFor[*[]string](), reflect.TypeFor[[]tree]()}
		return reflect.StructOf(append(withBlanks(r, fields), reflect.StructField{Name: "Rest", Type: rest[r.IntN(len(rest))], Tag: `bsrpc:"rest"`}))
	}
	return reflect.StructOf(withBlanks(r, fields))
}

// withBlanks inserts blank fields.
func withBlanks(r *rand.Rand, fields []reflect.StructField) []reflect.StructField {
	blanks := []reflect.StructField{
		{Type: reflect.TypeFor[[3]byte](), Tag: `bsrpc:"pad"`},
		{Type: reflect.TypeFor[int64](), Tag: `bsrpc:"pad"`},
		{Type: reflect.TypeFor[uint16](), Tag: `bsrpc:"be2,const=0xB562"`},
		{Type: reflect.TypeFor[int](), Tag: `bsrpc:"varint,const=-300"`},
		{Type: reflect.TypeFor[int32](), Tag: `bsrpc:"le3,const=-2"`},
	}
	for r.IntN(4) == 0 {
		f := blanks[r.IntN(len(blanks))]
		f.Name, f.PkgPath = "_", "codec"
		fields = slices.Insert(fields, r.IntN(len(fields)+1), f)
	}
	return fields
}

// randomUnion returns a union, with the marker at a random place.
func randomUnion(r *rand.Rand, depth int) reflect.Type {
	fields := make([]reflect.StructField, 2+r.IntN(4))
	marker := r.IntN(len(fields))
	for i := range fields {
		t := randomType(r, depth-1)
		fields[i] = reflect.StructField{Name: fmt.Sprint("M", i), Type: reflect.PointerTo(t), Tag: randomTag(r, t)}
	}
	fields[1-min(marker, 1)].Tag = "" // not skipped: the union needs a member
	fields[marker] = reflect.StructField{Name: "_", PkgPath: "codec", Type: reflect.TypeFor[struct{}](), Tag: `bsrpc:"union"`}
	return reflect.StructOf(fields)
}

// sliceUnlessEmpty returns a slice of elem if its values have bytes, or else
// elem.
func sliceUnlessEmpty(elem reflect.Type) reflect.Type {
	t := reflect.SliceOf(elem)
	if _, err := Compile(t, nil); err != nil {
		return elem
	}
	return t
}

// randomTag returns a valid tag for t.
func randomTag(r *rand.Rand, t reflect.Type) reflect.StructTag {
	formats := []string{"le8", "be8", "varint", "uvarint"}
	if t.Size() <= 2 {
		formats = append(formats, "le3", "be3", "le5", "be6", "be7")
	}
	var tags []string
	switch {
	case t == reflect.TypeFor[rawText](), t == reflect.TypeFor[rawMark](), t == reflect.TypeFor[*rawText](), t == reflect.TypeFor[[1]rawText]():
		return [...]reflect.StructTag{"", `bsrpc:"raw"`}[r.IntN(2)]
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if t == durationType {
			return ""
		}
		tags = formats
	case reflect.Float64:
		tags = []string{"be8", "le8"}
	case reflect.String:
		tags = []string{"len=varint", "len=be2", "len=le3", "max=1000", "fixed=40", "until=0"}
	case reflect.Slice:
		tags = []string{"list", "len=varint", "list,len=le2", "len=be3", "max=100", "bytes=le3", "bytes=varint"}
		if t.Elem().Kind() == reflect.Uint8 {
			tags = []string{"list", "len=be4", "varint"}
		}
	case reflect.Map:
		tags = []string{"list", "len=varint", "len=be2", "key=()", "bytes=be4"}
	case reflect.Struct:
		tags = []string{"-"}
	}
	if len(tags) == 0 || r.IntN(2) == 0 {
		return ""
	}
	return reflect.StructTag(`bsrpc:"` + tags[r.IntN(len(tags))] + `"`)
}

var extremes = []uint64{0, 1, math.MaxUint64, 1 << 63, 1<<63 - 1, 0x7ff0000000000001, 0x8000000000000000, 0x7fc00001}

// fill sets v to a random value.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Addr().Interface().(type) {
	case *time.Time:
		v.Set(reflect.ValueOf(time.Unix(r.Int64()>>20, r.Int64N(1e9)).UTC()))
		return
	case *netip.Addr:
		var b [4]byte
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.Set(reflect.ValueOf(netip.AddrFrom4(b)))
		return
	}
	u := r.Uint64() >> r.IntN(64)
	if r.IntN(4) == 0 {
		u = extremes[r.IntN(len(extremes))]
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(u&1 == 1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(u))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(u)
	case reflect.Float32:
		setFloatBits(v, u&math.MaxUint32)
	case reflect.Float64:
		setFloatBits(v, u)
	case reflect.Complex64:
		setComplexBits(v, [2]uint64{u & math.MaxUint32, u >> 32})
	case reflect.Complex128:
		setComplexBits(v, [2]uint64{u, u >> 1})
	case reflect.String:
		v.SetString(randomText(r))
	default:
		fillComposite(r, v, depth)
	}
}

// randomText returns a text without zero bytes, usually short.
func randomText(r *rand.Rand) string {
	n := r.IntN(20)
	if r.IntN(20) == 0 {
		n = r.IntN(40)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + r.IntN(255))
	}
	return string(b)
}

func fillComposite(r *rand.Rand, v reflect.Value, depth int) {
	n := r.IntN(5)
	if depth > 6 {
		n = 0
	}
	switch v.Kind() {
	case reflect.Slice:
		if n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillKey(r, k)
			fill(r, e, depth+1)
			v.SetMapIndex(k, e)
		}
	case reflect.Pointer:
		if n > 1 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth+1)
		}
	case reflect.Struct:
		if isUnion(v.Type()) {
			fillUnion(r, v, depth)
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("bsrpc") != "-" && f.Name != "_" {
				fill(r, v.Field(i), depth+1)
			}
		}
	}
}

// fillUnion sets a random member, or the first one in deep values, to end a recursion.
func fillUnion(r *rand.Rand, v reflect.Value, depth int) {
	var members []reflect.Value
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Name != "_" && f.Tag.Get("bsrpc") != "-" {
			members = append(members, v.Field(i))
		}
	}
	m := members[0]
	if depth <= 6 {
		m = members[r.IntN(len(members))]
	}
	m.Set(reflect.New(m.Type().Elem()))
	fill(r, m.Elem(), depth+1)
}

// fillKey is like fill, without NaN and -0.
func fillKey(r *rand.Rand, v reflect.Value) {
	fill(r, v, 0)
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(r.Int32()))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[netip.Addr]() {
				fillKey(r, v.Field(i))
			}
		}
	}
}

// executors returns c and a copy with the reflect executor.
func executors(c *Codec) []*Codec {
	plain := *c
	plain.useFast, plain.fastPath = false, nil
	if c.unchecked != nil {
		plain.unchecked = executors(c.unchecked)[1]
	}
	return []*Codec{c, &plain}
}

// appendAll appends the target of ptr with both executors, which must agree.
func appendAll(t testing.TB, c *Codec, e Encoder, ptr reflect.Value) ([]byte, error) {
	t.Helper()
	var bufs [2][]byte
	var errs [2]error
	for i, form := range executors(c) {
		e := e
		errs[i] = form.Append(&e, RefTo(ptr))
		bufs[i] = e.Buf
	}
	sameLimit := errors.Is(errs[0], ErrLimit) && errors.Is(errs[1], ErrLimit) // the executors check at different places
	if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) && !sameLimit || !bytes.Equal(bufs[0], bufs[1]) {
		t.Fatalf("%v: fast %x, %v\nreflect %x, %v", c.Type(), bufs[0], errs[0], bufs[1], errs[1])
	}
	return bufs[0], errs[0]
}

// readAll reads data with both executors, which must agree, and returns a
// pointer to the value.
func readAll(t testing.TB, c *Codec, d Decoder) (reflect.Value, error) {
	t.Helper()
	var ptrs [2]reflect.Value
	var errs [2]error
	for i, form := range executors(c) {
		d := d
		ptrs[i] = reflect.New(c.Type())
		errs[i] = form.Read(&d, RefTo(ptrs[i]))
	}
	if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
		t.Fatalf("%v: %x: fast %v\nreflect %v", c.Type(), d.Data, errs[0], errs[1])
	}
	readInParts(t, c, d, errs[0])
	if errs[0] == nil {
		a, err1 := appendAll(t, c, Encoder{}, ptrs[0])
		b, err2 := appendAll(t, c, Encoder{}, ptrs[1])
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatalf("%v: %x: fast %x, %v\nreflect %x, %v", c.Type(), d.Data, a, err1, b, err2)
		}
	}
	return ptrs[0], errs[0]
}

// readInParts reads data whose bytes arrive a few at a time. The result must be that of
// reading all of it, want.
func readInParts(t testing.TB, c *Codec, d Decoder, want error) {
	t.Helper()
	whole := d.Data
	d.Data = nil
	d.More = func(n int) []byte {
		if n <= len(d.Data) {
			t.Fatalf("%v: %x: waits for %d bytes and has %d", c.Type(), whole, n, len(d.Data))
		}
		return bytes.Clone(whole[:min(min(n, len(whole))+n%3, len(whole))]) // others than before
	}
	n, err := c.ReadStart(&d, RefTo(reflect.New(c.Type())))
	if trailing := len(whole) - n; err == nil && trailing > 0 {
		err = &Error{Path: rootPath(c.Type(), ""), Offset: n, Text: plural.Of(trailing, "trailing byte")}
	}
	// The bytes that have arrived are fewer if the rest cannot help. The budget grows with them.
	text := func(err error) string {
		before, after, _ := strings.Cut(fmt.Sprint(err), ", have ")
		after = strings.TrimPrefix(strings.TrimLeft(after, "0123456789"), " byte")
		return before + strings.TrimPrefix(after, "s")
	}
	if !errors.Is(want, ErrLimit) && text(err) != text(want) {
		t.Fatalf("%v: %x: in parts %v\nat once %v", c.Type(), whole, err, want)
	}
}

func TestRandomTypes(t *testing.T) {
	seeds := 1000
	if !rounds.Long {
		seeds = 50
	}
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 1))
		typ := randomType(r, 4)
		c, err := Compile(typ, nil)
		if err != nil {
			t.Fatalf("seed %d: %v: %v", seed, typ, err)
		}
		if text := c.Layout().String(); !reparses(text) {
			t.Fatalf("seed %d: layout %s", seed, text)
		}
		as, err := CompileAs(typ, c.Layout())
		if err != nil {
			t.Fatalf("seed %d: %v as its own layout: %v", seed, typ, err)
		}
		for range 4 {
			roundTrip(t, r, c, as)
		}
	}
}

func reparses(text string) bool {
	l, err := layout.Parse(text)
	return err == nil && l.String() == text
}

func roundTrip(t *testing.T, r *rand.Rand, c, as *Codec) {
	in := reflect.New(c.Type())
	fill(r, in.Elem(), 0)
	data, err := appendAll(t, c, Encoder{Body: wire.Body{Buf: []byte("kept")}}, in)
	if err != nil {
		t.Fatalf("%v: %v", c.Type(), err)
	}
	data = data[4:]
	if len(data) < c.Min() {
		t.Fatalf("%v: %d bytes, at least %d", c.Type(), len(data), c.Min())
	}
	if same, err := appendAll(t, as, Encoder{}, in); err != nil || !bytes.Equal(same, data) {
		t.Fatalf("%v as its layout: %v, %x want %x", c.Type(), err, same, data)
	}
	out, err := readAll(t, c, Decoder{Data: data})
	if err != nil {
		t.Fatalf("%v: %v", c.Type(), err)
	}
	again, err := appendAll(t, c, Encoder{}, out)
	if err != nil || !bytes.Equal(again, data) {
		t.Fatalf("%v: %v, %x want %x", c.Type(), err, again, data)
	}
	checkCorrupted(t, r, c, data)
}

// checkCorrupted reads truncated and changed data. A value read must append to
// the same bytes.
func checkCorrupted(t *testing.T, r *rand.Rand, c *Codec, data []byte) {
	for range 8 {
		if len(data) == 0 {
			return
		}
		bad := bytes.Clone(data)
		if r.IntN(2) == 0 {
			bad = bad[:r.IntN(len(bad))]
		} else {
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		}
		out, err := readAll(t, c, Decoder{Data: bad, Lenient: r.IntN(4) == 0})
		// Types with bytes of their own need not have one encoding of a value.
		if l := c.Layout().String(); err != nil || strings.Contains(l, "binary(") || strings.Contains(l, "raw(") {
			continue
		}
		if again, err := appendAll(t, c, Encoder{}, out); err == nil && !bytes.Equal(again, bad) && !hasBool(c) && !hasPadding(c) {
			t.Fatalf("%v: %x appends as %x", c.Type(), bad, again)
		} else if err != nil {
			t.Fatalf("%v: %x reads, but does not append: %v", c.Type(), bad, err)
		}
	}
}

// hasBool reports whether a lenient reader may accept several encodings of a
// value.
func hasBool(c *Codec) bool { return bytes.Contains([]byte(c.Layout().String()), []byte("bool")) }

// hasPadding reports whether a value has several encodings for another reason.
func hasPadding(c *Codec) bool { return bytes.Contains([]byte(c.Layout().String()), []byte("_ pad.")) }
