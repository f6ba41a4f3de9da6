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

// parsed returns m as the other end knows it: by its text.
func parsed(t *testing.T, m *Method) *Method {
	t.Helper()
	p, err := ParseMethod(m.String())
	if err != nil {
		t.Fatalf("%s: %v", m, err)
	}
	return p
}

func TestDiffOrder(t *testing.T) {
	client := method(structure("Order", "ID", lUint8, "Price", lInt4))
	server := method(structure("", "Price", lUint8, "ID", lUint8, "Note", lText))
	got := Diff(client, parsed(t, server))
	want := []Difference{
		{"parameter 1, Order.Price", "int.le4", "uint.le8"},
		{"parameter 1, Order.Note", "", "string.le4"},
		{"parameter 1, Order", "order ID, Price", "order Price, ID, Note"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestDiff has the parameters of both ends, and what is read of them.
func TestDiff(t *testing.T) {
	named := func(name string, l *Type) *Type {
		c := *l
		c.GoType = name
		return &c
	}
	list := func(l *Type) *Type { return slice(LE4, LE4, l) }
	node := func(val *Type) *Type { return structure("Node", "Val", val, "Next", pointer(back(2))) }
	long := structure("Long")
	for i := range 60 {
		long.Fields = append(long.Fields, Field{fmt.Sprintf("Field%d", i), lBool})
	}
	swapped := structure("", "Long", lBool)
	swapped.Fields = append(append([]Field(nil), long.Fields[:58]...), long.Fields[59], long.Fields[58])

	tests := []struct {
		name           string
		client, server *Type
		want           string
	}{
		{"same", node(lInt4), node(lInt4), ""},
		{"a number", named("int32", lInt4), lUint8, "parameter 1: client int.le4, server uint.le8"},
		{"a type of its own", named("Level", lInt4), lUint8, "parameter 1, Level: client int.le4, server uint.le8"},
		{"another length", fixed(String, 12), fixed(String, 13), "parameter 1: client string.12, server string.13"},
		{"an encoding of its own", own(Text, "big.Int"), own(Text, "big.Rat"), "parameter 1: client text(big.Int), server text(big.Rat)"},
		{"a kind", structure("Order", "A", lInt4), list(lInt4), "parameter 1, Order: client {A int.le4}, server []int.le4"},
		{"nothing in common", structure("Order", "A", lInt4), structure("", "B", lText), "parameter 1, Order: client {A int.le4}, server {B string.le4}"},
		{"only on the client", structure("Order", "A", lInt4, "B", lText), structure("", "A", lInt4), "parameter 1, Order.B: only on the client"},
		{"no fields left", structure("Order", "A", lInt4), structure(""), "parameter 1, Order.A: only on the client"},
		{"renamed", structure("Order", "A", lInt4, "B", lText), structure("", "X", lInt4, "B", lText),
			"parameter 1, Order.A: client calls it A, server calls it X (renamed)"},
		{"all renamed", structure("P", "X", lInt4, "Y", lInt4), structure("", "A", lInt4, "B", lInt4),
			"parameter 1, P.X: client calls it X, server calls it A (renamed)\nparameter 1, P.Y: client calls it Y, server calls it B (renamed)"},
		{"renamed and changed is two fields", structure("Order", "A", lInt4, "B", lText), structure("", "X", lBool, "B", lText),
			"parameter 1, Order.A: only on the client\nparameter 1, Order.X: only on the server"},
		{"a name that the other end has elsewhere", structure("P", "A", lInt4, "B", lInt4), structure("", "B", lInt4, "C", lInt4),
			"parameter 1, P.A: only on the client\nparameter 1, P.C: only on the server"},
		{"put in the middle", structure("P", "A", lInt4, "B", lBool), structure("", "A", lInt4, "C", lText, "B", lBool), "parameter 1, P.C: only on the server"},
		{"a long order", long, swapped, "parameter 1, Long: client order ..., Field57, Field58, Field59; server order ..., Field57, Field59, Field58"},
		{"elements", list(structure("Order", "Price", lInt4)), list(structure("", "Price", lUint8)),
			"parameter 1, []Order.Price: client int.le4, server uint.le8"},
		{"elements further in", structure("Shop", "Orders", list(array(2, structure("Order", "Price", lInt4)))), structure("", "Orders", list(array(2, structure("", "Price", lUint8)))),
			"parameter 1, Shop.Orders[][].Price: client int.le4, server uint.le8"},
		{"elements of an array", array(3, structure("Order", "Price", lInt4)), array(3, structure("", "Price", lUint8)),
			"parameter 1, [3]Order.Price: client int.le4, server uint.le8"},
		{"elements without a name", list(named("int32", lInt4)), list(lUint8), "parameter 1, []int32: client int.le4, server uint.le8"},
		{"a slice with a name", named("Orders", list(named("int32", lInt4))), list(lUint8), "parameter 1, Orders[]: client int.le4, server uint.le8"},
		{"a struct without a name", structure("", "A", lInt4), structure("", "A", lBool), "parameter 1, A: client int.le4, server bool"},
		{"another length of an array", array(3, lInt4), array(4, lBool),
			"parameter 1, [3]: client [3]int.le4, server [4]bool\nparameter 1, [3]: client int.le4, server bool"},
		{"prefixes", structure("Shop", "Orders", list(lInt4)), structure("", "Orders", slice(NoFormat, LE2, lInt4)),
			"parameter 1, Shop.Orders: client []int.le4, server [le2]int.le4"},
		{"a map", mapOf(LE4, LE4, named("string", lText), structure("Order", "A", lInt4)), mapOf(LE4, LE4, lInt4, structure("", "A", lBool)),
			"parameter 1, map[string]Order[key]: client string.le4, server int.le4\nparameter 1, map[string]Order.A: client int.le4, server bool"},
		{"a map inside", structure("S", "M", mapOf(LE4, LE4, lText, lInt4)), structure("", "M", mapOf(LE4, LE4, lBool, lBool)),
			"parameter 1, S.M[key]: client string.le4, server bool\nparameter 1, S.M[]: client int.le4, server bool"},
		{"through pointers", pointer(pointer(structure("Order", "A", lInt4))), pointer(pointer(structure("", "A", lBool))), "parameter 1, Order.A: client int.le4, server bool"},
		{"no pointer", pointer(structure("Order", "A", lInt4)), structure("", "A", lInt4), "parameter 1, Order: client *{A int.le4}, server {A int.le4}"},
		{"inside a type that holds itself", node(lInt4), node(lBool), "parameter 1, Node.Val: client int.le4, server bool"},
		{"unfolded once more", node(lInt4), structure("", "Val", lInt4, "Next", pointer(node(lBool))),
			"parameter 1, Node.Next.Val: client int.le4, server bool"},
		{"unfolded at the client", structure("Node", "Val", lInt4, "Next", pointer(node(lInt4))), node(lBool),
			"parameter 1, Node.Val: client int.le4, server bool\nparameter 1, Node.Next.Val: client int.le4, server bool"},
		{"the same bytes in other words", node(lInt4), structure("", "Val", lInt4, "Next", pointer(node(lInt4))),
			"parameter 1, Node: client {Val int.le4; Next *^2}, server {Val int.le4; Next *{Val int.le4; Next *^2}}"},
		{"one end goes back", structure("Node", "Next", pointer(back(2))), structure("", "Next", pointer(lBool)),
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
		{"nothing", "S.M(bool) bool", "S.M(bool) bool", nil},
		{"more parameters", "S.M(bool)", "S.M(bool, int.le4, {A bool})", []Difference{
			{"parameter 2", "", "int.le4"}, {"parameter 3", "", "{A bool}"},
		}},
		{"fewer results", "S.M() (bool, int.le4)", "S.M() bool", []Difference{{"result 2", "int.le4", ""}}},
		{"the second result", "S.M(bool) (bool, bool)", "S.M(bool) (bool, int.le4)", []Difference{{"result 2", "bool", "int.le4"}}},
		{"oneway", "S.M() oneway", "S.M()", []Difference{{"", "oneway", "not oneway"}}},
		{"oneway at the server", "S.M() bool", "S.M() oneway", []Difference{{"result 1", "bool", ""}, {"", "not oneway", "oneway"}}},
		{"another method", "S.M()", "T.N()", []Difference{{"name", "S.M", "T.N"}}},
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
		{Difference{"parameter 1", "bool", "int.le4"}, "parameter 1: client bool, server int.le4"},
		{Difference{"result 1", "bool", ""}, "result 1: only on the client"},
		{Difference{"", "oneway", "not oneway"}, "client oneway, server not oneway"},
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
		s := structure("Wide", "Same", lBool)
		for i := range 100 {
			s.Fields = append(s.Fields, Field{fmt.Sprintf("F%d", i), l})
		}
		return s
	}
	got := Diff(method(wide(lInt4)), method(wide(lBool)))
	if len(got) != maxDifferences+1 || got[maxDifferences].String() != "68 more differences" {
		t.Errorf("%d differences, the last %q", len(got), got[len(got)-1])
	}
	long := strings.Repeat("N", 10_000)
	got = Diff(method(structure("S", "A", lBool)), method(structure("", "A", lBool, long, list(LE4, wide(lInt4)))))
	if len(got) != 1 || len(got[0].String()) > 400 || len(got[0].Server) > 150 {
		t.Errorf("a long name and type: %v", got)
	}
}

// braid returns a recursive struct that is unfolded to the depth given, with
// two ways back at its end: compared place by place, the ways double at each
// turn.
func braid(depth, length int) *Type {
	l := structure("", "A", pointer(back(2*depth)), "B", pointer(back(2*max(depth-length, 1))), "V", lInt4)
	for range depth - 1 {
		l = structure("", "A", pointer(l), "B", pointer(back(2)), "V", lInt4)
	}
	return l
}

// Types that lead back to themselves in different steps are compared in time.
func TestDiffEnds(t *testing.T) {
	client, server := method(braid(11, 3)), method(braid(7, 2))
	d := &differ{seen: map[ends]bool{}}
	d.lists(client, parsed(t, server), d.compare)
	if d.count > 0 || d.tired || d.steps > 4*11*7 {
		t.Errorf("%d differences, %d steps, tired %v", d.count, d.steps, d.tired)
	}
	if got := Diff(client, parsed(t, server)); len(got) != 1 || len(got[0].String()) > 400 {
		t.Errorf("the same bytes, texts that differ: %v", got)
	}
	if got := Diff(method(braid(61, 13)), parsed(t, method(braid(53, 7)))); len(got) != 2 || got[1].String() != tiredText {
		t.Errorf("more turns than are followed: %v", got)
	}
}

const tiredText = "perhaps more differences: the types are too large to compare"

func TestDiffTired(t *testing.T) {
	server := method(lText)
	for range 5000 {
		server.Params = append(server.Params, structure("", "A", lBool, "B", lBool, "C", list(LE1, structure("", "D", lBool))))
	}
	client := method(server.Params...)
	got := Diff(client, server)
	if got != nil {
		t.Errorf("equal methods: %v", got)
	}
	client.Params = append(client.Params, client.Params...)
	server.Params = append(server.Params, server.Params...)
	got = Diff(client, server)
	if len(got) != 1 || got[0].String() != tiredText {
		t.Errorf("%v", got)
	}
}

// Any two layouts have differences exactly if their texts differ, and no text
// is long.
func TestDiffRandom(t *testing.T) {
	m := &maker{Rand: rand.New(rand.NewPCG(7, 8))}
	for range 3000 {
		client, server := method(m.layouts(2)...), method(m.layouts(2)...)
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
		if len(d.Place) > 4*longest || len(d.Client) > 2*longest || len(d.Server) > 2*longest {
			t.Fatalf("a difference of %d bytes: %s", len(d.String()), d)
		}
	}
}

// One change anywhere in a layout is one difference, or two where a field is
// no longer the same one, and seen from the other end it is the same.
func TestDiffOneChange(t *testing.T) {
	m := &maker{Rand: rand.New(rand.NewPCG(9, 10))}
	for range 3000 {
		l := m.layout()
		if len(l.String()) > MaxText {
			continue
		}
		client, server := method(l), method(m.change(l))
		got, back := Diff(client, server), Diff(server, client)
		if len(got) == 0 || len(got) > 2 || len(back) != len(got) {
			t.Fatalf("%s\n%s\n%v\n%v", client, server, got, back)
		}
		if len(got) == 1 && (got[0].Client != back[0].Server && !strings.Contains(got[0].Server, "renamed")) {
			t.Fatalf("%s\n%s\n%v\n%v", client, server, got, back)
		}
	}
}

// change returns a copy of l with one change: a leaf of another kind, or a
// field more, less, or of another name.
func (m *maker) change(l *Type) *Type {
	c := *l
	switch l.Kind {
	case Array, Slice, Map, Pointer:
		if l.Elem.Kind == Back { // what it leads to would change too
			c.Elem = lNew
			return &c
		}
		c.Elem = m.change(l.Elem)
		return &c
	case Struct:
		c.Fields = append([]Field(nil), l.Fields...)
		at := m.IntN(len(c.Fields) + 1)
		switch {
		case at == len(c.Fields):
			c.Fields = append(c.Fields, Field{"New", lNew})
		case m.IntN(3) == 0:
			c.Fields[at].Name = "Other"
		case m.IntN(2) == 0 || c.Fields[at].Type.Kind == Back:
			c.Fields = append(c.Fields[:at], c.Fields[at+1:]...)
		default:
			c.Fields[at].Type = m.change(c.Fields[at].Type)
		}
		return &c
	}
	return lNew
}

// lNew is what maker never makes.
var lNew = own(Binary, "changed.Type")

func FuzzDiff(f *testing.F) {
	f.Add("S.M({ID uint.le8; Price int.le4})", "S.M({Price uint.le8; ID uint.le8; Note string.le4})")
	f.Add("S.M({Val int.le4; Next *^2}) bool", "S.M({Val int.le4; Next *{Val bool; Next *^4}}, [3]bool) oneway")
	f.Add("S.M(map[le4 string.4][]^2)", "S.M(map[le4 string.5][][]^2)")
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

// A name or a path that is long is cut where a character ends.
func TestShorten(t *testing.T) {
	for n := range 3 {
		long := strings.Repeat("x", n) + strings.Repeat("größe", 400)
		a, b := shortenBoth(long+"ö1", long+"ö2")
		for _, s := range []string{shorten(long), shortenPath(long), a, b} {
			if !utf8.ValidString(s) || len(s) > 3*longest || !strings.Contains(s, "...") {
				t.Errorf("%q", s)
			}
		}
		if !strings.HasSuffix(a, "ö1") || !strings.HasSuffix(b, "ö2") {
			t.Errorf("no difference in %q and %q", a, b)
		}
	}
}
