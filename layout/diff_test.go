package layout

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// method returns the layout of Shop.PlaceOrder with these parameters.
func method(params ...*Type) *Method {
	return &Method{Service: "Shop", Name: "PlaceOrder", Params: params}
}

// parsed returns m as seen by the peer: parsed from its text.
func parsed(t *testing.T, m *Method) *Method {
	t.Helper()
	p, err := ParseMethod(m.String())
	if err != nil {
		t.Fatalf("%s: %v", m, err)
	}
	return p
}

func TestDiffOrder(t *testing.T) {
	client := method(structure("Order", "ID", typeUint8, "Price", typeInt4))
	server := method(structure("", "Price", typeUint8, "ID", typeUint8, "Note", typeString))
	got := Diff(client, parsed(t, server))
	want := []Difference{
		{"parameter 1, Order.Price", "int.le4", "uint.le8", ""},
		{"parameter 1, Order.Note", "", "string.le4", ""},
		{"parameter 1, Order", "order ID, Price", "order Price, ID, Note", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestDiff compares one parameter of both ends.
func TestDiff(t *testing.T) {
	named := func(name string, l *Type) *Type {
		c := *l
		c.GoType = name
		return &c
	}
	list := func(l *Type) *Type { return slice(LE4, LE4, l) }
	node := func(val *Type) *Type { return structure("Node", "Val", val, "Next", pointer(backRef(2))) }
	long := structure("Long")
	for i := range 60 {
		long.Fields = append(long.Fields, Field{Name: fmt.Sprintf("Field%d", i), Type: typeBool})
	}
	swapped := structure("", "Long", typeBool)
	swapped.Fields = append(append([]Field(nil), long.Fields[:58]...), long.Fields[59], long.Fields[58])

	tests := []struct {
		name           string
		client, server *Type
		want           string
	}{
		{"same", node(typeInt4), node(typeInt4), ""},
		{"number", named("int32", typeInt4), typeUint8, "parameter 1: client int.le4, server uint.le8"},
		{"named type", named("Level", typeInt4), typeUint8, "parameter 1, Level: client int.le4, server uint.le8"},
		{"length", fixed(String, 12), fixed(String, 13), "parameter 1: client string.12, server string.13"},
		{"custom encoding", custom(Text, "big.Int"), custom(Text, "big.Rat"), "parameter 1: client text(big.Int), server text(big.Rat)"},
		{"stream", stream(typeInt4), stream(typeUint8), "parameter 1: client int.le4, server uint.le8"},
		{"items", stream(pointer(structure("Order", "Price", typeInt4))), stream(pointer(structure("", "Price", typeUint8))),
			"parameter 1, Order.Price: client int.le4, server uint.le8"},
		{"recursive items", stream(node(typeInt4)), stream(node(typeUint8)), "parameter 1, Node.Val: client int.le4, server uint.le8"},
		{"a slice of items", stream(structure("Order", "A", typeInt4)), list(structure("", "A", typeInt4)), "parameter 1, Order: client stream({A int.le4}), server []{A int.le4}"},
		{"func", callable([]*Type{structure("Order", "Price", typeInt4)}, []*Type{typeBool}), callable([]*Type{structure("", "Price", typeUint8)}, []*Type{typeString}),
			"parameter 1, func's parameter 1, Order.Price: client int.le4, server uint.le8\nparameter 1, func's result 1: client bool, server string.le4"},
		{"shape of a func", callable([]*Type{typeBool}, nil), callable([]*Type{typeBool, typeBool}, nil), "parameter 1: client func(bool); server func(bool, bool)"},
		{"oneway func", callable([]*Type{typeBool}, nil), oneway(typeBool), "parameter 1: client func(bool), server func(bool) oneway"},
		{"a reader", reader, num(Bytes, LE4), "parameter 1: client reader, server bytes.le4"},
		{"kind", structure("Order", "A", typeInt4), list(typeInt4), "parameter 1, Order: client {A int.le4}, server []int.le4"},
		{"no common field", structure("Order", "A", typeInt4), structure("", "B", typeString), "parameter 1, Order: client {A int.le4}, server {B string.le4}"},
		{"only on the client", structure("Order", "A", typeInt4, "B", typeString), structure("", "A", typeInt4), "parameter 1, Order.B: only on the client"},
		{"member", union("Event", "A", structure("Alarm", "Level", typeInt4), "B", typeBool), union("", "A", structure("", "Level", typeUint8), "C", typeString, "B", typeBool),
			"parameter 1, Event.A.Level: client int.le4, server uint.le8\nparameter 1, Event.C: only on the server"},
		{"order of members", list(union("Event", "A", typeInt4, "B", typeBool)), list(union("", "B", typeBool, "A", typeInt4)), "parameter 1, []Event: client order A, B; server order B, A"},
		{"renamed member", union("Event", "A", typeInt4), union("", "B", typeInt4), "parameter 1, Event.A: client calls it A, server calls it B (renamed)"},
		{"a union in place of a struct", structure("Event", "A", typeInt4), union("", "A", typeInt4), "parameter 1, Event: client {A int.le4}, server <A int.le4>"},
		{"recursive member", union("Expr", "Val", typeInt4, "Not", backRef(1)), union("", "Val", typeBool, "Not", backRef(1)), "parameter 1, Expr.Val: client int.le4, server bool"},
		{"all fields removed", structure("Order", "A", typeInt4), structure(""), "parameter 1, Order.A: only on the client"},
		{"renamed", structure("Order", "A", typeInt4, "B", typeString), structure("", "X", typeInt4, "B", typeString),
			"parameter 1, Order.A: client calls it A, server calls it X (renamed)"},
		{"all renamed", structure("P", "X", typeInt4, "Y", typeInt4), structure("", "A", typeInt4, "B", typeInt4),
			"parameter 1, P.X: client calls it X, server calls it A (renamed)\nparameter 1, P.Y: client calls it Y, server calls it B (renamed)"},
		{"renamed and changed", structure("Order", "A", typeInt4, "B", typeString), structure("", "X", typeBool, "B", typeString),
			"parameter 1, Order.A: only on the client\nparameter 1, Order.X: only on the server"},
		{"renamed and moved", structure("P", "A", typeInt4, "B", typeInt4), structure("", "B", typeInt4, "C", typeInt4),
			"parameter 1, P.A: only on the client\nparameter 1, P.C: only on the server"},
		{"inserted field", structure("P", "A", typeInt4, "B", typeBool), structure("", "A", typeInt4, "C", typeString, "B", typeBool), "parameter 1, P.C: only on the server"},
		{"long order", long, swapped, "parameter 1, Long: client order ..., Field57, Field58, Field59; server order ..., Field57, Field59, Field58"},
		{"length alone", list(typeInt4), slice(LE2, NoFormat, typeInt4), "parameter 1, []: client []int.le4, server [bytes=le2]int.le4"},
		{"constant", structure("F", "_", constant(Uint, LE2, "1"), "A", typeBool, "_", constant(Uint, LE2, "2")), structure("", "_", constant(Uint, LE2, "1"), "A", typeBool, "_", constant(Uint, LE2, "3")),
			"parameter 1, F._: client uint.le2=2, server uint.le2=3"},
		{"constant removed", structure("F", "_", constant(Uint, LE2, "1"), "A", typeBool), structure("", "A", typeBool), "parameter 1, F._: only on the client"},
		{"constant moved", structure("F", "_", constant(Uint, LE2, "1"), "A", typeBool), structure("", "A", typeBool, "_", constant(Uint, LE2, "1")),
			"parameter 1, F: client order _, A; server order A, _"},
		{"elements", list(structure("Order", "Price", typeInt4)), list(structure("", "Price", typeUint8)),
			"parameter 1, []Order.Price: client int.le4, server uint.le8"},
		{"nested elements", structure("Shop", "Orders", list(array(2, structure("Order", "Price", typeInt4)))), structure("", "Orders", list(array(2, structure("", "Price", typeUint8)))),
			"parameter 1, Shop.Orders[][].Price: client int.le4, server uint.le8"},
		{"array elements", array(3, structure("Order", "Price", typeInt4)), array(3, structure("", "Price", typeUint8)),
			"parameter 1, [3]Order.Price: client int.le4, server uint.le8"},
		{"unnamed element types", list(named("int32", typeInt4)), list(typeUint8), "parameter 1, []int32: client int.le4, server uint.le8"},
		{"named slice type", named("Orders", list(named("int32", typeInt4))), list(typeUint8), "parameter 1, Orders[]: client int.le4, server uint.le8"},
		{"unnamed struct type", structure("", "A", typeInt4), structure("", "A", typeBool), "parameter 1, A: client int.le4, server bool"},
		{"array length", array(3, typeInt4), array(4, typeBool),
			"parameter 1, [3]: client [3]int.le4, server [4]bool\nparameter 1, [3]: client int.le4, server bool"},
		{"length formats", structure("Shop", "Orders", list(typeInt4)), structure("", "Orders", slice(NoFormat, LE2, typeInt4)),
			"parameter 1, Shop.Orders: client []int.le4, server [le2]int.le4"},
		{"map", mapOf(LE4, LE4, named("string", typeString), structure("Order", "A", typeInt4)), mapOf(LE4, LE4, typeInt4, structure("", "A", typeBool)),
			"parameter 1, map[string]Order[key]: client string.le4, server int.le4\nparameter 1, map[string]Order.A: client int.le4, server bool"},
		{"map in a struct", structure("S", "M", mapOf(LE4, LE4, typeString, typeInt4)), structure("", "M", mapOf(LE4, LE4, typeBool, typeBool)),
			"parameter 1, S.M[key]: client string.le4, server bool\nparameter 1, S.M[]: client int.le4, server bool"},
		{"through pointers", pointer(pointer(structure("Order", "A", typeInt4))), pointer(pointer(structure("", "A", typeBool))), "parameter 1, Order.A: client int.le4, server bool"},
		{"pointer removed", pointer(structure("Order", "A", typeInt4)), structure("", "A", typeInt4), "parameter 1, Order: client *{A int.le4}, server {A int.le4}"},
		{"recursive type", node(typeInt4), node(typeBool), "parameter 1, Node.Val: client int.le4, server bool"},
		{"recursive type unrolled by the server", node(typeInt4), structure("", "Val", typeInt4, "Next", pointer(node(typeBool))),
			"parameter 1, Node.Next.Val: client int.le4, server bool"},
		{"recursive type unrolled by the client", structure("Node", "Val", typeInt4, "Next", pointer(node(typeInt4))), node(typeBool),
			"parameter 1, Node.Val: client int.le4, server bool\nparameter 1, Node.Next.Val: client int.le4, server bool"},
		{"same bytes, different texts", node(typeInt4), structure("", "Val", typeInt4, "Next", pointer(node(typeInt4))),
			"parameter 1, Node: client {Val int.le4; Next *^2}, server {Val int.le4; Next *{Val int.le4; Next *^2}}"},
		{"back reference removed", structure("Node", "Next", pointer(backRef(2))), structure("", "Next", pointer(typeBool)),
			"parameter 1, Node.Next: client {Next *^2}, server bool"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var lines []string
			for _, d := range Diff(method(test.client), parsed(t, method(test.server))) {
				lines = append(lines, d.String())
			}
			if diff := cmp.Diff(test.want, strings.Join(lines, "\n")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestDiffMethods(t *testing.T) {
	tests := []struct {
		name           string
		client, server string
		want           []Difference
	}{
		{"equal", "S.M(bool) bool", "S.M(bool) bool", nil},
		{"more parameters", "S.M(bool)", "S.M(bool, int.le4, {A bool})", []Difference{
			{"parameter 2", "", "int.le4", ""}, {"parameter 3", "", "{A bool}", ""},
		}},
		{"fewer results", "S.M() (bool, int.le4)", "S.M() bool", []Difference{{"result 2", "int.le4", "", ""}}},
		{"second result", "S.M(bool) (bool, bool)", "S.M(bool) (bool, int.le4)", []Difference{{"result 2", "bool", "int.le4", ""}}},
		{"oneway", "S.M() oneway", "S.M()", []Difference{{"", "oneway", "not oneway", ""}}},
		{"oneway on the server", "S.M() bool", "S.M() oneway", []Difference{{"result 1", "bool", "", ""}, {"", "not oneway", "oneway", ""}}},
		{"method name", "S.M()", "T.N()", []Difference{{"name", "S.M", "T.N", ""}}},
	}
	for _, test := range tests {
		client, err := ParseMethod(test.client)
		if err != nil {
			t.Fatal(err)
		}
		server, err := ParseMethod(test.server)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, Diff(client, server)); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
}

func TestDifferenceString(t *testing.T) {
	tests := []struct {
		d    Difference
		want string
	}{
		{Difference{"parameter 1", "bool", "int.le4", ""}, "parameter 1: client bool, server int.le4"},
		{Difference{"result 1", "bool", "", ""}, "result 1: only on the client"},
		{Difference{"", "oneway", "not oneway", ""}, "client oneway, server not oneway"},
		{Difference{Place: "3 more differences"}, "3 more differences"},
	}
	for _, test := range tests {
		if got := test.d.String(); got != test.want {
			t.Errorf("%#v prints as %q, want %q", test.d, got, test.want)
		}
	}
}

func TestDiffBounds(t *testing.T) {
	wide := func(l *Type) *Type {
		s := structure("Wide", "Same", typeBool)
		for i := range 100 {
			s.Fields = append(s.Fields, Field{Name: fmt.Sprintf("F%d", i), Type: l})
		}
		return s
	}
	got := Diff(method(wide(typeInt4)), method(wide(typeBool)))
	if len(got) != maxDifferences+1 || got[maxDifferences].String() != "68 more differences" {
		t.Errorf("%d differences, the last %q", len(got), got[len(got)-1])
	}
	long := strings.Repeat("N", 10_000)
	got = Diff(method(structure("S", "A", typeBool)), method(structure("", "A", typeBool, long, list(LE4, wide(typeInt4)))))
	if len(got) != 1 || len(got[0].String()) > 400 || len(got[0].Server) > 150 {
		t.Errorf("long name and type: %v", got)
	}
}

// unrolled returns a recursive struct, unrolled to a depth, with two back
// references at its end. The number of paths doubles with each of them: a
// comparison path by path would take exponential time.
func unrolled(depth, length int) *Type {
	l := structure("", "A", pointer(backRef(2*depth)), "B", pointer(backRef(2*max(depth-length, 1))), "V", typeInt4)
	for range depth - 1 {
		l = structure("", "A", pointer(l), "B", pointer(backRef(2)), "V", typeInt4)
	}
	return l
}

// Recursive types unrolled to different depths are compared in polynomial time.
func TestDiffRecursiveTypes(t *testing.T) {
	client, server := method(unrolled(11, 3)), method(unrolled(7, 2))
	d := &differ{seen: map[pair]bool{}}
	d.compareLists(client, parsed(t, server), d.compare)
	if d.count > 0 || d.truncated || d.steps > 4*11*7 {
		t.Errorf("%d differences, %d steps, truncated %v", d.count, d.steps, d.truncated)
	}
	if got := Diff(client, parsed(t, server)); len(got) != 1 || len(got[0].String()) > 400 {
		t.Errorf("same bytes, different texts: %v", got)
	}
	if got := Diff(method(unrolled(61, 13)), parsed(t, method(unrolled(53, 7)))); len(got) != 2 || got[1].String() != truncatedText {
		t.Errorf("beyond the limit: %v", got)
	}
}

const truncatedText = "possibly more differences: the types are too large to compare"

func TestDiffTruncated(t *testing.T) {
	server := method(typeString)
	for range 5000 {
		server.Params = append(server.Params, structure("", "A", typeBool, "B", typeBool, "C", list(LE1, structure("", "D", typeBool))))
	}
	client := method(server.Params...)
	got := Diff(client, server)
	if got != nil {
		t.Errorf("equal methods: %v", got)
	}
	client.Params = append(client.Params, client.Params...)
	server.Params = append(server.Params, server.Params...)
	got = Diff(client, server)
	if len(got) != 1 || got[0].String() != "the types are too large to compare" {
		t.Errorf("%v", got)
	}
}

// Two methods have differences if and only if their texts differ, and the
// differences are short.
func TestDiffRandom(t *testing.T) {
	m := &generator{Rand: rand.New(rand.NewPCG(7, 8))}
	for range 3000 {
		client, server := method(m.types(2)...), method(m.types(2)...)
		if m.IntN(4) == 0 {
			server = client
		}
		checkDiff(t, client, server)
	}
}

func checkDiff(t *testing.T, client, server *Method) {
	t.Helper()
	got := Diff(client, server)
	if same := client.String() == server.String(); same != (len(got) == 0) {
		t.Fatalf("%s\n%s\n%v", client, server, got)
	}
	if len(got) > maxDifferences+1 {
		t.Fatalf("%d differences", len(got))
	}
	for _, d := range got {
		if len(d.Place) > 4*maxQuoted || len(d.Client) > 2*maxQuoted || len(d.Server) > 2*maxQuoted {
			t.Fatalf("a difference of %d bytes: %s", len(d.String()), d)
		}
	}
}

// A single change results in one difference, or in two if a field no longer
// matches, and is symmetric.
func TestDiffSingleChange(t *testing.T) {
	m := &generator{Rand: rand.New(rand.NewPCG(9, 10))}
	for range 3000 {
		l := m.typ()
		if len(l.String()) > MaxText {
			continue
		}
		client, server := method(l), method(m.mutate(l))
		got, back := Diff(client, server), Diff(server, client)
		if len(got) == 0 || len(got) > 2 || len(back) != len(got) {
			t.Fatalf("%s\n%s\n%v\n%v", client, server, got, back)
		}
		if len(got) == 1 && (got[0].Client != back[0].Server && !strings.Contains(got[0].Server, "renamed")) {
			t.Fatalf("%s\n%s\n%v\n%v", client, server, got, back)
		}
	}
}

// mutate returns a copy of l with one change: a leaf of another type, a field added,
// removed or renamed, or another constant.
func (m *generator) mutate(l *Type) *Type {
	c := *l
	switch l.Kind {
	case Array, Slice, Map, Pointer:
		if l.Elem.Kind == BackRef { // a change of its target would be two changes
			c.Elem = typeNew
			return &c
		}
		c.Elem = m.mutate(l.Elem)
		return &c
	case Struct, Union:
		c.Fields = append([]Field(nil), l.Fields...)
		at := m.IntN(len(c.Fields) + 1)
		switch {
		case at == len(c.Fields):
			c.Fields = append(c.Fields, Field{Name: "New", Type: typeNew})
		case c.Fields[at].Name == blankName: // one less or more would change those after it
			c.Fields[at].Type = constant(Uint, LE2, "300")
		case m.IntN(3) == 0:
			c.Fields[at].Name = "Other"
		case m.IntN(2) == 0 || c.Fields[at].Type.Kind == BackRef:
			c.Fields = append(c.Fields[:at], c.Fields[at+1:]...)
		default:
			c.Fields[at].Type = m.mutate(c.Fields[at].Type)
		}
		return &c
	}
	return typeNew
}

// typeNew is a type never returned by generator.
var typeNew = custom(Binary, "changed.Type")

func FuzzDiff(f *testing.F) {
	f.Add("S.M({ID uint.le8; Price int.le4})", "S.M({Price uint.le8; ID uint.le8; Note string.le4})")
	f.Add("S.M({Val int.le4; Next *^2}) bool", "S.M({Val int.le4; Next *{Val bool; Next *^4}}, [3]bool) oneway")
	f.Add("S.M(map[le4 string.4][]^2)", "S.M(map[le4 string.5][][]^2)")
	f.Add("S.M(<Val bool; Not ^1; All []^2>)", "S.M(<Not <Val bool; Not ^2>; Val bool; All []^2>)")
	f.Fuzz(func(t *testing.T, client, server string) {
		c, err := ParseMethod(client)
		if err != nil {
			return
		}
		s, err := ParseMethod(server)
		if err != nil {
			return
		}
		checkDiff(t, c, s)
	})
}

// Long names and paths are cut between characters.
func TestTruncate(t *testing.T) {
	for n := range 3 {
		long := strings.Repeat("x", n) + strings.Repeat("größe", 400)
		a, b := truncatePair(long+"ö1", long+"ö2")
		for _, s := range []string{truncate(long), truncatePath(long), a, b} {
			if !utf8.ValidString(s) || len(s) > 3*maxQuoted || !strings.Contains(s, "...") {
				t.Errorf("%q", s)
			}
		}
		if !strings.HasSuffix(a, "ö1") || !strings.HasSuffix(b, "ö2") {
			t.Errorf("difference missing in %q and %q", a, b)
		}
	}
}
