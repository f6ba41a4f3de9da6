package layout

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateGolden = flag.Bool("update", false, "rewrite testdata/layouts.golden")

// Types for test tables.
var (
	typeBool   = &Type{Kind: Bool}
	typeInt4   = num(Int, LE4)
	typeUint8  = num(Uint, LE8)
	typeString = num(String, LE4)
)

// reader is the layout of bytes in bulk.
var reader = &Type{Kind: Reader}

func callable(params, results []*Type) *Type {
	return &Type{Kind: Func, Func: &Signature{Params: params, Results: results}}
}

func oneway(params ...*Type) *Type {
	return &Type{Kind: Func, Func: &Signature{Params: params, Oneway: true}}
}

func stream(l *Type) *Type         { return &Type{Kind: Stream, Elem: l} }
func num(k Kind, f Format) *Type   { return &Type{Kind: k, Format: f} }
func fixed(k Kind, n int) *Type    { return &Type{Kind: k, Len: n} }
func backRef(n int) *Type          { return &Type{Kind: BackRef, Len: n} }
func pointer(l *Type) *Type        { return &Type{Kind: Pointer, Elem: l} }
func pad(n int) *Type              { return &Type{Kind: Pad, Len: n} }
func list(f Format, l *Type) *Type { return &Type{Kind: Slice, Format: f, Elem: l} }
func array(n int, l *Type) *Type   { return &Type{Kind: Array, Len: n, Elem: l} }
func custom(k Kind, goType string) *Type {
	return &Type{Kind: k, Opaque: goType}
}

func until(k Kind, end int) *Type { return &Type{Kind: k, Format: Until, Len: end} }

func constant(k Kind, f Format, value string) *Type {
	return &Type{Kind: k, Format: f, Const: value}
}

func slice(bytes, count Format, l *Type) *Type {
	return &Type{Kind: Slice, Bytes: bytes, Format: count, Elem: l}
}

func mapOf(bytes, count Format, key, elem *Type) *Type {
	return &Type{Kind: Map, Bytes: bytes, Format: count, Key: key, Elem: elem}
}

// structure returns a struct of the Go type typ, with alternating field names
// and types in parts.
func structure(typ string, parts ...any) *Type {
	l := &Type{Kind: Struct, GoType: typ}
	for i := 0; i < len(parts); i += 2 {
		l.Fields = append(l.Fields, Field{Name: parts[i].(string), Type: parts[i+1].(*Type)})
	}
	return l
}

// union is structure for unions.
func union(typ string, parts ...any) *Type {
	l := structure(typ, parts...)
	l.Kind = Union
	return l
}

// goldenTypes returns the types in testdata/layouts.golden.
func goldenTypes() []*Type {
	all := []*Type{typeBool, {Kind: Time}, {Kind: Duration}}
	all = append(all, num(Int, Uvarint))
	for f := LE1; f <= Varint; f++ {
		all = append(all, num(Int, f), num(Uint, f), num(String, f), num(Bytes, f), list(f, typeBool))
	}
	for _, f := range []Format{LE4, LE8, BE4, BE8} {
		all = append(all, num(Float, f), num(Complex, f))
	}
	tree := structure("Tree", "Left", pointer(backRef(2)), "Right", pointer(backRef(2)), "Rest", slice(LE4, LE4, backRef(2)))
	return append(all,
		fixed(String, 12), fixed(Bytes, 0), fixed(Bytes, maxNumber),
		slice(LE4, LE4, typeString), slice(LE2, LE2, typeString), slice(LE4, LE1, typeString), slice(Varint, LE4, typeString),
		array(0, typeBool), array(3, array(2, typeInt4)), list(LE4, array(3, slice(LE4, LE4, typeBool))),
		pointer(pointer(typeBool)), pointer(array(2, pointer(typeBool))),
		mapOf(LE4, LE4, typeString, typeBool), mapOf(NoFormat, LE2, typeString, typeBool), mapOf(LE2, LE2, typeString, typeBool),
		mapOf(NoFormat, LE4, array(2, typeInt4), mapOf(LE4, LE4, typeInt4, typeString)),
		mapOf(LE4, LE4, structure("", "A", typeInt4), list(LE1, backRef(2))),
		structure("Nothing"), structure("Point", "X", typeInt4, "Y", typeInt4),
		structure("Outer", "Inner", structure("Inner", "A", typeBool), "größe", typeInt4, "_x9", pointer(structure(""))),
		structure("List", "Val", typeInt4, "Next", pointer(backRef(2))), tree, slice(LE4, LE4, tree),
		structure("Twice", "A", tree, "B", pointer(backRef(2))),
		slice(LE4, LE4, backRef(1)), pointer(backRef(1)), mapOf(LE4, LE4, typeString, backRef(1)),
		array(2, pointer(backRef(2))), array(2, array(2, list(LE4, backRef(3)))),
		union("Event", "Alarm", structure("Alarm", "Level", typeUint8), "Reading", num(Float, BE4), "None", structure("")),
		union("One", "A", pointer(union("Two", "B", backRef(2), "C", backRef(3), "D", typeBool))),
		slice(LE4, LE4, union("Expr", "Not", backRef(1), "Pair", array(2, backRef(2)), "All", list(LE1, backRef(2)), "Up", backRef(2))),
		structure("", "A", union("", "B", array(0, backRef(3)))),
		custom(Binary, "netip.Addr"), custom(Raw, "ubx.Flags"), array(2, pointer(custom(Raw, "crc.Of[modbus.Registers]"))), custom(Text, "big.Int"), slice(LE4, LE4, custom(Text, "*big.Int")),
		custom(Binary, "opt.Of[func(int) (string, error)]"),
		until(String, 0), until(Bytes, 255), num(String, Rest), num(Bytes, Rest), list(Rest, until(String, 10)),
		slice(LE4, NoFormat, typeString), slice(BE3, NoFormat, slice(Varint, NoFormat, typeBool)),
		mapOf(LE1, NoFormat, typeString, typeBool), mapOf(Varint, NoFormat, until(String, 0), slice(LE2, NoFormat, backRef(2))),
		structure("", "A", until(String, 0), "B", pointer(structure("", "C", list(Rest, num(Uint, BE2))))),
		structure("Frame", "_", constant(Uint, BE2, "46434"), "A", typeInt4, "_", pad(3), "_", constant(Int, LE3, "-8388608")),
		structure("", "_", constant(Uint, LE8, "18446744073709551615"), "_", constant(Int, Varint, "-9223372036854775808"), "_", constant(Int, Uvarint, "0")),
		custom(Binary, `opt.Of[struct { A int "json:\"a)\\\"\"" }]`),
	)
}

// goldenMethods returns the methods in testdata/layouts.golden: with what only a whole
// parameter or result may be.
func goldenMethods() []*Method {
	tree := structure("Tree", "Left", pointer(backRef(2)), "Right", pointer(backRef(2)))
	return []*Method{
		{Service: "files", Name: "Open", Params: []*Type{typeString}, Results: []*Type{reader}},
		{Service: "files", Name: "Create", Params: []*Type{typeString, reader}},
		{Service: "jobs", Name: "Watch", Params: []*Type{typeUint8}, Results: []*Type{stream(pointer(tree))}},
		{Service: "jobs", Name: "Run", Params: []*Type{oneway(typeString), callable([]*Type{typeString}, []*Type{typeBool}), callable(nil, nil)}},
		{Service: "jobs", Name: "Log", Params: []*Type{typeString}, Oneway: true},
		{Service: "jobs", Name: "Echo", Params: []*Type{stream(slice(LE4, LE4, typeString)), reader, stream(structure(""))}, Results: []*Type{typeBool, stream(typeInt4)}},
	}
}

func TestLayoutGolden(t *testing.T) {
	var b strings.Builder
	for _, l := range goldenTypes() {
		fmt.Fprintln(&b, l)
	}
	for _, m := range goldenMethods() {
		fmt.Fprintln(&b, m)
	}
	const file = "testdata/layouts.golden"
	if *updateGolden {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// ignoreGoType ignores the only field missing from a text.
var ignoreGoType = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".GoType" }, cmp.Ignore())

func TestParseGolden(t *testing.T) {
	for _, l := range goldenTypes() {
		got, err := Parse(l.String())
		if err != nil {
			t.Errorf("%s: %v", l, err)
		} else if diff := cmp.Diff(l, got, ignoreGoType); diff != "" {
			t.Errorf("%s: -want +got\n%s", l, diff)
		}
	}
}

func TestParseErrors(t *testing.T) {
	deep := strings.Repeat("*", MaxDepth)
	tests := []struct{ text, want string }{
		{"", `offset 0: want a type, have the end`},
		{"bol", `offset 0: want a type, have "bol"`},
		{"bool ", `offset 4: want the end, have " "`},
		{" bool", `offset 0: want a type, have " bool"`},
		{"boolean", `offset 4: want the end, have "ean"`},
		{"int", `offset 0: want a type, have "int"`},
		{"int.", `offset 4: want a format: le1 to le8, be2 to be8, varint or uvarint, have the end`},
		{"int.be1", `offset 4: want a format: le1 to le8, be2 to be8, varint or uvarint, have "be1"`},
		{"int.le9", `offset 4: want a format: le1 to le8, be2 to be8, varint or uvarint, have "le9"`},
		{"uint.uvarint", `offset 5: want a format: le1 to le8, be2 to be8 or varint, have "uvarint"`},
		{"[uvarint]bool", `offset 1: want a format: le1 to le8, be2 to be8 or varint, have "uvarint]bool"`},
		{"map[uvarint bool]bool", `offset 4: want a type, have "uvarint bool]boo"`},
		{"float.le3", `offset 6: want the format of a float: le4, le8, be4 or be8, have "le3"`},
		{"int.4", `offset 4: want a format: le1 to le8, be2 to be8, varint or uvarint, have "4"`},
		{"float.le2", `offset 6: want the format of a float: le4, le8, be4 or be8, have "le2"`},
		{"complex.varint", `offset 8: want the format of a float: le4, le8, be4 or be8, have "varint"`},
		{"string.", `offset 7: want a format: le1 to le8, be2 to be8 or varint, have the end`},
		{"string.012", `offset 7: want a number up to 2147483647 without leading zeros, have "012"`},
		{"bytes.2147483648", `offset 6: want a number up to 2147483647 without leading zeros, have "2147483648"`},
		{"bytes.99999999999999999999", `offset 6: want a number up to 2147483647 without leading zeros, have "9999999999999999"`},
		{"bytes.-1", `offset 6: want a format: le1 to le8, be2 to be8 or varint, have "-1"`},
		{"[]", `offset 2: want a type, have the end`},
		{"[ ]bool", `offset 1: want a format: le1 to le8, be2 to be8 or varint, have " ]bool"`},
		{"[00]bool", `offset 1: want a number up to 2147483647 without leading zeros, have "00]bool"`},
		{"[3 ]bool", `offset 2: want "]", have " ]bool"`},
		{"[le4 le4]bool", `offset 8: "le4 le4" is the default and must be omitted`},
		{"[le4  le2]bool", `offset 5: want a format: le1 to le8, be2 to be8 or varint, have " le2]bool"`},
		{"[le2 le2 le2]bool", `offset 8: want "]", have " le2]bool"`},
		{"[le2 le2bool", `offset 8: want "]", have "bool"`},
		{"map[]bool", `offset 4: want a type, have "]bool"`},
		{"map[le4]bool", `offset 7: want " ", have "]bool"`},
		{"map[le4 le4 bool]bool", `offset 12: "le4 le4" is the default and must be omitted`},
		{"map[le2 le2 le2 bool]bool", `offset 12: want a type, have "le2 bool]bool"`},
		{"map[bool]", `offset 9: want a type, have the end`},
		{"map[bool bool", `offset 8: want "]", have " bool"`},
		{"{A}", `offset 2: want " ", have "}"`},
		{"{ }", `offset 1: want a name, have " }"`},
		{"{A bool;B bool}", `offset 7: want "}", have ";B bool}"`},
		{"{A bool; }", `offset 9: want a name, have "}"`},
		{"{A bool; B bool", `offset 15: want "}", have the end`},
		{"{A  bool}", `offset 3: want a type, have " bool}"`},
		{"{1 bool}", `offset 1: want a name, have "1 bool}"`},
		{"{A.B bool}", `offset 2: want " ", have ".B bool}"`},
		{"{A bool; A bool}", `offset 10: duplicate field "A" before this`},
		{"string.until", `offset 7: want a format: le1 to le8, be2 to be8 or varint, have "until"`},
		{"string.until=256", `offset 13: want a byte, 0 to 255, have "256"`},
		{"string.until=010", `offset 13: want a number up to 2147483647 without leading zeros, have "010"`},
		{"int.rest", `offset 4: want a format: le1 to le8, be2 to be8, varint or uvarint, have "rest"`},
		{"{A string.rest; B bool}", `offset 23: rest is not at the end of the message`},
		{"[2]string.rest", `offset 14: rest is not at the end of the message`},
		{"map[string.rest]bool", `offset 20: rest is not at the end of the message`},
		{"{A []^2; B [rest]bool}", `offset 22: a type with rest is not at the end of the message`},
		{"{A *{B bool; C *{D [rest]bool}}; E []^2}", `offset 40: rest is not at the end of the message`},
		{"map[rest bool]bool", `offset 4: want a type, have "rest bool]bool"`},
		{"[bytes=]bool", `offset 7: want a format: le1 to le8, be2 to be8 or varint, have "]bool"`},
		{"[bytes=le1 le1]bool", `offset 10: want "]", have " le1]bool"`},
		{"[le1 bytes=le1]bool", `offset 5: want a format: le1 to le8, be2 to be8 or varint, have "bytes=le1]bool"`},
		{"map[bytes=le1]bool", `offset 13: want " ", have "]bool"`},
		{"{_ bool}", `offset 7: want padding or a constant for a blank field before this`},
		{"{_ int.le4}", `offset 10: want "=", have "}"`},
		{"{A int.le4=3}", `offset 10: want "}", have "=3}"`},
		{"{_ pad.0}", `offset 8: padding without bytes before this`},
		{"{_ pad.03}", `offset 7: want a number up to 2147483647 without leading zeros, have "03}"`},
		{"pad.3", `offset 4: padding is a blank field, called _`},
		{"{_ [2]uint.le1=3}", `offset 14: want padding or a constant for a blank field before this`},
		{"{_ uint.le1=256}", `offset 12: want a decimal number in the range of uint.le1, have "256}"`},
		{"{_ uint.le1=-1}", `offset 12: want a decimal number in the range of uint.le1, have "-1}"`},
		{"{_ int.be3=8388608}", `offset 11: want a decimal number in the range of int.be3, have "8388608}"`},
		{"{_ int.be3=-0}", `offset 11: want a decimal number in the range of int.be3, have "-0}"`},
		{"{_ int.be3=07}", `offset 11: want a decimal number in the range of int.be3, have "07}"`},
		{"{_ int.be3=}", `offset 11: want a decimal number in the range of int.be3, have "}"`},
		{"{_ uint.varint=18446744073709551616}", `offset 15: want a decimal number in the range of uint.varint, have "1844674407370955"`},
		{"[]{A raw(a.B)}", `offset 14: elements before this take no bytes`},
		{"{\xff bool}", `offset 1: want a name, have "\xff bool}"`},
		{"<_ uint.le1=3>", `offset 2: blank member of a union before this`},
		{"<A string.rest; B {C bool; D []^3}>", `offset 35: a type with rest is not at the end of the message`},
		{"<>", `offset 1: want a name, have ">"`},
		{"<A>", `offset 2: want " ", have ">"`},
		{"<A bool}", `offset 7: want ">", have "}"`},
		{"{A bool>", `offset 7: want "}", have ">"`},
		{"<A bool; A bool>", `offset 10: duplicate field "A" before this`},
		{"<A ^1>", `offset 6: ` + endlessUnion},
		{"*<A ^1>", `offset 7: ` + endlessUnion},
		{"{X <A ^2>}", `offset 10: ` + endlessUnion},
		{"[]{X <A ^2>; Y bool}", `offset 20: ` + endlessUnion},
		{"<A <B ^2>; C {D ^2; E bool}>", `offset 28: ` + endlessUnion},
		{"<A bool; B <C [2]^2>>", `offset 21: ` + endlessUnion},
		{"map[{A <B ^2>}]bool", `offset 19: ` + endlessUnion},
		{"<A bool; B {C ^1}>", `offset 16: ^1 makes a value of infinite size`},
		{"<" + members(256) + ">", `offset 2696: more than 255 members of a union`},
		{"binary()", `offset 7: want a Go type and ")", have ")"`},
		{"binary(a", `offset 7: want a Go type and ")", have "a"`},
		{"binary(a(b)", `offset 7: want a Go type and ")", have "a(b)"`},
		{`binary(a")`, `offset 7: want a Go type and ")", have "a\")"`},
		{"text(a\nb)", `offset 5: want a Go type and ")", have "a\nb)"`},
		{"text(a\u202eb)", `offset 5: want a Go type and ")", have "a\u202eb)"`},
		{"text(a)b)", `offset 7: want the end, have "b)"`},
		{"^1", `offset 2: ^1 refers outside the type: it has 0 enclosing types`},
		{"*^0", `offset 3: ^0 refers outside the type: it has 1 enclosing types`},
		{"*^2", `offset 3: ^2 refers outside the type: it has 1 enclosing types`},
		{"{Next *^3}", `offset 9: ^3 refers outside the type: it has 2 enclosing types`},
		{"*^01", `offset 2: want a number up to 2147483647 without leading zeros, have "01"`},
		{"{A ^1}", `offset 5: ^1 makes a value of infinite size`},
		{"*{A [2]^2}", `offset 9: ^2 makes a value of infinite size`},
		{deep + "*bool", `offset 129: types nested deeper than 128`},
		{strings.Repeat(" ", MaxText+1), `text of 65537 bytes exceeds the limit of 65536`},
	}
	for _, test := range tests {
		l, err := Parse(test.text)
		if err == nil || err.Error() != test.want || l != nil {
			t.Errorf("%.20q:\n%v\n%s", test.text, err, test.want)
		}
	}
	if _, err := Parse(deep + "bool"); err != nil {
		t.Errorf("at the limit of depth: %v", err)
	}
}

const endlessUnion = "the union before this has no member without itself: a value of infinite size"

// members returns n members of a union.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "M%d time; ", i)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// The text of a tree with shared nodes, of exponential length, is bounded.
func TestStringIsBounded(t *testing.T) {
	l := structure("", "A", typeString)
	for range 60 {
		l = structure("", "A", l, "B", l)
	}
	if n := len(l.String()); n <= MaxText || n > MaxText+1000 {
		t.Errorf("the text has %d bytes", n)
	}
}

// A generator returns random types with a possible Go type.
type generator struct {
	*rand.Rand
	enclosing []Kind
}

func (m *generator) format() Format {
	return LE1 + Format(m.IntN(int(Varint)))
}

func (m *generator) typ() *Type {
	k := Kind(1 + m.IntN(int(BackRef)))
	if len(m.enclosing) > 6 && k >= Array && k <= Struct {
		k = Bool
	}
	if k == Struct && m.IntN(3) == 0 {
		k = Union
	}
	l := &Type{Kind: k}
	switch k {
	case Int:
		l.Format = LE1 + Format(m.IntN(int(Uvarint)))
	case Uint:
		l.Format = m.format()
	case Float, Complex:
		l.Format = []Format{LE4, LE8, BE4, BE8}[m.IntN(4)]
	case String, Bytes:
		if l.Format = Format(m.IntN(int(Varint) + 1)); l.Format == NoFormat {
			l.Len = m.IntN(1 << 20)
		}
	case Binary, Text:
		l.Opaque = []string{"netip.Addr", "a.B[func(c.D)]", `a.B["\")("]`}[m.IntN(3)]
	case BackRef:
		return m.backRef()
	case Array, Slice, Map, Pointer, Struct, Union:
		m.enclosing = append(m.enclosing, k)
		m.fill(l)
		m.enclosing = m.enclosing[:len(m.enclosing)-1]
	}
	return l
}

func (m *generator) fill(l *Type) {
	switch l.Kind {
	case Struct, Union:
		least := 0
		if l.Kind == Union {
			least = 1
		}
		for i := range least + m.IntN(5) {
			if l.Kind == Struct && m.IntN(8) == 0 {
				l.Fields = append(l.Fields, Field{Name: "_", Type: constant(Int, m.format(), fmt.Sprint(m.IntN(256)-128))})
				continue
			}
			l.Fields = append(l.Fields, Field{fmt.Sprintf("F%d", i), m.typ(), m.IntN(4) == 0})
		}
		return
	case Array:
		l.Len = m.IntN(100)
	case Slice, Map:
		l.Format = m.format()
		l.Bytes = Format(m.IntN(int(Varint) + 1))
		if l.Bytes != NoFormat && m.IntN(4) == 0 { // a length in bytes alone
			l.Format = NoFormat
		}
	}
	if l.Kind == Map {
		l.Key = m.typ()
	}
	l.Elem = m.typ()
	if l.Kind != Array && takesNoBytes(l.Elem) {
		l.Elem = &Type{Kind: Bool}
	}
}

// takesNoBytes reports whether values of l are empty on the wire.
func takesNoBytes(l *Type) bool {
	switch l.Kind {
	case String, Bytes:
		return l.Format == NoFormat && l.Len == 0
	case Array:
		return l.Len == 0 || takesNoBytes(l.Elem)
	case Struct:
		for _, f := range l.Fields {
			if !takesNoBytes(f.Type) {
				return false
			}
		}
		return true
	}
	return false
}

// backRef returns a reference to a random enclosing composite with finite
// values.
func (m *generator) backRef() *Type {
	for n := 1 + m.IntN(8); n > 0; n-- {
		if n > len(m.enclosing) {
			continue
		}
		for _, k := range m.enclosing[len(m.enclosing)-n:] {
			if k == Slice || k == Map || k == Pointer {
				return backRef(n)
			}
		}
	}
	return typeBool
}

func (m *generator) types(most int) []*Type {
	var ls []*Type
	for range m.IntN(most + 1) {
		ls = append(ls, m.typ())
	}
	return ls
}

// params is wholes with funcs among them.
func (m *generator) params(most int) []*Type {
	ls := m.wholes(most)
	for i := range ls {
		switch m.IntN(6) {
		case 0:
			ls[i] = callable(m.types(2), m.types(2))
		case 1:
			ls[i] = oneway(m.types(2)...)
		}
	}
	return ls
}

// wholes is types with streams and readers among them.
func (m *generator) wholes(most int) []*Type {
	ls := m.types(most)
	for i, l := range ls {
		switch m.IntN(6) {
		case 0:
			ls[i] = stream(l)
		case 1:
			ls[i] = reader
		}
	}
	return ls
}

func TestParseRoundTrip(t *testing.T) {
	m := &generator{Rand: rand.New(rand.NewPCG(1, 2))}
	for range 5000 {
		l := m.typ()
		text := l.String()
		got, err := Parse(text)
		if len(text) > MaxText {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(l, got); diff != "" {
			t.Fatalf("%s: -want +got\n%s", text, diff)
		}
	}
}

// A text with a changed byte is an error, or the canonical text of another
// type.
func TestParseCorrupted(t *testing.T) {
	m := &generator{Rand: rand.New(rand.NewPCG(3, 4))}
	for range 5000 {
		text := []byte(m.typ().String())
		text[m.IntN(len(text))] = "[]{}*^; le124map"[m.IntN(16)]
		if l, err := Parse(string(text)); err == nil && l.String() != string(text) {
			t.Fatalf("%s prints as %s", text, l)
		}
	}
}

// countNodes returns the number of types and fields in a tree.
func countNodes(l *Type) int {
	if l == nil {
		return 0
	}
	n := 1 + countNodes(l.Key) + countNodes(l.Elem)
	for _, f := range l.Fields {
		n += 1 + countNodes(f.Type)
	}
	return n
}

func FuzzParse(f *testing.F) {
	for _, l := range goldenTypes() {
		f.Add(l.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if l.String() != text {
			t.Errorf("%q prints as %q", text, l)
		}
		if n := countNodes(l); n > len(text) {
			t.Errorf("%d nodes from %d bytes", n, len(text))
		}
	})
}
