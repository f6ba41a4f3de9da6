package codec

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// Random pairs of an old and a new version of a type, and a reference: it decides whether
// one end reads what the other writes, and converts values, on Go types alone.

// A shape is a Go type with its tags.
type shape struct {
	typ       reflect.Type
	words     []string // of its own: a format, or len=, list and fixed=
	key, elem *shape
	fields    []shapeField // of a struct; members of a union, with their pointers
	union     bool
	constant  string // the tag of a blank field
}

type shapeField struct {
	name                string
	optional, ignorable bool
	at                  int // in the Go struct
	*shape
}

// tag returns the words of a field of this shape.
func (s *shape) tag() []string {
	if s.typ.Name() != "" { // may be recursive, and has words of its own only
		return s.words
	}
	switch s.typ.Kind() {
	case reflect.Pointer, reflect.Array:
		if s.elem != nil { // not for a type with an encoding of its own
			return s.elem.tag()
		}
	case reflect.Slice, reflect.Map:
		if s.elem == nil {
			break
		}
		if inner := s.elem.tag(); len(inner) > 0 {
			return append(slices.Clone(s.words), "elem=("+strings.Join(inner, " ")+")")
		}
	}
	return s.words
}

// shapeOf returns the shape of a type with tags of one word for one value each, for
// recursive types.
func shapeOf(t reflect.Type, words []string, known map[reflect.Type]*shape) *shape {
	if s := known[t]; s != nil && len(words) == 0 {
		return s
	}
	s := &shape{typ: t}
	if len(words) == 0 {
		known[t] = s
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Array:
		s.elem = shapeOf(t.Elem(), words, known)
	case reflect.Slice:
		s.words = words
		s.elem = shapeOf(t.Elem(), nil, known)
	case reflect.Map:
		s.words = words
		s.key, s.elem = shapeOf(t.Key(), nil, known), shapeOf(t.Elem(), nil, known)
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).Name == "_" {
				s.union = true
				continue
			}
			f := shapeField{name: t.Field(i).Name, at: i}
			var own []string
			for _, word := range strings.FieldsFunc(t.Field(i).Tag.Get("bsrpc"), func(r rune) bool { return r == ',' }) {
				switch word {
				case "optional":
					f.optional = true
				case "ignorable":
					f.ignorable = true
				default:
					own = append(own, word)
				}
			}
			f.shape = shapeOf(t.Field(i).Type, own, known)
			s.fields = append(s.fields, f)
		}
	default:
		s.words = words
	}
	return s
}

// word returns the value of a word of s: "le2" for "len", "" without the word.
func (s *shape) word(key string) string {
	for _, w := range s.words {
		if value, ok := strings.CutPrefix(w, key+"="); ok {
			return value
		}
	}
	return ""
}

// width returns the bytes of the widest number of s.
func (s *shape) width() int {
	size := int(s.typ.Size())
	if k := s.typ.Kind(); k == reflect.Int || k == reflect.Uint {
		size = 8 // on every platform
	}
	if s.typ.Kind() == reflect.Complex64 || s.typ.Kind() == reflect.Complex128 {
		size /= 2
	}
	if len(s.words) == 0 {
		return size
	}
	if strings.HasSuffix(s.words[0], "varint") {
		return 8
	}
	return int(s.words[0][2] - '0')
}

// class returns what must be equal for a writer and a reader.
func (s *shape) class() string {
	switch k := s.typ.Kind(); {
	case s.typ == timeType, s.typ == durationType, s.typ == reflect.TypeFor[netip.Addr]():
		return s.typ.String()
	case s.typ.Kind() == reflect.Slice && s.elem == nil:
		return "bytes"
	case s.union:
		return "union"
	case k >= reflect.Int && k <= reflect.Int64:
		return "int"
	case k >= reflect.Uint && k <= reflect.Uint64:
		return "uint"
	case k == reflect.Float32, k == reflect.Float64:
		return "float"
	case k == reflect.Complex64, k == reflect.Complex128:
		return "complex"
	default:
		return k.String()
	}
}

// A verdict decides whether a reader reads what a writer writes.
type verdict struct {
	args   bool
	seen   map[[2]*shape]bool
	places []string // where not
}

func (v *verdict) refuse(path string) { v.places = append(v.places, path) }

// check adds the places where r does not read w.
func (v *verdict) check(path string, w, r *shape) {
	if k := [2]*shape{w, r}; v.seen[k] {
		return
	} else {
		v.seen[k] = true
	}
	for w.class() != "ptr" && r.class() == "ptr" {
		r = r.elem
	}
	if w.class() == "uint" && r.class() == "int" {
		if w.width() >= r.width() {
			v.refuse(path)
		}
		return
	}
	if w.class() != r.class() {
		v.refuse(path)
		return
	}
	switch w.class() {
	case "int", "uint", "float", "complex":
		if w.width() > r.width() {
			v.refuse(path)
		}
	case "string", "bytes":
		if r.word("fixed") != "" && w.word("fixed") != r.word("fixed") {
			v.refuse(path)
		}
	case "ptr":
		v.check(path, w.elem, r.elem)
	case "array":
		if w.typ.Len() != r.typ.Len() {
			v.refuse(path)
		}
		v.check(path+"[]", w.elem, r.elem)
	case "slice":
		v.check(path+"[]", w.elem, r.elem)
	case "map":
		if w.key.typ != r.key.typ {
			v.refuse(path + "[key]")
		}
		v.check(path+"[]", w.elem, r.elem)
	case "struct":
		v.fields(path, w, r)
	case "union":
		for _, f := range w.fields {
			at := strings.TrimPrefix(path+"."+f.name, ".")
			if g := r.field(f.name); g != nil {
				v.check(at, f.elem, g.elem)
			} else if !f.optional {
				v.refuse(at)
			}
		}
	}
}

func (v *verdict) fields(path string, w, r *shape) {
	if w.constant != r.constant {
		v.refuse(strings.TrimPrefix(path+"._", "."))
	}
	for _, f := range w.fields {
		if g := r.field(f.name); g != nil {
			v.check(strings.TrimPrefix(path+"."+f.name, "."), f.shape, g.shape)
		} else if v.args && !f.optional {
			v.refuse(strings.TrimPrefix(path+"."+f.name, "."))
		}
	}
	for _, g := range r.fields {
		if w.field(g.name) == nil && !g.optional {
			v.refuse(strings.TrimPrefix(path+"."+g.name, "."))
		}
	}
}

// field returns the field with this name, or nil.
func (s *shape) field(name string) *shapeField {
	for i := range s.fields {
		if s.fields[i].name == name {
			return &s.fields[i]
		}
	}
	return nil
}

// convert sets to, of shape r, to the value from of w. It returns false for a number that
// does not fit in the Go type, as a varint of 64 bits in an int8.
func convert(w *shape, from reflect.Value, r *shape, to reflect.Value) bool {
	if w.class() != "ptr" && r.class() == "ptr" {
		to.Set(reflect.New(r.typ.Elem()))
		return convert(w, from, r.elem, to.Elem())
	}
	ok := true
	switch w.class() {
	case "int":
		if to.OverflowInt(from.Int()) {
			return false
		}
		to.SetInt(from.Int())
	case "uint":
		if r.class() == "int" {
			if from.Uint() > math.MaxInt64 || to.OverflowInt(int64(from.Uint())) {
				return false
			}
			to.SetInt(int64(from.Uint()))
			break
		}
		if to.OverflowUint(from.Uint()) {
			return false
		}
		to.SetUint(from.Uint())
	case "float":
		if w.width() == r.width() {
			setFloatBits(to, floatBits(from))
		} else {
			to.SetFloat(from.Float())
		}
	case "complex":
		if w.width() == r.width() {
			setComplexBits(to, complexBits(from))
		} else {
			to.SetComplex(from.Complex())
		}
	case "ptr":
		if !from.IsNil() {
			to.Set(reflect.New(r.typ.Elem()))
			ok = convert(w.elem, from.Elem(), r.elem, to.Elem())
		}
	case "slice":
		to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
		fallthrough
	case "array":
		for i := range from.Len() {
			ok = convert(w.elem, from.Index(i), r.elem, to.Index(i)) && ok
		}
	case "map":
		to.Set(reflect.MakeMap(to.Type()))
		for _, key := range from.MapKeys() {
			in, elem := reflect.New(w.elem.typ).Elem(), reflect.New(r.elem.typ).Elem()
			in.Set(from.MapIndex(key))
			ok = convert(w.elem, in, r.elem, elem) && ok
			to.SetMapIndex(key, elem)
		}
	case "struct":
		for i := range w.fields {
			if g := r.field(w.fields[i].name); g != nil {
				ok = convert(w.fields[i].shape, from.Field(w.fields[i].at), g.shape, to.Field(g.at)) && ok
			}
		}
	case "union":
		for _, f := range w.fields {
			if g := r.field(f.name); g != nil && !from.Field(f.at).IsNil() {
				to.Field(g.at).Set(reflect.New(g.elem.typ))
				ok = convert(f.elem, from.Field(f.at).Elem(), g.elem, to.Field(g.at).Elem())
			}
		}
	default:
		to.Set(from)
	}
	return ok
}

// isZeroOf reports whether v is what a reader gives what it lacks.
func isZeroOf(s *shape, v reflect.Value) bool {
	switch s.class() {
	case "struct", "array":
		for i := range s.parts(v) {
			part, elem := s.part(v, i)
			if !isZeroOf(part, elem) {
				return false
			}
		}
		return true
	case "bytes":
		return len(bytes.Trim(v.Bytes(), "\x00")) == 0 && (v.Len() == 0 || s.word("fixed") != "")
	case "slice", "map":
		return v.Len() == 0
	}
	return v.IsZero()
}

// setZero sets v to what isZeroOf accepts and its formats can hold.
func setZero(s *shape, v reflect.Value) {
	v.SetZero()
	switch s.class() {
	case "struct", "array":
		for i := range s.parts(v) {
			part, elem := s.part(v, i)
			setZero(part, elem)
		}
	case "bytes":
		if s.word("fixed") != "" {
			v.SetBytes(make([]byte, 5))
		}
	}
}

// parts returns the number of parts of a struct, array or slice.
func (s *shape) parts(v reflect.Value) int {
	if s.class() == "struct" {
		return len(s.fields)
	}
	return v.Len()
}

// part returns a part of a struct, array or slice.
func (s *shape) part(v reflect.Value, i int) (*shape, reflect.Value) {
	if s.class() == "struct" {
		return s.fields[i].shape, v.Field(s.fields[i].at)
	}
	return s.elem, v.Index(i)
}

// lacks reports whether v has a part that a reader lacks, that is not zero and may not be
// dropped. With zero set it makes all parts that the reader lacks zero.
func lacks(w *shape, v reflect.Value, r *shape, zero bool) bool {
	for w.class() != "ptr" && r.class() == "ptr" {
		r = r.elem
	}
	found := false
	switch w.class() {
	case "ptr":
		return !v.IsNil() && lacks(w.elem, v.Elem(), r.elem, zero)
	case "array", "slice":
		for i := range v.Len() {
			found = lacks(w.elem, v.Index(i), r.elem, zero) || found
		}
	case "map":
		for _, key := range v.MapKeys() {
			elem := reflect.New(w.elem.typ).Elem()
			elem.Set(v.MapIndex(key))
			found = lacks(w.elem, elem, r.elem, zero) || found
			v.SetMapIndex(key, elem)
		}
	case "struct":
		for i := range w.fields {
			f := &w.fields[i]
			if g := r.field(f.name); g != nil {
				found = lacks(f.shape, v.Field(f.at), g.shape, zero) || found
				continue
			}
			if zero {
				setZero(f.shape, v.Field(f.at))
			}
			found = found || !f.ignorable && !isZeroOf(f.shape, v.Field(f.at))
		}
	case "union": // a member that the reader lacks is none
		for _, f := range w.fields {
			if g := r.field(f.name); g != nil && !v.Field(f.at).IsNil() {
				found = lacks(f.elem, v.Field(f.at).Elem(), g.elem, zero)
			}
		}
	}
	return found
}

// randomOf sets v to a random value that its formats can hold.
func (s *shape) randomOf(r *rand.Rand, v reflect.Value, depth int) {
	n := r.IntN(4)
	if depth > 6 {
		n = 0
	}
	switch s.class() {
	case "int":
		fill(r, v, depth)
		v.SetInt(signExtend(uint64(v.Int()), s.width()))
	case "uint":
		fill(r, v, depth)
		v.SetUint(v.Uint() << (64 - 8*s.width()) >> (64 - 8*s.width()))
	case "bytes":
		b := []byte(randomText(r))
		if s.word("fixed") != "" {
			b = make([]byte, 5)
			b[r.IntN(5)] = byte(r.Uint32())
		}
		v.SetBytes(b)
	case "ptr":
		if n > 0 {
			v.Set(reflect.New(s.elem.typ))
			s.elem.randomOf(r, v.Elem(), depth+1)
		}
	case "slice":
		v.Set(reflect.MakeSlice(s.typ, n, n))
		fallthrough
	case "array", "struct":
		for i := range s.parts(v) {
			part, elem := s.part(v, i)
			part.randomOf(r, elem, depth+1)
		}
	case "union":
		f := s.fields[0] // ends recursion
		if depth <= 6 {
			f = s.fields[r.IntN(len(s.fields))]
		}
		v.Field(f.at).Set(reflect.New(f.elem.typ))
		f.elem.randomOf(r, v.Field(f.at).Elem(), depth+1)
	case "map":
		v.Set(reflect.MakeMap(s.typ))
		for range n {
			key, elem := reflect.New(s.key.typ).Elem(), reflect.New(s.elem.typ).Elem()
			fillKey(r, key)
			s.elem.randomOf(r, elem, depth+1)
			v.SetMapIndex(key, elem)
		}
	default:
		fill(r, v, depth)
	}
}

// A pairMaker makes pairs of shapes.
type pairMaker struct{ *rand.Rand }

// one reports true in one of n cases.
func (m pairMaker) one(n int) bool { return m.IntN(n) == 0 }

var (
	intTypes = []reflect.Type{reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[int]()}
	uints    = []reflect.Type{reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[uint]()}
	floats   = []reflect.Type{reflect.TypeFor[float32](), reflect.TypeFor[float64]()}
	complexs = []reflect.Type{reflect.TypeFor[complex64](), reflect.TypeFor[complex128]()}
	others   = []reflect.Type{reflect.TypeFor[bool](), timeType, durationType, reflect.TypeFor[netip.Addr](), reflect.TypeFor[string]()}
	mapKeys  = []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[int32](), reflect.TypeFor[uint8](), reflect.TypeFor[[2]int16]()}
)

// number returns a number of one of these types in any format.
func (m pairMaker) number(types []reflect.Type) *shape {
	s := &shape{typ: types[m.IntN(len(types))]}
	switch {
	case m.one(2):
	case s.class() == "int" || s.class() == "uint":
		formats := []string{"le1", "le2", "le3", "le4", "le5", "le6", "le7", "le8", "be1", "be2", "be3", "be4", "be5", "be6", "be7", "be8", "varint", "uvarint"}
		s.words = []string{formats[m.IntN(len(formats))]}
	case s.width() == 4:
		s.words = []string{[]string{"le4", "be4"}[m.IntN(2)]}
	default:
		s.words = []string{[]string{"le8", "be8"}[m.IntN(2)]}
	}
	return s
}

// text returns a string or []byte of any length.
func (m pairMaker) text(t reflect.Type) *shape {
	s := &shape{typ: t}
	switch m.IntN(8) {
	case 0:
		s.words = []string{[]string{"fixed=40", "fixed=5"}[opIf(t.Kind() == reflect.Slice, 1)]}
	case 1:
		s.words = []string{"len=varint"}
	case 2:
		s.words = []string{"len=be2"}
	case 3:
		s.words = []string{"len=le8"}
	}
	return s
}

// leaf returns a pair of values without parts. The second is most often the wider one.
func (m pairMaker) leaf() (a, b *shape) {
	make := func() *shape { return m.text(reflect.TypeFor[string]()) }
	switch m.IntN(8) {
	case 0, 1:
		make = func() *shape { return m.number(intTypes) }
	case 2:
		make = func() *shape { return m.number(uints) }
	case 3:
		a, b = m.number(uints), m.number(intTypes)
		if b.width() <= a.width() && !m.one(10) {
			b = a
		}
		return a, b
	case 4:
		make = func() *shape { return m.number([][]reflect.Type{floats, complexs}[m.IntN(2)]) }
	case 5:
		make = func() *shape { return m.text(reflect.TypeFor[[]byte]()) }
	case 6:
		s := &shape{typ: others[m.IntN(len(others))]}
		return s, s
	}
	a, b = make(), make()
	v := verdict{seen: map[[2]*shape]bool{}}
	if v.check("", a, b); v.places != nil && !m.one(10) {
		w := verdict{seen: map[[2]*shape]bool{}}
		if w.check("", b, a); w.places == nil {
			return b, a
		}
		return a, a
	}
	return a, b
}

// pair returns the old and the new version of a type.
func (m pairMaker) pair(depth int) (a, b *shape) {
	if depth == 0 || m.one(4) {
		if m.one(6) {
			f := families[m.IntN(len(families))]
			known := map[reflect.Type]*shape{}
			return shapeOf(f[0], nil, known), shapeOf(f[1], nil, known)
		}
		return m.leaf()
	}
	switch m.IntN(9) {
	case 8:
		return m.unions(depth)
	case 0, 1:
		a, b = m.pair(depth - 1)
		return m.slice(a), m.slice(b)
	case 2:
		a, b = m.pair(depth - 1)
		n := m.IntN(4)
		k := n
		if m.one(15) {
			k++
		}
		return &shape{typ: reflect.ArrayOf(n, a.typ), elem: a}, &shape{typ: reflect.ArrayOf(k, b.typ), elem: b}
	case 3:
		a, b = m.pair(depth - 1)
		i := m.IntN(len(mapKeys))
		k := i
		if m.one(15) {
			k = m.IntN(len(mapKeys))
		}
		return m.mapOf(mapKeys[i], a), m.mapOf(mapKeys[k], b)
	case 4:
		a, b = m.pair(depth - 1)
		if !m.one(3) {
			a = &shape{typ: reflect.PointerTo(a.typ), elem: a}
		}
		return a, &shape{typ: reflect.PointerTo(b.typ), elem: b}
	}
	return m.structs(depth)
}

// slice returns the shape of a slice, or of the element if that takes no bytes.
func (m pairMaker) slice(elem *shape) *shape {
	s := &shape{typ: reflect.SliceOf(elem.typ), elem: elem}
	if m.one(4) {
		s.words = []string{[]string{"len=varint", "len=be2", "len=le3", "bytes=varint", "bytes=be4"}[m.IntN(5)]}
	}
	if s.word("bytes") == "" && (elem.typ.Kind() == reflect.Uint8 || m.one(4)) {
		s.words = append(s.words, "list")
	}
	if elem.typ.Kind() == reflect.Uint8 {
		s.words = []string{"list"}
	}
	if c, err := Compile(elem.typ, nil); err != nil || c.Min() == 0 {
		return elem
	}
	return s
}

// mapOf returns the shape of a map.
func (m pairMaker) mapOf(key reflect.Type, elem *shape) *shape {
	s := &shape{typ: reflect.MapOf(key, elem.typ), key: &shape{typ: key}, elem: elem}
	if m.one(3) {
		s.words = []string{[]string{"len=varint", "list"}[m.IntN(2)]}
	}
	return s
}

// structs returns a pair of structs: some fields are of one only, or are moved.
func (m pairMaker) structs(depth int) (a, b *shape) {
	a, b = &shape{}, &shape{}
	for i := range m.IntN(6) {
		f, g := shapeField{name: fmt.Sprint("F", i)}, shapeField{name: fmt.Sprint("F", i)}
		f.shape, g.shape = m.pair(depth - 1)
		for _, x := range []*shapeField{&f, &g} {
			x.optional = m.one(5)
		}
		alone := m.IntN(10)
		if alone < 4 {
			// A union without a member has no encoding.
			f.shape, g.shape = pointerToUnion(f.shape), pointerToUnion(g.shape)
			f.optional, g.optional = !m.one(20), !m.one(20)
		}
		f.ignorable, g.ignorable = f.optional && m.one(3), g.optional && m.one(3)
		if alone != 0 {
			a.fields = append(a.fields, f)
		}
		if alone > 3 || alone == 0 {
			b.fields = append(b.fields, g)
		}
	}
	if m.one(2) {
		m.Shuffle(len(b.fields), reflect.Swapper(b.fields))
	}
	if len(a.fields) > 0 && len(b.fields) > 0 && m.one(6) {
		a.constant = []string{"const=7", "be2,const=0xb562"}[m.IntN(2)]
		if b.constant = a.constant; m.one(10) {
			b.constant = ""
		}
	}
	return a.build(), b.build()
}

// pointerToUnion returns s, or a pointer to it if it contains a union by value.
func pointerToUnion(s *shape) *shape {
	if s.byValue() {
		return &shape{typ: reflect.PointerTo(s.typ), elem: s}
	}
	return s
}

// byValue reports whether s contains a union that is always there.
func (s *shape) byValue() bool {
	switch s.class() {
	case "union":
		return true
	case "array":
		return s.elem.byValue()
	case "struct":
		return slices.ContainsFunc(s.fields, func(f shapeField) bool { return f.byValue() })
	}
	return false
}

// unions returns a pair of unions: some members are of one only, or are moved.
func (m pairMaker) unions(depth int) (a, b *shape) {
	a, b = &shape{union: true}, &shape{union: true}
	for i := range 1 + m.IntN(4) {
		f, g := shapeField{name: fmt.Sprint("M", i)}, shapeField{name: fmt.Sprint("M", i)}
		x, y := m.pair(depth - 1)
		f.shape, g.shape = &shape{typ: reflect.PointerTo(x.typ), elem: x}, &shape{typ: reflect.PointerTo(y.typ), elem: y}
		f.optional, g.optional = m.one(5), m.one(5)
		alone := 4
		if i > 0 {
			alone = m.IntN(8)
		}
		if alone < 2 {
			f.optional, g.optional = !m.one(20), !m.one(20)
		}
		if alone != 0 {
			a.fields = append(a.fields, f)
		}
		if alone != 1 {
			b.fields = append(b.fields, g)
		}
	}
	if m.one(2) {
		m.Shuffle(len(b.fields), reflect.Swapper(b.fields))
	}
	return a.build(), b.build()
}

// build sets the type of a struct or union.
func (s *shape) build() *shape {
	var list []reflect.StructField
	if s.union {
		list = append(list, reflect.StructField{Name: "_", PkgPath: "codec", Type: reflect.TypeFor[struct{}](), Tag: `bsrpc:"union"`})
	}
	blank := -1
	if s.constant != "" {
		blank = len(s.fields) / 2 * (len(s.fields) % 2) // at the start, or in the middle
	}
	for i := range s.fields {
		f := &s.fields[i]
		if i == blank {
			list = append(list, reflect.StructField{Name: "_", PkgPath: "codec", Type: reflect.TypeFor[uint16](), Tag: reflect.StructTag(`bsrpc:"` + s.constant + `"`)})
		}
		f.at = len(list)
		words := slices.Clone(f.tag())
		if f.optional {
			words = append(words, "optional")
		}
		if f.ignorable {
			words = append(words, "ignorable")
		}
		sf := reflect.StructField{Name: f.name, Type: f.typ}
		if len(words) > 0 {
			sf.Tag = reflect.StructTag(`bsrpc:"` + strings.Join(words, ",") + `"`)
		}
		list = append(list, sf)
	}
	s.typ = reflect.StructOf(list)
	return s
}

// Versions of recursive types.
type (
	nodeA struct {
		Val  int32
		Kids []nodeA
		Next *nodeA
		Opt  map[string]*nodeA
	}
	nodeB struct { // one field more, others moved and wider, elements by pointer
		Note string `bsrpc:"optional"`
		Next *nodeB
		Opt  map[string]*nodeB `bsrpc:"list"`
		Kids []*nodeB
		Val  int64 `bsrpc:"be8"`
	}
	nodeC struct { // unrolled once, one field less
		Val  int32
		Kids []nodeC
		Next *struct {
			Val  int32
			Kids []nodeC `bsrpc:"len=varint"`
			Next *nodeC
			More []nodeC `bsrpc:"optional,ignorable"`
		}
		Opt map[string]*nodeC
	}
	nodeD struct { // wrong
		Val  int32
		Kids []nodeD
		Next *nodeD
		Opt  map[string]nodeD
	}
	leftA struct {
		N     uint16
		Right []rightA
	}
	rightA struct {
		Left *leftA
		Set  map[uint8]leftA
		Text string `bsrpc:"optional"`
	}
	leftB struct { // the same types in turn
		Right []rightB
		N     int32
		When  *leftB `bsrpc:"optional"`
	}
	rightB struct {
		Set  map[uint8]leftA
		Left **leftB
	}
	eventA struct {
		_    struct{} `bsrpc:"union"`
		Note *string
		Both *[2]eventA
		List *[]eventA
		Data *struct{ A uint16 }
	}
	eventB struct {
		_    struct{} `bsrpc:"union"`
		List *[]*eventB
		Data *struct {
			A int32
			B bool `bsrpc:"optional"`
		}
		Note *string `bsrpc:"len=varint"`
		More *eventB `bsrpc:"optional"`
		Both *[2]*eventB
	}
	sliceA []sliceA
	sliceB []*sliceB
)

var families = [][2]reflect.Type{
	{reflect.TypeFor[nodeA](), reflect.TypeFor[nodeB]()},
	{reflect.TypeFor[nodeA](), reflect.TypeFor[nodeC]()},
	{reflect.TypeFor[nodeC](), reflect.TypeFor[nodeB]()},
	{reflect.TypeFor[nodeA](), reflect.TypeFor[nodeD]()},
	{reflect.TypeFor[*nodeA](), reflect.TypeFor[nodeB]()},
	{reflect.TypeFor[leftA](), reflect.TypeFor[leftB]()},
	{reflect.TypeFor[rightA](), reflect.TypeFor[rightB]()},
	{reflect.TypeFor[sliceA](), reflect.TypeFor[sliceB]()},
	{reflect.TypeFor[sliceA](), reflect.TypeFor[[]sliceA]()},
	{reflect.TypeFor[nodeB](), reflect.TypeFor[nodeB]()},
	{reflect.TypeFor[eventA](), reflect.TypeFor[eventB]()},
}

// A matrixCount counts what a test has seen.
type matrixCount struct{ pairs, fits, values, absent, ranges int }

// TestMatrix compares old and new versions of types, in both directions and among
// arguments and results: layout.Compare with the verdict of the reference, and what the
// codecs give with the conversion of the reference.
func TestMatrix(t *testing.T) {
	seeds := 10_000
	if !rounds.Long {
		seeds = 100
	}
	var count matrixCount
	for seed := range uint64(seeds) {
		m := pairMaker{rand.New(rand.NewPCG(seed, 16))}
		a, b := m.structs(3)
		if m.one(4) { // a list at the top
			a, b = m.slice(a), m.slice(b)
		}
		count.pair(t, m.Rand, seed, a, b)
		count.pair(t, m.Rand, seed, b, a)
	}
	t.Logf("%+v", count)
	if few := seeds / 10; count.pairs < seeds || count.fits < count.pairs/10 || count.fits > count.pairs*9/10 || count.values < few || count.absent < few/10 || count.ranges < few/100 {
		t.Errorf("one-sided: %+v", count)
	}
}

// pair checks a writer and a reader.
func (count *matrixCount) pair(t *testing.T, r *rand.Rand, seed uint64, w, rd *shape) {
	t.Helper()
	wc, err := Compile(w.typ, nil)
	if err != nil {
		t.Fatalf("seed %d: %v: %v", seed, w.typ, err)
	}
	rc, err := Compile(rd.typ, nil)
	if err != nil {
		t.Fatalf("seed %d: %v: %v", seed, rd.typ, err)
	}
	// Each end knows the text of the other.
	wl, rl := reparsed(t, wc.Layout()), reparsed(t, rc.Layout())
	for _, args := range []bool{true, false} {
		count.pairs++
		want := verdict{args: args, seen: map[[2]*shape]bool{}}
		want.check("", w, rd)
		got := compareValues(wc.Layout(), rl, args)
		if back := compareValues(wl, rc.Layout(), args); (got == nil) != (back == nil) {
			t.Fatalf("seed %d: the ends disagree:\n%v\n%v", seed, got, back)
		}
		if (got == nil) != (want.places == nil) {
			t.Fatalf("seed %d, args %v:\nwriter %v\nreader %v\ncompare %v\nwant %q", seed, args, wl, rl, got, want.places)
		}
		if got != nil {
			// Recursive types are compared once, at one of several places.
			if !slices.ContainsFunc(want.places, func(place string) bool {
				return slices.ContainsFunc(got, func(d layout.Difference) bool { return placeOf(d, place) })
			}) {
				t.Fatalf("seed %d, args %v:\nwriter %v\nreader %v\n%v do not name one of %q", seed, args, wl, rl, got, want.places)
			}
			continue
		}
		count.fits++
		from, err := rc.ReadFrom(wl)
		if err != nil {
			t.Fatalf("seed %d: %v reads %v: %v", seed, rl, wl, err)
		}
		to := wc
		if args {
			to = wc.WriteTo(rl, "the server")
		}
		for range 4 {
			count.value(t, r, seed, w, to, rd, rc, from, args)
		}
	}
}

// placeOf reports whether the place of d ends as place does, or d says that this field has
// another name.
func placeOf(d layout.Difference, place string) bool {
	_, path, _ := strings.Cut(d.Place, ", ")
	last := place[strings.LastIndexByte(place, '.')+1:]
	return strings.HasSuffix(path, last) || strings.Contains(d.Client+d.Server, "calls it "+last)
}

// value writes a value and reads it, and compares it with the conversion.
func (count *matrixCount) value(t *testing.T, r *rand.Rand, seed uint64, w *shape, to *Codec, rd *shape, rc, from *Codec, args bool) {
	t.Helper()
	in := reflect.New(w.typ)
	w.randomOf(r, in.Elem(), 0)
	if args && r.IntN(4) > 0 {
		lacks(w, in.Elem(), rd, true)
	}
	data, err := appendTo(t, to, in)
	if args && lacks(w, in.Elem(), rd, false) {
		count.absent++
		if err == nil || !strings.Contains(err.Error(), "the server does not know it") {
			t.Fatalf("seed %d: %+v\n%v\n%v: %v", seed, in.Elem(), w.typ, rd.typ, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("seed %d: %v: %v", seed, w.typ, err)
	}
	want := reflect.New(rd.typ)
	fits := convert(w, in.Elem(), rd, want.Elem())
	out, err := readBoth(t, from, rc, Decoder{Data: data})
	if !fits {
		count.ranges++
		if err == nil || !strings.Contains(err.Error(), "does not fit in") {
			t.Fatalf("seed %d: %+v\n%v\n%v: %v", seed, in.Elem(), w.typ, rd.typ, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("seed %d: %x\n%v\n%v: %v", seed, data, to.Layout(), rc.Layout(), err)
	}
	count.values++
	a, err1 := appendAll(t, rc, Encoder{}, want)
	b, err2 := appendAll(t, rc, Encoder{}, out)
	// Bytes with fixed= that the writer lacks are nil, and a union of which the reader lacks
	// the member has none: neither has an encoding.
	without := err1 != nil && (strings.Contains(err1.Error(), "fixed=5") || strings.Contains(err1.Error(), "no member"))
	if (err1 == nil) != (err2 == nil) || !without && err1 != nil || !bytes.Equal(a, b) || without && !same(want.Elem(), out.Elem()) {
		t.Fatalf("seed %d: %x\n%v\n%v\nwant %+v %v\ngot  %+v %v", seed, data, to.Layout(), rc.Layout(), want.Elem(), err1, out.Elem(), err2)
	}
	for range 4 {
		if len(data) == 0 || without {
			return
		}
		bad := bytes.Clone(data)
		if r.IntN(2) == 0 {
			bad = bad[:r.IntN(len(bad))]
		} else {
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		}
		_, _ = readBoth(t, from, rc, Decoder{Data: bad, Lenient: r.IntN(4) == 0})
	}
}

// same reports whether two values are equal. An empty slice or map is equal to nil.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		for _, key := range a.MapKeys() {
			if elem := b.MapIndex(key); !elem.IsValid() || !same(a.MapIndex(key), elem) {
				return false
			}
		}
		return a.Len() == b.Len()
	case reflect.Pointer:
		return a.IsNil() == b.IsNil() && (a.IsNil() || same(a.Elem(), b.Elem()))
	case reflect.Struct:
		if a.Type() == timeType || a.Type() == reflect.TypeFor[netip.Addr]() {
			return a.Interface() == b.Interface()
		}
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return fmt.Sprint(a) == fmt.Sprint(b) // NaN
	}
	return a.Equal(b)
}

// appendTo appends with both executors. Errors may name different elements of a map.
func appendTo(t *testing.T, to *Codec, in reflect.Value) ([]byte, error) {
	t.Helper()
	var bufs [2][]byte
	var errs [2]error
	for i, form := range executors(to) {
		e := Encoder{Body: wire.Body{Buf: []byte("kept")}}
		errs[i] = form.Append(&e, RefTo(in))
		bufs[i] = e.Buf
	}
	if (errs[0] == nil) != (errs[1] == nil) || !bytes.Equal(bufs[0], bufs[1]) {
		t.Fatalf("%v: fast %x, %v\nreflect %x, %v", to.Type(), bufs[0], errs[0], bufs[1], errs[1])
	}
	return bufs[0][4:], errs[0]
}

// reparsed returns l as a peer sees it.
func reparsed(t testing.TB, l *layout.Type) *layout.Type {
	t.Helper()
	p, err := layout.Parse(l.String())
	if err != nil {
		t.Fatalf("%s: %v", l, err)
	}
	return p
}

// compareValues compares methods with one parameter or one result.
func compareValues(w, r *layout.Type, args bool) []layout.Difference {
	if args {
		return layout.Compare(&layout.Method{Params: []*layout.Type{w}}, &layout.Method{Params: []*layout.Type{r}})
	}
	return layout.Compare(&layout.Method{Results: []*layout.Type{r}}, &layout.Method{Results: []*layout.Type{w}})
}

// readBoth reads data with both executors of a translated codec, which must agree. The
// values are compared by their encodings by own.
func readBoth(t testing.TB, from, own *Codec, d Decoder) (reflect.Value, error) {
	t.Helper()
	var ptrs [2]reflect.Value
	var errs [2]error
	for i, form := range executors(from) {
		d := d
		ptrs[i] = reflect.New(own.Type())
		errs[i] = form.Read(&d, RefTo(ptrs[i]))
	}
	if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
		t.Fatalf("%v: %x: fast %v\nreflect %v", own.Type(), d.Data, errs[0], errs[1])
	}
	if errs[0] == nil {
		a, err1 := appendAll(t, own, Encoder{}, ptrs[0])
		b, err2 := appendAll(t, own, Encoder{}, ptrs[1])
		if fmt.Sprint(err1) != fmt.Sprint(err2) || !bytes.Equal(a, b) {
			t.Fatalf("%v: %x: fast %x, %v\nreflect %x, %v", own.Type(), d.Data, a, err1, b, err2)
		}
	}
	return ptrs[0], errs[0]
}
