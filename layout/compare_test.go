package layout

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mustParse returns the method with a text.
func mustParse(t testing.TB, text string) *Method {
	t.Helper()
	m, err := ParseMethod(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// lines returns the texts of differences, one a line.
func lines(list []Difference) string {
	var text []string
	for _, d := range list {
		text = append(text, d.String())
	}
	return strings.Join(text, "\n")
}

// TestCompare compares parameters, results, and both of funcs, with the texts of all
// differences. In each test a type is old or new: the old end has the first text.
func TestCompare(t *testing.T) {
	tests := []struct {
		name           string
		client, server string
		want           string
	}{
		// Fields among arguments: the client writes.
		{"equal", "S.M({A int.le4}) {B bool}", "S.M({A int.le4}) {B bool}", ""},
		{"constants in other places", "S.M({_ uint.le1=3; A bool; _ int.be2=-1})", "S.M({_ uint.le1=3; _ int.be2=-1; A bool; B? bool})", ""},
		{"another constant", "S.M({_ uint.le1=3; A bool})", "S.M({_ uint.le1=4; A bool})", "parameter 1, _: client uint.le1=3, server uint.le1=4"},
		{"constant of one end", "S.M() {A bool}", "S.M() {_ uint.le1=4; A bool}", "result 1, _: only on the server"},
		{"lengths in bytes", "S.M([bytes=le1]bool, map[bool]bool)", "S.M([]bool, map[bytes=varint bool]bool)", ""},
		{"argument, field of the server", "S.M({A int.le4})", "S.M({A int.le4; B bool})",
			"parameter 1, B: only on the server; tag it optional at the server"},
		{"argument, optional field of the server", "S.M({A int.le4})", "S.M({B? bool; A int.le4})", ""},
		{"argument, field of the client", "S.M({A int.le4; B bool})", "S.M({A int.le4})",
			"parameter 1, B: only on the client; tag it optional at the client, and only calls that set it fail"},
		{"argument, optional field of the client", "S.M({A int.le4; B? bool})", "S.M({A int.le4})", ""},
		{"argument, one mark of two", "S.M({A? int.le4; B bool})", "S.M({A int.le4; B? bool})", ""},
		{"argument, another place", "S.M({A int.le4; B bool; C time})", "S.M({C time; A int.le4; B bool})", ""},
		{"argument, renamed", "S.M({A int.le4; B bool})", "S.M({X int.le4; B bool})",
			"parameter 1, A: client calls it A, server calls it X (renamed); give it the old name by name= in its tag"},
		{"argument, renamed from an optional field", "S.M({A? int.le4; B bool})", "S.M({X int.le4; B bool})",
			"parameter 1, X: only on the server; tag it optional at the server"},
		{"argument, renamed to an optional field", "S.M({A int.le4; B bool})", "S.M({X? int.le4; B bool})",
			"parameter 1, A: client calls it A, server calls it X (renamed); give it the old name by name= in its tag"},
		{"argument, renamed and both optional", "S.M({A? int.le4; B bool})", "S.M({X? int.le4; B bool})", ""},
		{"argument, renamed and changed", "S.M({A int.le4; B bool})", "S.M({X time; B bool})",
			"parameter 1, A: only on the client; tag it optional at the client, and only calls that set it fail\nparameter 1, X: only on the server; tag it optional at the server"},
		{"argument, renamed and moved", "S.M({A int.le4; B bool})", "S.M({B bool; X int.le4})",
			"parameter 1, A: only on the client; tag it optional at the client, and only calls that set it fail\nparameter 1, X: only on the server; tag it optional at the server"},
		{"argument, nothing in common", "S.M({A int.le4})", "S.M({B bool})",
			"parameter 1, A: only on the client; tag it optional at the client, and only calls that set it fail\nparameter 1, B: only on the server; tag it optional at the server"},
		{"argument, an empty struct", "S.M({})", "S.M({A? int.le4})", ""},
		{"argument, a type and an optional field changed", "S.M({A int.le4; B? bool})", "S.M({A bool; C? time})", "parameter 1, A: client int.le4, server bool"},

		// Fields among results: the server writes.
		{"result, field of the server", "S.M() {A int.le4}", "S.M() {A int.le4; B bool}", ""},
		{"result, field of the client", "S.M() {A int.le4; B bool}", "S.M() {A int.le4}", "result 1, B: only on the client; tag it optional at the client"},
		{"result, optional field of the client", "S.M() {A int.le4; B? bool}", "S.M() {A int.le4}", ""},
		{"result, renamed", "S.M() {A int.le4; B bool}", "S.M() {X int.le4; B bool}",
			"result 1, A: client calls it A, server calls it X (renamed); give it the old name by name= in its tag"},
		{"result, another place", "S.M() {A int.le4; B bool}", "S.M() {B bool; A int.le4}", ""},
		{"result, nothing in common", "S.M() {A int.le4}", "S.M() {B bool}", "result 1, A: only on the client; tag it optional at the client"},

		// Whole parameters and results.
		{"parameter of the server", "S.M(bool)", "S.M(bool, time)", "parameter 2: only on the server; tag it optional at the server"},
		{"optional parameter of the server", "S.M(bool)", "S.M(bool, time?, time?)", ""},
		{"parameters of the server, one optional", "S.M()", "S.M(bool, time?)", "parameter 1: only on the server; tag it optional at the server"},
		{"parameter of the client", "S.M(bool, time)", "S.M(bool)", "parameter 2: only on the client; tag it optional at the client, and only calls that set it fail"},
		{"optional parameter of the client", "S.M(bool, time?)", "S.M(bool)", ""},
		{"optional func of the client", "S.M(bool, func()?)", "S.M(bool)", ""},
		{"func of the server", "S.M()", "S.M(func())", "parameter 1: only on the server; tag it optional at the server"},
		{"result of the server", "S.M() bool", "S.M() (bool, time)", ""},
		{"only result of the server", "S.M()", "S.M() time", ""},
		{"result of the client", "S.M() (bool, time)", "S.M() bool", "result 2: only on the client; tag it optional at the client"},
		{"optional result of the client", "S.M() (bool, time?)", "S.M() bool", ""},
		{"optional results of the client", "S.M() (bool?, time?)", "S.M()", ""},
		{"oneway", "S.M() oneway", "S.M()", "client oneway, server not oneway"},
		{"name", "S.M()", "T.N()", "name: client S.M, server T.N"},
		{"parameters in another order", "S.M(bool, time)", "S.M(time, bool)",
			"parameter 1: client bool, server time\nparameter 2: client time, server bool"},

		// Streams.
		{"stream of the client", "S.M(bool, stream(bool))", "S.M(bool)", "parameter 2: only on the client; streams and readers are never optional: add a method"},
		{"reader of the server", "S.M()", "S.M(reader)", "parameter 1: only on the server; streams and readers are never optional: add a method"},
		{"stream as a result of the server", "S.M()", "S.M() stream(bool)", "result 1: only on the server; streams and readers are never optional: add a method"},
		{"items to the server", "S.M(stream({A int.le4}))", "S.M(stream({A int.le4; B bool}))", "parameter 1, B: only on the server; tag it optional at the server"},
		{"optional items to the server", "S.M(stream({A int.le4; C? bool}))", "S.M(stream({A int.le8; B? bool}))", ""},
		{"items to the client", "S.M() stream({A int.le4})", "S.M() stream({A int.le4; B bool})", ""},
		{"wider items to the client", "S.M() stream(int.le4)", "S.M() stream(int.le8)", "result 1: client int.le4, server int.le8; make it at least 8 bytes wide at the client"},
		{"a stream and a slice", "S.M(stream(bool))", "S.M([]bool)", "parameter 1: client stream(bool), server []bool"},
		{"a stream and a reader", "S.M(stream(uint.le1))", "S.M(reader)", "parameter 1: client stream(uint.le1), server reader"},

		// Funcs: the server writes their parameters and reads their results.
		{"func's parameter of the client", "S.M(func(bool))", "S.M(func())", "parameter 1, func's parameter 1: only on the client"},
		{"func's parameter of the server", "S.M(func())", "S.M(func(bool))", "parameter 1, func's parameter 1: only on the server"},
		{"func's result of the client", "S.M(func() bool)", "S.M(func())", ""},
		{"func's result of the server", "S.M(func())", "S.M(func() bool)", "parameter 1, func's result 1: only on the server"},
		{"field of a func's parameter, client", "S.M(func({A bool; B time}))", "S.M(func({A bool}))",
			"parameter 1, func's parameter 1, B: only on the client; tag it optional at the client"},
		{"field of a func's parameter, server", "S.M(func({A bool}))", "S.M(func({A bool; B time}))",
			"parameter 1, func's parameter 1, B: only on the server; tag it optional at the server, and only calls that set it fail"},
		{"optional fields of a func's parameter", "S.M(func({A bool; C? time}))", "S.M(func({A bool; B? time}))", ""},
		{"field of a func's result, client", "S.M(func() {A bool; B time})", "S.M(func() {A bool})", ""},
		{"field of a func's result, server", "S.M(func() {A bool})", "S.M(func() {A bool; B time})",
			"parameter 1, func's result 1, B: only on the server; tag it optional at the server"},
		{"wider numbers of a func", "S.M(func(int.le8) int.le4)", "S.M(func(int.le4) int.le8)", ""},
		{"narrower numbers of a func", "S.M(func(int.le4) int.le8)", "S.M(func(int.le8) int.le4)",
			"parameter 1, func's parameter 1: client int.le4, server int.le8; make it at least 8 bytes wide at the client\n" +
				"parameter 1, func's result 1: client int.le8, server int.le4; make it at least 8 bytes wide at the server"},
		{"oneway func", "S.M(func(bool))", "S.M(func(bool) oneway)", "parameter 1: client func(bool), server func(bool) oneway"},
		{"after a func", "S.M(func({A bool}), {A bool; B? bool}) {A bool}", "S.M(func({A bool}), {A bool}) {A bool; B bool}", ""},

		// Slices, arrays, maps, pointers.
		{"in a slice", "S.M([]{A int.le4; B bool})", "S.M([]{A int.le4})", "parameter 1, [].B: only on the client; tag it optional at the client, and only calls that set it fail"},
		{"in an array", "S.M([2]{A int.le4})", "S.M([2]{A int.le8; B? bool})", ""},
		{"in a map", "S.M(map[bool]{A int.le4})", "S.M(map[bool]{A int.le8; B? bool})", ""},
		{"array's length", "S.M([2]bool)", "S.M([3]bool)", "parameter 1, [2]: client [2]bool, server [3]bool"},
		{"an array and a slice", "S.M([2]bool)", "S.M([]bool)", "parameter 1, [2]: client [2]bool, server []bool"},
		{"wider key", "S.M(map[int.le4]bool)", "S.M(map[int.le8]bool)", "parameter 1, map[int.le4][key]: client int.le4, server int.le8"},
		{"length of a key", "S.M(map[string.le4]bool)", "S.M(map[string.le2]bool)", "parameter 1, map[string.le4][key]: client string.le4, server string.le2"},
		{"field of a key", "S.M(map[{A bool}]bool)", "S.M(map[{A bool; B? bool}]bool)", "parameter 1, map[{A bool}][key].B: only on the server"},
		{"order in a key", "S.M(map[{A bool; B time}]bool)", "S.M(map[{B time; A bool}]bool)", "parameter 1, map[{A bool; B time}][key]: client order A, B; server order B, A"},
		{"marks in a key", "S.M(map[{A bool; B bool}]int.le2)", "S.M(map[{A bool; B? bool}]int.le4)", ""},
		{"to a pointer", "S.M({A int.le4})", "S.M(*{A int.le8})", ""},
		{"to two pointers", "S.M({A int.le4})", "S.M({A **int.le8})", ""},
		{"to a pointer, another type", "S.M(int.le4)", "S.M(*bool)", "parameter 1: client int.le4, server *bool"},
		{"to a pointer, narrower", "S.M(int.le4)", "S.M(*int.le2)", "parameter 1: client int.le4, server *int.le2; make it at least 4 bytes wide at the server"},
		{"from a pointer", "S.M(*int.le4)", "S.M(int.le8)", "parameter 1: client *int.le4, server int.le8; make it a pointer at the server"},
		{"from a pointer to another type", "S.M(*bool)", "S.M(int.le8)", "parameter 1: client *bool, server int.le8"},
		{"from two pointers", "S.M(**bool)", "S.M(*bool)", "parameter 1: client *bool, server bool; make it a pointer at the server"},
		{"result, to a pointer", "S.M() *bool", "S.M() bool", ""},
		{"result, from a pointer", "S.M() bool", "S.M() *bool", "result 1: client bool, server *bool; make it a pointer at the client"},
		{"pointer to itself", "S.M(int.le4)", "S.M(*^1)", "parameter 1: client int.le4, server *^1"},
		{"pointer to pointers to itself", "S.M({A bool})", "S.M(**^2)", "parameter 1: client {A bool}, server **^2"},

		// Numbers, lengths, and other kinds.
		{"result, wider at the client", "S.M() int.le8", "S.M() int.be4", ""},
		{"result, wider at the server", "S.M() int.le4", "S.M() int.be8", "result 1: client int.le4, server int.be8; make it at least 8 bytes wide at the client"},
		{"bytes and a slice", "S.M(bytes.le4)", "S.M([]uint.le1)", "parameter 1: client bytes.le4, server []uint.le1"},
		{"string and bytes", "S.M(string.le4)", "S.M(bytes.le4)", "parameter 1: client string.le4, server bytes.le4"},
		{"fixed to a length", "S.M(string.4)", "S.M(string.be2)", ""},
		{"a length to fixed", "S.M(string.le4)", "S.M(string.4)", "parameter 1: client string.le4, server string.4; omit fixed= at the server"},
		{"fixed to fixed", "S.M(bytes.4)", "S.M(bytes.5)", "parameter 1: client bytes.4, server bytes.5; omit fixed= at the server"},
		{"result, fixed at the client", "S.M() bytes.4", "S.M() bytes.le4", "result 1: client bytes.4, server bytes.le4; omit fixed= at the client"},
		{"custom encoding", "S.M(text(big.Int))", "S.M(text(big.Rat))", "parameter 1: client text(big.Int), server text(big.Rat)"},
		{"custom encoding of another kind", "S.M(text(netip.Addr))", "S.M(binary(netip.Addr))", "parameter 1: client text(netip.Addr), server binary(netip.Addr)"},
		{"time and duration", "S.M(time)", "S.M(duration)", "parameter 1: client time, server duration"},
		{"a number and a duration", "S.M(int.le8)", "S.M(duration)", "parameter 1: client int.le8, server duration"},

		// Unions.
		{"members in another order", "S.M(<A int.le4; B bool>)", "S.M(<B bool; A int.le8>)", ""},
		{"member of the client", "S.M(<A int.le4; B bool>)", "S.M(<A int.le4>)",
			"parameter 1, B: only on the client; tag it optional at the client, and the server reads a union without a member"},
		{"optional member of the client", "S.M(<A int.le4; B? bool>)", "S.M(<A int.le4>)", ""},
		{"member of the server", "S.M(<A int.le4>)", "S.M(<A int.le4; B bool>)", ""},
		{"result, member of the server", "S.M() <A int.le4>", "S.M() <A int.le4; B bool>",
			"result 1, B: only on the server; tag it optional at the server, and the client reads a union without a member"},
		{"result, optional member of the server", "S.M() <A int.le4>", "S.M() <A int.le4; B? bool>", ""},
		{"result, member of the client", "S.M() <A int.le4; B bool>", "S.M() <A int.le4>", ""},
		{"in a member", "S.M(<A {X int.le4}>)", "S.M(<A {X int.le4; Y bool}>)", "parameter 1, A.Y: only on the server; tag it optional at the server"},
		{"member renamed", "S.M(<A int.le4; B bool>)", "S.M(<X int.le4; B bool>)",
			"parameter 1, A: client calls it A, server calls it X (renamed); give it the old name by name= in its tag"},
		{"no common member", "S.M(<A? int.le4>)", "S.M(<B bool>)", ""},
		{"a union and a struct", "S.M(<A *int.le4>)", "S.M({A *int.le4})", "parameter 1: client <A *int.le4>, server {A *int.le4}"},
		{"recursive union", "S.M(<A ^1; B int.le4>)", "S.M(<B int.le8; A ^1; C? [2]^2>)", ""},

		// Recursion.
		{"recursive", "S.M({Val int.le4; Next *^2})", "S.M({Val int.le8; Next *^2; Note? string.le4})", ""},
		{"recursive, field of the client", "S.M({Val int.le4; Kids []^2; Note bool})", "S.M({Val int.le4; Kids []^2})",
			"parameter 1, Note: only on the client; tag it optional at the client, and only calls that set it fail"},
		{"recursive, unrolled", "S.M({Val int.le4; Next *^2})", "S.M({Val int.le4; Next *{Next *^2; Val int.le8}})", ""},
		{"recursive, unrolled and narrower", "S.M({Val int.le4; Next *^2})", "S.M({Val int.le4; Next *{Val int.le2; Next *^2}})",
			"parameter 1, Next.Val: client int.le4, server int.le2; make it at least 4 bytes wide at the server"},
		{"recursive, elements to pointers", "S.M({Val int.le4; Kids []^2})", "S.M(*{Val int.le4; Kids []^3})", ""},
		{"recursive, elements from pointers", "S.M() {Val int.le4; Kids []*^3}", "S.M() {Val int.le4; Kids []^2}", ""},
		{"recursion ended", "S.M({Next *^2})", "S.M({Next *{A? bool}})", "parameter 1, Next.Next: only on the client; tag it optional at the client, and only calls that set it fail"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server := mustParse(t, test.client), mustParse(t, test.server)
			if diff := cmp.Diff(test.want, lines(Compare(client, server))); diff != "" {
				t.Errorf("%s\n%s\n-want +got\n%s", client, server, diff)
			}
			for _, m := range []*Method{client, server} {
				if got := Compare(m, m); got != nil {
					t.Errorf("%s with itself: %v", m, got)
				}
			}
		})
	}
}

// Places use the Go names that the client knows.
func TestCompareGoNames(t *testing.T) {
	order := structure("Order", "ID", typeUint8, "Items", list(LE4, structure("Item", "Price", typeInt4, "Note", typeString)))
	client := method(order)
	server := method(structure("", "ID", num(Uint, LE4), "Items", list(LE4, structure("", "Price", typeInt4))))
	want := "parameter 1, Order.ID: client uint.le8, server uint.le4; make it at least 8 bytes wide at the server\n" +
		"parameter 1, Order.Items[].Note: only on the client; tag it optional at the client, and only calls that set it fail"
	if diff := cmp.Diff(want, lines(Compare(client, parsed(t, server)))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestCompareNumbers compares all pairs of formats of numbers with the ranges of their
// values.
func TestCompareNumbers(t *testing.T) {
	kinds := map[Kind][]Format{
		Int:     {LE1, LE2, LE3, LE4, LE5, LE6, LE7, LE8, BE2, BE3, BE4, BE5, BE6, BE7, BE8, Varint, Uvarint},
		Uint:    {LE1, LE2, LE3, LE4, LE5, LE6, LE7, LE8, BE2, BE3, BE4, BE5, BE6, BE7, BE8, Varint},
		Float:   {LE4, LE8, BE4, BE8},
		Complex: {LE4, LE8, BE4, BE8},
	}
	// bits returns the size of a number without its sign.
	bits := func(k Kind, f Format) int {
		n := 64
		if f < Varint {
			text := f.String()
			n = 8 * int(text[len(text)-1]-'0')
		}
		if k == Int {
			n--
		}
		return n
	}
	for writer, wf := range kinds {
		for reader, rf := range kinds {
			for _, w := range wf {
				for _, r := range rf {
					fits := (writer == reader || writer == Uint && reader == Int) && bits(reader, r) >= bits(writer, w)
					for _, list := range [][]Difference{
						Compare(method(num(writer, w)), method(num(reader, r))),
						Compare(&Method{Results: []*Type{num(reader, r)}}, &Method{Results: []*Type{num(writer, w)}}),
					} {
						if (list == nil) != fits {
							t.Errorf("%v into %v: %v", num(writer, w), num(reader, r), list)
						}
						for _, d := range list {
							if d.Fix == "" && (writer == reader || writer == Uint && reader == Int && bits(writer, w) < 63) {
								t.Errorf("%v into %v: no fix", num(writer, w), num(reader, r))
							}
						}
					}
				}
			}
		}
	}
}

// Lengths and counts fit in any format.
func TestCompareLengths(t *testing.T) {
	formats := []Format{LE1, LE2, LE3, LE4, LE5, LE6, LE7, LE8, BE2, BE3, BE4, BE5, BE6, BE7, BE8, Varint}
	for _, w := range formats {
		for _, r := range formats {
			for _, both := range [][2]*Type{
				{num(String, w), num(String, r)}, {num(Bytes, w), num(Bytes, r)}, {fixed(String, 3), num(String, r)},
				{slice(w, w, typeBool), slice(NoFormat, r, typeBool)}, {slice(NoFormat, w, typeBool), slice(r, r, typeBool)},
				{mapOf(w, w, typeInt4, typeBool), mapOf(NoFormat, r, typeInt4, typeBool)},
			} {
				if got := Compare(method(both[0]), method(both[1])); got != nil {
					t.Errorf("%v into %v: %v", both[0], both[1], got)
				}
			}
		}
	}
}

// Comparisons end in bounded time, with a bounded list.
func TestCompareBounds(t *testing.T) {
	wide := func(l *Type) *Type {
		s := structure("Wide", "Same", typeBool)
		for i := range 100 {
			s.Fields = append(s.Fields, Field{Name: fmt.Sprintf("F%d", i), Type: l})
		}
		return s
	}
	got := Compare(method(wide(typeInt4)), method(wide(typeBool)))
	if len(got) != maxDifferences+1 || got[maxDifferences].String() != "68 more differences" {
		t.Errorf("%d differences, the last %q", len(got), got[len(got)-1])
	}
	// Pairs of types unrolled to these depths differ on every path.
	got = Compare(method(unrolled(61, 13)), parsed(t, method(unrolled(53, 7))))
	if lines(got) != "the types are too large to compare" {
		t.Errorf("beyond the limit: %v", got)
	}
	if got := Compare(method(unrolled(11, 3)), parsed(t, method(unrolled(7, 2)))); got != nil {
		t.Errorf("within the limit: %v", got)
	}
	deep := strings.Repeat("*", MaxDepth) + "bool"
	if got := Compare(mustParse(t, "S.M(bool)"), mustParse(t, "S.M("+deep+")")); got != nil {
		t.Errorf("through %d pointers: %v", MaxDepth, got)
	}
	var names []string
	for i := range 9000 {
		names = append(names, fmt.Sprintf("F%d bool", i))
	}
	many := mustParse(t, "S.M({"+strings.Join(names[:5000], "; ")+"})")
	others := mustParse(t, "S.M({"+strings.Join(names[4000:], "; ")+"})")
	start := time.Now()
	got = Compare(many, others)
	if used := time.Since(start); len(got) != maxDifferences+1 || used > 5*time.Second {
		t.Errorf("%d differences in %v", len(got), used)
	}
}

// A comparison of random methods is bounded, and a method fits itself.
func TestCompareRandom(t *testing.T) {
	m := &generator{Rand: rand.New(rand.NewPCG(11, 12))}
	for range 3000 {
		client, server := method(m.types(2)...), method(m.types(2)...)
		checkCompare(t, client, server)
		if l := m.typ(); len(l.String()) <= MaxText {
			checkCompare(t, method(l), method(m.mutate(l)))
		}
	}
}

// checkCompare checks what holds for all pairs of methods.
func checkCompare(t *testing.T, client, server *Method) {
	t.Helper()
	got := Compare(client, server)
	if len(got) > maxDifferences+1 {
		t.Fatalf("%d differences", len(got))
	}
	for _, d := range got {
		if len(d.Place) > 4*maxQuoted || len(d.Client) > 2*maxQuoted || len(d.Server) > 2*maxQuoted || len(d.Fix) > maxQuoted {
			t.Fatalf("a difference of %d bytes: %s", len(d.String()), d)
		}
		if d.String() == "" {
			t.Fatal("a difference without a text")
		}
	}
	// Equal methods fit in both directions, and what fits is never told apart by Diff
	// alone for the reason of a limit.
	for _, m := range []*Method{client, server} {
		if self := Compare(m, m); self != nil && lines(self) != "the types are too large to compare" {
			t.Fatalf("%s does not fit itself: %v", m, self)
		}
	}
	if got != nil && client.String() == server.String() && lines(got) != "the types are too large to compare" {
		t.Fatalf("equal methods: %s\n%v", client, got)
	}
	if got == nil && client.Service+"."+client.Name != server.Service+"."+server.Name {
		t.Fatalf("%s fits %s", client, server)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("S.M({ID uint.le8; Price int.le4}, func({A bool}) bool)", "S.M({Price int.le8; ID uint.le8; Note? string.le4}, func({A bool; B? time}) bool)")
	f.Add("S.M({Val int.le4; Next *^2}) bool", "S.M({Val int.le4; Next *{Val bool; Next *^4}}, [3]bool?) oneway")
	f.Add("S.M(map[le4 string.4][]^2, int.le2)", "S.M(map[le4 string.5][][]^2, **^2)")
	f.Add("S.M(stream({A uint.varint})) (bool, {A int.le8; Kids []^2})", "S.M(stream({A int.le8})) (*bool, *{A int.be4; Kids []^2})")
	f.Add("S.M({_ uint.le1=3; A bool; _ int.be2=-1}) {_ uint.le1=4; A bool}", "S.M({_ uint.le1=3; _ int.be2=-1; A bool; B? bool}) {A bool}")
	f.Add("S.M([bytes=le1]bool, map[bool]bool) [bytes=varint]{A *^2}", "S.M([]bool, map[bytes=varint bool]bool) [bytes=be3]{A *^2; B? uint.le3}")
	f.Add("S.M(<A {}; B *^2>) <X bool>", "S.M(<B *^2; A {}; C? [bytes=le2]string.4>) <X bool; Y? {_ uint.be2=46434}>")
	f.Fuzz(func(t *testing.T, client, server string) {
		c, err := ParseMethod(client)
		if err != nil {
			return
		}
		s, err := ParseMethod(server)
		if err != nil {
			return
		}
		start := time.Now()
		checkCompare(t, c, s)
		checkCompare(t, s, c)
		if used := time.Since(start); used > 10*time.Second {
			t.Errorf("took %v", used)
		}
	})
}
