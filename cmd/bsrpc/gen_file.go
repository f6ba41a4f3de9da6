package main

import (
	"fmt"
	"go/format"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/layout"
)

// A source is the Go source of contracts.
type source struct {
	generator
	pkg       string
	names     map[string]string // of contracts, by service
	contracts strings.Builder
	methods   int
	left      []leftMethod
}

// A leftMethod is a method that the source does not have.
type leftMethod struct {
	Method string `json:"method"`
	Reason string `json:"reason"`
}

// newSource returns an empty source.
func newSource(pkg string, types map[string]string) *source {
	return &source{pkg: pkg, names: make(map[string]string), generator: generator{
		types: types, imports: make(map[string]string), used: make(map[string]bool), decls: make(map[string]*decl), left: maxRootedTotal,
	}}
}

// reserve gives each service the name of its contract, so that no other type has it.
func (s *source) reserve(services []string) {
	for _, service := range services {
		segments := strings.Split(service, ".")
		name := exported(segments[len(segments)-1])
		if len(segments) > 1 && len(name) > 1 && strings.Trim(name[1:], "0123456789") == "" { // a version
			name = exported(segments[len(segments)-2]) + name
		}
		base := name
		for i := 2; s.used[name]; i++ {
			name = base + strconv.Itoa(i)
		}
		s.used[name], s.names[service] = true, name
	}
}

// contract adds the methods of a service.
func (s *source) contract(service string, methods []*method) {
	name := s.names[service]
	fmt.Fprintf(&s.contracts, "// %s is the contract of the service %s:\n//\n//\tbsrpc.Bind[%[1]s](ctx, client, %[3]q)\ntype %[1]s struct {\n", name, service, service)
	fields := make(map[string]bool)
	for _, m := range methods {
		imports, types := maps.Clone(s.imports), len(s.order)
		text, err := s.method(name, m, fields)
		if err != nil {
			s.imports = imports
			s.forget(types)
			fmt.Fprintf(&s.contracts, "\t// %s is left out: %v.\n", m.layout.Name, err)
			s.left = append(s.left, leftMethod{m.Name, err.Error()})
			continue
		}
		s.methods++
		s.contracts.WriteString(text)
	}
	s.contracts.WriteString("}\n\n")
}

// method returns the field of a method.
func (s *source) method(contract string, m *method, fields map[string]bool) (string, error) {
	f := &signature{source: s, method: m, names: m.paramNames()}
	f.field = exported(m.layout.Name)
	for fields[f.field] {
		f.field += "_"
	}
	if err := f.write(contract); err != nil {
		return "", err
	}
	fields[f.field] = true
	text := "\t" + f.field + " " + f.text.String()
	if words := f.tag(); words != "" {
		text += " `bsrpc:\"" + words + "\"`"
	}
	return text + "\n", nil
}

// paramNames returns the names of the parameters, nil without, or if Go could not have them.
func (m *method) paramNames() []string {
	if len(m.Params) != len(m.layout.Params) {
		return nil
	}
	for i, name := range m.Params {
		if !token.IsIdentifier(name) && !token.IsKeyword(name) || slices.Contains(m.Params[:i], name) {
			return nil
		}
	}
	return m.Params
}

// A signature is a func of a contract.
type signature struct {
	*source
	*method
	field           string
	names           []string // of parameters
	text            strings.Builder
	params, results []string // words
}

// write writes the func.
func (f *signature) write(contract string) error {
	ctx := f.importName("context", "context") + ".Context"
	f.text.WriteString("func(")
	if f.names != nil {
		f.text.WriteString("ctx ")
	}
	f.text.WriteString(ctx)
	for i, l := range f.layout.Params {
		place := fmt.Sprintf("parameter %d", i+1)
		names := []string{f.field + "Arg", contract + f.field + "Arg"}
		f.text.WriteString(", ")
		if f.names != nil {
			name := f.names[i]
			if len(name) > 2 {
				names = append([]string{exported(name)}, f.field+exported(name), contract+f.field+exported(name))
			}
			f.text.WriteString(variable(name) + " ")
		}
		typ, words, err := f.whole(l, place, false, names)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		if i >= len(f.layout.Params)-f.layout.OptionalParams {
			words = append(words, "optional")
		}
		f.text.WriteString(typ)
		f.params = append(f.params, strings.Join(f.marked(words, place), " "))
	}
	f.text.WriteString(") ")
	var types []string
	for i, l := range f.layout.Results {
		place := fmt.Sprintf("result %d", i+1)
		typ, words, err := f.whole(l, place, true, f.resultNames(l, contract))
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		if i >= len(f.layout.Results)-f.layout.OptionalResults {
			words = append(words, "optional")
		}
		types = append(types, typ)
		f.results = append(f.results, strings.Join(f.marked(words, place), " "))
	}
	if len(types) != 1 || f.layout.Results[0].Kind != layout.Stream { // which has the error
		types = append(types, "error")
	}
	f.text.WriteString(resultList(types))
	return nil
}

// verbs begin the names of methods whose result has the rest as its name.
var verbs = []string{"Get", "List", "Read", "Watch", "Fetch", "Find", "Load", "Query", "Search", "Subscribe"}

// resultNames returns names for the type of a result: those in GetUser and Users, and otherwise
// one with the name of the method.
func (f *signature) resultNames(l *layout.Type, contract string) []string {
	names := []string{f.field + "Result", contract + f.field + "Result"}
	if l.Kind == layout.Stream {
		names = []string{f.field + "Item", contract + f.field + "Item"}
	}
	if l.Kind == layout.Slice || l.Kind == layout.Stream {
		if one := singulars([]string{f.field}); one[0] != f.field {
			names = append([]string{f.field}, names...)
		}
	}
	for _, verb := range verbs {
		if rest, ok := strings.CutPrefix(f.field, verb); ok && token.IsExported(rest) {
			names = append([]string{rest}, names...)
		}
	}
	return names
}

// resultList returns results in Go source.
func resultList(types []string) string {
	if len(types) == 1 {
		return types[0]
	}
	return "(" + strings.Join(types, ", ") + ")"
}

// variable returns the name of a parameter in Go source, beside ctx.
func variable(name string) string {
	if token.IsKeyword(name) || name == "ctx" {
		return name + "_"
	}
	return name
}

// marked adds the word secret to those of a secret place.
func (f *signature) marked(words []string, place string) []string {
	if slices.Contains(f.Secrets, place) {
		words = append(words, "secret")
	}
	return words
}

// whole returns the Go type of a whole parameter or result, and its words.
func (f *signature) whole(l *layout.Type, place string, result bool, names []string) (string, []string, error) {
	switch {
	case l.Kind == layout.Stream:
		typ, words, err := f.goType(l.Elem, place+"[]", f.Secrets, singulars(names))
		return f.importName("iter", "iter") + ".Seq2[" + typ + ", error]", split(words), err
	case l.Kind == layout.Reader && result:
		return f.importName("io", "io") + ".ReadCloser", nil, nil
	case l.Kind == layout.Reader:
		return f.importName("io", "io") + ".Reader", nil, nil
	case l.Kind == layout.Func:
		typ, err := f.callback(l.Func, place, names)
		return typ, nil, err
	}
	typ, words, err := f.goType(l, place, f.Secrets, names)
	return typ, split(words), err
}

// split returns words as a list of at most one.
func split(words string) []string {
	if words == "" {
		return nil
	}
	return []string{words}
}

// callback returns the type of a func among the parameters. Its own have no tags.
func (f *signature) callback(l *layout.Signature, place string, names []string) (string, error) {
	list := func(types []*layout.Type, word string) (texts []string, err error) {
		for i, p := range types {
			typ, words, err := f.goType(p, fmt.Sprintf("%s, func's %s %d", place, word, i+1), f.Secrets, names)
			if err != nil {
				return nil, err
			}
			if words != "" {
				return nil, &leftOut{"a func's parameters and results have no tags, and this one needs " + words}
			}
			texts = append(texts, typ)
		}
		return texts, nil
	}
	params, err := list(l.Params, "parameter")
	if err != nil {
		return "", err
	}
	if l.Oneway {
		return "func(" + strings.Join(params, ", ") + ")", nil
	}
	results, err := list(l.Results, "result")
	if err != nil {
		return "", err
	}
	params = append([]string{f.importName("context", "context") + ".Context"}, params...)
	return "func(" + strings.Join(params, ", ") + ") " + resultList(append(results, "error")), nil
}

// tag returns the words of the func's tag.
func (f *signature) tag() string {
	var parts []string
	if text := strings.Join(slices.Concat(f.params, f.results), ""); text != "" {
		part := "(" + strings.Join(f.params, ",") + ")"
		if strings.Join(f.results, "") != "" {
			part += " (" + strings.Join(f.results, ",") + ")"
		}
		parts = append(parts, part)
	}
	if f.field != f.layout.Name {
		parts = append(parts, "name="+f.layout.Name)
	}
	parts = append(parts, f.options()...)
	if len(f.names) > 0 {
		parts = append(parts, "names="+strings.Join(f.names, " "))
	}
	return strings.Join(parts, ",")
}

// options returns the options that this version of the library has.
func (m *method) options() (list []string) {
	exclusive := slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "exclusive=") && validOption(o) })
	seen := make(map[string]bool)
	if m.layout.Oneway {
		seen["oneway"], list = true, []string{"oneway"}
	}
	for _, o := range m.Options {
		key, _, _ := strings.Cut(o, "=")
		if !validOption(o) || seen[key] || key == "oneway" || key == "nowait" && !exclusive {
			continue
		}
		seen[key] = true
		list = append(list, o)
	}
	return list
}

// validOption reports whether an option of the server's contract may be in a tag.
func validOption(option string) bool {
	key, value, valued := strings.Cut(option, "=")
	switch key {
	case "idempotent", "optional", "oneway", "nowait":
		return !valued
	case "id":
		n, err := strconv.ParseUint(value, 10, 16)
		return err == nil && strconv.FormatUint(n, 10) == value
	case "timeout":
		d, err := time.ParseDuration(value)
		return value == "none" || err == nil && d > 0
	case "exclusive":
		return token.IsIdentifier(value) || token.IsKeyword(value)
	case "roles":
		roles := strings.Split(value, "|")
		for i, role := range roles {
			if !token.IsIdentifier(role) && !token.IsKeyword(role) || slices.Contains(roles[:i], role) {
				return value == "*"
			}
		}
		return true
	}
	return false
}

// sourceMark begins a file of gen go. Only such a file is replaced.
const sourceMark = "// Written by bsrpc gen go:"

// bytes returns the file.
func (s *source) bytes() ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, sourceMark+" the contracts of a server at that time.\n\npackage %s\n\n", s.pkg)
	if len(s.imports) == 1 {
		for file, name := range s.imports {
			b.WriteString("import " + importLine(name, file) + "\n\n")
		}
	} else {
		b.WriteString("import (\n")
		for _, standard := range []bool{true, false} {
			for _, file := range slices.Sorted(maps.Keys(s.imports)) {
				domain, _, _ := strings.Cut(file, "/")
				if standard != strings.Contains(domain, ".") {
					b.WriteString("\t" + importLine(s.imports[file], file) + "\n")
				}
			}
			b.WriteString("\n")
		}
		b.WriteString(")\n\n")
	}
	b.WriteString(s.contracts.String())
	for _, d := range s.order {
		fmt.Fprintf(&b, "type %s %s\n\n", d.name, d.body)
	}
	text, err := format.Source([]byte(b.String()))
	if err != nil {
		return nil, fmt.Errorf("the generated file is not Go, which is a mistake of this command: %w", err)
	}
	return text, nil
}
