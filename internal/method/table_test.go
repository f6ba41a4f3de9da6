package method

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// An entry of a server's own type, which knows more than the Func.
type kept struct {
	*Func
	more int
}

func keptFuncs(t *testing.T, service string, names ...string) (list []*kept) {
	t.Helper()
	for i, name := range names {
		name, id, _ := strings.Cut(name, "=")
		sig, problems := compile(name, reflect.TypeFor[func(string) error](), 0, new(codec.MethodTag))
		if problems != nil {
			t.Fatal(problems)
		}
		f := newFunc(service, name, sig, reflect.ValueOf(func(string) error { return nil }), owner{})
		f.from = "by a test"
		if id != "" {
			fmt.Sscan(id, &f.ID)
		}
		list = append(list, &kept{f, i})
	}
	return list
}

func TestTableFinds(t *testing.T) {
	table := &Table[*kept]{ByID: true}
	for _, service := range []string{"A", "lab.v1.B"} {
		id := map[string]string{"A": "=7", "lab.v1.B": "=8"}[service]
		if err := table.Add(service, keptFuncs(t, service, "F"+id, "G"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if m, ok := table.Find("lab.v1.B.G"); !ok || m.more != 1 {
		t.Errorf("found %v", m)
	}
	for _, name := range []string{"", "A", "A.H", "F", "lab.v1.B", "lab.v1.F"} {
		if m, ok := table.Find(name); ok {
			t.Errorf("%q: found %v", name, m.Name)
		}
	}
	if m, ok := table.Command(8); !ok || m.Name != "lab.v1.B.F" {
		t.Errorf("id 8: found %v", m)
	}
	if m, ok := table.Command(-1); ok {
		t.Errorf("id -1: found %v", m.Name)
	}
	if n := len(table.Service("A")); n != 2 || table.Service("B") != nil {
		t.Errorf("A has %d methods, B %v", n, table.Service("B"))
	}
	if got := slices.Sorted(table.Services()); !slices.Equal(got, []string{"A", "lab.v1.B"}) {
		t.Errorf("services %q", got)
	}
	var all []string
	for m := range table.All() {
		all = append(all, m.Name)
	}
	if want := []string{"A.F", "A.G", "lab.v1.B.F", "lab.v1.B.G"}; !slices.Equal(all, want) {
		t.Errorf("all are %q, want %q", all, want)
	}
}

// What cannot be added leaves the table as it was, and the error has everything.
func TestTableAddsAllOrNone(t *testing.T) {
	table := &Table[*kept]{ByID: true}
	if err := table.Add("A", keptFuncs(t, "A", "F=7"), nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		service string
		names   []string
		given   []Problem
		want    string
	}{
		{"A", []string{"G", "F"}, nil, "bsrpc: register A: 1 problem\n    A.F: registered twice, both times by a test; register it once, or under another name"},
		{"A", []string{"G=7"}, nil, "bsrpc: register A: 1 problem\n    A.G: id=7 is A.F's; a server with Basic needs different ones"},
		{"A", []string{"G=9", "H=9"}, nil, "bsrpc: register A: 1 problem\n    A.H: id=9 is A.G's; a server with Basic needs different ones"},
		{"A", []string{"G"}, []Problem{{"A.X", "given"}}, "bsrpc: register A: 1 problem\n    A.X: given"},
		{"A b", []string{"G"}, nil, "bsrpc: register \"A b\": 1 problem\n    service name: want identifiers with dots between, as lab.v1.Scope"},
	} {
		err := table.Add(test.service, keptFuncs(t, test.service, test.names...), test.given)
		if err == nil || err.Error() != test.want {
			t.Errorf("%v: got %v, want %s", test.names, err, test.want)
		}
		if n := len(slices.Collect(table.All())); n != 1 || len(table.Service("A")) != 1 || len(table.byID) != 1 {
			t.Errorf("%v: the table has %d methods", test.names, n)
		}
	}
}
