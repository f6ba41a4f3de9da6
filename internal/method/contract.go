package method

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// A contractFunc is one func field of a struct contract, or one method of an
// interface contract.
type contractFunc struct {
	goName string // of the field or method
	name   string // on the wire: the tag's name=, else goName
	typ    reflect.Type
	index  []int // of the field, through embedded contracts
	tag    *codec.MethodTag
	key    string // of the tag, if probably meant to be bsrpc
}

// contractOf reads a struct contract.
func contractOf(service string, t reflect.Type) ([]contractFunc, []Problem) {
	methods, problems := appendContract(nil, service, t, nil)
	seen := make(map[string]string)
	for _, m := range methods {
		field := fieldPath(t, m.index)
		if other, ok := seen[m.name]; ok {
			problems = append(problems, Problem{service + "." + m.name, fmt.Sprintf("named by %s and by %s; rename one, or tag it name=", other, field)})
		}
		seen[m.name] = field
	}
	if len(methods) == 0 && len(problems) == 0 {
		problems = append(problems, Problem{service, fmt.Sprintf("%v has no exported func fields; a contract is a struct of them", t)})
	}
	return methods, problems
}

// notContract explains that t is not a contract.
func notContract(t reflect.Type, wanted string) string {
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
		wanted = fmt.Sprintf("want %v", t.Elem())
	}
	return fmt.Sprintf("%v is not a contract; %s", t, wanted)
}

// fieldPath names a field with its embedded structs.
func fieldPath(t reflect.Type, index []int) string {
	path := make([]string, len(index))
	for i, n := range index {
		path[i], t = t.Field(n).Name, t.Field(n).Type
	}
	return strings.Join(path, ".")
}

func appendContract(methods []contractFunc, service string, t reflect.Type, index []int) ([]contractFunc, []Problem) {
	var problems []Problem
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), index...), i)
		path := service + "." + f.Name
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct && f.IsExported():
			var more []Problem
			methods, more = appendContract(methods, service, f.Type, at)
			problems = append(problems, more...)
		case !f.IsExported():
			problems = append(problems, Problem{path, "not exported; a contract has exported func fields and nothing else"})
		case f.Type.Kind() != reflect.Func:
			problems = append(problems, Problem{path, fmt.Sprintf("%v in a contract; want a func, or an embedded struct of funcs", f.Type)})
		default:
			m, more := contractField(path, f, at)
			methods = append(methods, m)
			problems = append(problems, more...)
		}
	}
	return methods, problems
}

func contractField(path string, f reflect.StructField, index []int) (contractFunc, []Problem) {
	m := contractFunc{goName: f.Name, name: f.Name, typ: f.Type, index: index, tag: &codec.MethodTag{ID: -1}}
	var problems []Problem
	if n := f.Type.NumOut(); (n == 0 || f.Type.Out(n-1) != errorType) && !returnsStream(f.Type) && futureAmong(f.Type) == nil {
		problems = append(problems, Problem{path, "must end in error: a call can fail on the way"})
	}
	m.key = codec.FindMisspelledKey(f.Tag)
	text, ok := f.Tag.Lookup("bsrpc")
	if !ok && strings.Contains(string(f.Tag), "bsrpc:") {
		return m, append(problems, Problem{path, fmt.Sprintf("malformed tag %q; want `bsrpc:\"...\"`", f.Tag)})
	}
	tag, err := codec.ParseMethodTag(text)
	if err != nil {
		return m, append(problems, Problem{path, err.Error()})
	}
	if m.tag = tag; tag.Name != "" {
		m.name = tag.Name
	}
	return m, problems
}

// returnsStream reports whether a result is a stream or reader. These can fail later.
func returnsStream(t reflect.Type) bool {
	for i := range t.NumOut() {
		if codec.IsStream("result", t.Out(i)) {
			return true
		}
	}
	return false
}
