package codec

// Skipping what a peer writes and this end does not have. There are neither Go types nor
// memory for it, so it is no node tree of its own: a skipped has the layout alone, with the
// sizes that make skipping fast.
//
// The bytes are hostile, as all others. The length of a text and of a list is checked
// against the input, and the depth of pointers and of lists without a byte length against
// the limit of the reader. Nothing is allocated.

import (
	"reflect"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// nothing is the type of values that are skipped.
var nothing = reflect.TypeFor[struct{}]()

// maxSkipName is the longest name of a peer's field in an error.
const maxSkipName = 100

// skip returns a field that skips l.
func (t *translator) skip(name string, l *layout.Type) field {
	if len(name) > maxSkipName {
		name = strings.ToValidUTF8(name[:maxSkipName], "")
	}
	return field{name: name, path: "." + name, index: -1, node: &node{op: opSkip, typ: nothing, skipped: t.skipped(l)}}
}

// A skipped is a layout of bytes that are read and dropped.
type skipped struct {
	kind      layout.Kind
	format    layout.Format // of a length or count, or of a number
	lenFormat layout.Format // slice, map: of the byte length; NoFormat if omitted
	length    int           // array: elements
	minSize   int           // minimum bytes, at most maxMinSize
	fixed     bool          // all values take minSize bytes
	sized     bool          // minSize and fixed are set
	parts     []*skipped    // fields, or key and element
}

// skipped returns what skips l, without its size: a recursive layout refers to a skipped in
// progress.
func (t *translator) skipped(l *layout.Type) *skipped {
	l, restore := t.resolve(l)
	defer restore()
	if s, ok := t.skips[l]; ok {
		return s
	}
	s := &skipped{kind: l.Kind, format: l.Format, lenFormat: l.Bytes, length: l.Len}
	t.skips[l] = s
	t.enclosing = append(t.enclosing, l)
	for _, part := range []*layout.Type{l.Key, l.Elem} {
		if part != nil {
			s.parts = append(s.parts, t.skipped(part))
		}
	}
	for _, f := range l.Fields {
		s.parts = append(s.parts, t.skipped(f.Type))
	}
	t.enclosing = t.enclosing[:len(t.enclosing)-1]
	return s
}

// setSize sets the size of s from its parts. A recursive type passes a slice, map or
// pointer, whose size does not depend on them.
func (s *skipped) setSize() {
	if s.sized {
		return
	}
	s.sized, s.fixed = true, true
	if s.kind == layout.Array || s.kind == layout.Struct {
		for _, part := range s.parts {
			part.setSize()
		}
	}
	switch s.kind {
	case layout.Bool, layout.Func:
		s.minSize = 1
	case layout.Int, layout.Uint, layout.Float:
		s.minSize, s.fixed = minWidth(s.format), widthOf(s.format) > 0
	case layout.Complex:
		s.minSize = 2 * minWidth(s.format)
	case layout.Duration:
		s.minSize = 8
	case layout.Time:
		s.minSize = 12
	case layout.Array:
		// Without elements it takes no bytes, whatever they are. What is not fixed takes a
		// byte at least, so the input bounds every loop.
		s.minSize = mulSaturated(s.length, s.parts[0].minSize)
		s.fixed = s.length == 0 || s.parts[0].fixed
	case layout.Struct:
		for _, part := range s.parts {
			s.minSize = addSaturated(s.minSize, part.minSize)
			s.fixed = s.fixed && part.fixed
		}
		// Only now: the sizes of the parts are complete.
		s.parts = slices.DeleteFunc(s.parts, (*skipped).empty)
	case layout.String, layout.Bytes:
		s.minSize, s.fixed = addSaturated(minWidth(s.format), s.length), s.format == layout.NoFormat
	case layout.Binary, layout.Text:
		s.format, s.minSize, s.fixed = layout.LE4, 4, false
	case layout.Pointer, layout.Union:
		s.minSize, s.fixed = 1, false
	default:
		s.minSize, s.fixed = minWidth(s.format)+minWidth(s.lenFormat), false
	}
	s.fixed = s.fixed && s.minSize < maxMinSize
	// A hundred structs around each byte of a list would be a hundred steps for it.
	if !s.fixed && (s.kind == layout.Struct && len(s.parts) == 1 || s.kind == layout.Array && s.length == 1) {
		*s = *s.parts[0]
	}
}

// empty reports whether values of s take no bytes. Thousands of such fields in an element of
// one byte would take thousands of steps for each byte of input.
func (s *skipped) empty() bool { return s.fixed && s.minSize == 0 }

// isText reports whether values of s are a length and as many bytes.
func (s *skipped) isText() bool {
	return s.kind == layout.String || s.kind == layout.Bytes || s.kind == layout.Binary || s.kind == layout.Text
}

// skipValue skips a value. It checks lengths, counts and depth, and nothing that has no
// influence on the next value.
func (r *reader) skipValue(s *skipped, depth int) *Error {
	if s.fixed {
		_, err := r.next(s.minSize)
		return err
	}
	switch s.kind {
	case layout.Int, layout.Uint:
		_, err := r.uint(s.format)
		return err
	case layout.String, layout.Bytes, layout.Binary, layout.Text:
		if s.format == layout.NoFormat { // a gigabyte or more
			_, err := r.next(s.length)
			return err
		}
		return r.skipText(s.format)
	case layout.Array:
		for range s.length {
			if err := r.skipValue(s.parts[0], depth); err != nil {
				return err
			}
		}
	case layout.Struct:
		for _, part := range s.parts {
			if err := r.skipValue(part, depth); err != nil {
				return err
			}
		}
	case layout.Pointer:
		if err := r.checkDepth(depth + 1); err != nil {
			return err
		}
		if present, err := r.presence("a pointer's value"); err != nil || !present {
			return err
		}
		return r.skipValue(s.parts[0], depth+1)
	case layout.Union:
		return r.skipUnion(s, depth+1)
	default:
		return r.skipList(s, depth+1)
	}
	return nil
}

// skipUnion skips the number of a member and its value.
func (r *reader) skipUnion(s *skipped, depth int) *Error {
	if err := r.checkDepth(depth); err != nil {
		return err
	}
	if r.off >= len(r.data) {
		return r.errShort(1)
	}
	i := int(r.data[r.off])
	if i < 1 || i > len(s.parts) {
		return r.errorf("want 1 to %d for the member of a union", len(s.parts))
	}
	r.off++
	return r.skipValue(s.parts[i-1], depth)
}

// skipText skips a length and as many bytes.
func (r *reader) skipText(length layout.Format) *Error {
	size, err := r.uint(length)
	if err != nil {
		return err
	}
	if size > uint64(len(r.data)-r.off) {
		return r.errorf("want %s, have %d", plural.Of(size, "byte"), len(r.data)-r.off)
	}
	r.off += int(size)
	return nil
}

// skipList skips a slice or map, by its length in bytes if it has one. The elements are
// then not looked at, and their depth does not count.
func (r *reader) skipList(s *skipped, depth int) *Error {
	if s.lenFormat != layout.NoFormat {
		return r.skipText(s.lenFormat)
	}
	if err := r.checkDepth(depth); err != nil {
		return err
	}
	count, err := r.uint(s.format)
	if err != nil {
		return err
	}
	// Every element takes at least a byte, so the input bounds the loop.
	for range count {
		for _, part := range s.parts {
			if err := r.skipValue(part, depth); err != nil {
				return err
			}
		}
	}
	return nil
}
