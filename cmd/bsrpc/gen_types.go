package main

import (
	"fmt"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/layout"
)

// Limits of rooted texts: longer types are not compared with others.
const (
	maxRooted      = 16 << 10
	maxRootedTotal = 64 << 20
)

// standardTypes are the types of the standard library with encodings of their own, and their
// packages.
var standardTypes = map[string]string{
	"netip.Addr": "net/netip", "netip.AddrPort": "net/netip", "netip.Prefix": "net/netip",
	"url.URL": "net/url", "net.IP": "net", "time.Time": "time",
	"big.Int": "math/big", "big.Rat": "math/big", "big.Float": "math/big",
	"slog.Level": "log/slog", "slog.LevelVar": "log/slog", "regexp.Regexp": "regexp",
	"rand.PCG": "math/rand/v2", "rand.ChaCha8": "math/rand/v2", "x509.OID": "crypto/x509",
}

// A generator makes Go source of methods.
type generator struct {
	types   map[string]string // import paths of types with encodings of their own, by flags
	imports map[string]string // names of imported packages, by path
	used    map[string]bool   // names at the top of the file
	decls   map[string]*decl  // by rooted text
	order   []*decl
	left    int // of maxRootedTotal
}

// A decl is the declaration of a type.
type decl struct {
	name string
	key  string
	tree *tree
	body string
}

// A method that Go source cannot have is left out, for a reason.
type leftOut struct{ reason string }

// Error implements error.
func (l *leftOut) Error() string { return l.reason }

// An attempt is the declarations of one parameter or result, until they are known to have
// the layout of the server.
type attempt struct {
	*generator
	decls map[string]*decl // new ones
	order []*decl
	used  map[string]bool
	apart bool // types of one text may be two types of Go
	speller
}

// goType returns the Go type of a parameter, a result or an item, and the words of its tag.
// names are for types without one, the best first.
func (g *generator) goType(l *layout.Type, place string, secrets, names []string) (typ, words string, err error) {
	for _, apart := range []bool{false, true} {
		a := &attempt{generator: g, decls: make(map[string]*decl), used: make(map[string]bool), apart: apart}
		a.speller.binary = binaryWord
		n := newTree(l, nil, place, secrets)
		n.nameCycles()
		if err := a.check(n); err != nil {
			return "", "", err
		}
		a.declare(n, names)
		if apart {
			a.separate(n, nil, names)
		}
		words := a.words(n)
		if a.problem != "" {
			return "", "", &leftOut{a.problem}
		}
		d := &deriver{attempt: a, left: layout.MaxText}
		if d.derive(n, words, nil).String() != l.String() || d.left < 0 {
			continue
		}
		typ := a.expr(n)
		for _, d := range a.order {
			if d.body, err = a.body(d.tree); err != nil {
				return "", "", err
			}
		}
		if a.problem != "" {
			return "", "", &leftOut{a.problem}
		}
		a.commit()
		return typ, words.String(), nil
	}
	return "", "", &leftOut{"no types of Go have its recursion"}
}

// commit adds the declarations of a to those of the file.
func (a *attempt) commit() {
	for key, d := range a.decls {
		a.generator.decls[key] = d
	}
	for name := range a.used {
		a.generator.used[name] = true
	}
	a.generator.order = append(a.generator.order, a.order...)
}

// forget removes the declarations behind the first n: their method is left out.
func (g *generator) forget(n int) {
	for _, d := range g.order[n:] {
		delete(g.decls, d.key)
		delete(g.used, d.name)
	}
	g.order = g.order[:n]
}

// check returns an error if a type below n has no place in Go source, and imports what the
// others need.
func (a *attempt) check(n *tree) error {
	switch n.Kind {
	case layout.Binary, layout.Text:
		_, err := a.opaque(n.Opaque)
		if err != nil {
			return err
		}
	case layout.Map:
		if !n.key.isKey() {
			return &leftOut{"a map has keys that Go cannot compare"}
		}
	}
	for _, c := range n.children() {
		if err := a.check(c); err != nil {
			return err
		}
	}
	return nil
}

// isKey reports whether n can be the key of a map.
func (n *tree) isKey() bool {
	switch n.Kind {
	case layout.Bytes, layout.Time, layout.Slice, layout.Map, layout.Pointer, layout.Union, layout.BackRef:
		return false
	}
	return !slices.ContainsFunc(n.children(), func(c *tree) bool { return !c.isKey() })
}

// opaque returns the name in Go source of a type with an encoding of its own.
func (a *attempt) opaque(name string) (string, error) {
	file, ok := a.types[name]
	if !ok {
		if file, ok = standardTypes[name]; !ok {
			return "", &leftOut{fmt.Sprintf("%s has an encoding of its own; give --type %[1]s=IMPORT/PATH", clean(name, maxWord))}
		}
	}
	pkg, typ, ok := strings.Cut(name, ".")
	if !ok || !token.IsIdentifier(pkg) || !token.IsExported(typ) || !token.IsIdentifier(typ) {
		return "", &leftOut{fmt.Sprintf("%s has an encoding of its own, and no name that another package can write", clean(name, maxWord))}
	}
	return a.importName(pkg, file) + "." + typ, nil
}

// importName returns the name of an imported package.
func (g *generator) importName(pkg, file string) string {
	if name, ok := g.imports[file]; ok {
		return name
	}
	name := pkg
	for i := 2; g.importTaken(name); i++ {
		name = pkg + strconv.Itoa(i)
	}
	g.imports[file] = name
	return name
}

// importTaken reports whether another package has a name.
func (g *generator) importTaken(name string) bool {
	for _, other := range g.imports {
		if other == name {
			return true
		}
	}
	return false
}

// importLine returns the line of an import: with a name only if it is not that of the path.
func importLine(name, file string) string {
	base := path.Base(file)
	if dir := path.Dir(file); len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" && dir != "." {
		base = path.Base(dir)
	}
	if base == name {
		return strconv.Quote(file)
	}
	return name + " " + strconv.Quote(file)
}

// binaryWord reports whether a type needs the word binary: it may embed another one with an
// encoding. Those of the standard library do not.
func binaryWord(opaque string) bool {
	return standardTypes[opaque] == "" || opaque == "time.Time"
}

// declare gives the types below n that need one a name, each before those within it.
func (a *attempt) declare(n *tree, names []string) {
	if n.target != nil {
		return
	}
	if n.named {
		key := a.key(n)
		d := a.find(key)
		if d != nil {
			n.alias = d.name
			return // with the same types within
		}
		d = a.add(n, key, names)
		names = []string{d.name}
	}
	switch n.Kind {
	case layout.Slice, layout.Array, layout.Map:
		names = singulars(names)
	}
	for _, c := range []*tree{n.key, n.elem} {
		if c == nil {
			continue
		}
		within := names
		if n.named && n.Kind != layout.Struct && n.Kind != layout.Union {
			within = []string{n.alias + "Item"}
		}
		if c == n.key {
			within = []string{within[0] + "Key"}
		}
		a.declare(c, within)
	}
	for i, f := range n.fields {
		field := exported(n.Fields[i].Name)
		a.declare(f, []string{field, n.alias + field})
	}
}

// add adds a declaration of n.
func (a *attempt) add(n *tree, key string, names []string) *decl {
	d := &decl{name: a.unique(names), key: key, tree: n}
	n.alias = d.name
	a.decls[key] = d
	a.order = append(a.order, d)
	return d
}

// key returns what identifies the declaration of n.
func (a *attempt) key(n *tree) string {
	if !a.apart && a.left > 0 {
		if text := n.rooted(maxRooted); text != "" {
			a.left -= len(text)
			return text
		}
	}
	return fmt.Sprintf("%p", n)
}

// find returns a declaration, nil for none.
func (a *attempt) find(key string) *decl {
	if d := a.decls[key]; d != nil {
		return d
	}
	return a.generator.decls[key]
}

// unique returns the first of some names that is free, or the last one with a number.
func (a *attempt) unique(names []string) string {
	free := func(name string) bool { return !a.used[name] && !a.generator.used[name] }
	name := names[len(names)-1]
	if i := slices.IndexFunc(names, free); i >= 0 {
		name = names[i]
	}
	for i := 2; !free(name); i++ {
		name = names[len(names)-1] + strconv.Itoa(i)
	}
	a.used[name] = true
	return name
}

// singulars returns names for the elements of a list.
func singulars(names []string) []string {
	list := slices.Clone(names)
	for i, name := range list {
		switch {
		case strings.HasSuffix(name, "ies") && len(name) > 4:
			list[i] = strings.TrimSuffix(name, "ies") + "y"
		case strings.HasSuffix(name, "sses"), strings.HasSuffix(name, "xes"), strings.HasSuffix(name, "ches"):
			list[i] = strings.TrimSuffix(name, "es")
		case strings.HasSuffix(name, "s") && !strings.HasSuffix(name, "ss") && !strings.HasSuffix(name, "us") && len(name) > 3:
			list[i] = strings.TrimSuffix(name, "s")
		}
	}
	return list
}

// exported returns a name that other packages can write.
func exported(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	if up := string(unicode.ToUpper(r)) + name[n:]; token.IsExported(up) {
		return up
	}
	return "X" + name
}

// separate names composites of which an enclosing one has the same Go type: without a name, a
// back reference would lead there.
func (a *attempt) separate(n *tree, enclosing, names []string) {
	if n.target != nil || !n.isComposite() {
		return
	}
	typ := a.expr(n)
	if !n.named && slices.Contains(enclosing, typ) {
		n.named = true
		typ = a.add(n, a.key(n), names).name
	}
	enclosing = append(slices.Clip(enclosing), typ)
	for _, c := range n.children() {
		a.separate(c, enclosing, names)
	}
}
