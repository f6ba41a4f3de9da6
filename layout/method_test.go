package layout

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMethod(t *testing.T) {
	tests := []struct {
		layout Method
		text   string
	}{
		{Method{Service: "Greeter", Name: "Ping"}, "Greeter.Ping()"},
		{Method{Service: "Greeter", Name: "Ping", Oneway: true}, "Greeter.Ping() oneway"},
		{Method{Service: "lab.v1.Scope", Name: "Arm", Results: []*Type{typeBool}}, "lab.v1.Scope.Arm() bool"},
		{
			Method{"Greeter", "Add2Words", []*Type{num(Uint, LE4), num(Uint, LE4)}, []*Type{num(Uint, LE4)}, false, 0, 0},
			"Greeter.Add2Words(uint.le4, uint.le4) uint.le4",
		},
		{
			Method{"S", "M", []*Type{structure("", "A", typeBool)}, []*Type{typeBool, typeString}, true, 0, 0},
			"S.M({A bool}) (bool, string.le4) oneway",
		},
		{
			Method{"S", "M", []*Type{stream(pointer(structure("", "A", typeBool, "Next", pointer(backRef(2))))), reader}, []*Type{typeBool, stream(typeString)}, false, 0, 0},
			"S.M(stream(*{A bool; Next *^2}), reader) (bool, stream(string.le4))",
		},
		{
			Method{"S", "M", []*Type{{Kind: Struct, Fields: []Field{{"A", typeBool, false}, {"B", typeBool, true}}}, typeBool, typeString}, []*Type{typeBool, typeString}, false, 2, 1},
			"S.M({A bool; B? bool}, bool?, string.le4?) (bool, string.le4?)",
		},
		{Method{Service: "S", Name: "M", Results: []*Type{typeBool}, OptionalResults: 1}, "S.M() bool?"},
		{Method{Service: "S", Name: "M", Params: []*Type{stream(structure(""))}, Results: []*Type{reader}}, "S.M(stream({})) reader"},
		{
			Method{"S", "M", []*Type{callable(nil, nil), oneway(typeInt4, typeString), callable([]*Type{typeBool}, []*Type{typeString}), typeBool,
				callable([]*Type{structure("", "Next", pointer(backRef(2)))}, []*Type{typeString, typeInt4})}, nil, true, 0, 0},
			"S.M(func(), func(int.le4, string.le4) oneway, func(bool) string.le4, bool, func({Next *^2}) (string.le4, int.le4)) oneway",
		},
	}
	for _, test := range tests {
		if got := test.layout.String(); got != test.text {
			t.Errorf("printed\n%s, want\n%s", got, test.text)
		}
		got, err := ParseMethod(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
		} else if diff := cmp.Diff(&test.layout, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.text, diff)
		}
	}
}

func TestParseMethodErrors(t *testing.T) {
	long := strings.Repeat("s", 256)
	tests := []struct{ text, want string }{
		{"", `offset 0: want a name, have the end`},
		{"Ping()", `offset 0: want service.method, have "Ping()"`},
		{".Ping()", `offset 0: want a name, have ".Ping()"`},
		{"S..Ping()", `offset 2: want a name, have ".Ping()"`},
		{"S.Ping", `offset 6: want "(", have the end`},
		{"S.Ping ()", `offset 6: want "(", have " ()"`},
		{"S.Ping(", `offset 7: want a type, have the end`},
		{"S.Ping( )", `offset 7: want a type, have " )"`},
		{"S.Ping(bool,bool)", `offset 11: want ")", have ",bool)"`},
		{"S.Ping(bool, )", `offset 13: want a type, have ")"`},
		{"S.Ping() ", `offset 9: want a type, have the end`},
		{"S.Ping()bool", `offset 8: want " ", have "bool"`},
		{"S.Ping() ()", `offset 10: want a type, have ")"`},
		{"S.Ping() (bool)", `offset 9: want one result without parentheses, or several, have "(bool)"`},
		{"S.Ping() bool, bool", `offset 13: want the end, have ", bool"`},
		{"S.Ping()  bool", `offset 9: want a type, have " bool"`},
		{"S.Ping() oneway ", `offset 15: want the end, have " "`},
		{"S.Ping() oneway bool", `offset 15: want the end, have " bool"`},
		{"S.Ping(^1)", `offset 9: ^1 refers outside the type: it has 0 enclosing types`},
		{"S.Ping(stream(bool)", `offset 19: want ")", have the end`},
		{"S.Ping(stream())", `offset 14: want a type, have "))"`},
		{"S.Ping(stream(stream(bool)))", `offset 21: streams and readers are whole parameters or results, not parts of them`},
		{"S.Ping(stream([]reader))", `offset 22: streams and readers are whole parameters or results, not parts of them`},
		{"S.Ping() {A reader}", `offset 18: streams and readers are whole parameters or results, not parts of them`},
		{"S.Ping() map[string.le4]stream(bool)", `offset 31: streams and readers are whole parameters or results, not parts of them`},
		{"S.Ping(stream(^1))", `offset 16: ^1 refers outside the type: it has 0 enclosing types`},
		{"S.Ping(func(bool)", `offset 17: want ")", have the end`},
		{"S.Ping(func( oneway)", `offset 12: want a type, have " oneway)"`},
		{"S.Ping(func(bool) )", `offset 18: want a type, have ")"`},
		{"S.Ping(func() bool oneway)", `offset 18: want ")", have " oneway)"`},
		{"S.Ping(func() (bool))", `offset 14: want one result without parentheses, or several, have "(bool))"`},
		{"S.Ping(func(func()))", `offset 17: funcs are whole parameters, and neither results nor parts of types`},
		{"S.Ping(func(reader))", `offset 18: streams and readers are whole parameters or results, not parts of them`},
		{"S.Ping([]func())", `offset 14: funcs are whole parameters, and neither results nor parts of types`},
		{"S.Ping() func()", `offset 14: funcs are whole parameters, and neither results nor parts of types`},
		{"S.Ping(stream(func()))", `offset 19: funcs are whole parameters, and neither results nor parts of types`},
		{"S.Ping(bool?, bool)", `offset 18: want "?", as after the one before, have ")"`},
		{"S.Ping() reader?", `offset 16: streams and readers are never optional`},
		{"S.Ping(func(bool?))", `offset 16: want ")", have "?))"`},
		{"S.Ping({A ?bool})", `offset 10: want a type, have "?bool})"`},
		{"S.Ping([]{A {}; B [0]bool})", `offset 26: elements before this take no bytes`},
		{"S.Ping() readers", `offset 15: want the end, have "s"`},
		{"S.Ping(string.until=0)", `offset 20: until= is for values of Marshal only, not for methods`},
		{"S.Ping() bytes.rest", `offset 19: rest is for values of Marshal only, not for methods`},
		{"S.Ping(stream([rest]bool))", `offset 19: rest is for values of Marshal only, not for methods`},
		{"S.Ping({A raw(bits.Flags)})", `offset 14: raw is for values of Marshal only, not for methods`},
		{"S.Ping({_ pad.3})", `offset 14: padding is for values of Marshal only, not for methods`},
		{long + ".M()", `offset 258: service name of 256 bytes exceeds the limit of 255`},
	}
	for _, test := range tests {
		m, err := ParseMethod(test.text)
		if err == nil || err.Error() != test.want || m != nil {
			t.Errorf("%.20q:\n%v\n%s", test.text, err, test.want)
		}
	}
	if _, err := ParseMethod(long[1:] + ".M()"); err != nil {
		t.Errorf("service name of 255 bytes: %v", err)
	}
}

// optional returns how many of the last of list are optional.
func (m *generator) optional(list []*Type) int {
	most := 0
	for most < len(list) && list[len(list)-1-most].Kind != Stream && list[len(list)-1-most].Kind != Reader {
		most++
	}
	return m.IntN(most + 1)
}

func TestParseMethodRoundTrip(t *testing.T) {
	m := &generator{Rand: rand.New(rand.NewPCG(5, 6))}
	for range 2000 {
		want := &Method{"a.B", "C", m.params(3), m.wholes(3), m.IntN(2) == 0, 0, 0}
		want.OptionalParams, want.OptionalResults = m.optional(want.Params), m.optional(want.Results)
		text := want.String()
		got, err := ParseMethod(text)
		if len(text) > MaxText {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(want, got) { // cmp is slow
			t.Fatalf("%s: -want +got\n%s", text, cmp.Diff(want, got))
		}
	}
}

func FuzzParseMethod(f *testing.F) {
	f.Add("Greeter.Ping()")
	f.Add("lab.v1.Scope.Read({A int.le4; B *^2}, []bool) (bool, map[le4 string.le4][3]text(big.Int)) oneway")
	f.Add("jobs.Queue.Run(stream(*{A int.le4; B *^2}), reader, bool) (uint.varint, stream([]{}))")
	f.Add("jobs.Queue.Watch(func(string.le4) oneway, func(*{A int.le4; B *^2}, bool) (uint.varint, []bool), func()) func() oneway")
	f.Add("S.M(<A {X ^2; Y bool}; B <C ^1; D ^2>; E []^2>, stream(<A bool>)) <B binary(a.B)>")
	f.Add("S.M(stream(stream(bool)), []reader) reader oneway")
	f.Add("S.M([bytes=le1]bool, map[bytes=varint string.le4][bytes=be3]int.le1)")
	f.Add("S.M({_ uint.be2=46434; A bool; _ int.varint=-5; _ pad.3})")
	f.Add("S.M({A int.le3; B uint.be7; C int.uvarint}, [le5 be6]bool) map[varint be3 uint.le6]int.be5")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMethod(text)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if m.String() != text {
			t.Errorf("%q prints as %q", text, m)
		}
		n := 0
		for _, l := range append(m.Params, m.Results...) {
			n += countNodes(l)
		}
		if n > len(text) {
			t.Errorf("%d nodes from %d bytes", n, len(text))
		}
	})
}
