package layout

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/similar"
)

// The one mapping between values as bytes and values as JSON: that of protobuf, as far as it
// has the types. json_append.go and json_parse.go are the two directions.

// AppendJSON appends the value that data encodes in the layout t to dst as JSON, and returns
// the extended slice. It is JSON.Append with the zero [JSON], which describes the mapping.
//
// t is the layout of a value, from [Parse], or a parameter or result of a method from
// [ParseMethod], as long as that is not a stream, reader or func. Data must be one value and
// nothing else; use JSON.Decode for several. If there is an error, a *JSONError, AppendJSON
// returns dst unchanged.
func AppendJSON(dst []byte, t *Type, data []byte) ([]byte, error) { return JSON{}.Append(dst, t, data) }

// ParseJSON appends the encoding in the layout t of a JSON text to dst, and returns the
// extended slice. It is JSON.Parse with the zero [JSON], which describes the mapping.
//
// The text must be one value and nothing else but white space. Values for several parameters are
// appended by one call each. If there is an error, a *JSONError, ParseJSON returns dst unchanged,
// so nothing of a value that does not fit can be sent by mistake.
func ParseJSON(dst []byte, t *Type, text []byte) ([]byte, error) { return JSON{}.Parse(dst, t, text) }

// JSON converts values between their bytes and JSON, by their layout alone. Its fields are
// options; the zero JSON has the defaults. The mapping is that of protobuf:
//
//	bool                      true, false
//	int, uint                 a number; a string in formats of more than 53 bits: le7, le8,
//	                          be7, be8, varint and uvarint. Both are read, for all formats
//	float                     a number, or "NaN", "Infinity", "-Infinity"; a string is read, too
//	complex                   a list of the real and the imaginary part
//	string, text(T)           a string
//	bytes, binary(T)          a string in base64; the alphabet of URLs is read, too
//	time                      "2026-01-31T12:00:00.500Z" (RFC 3339); "@-9000000000000.5" for
//	                          seconds since 1970 beyond the years 0 to 9999
//	duration                  "1.500s"; those of Go, as "1m30s", are read, too
//	array, slice              a list
//	map                       an object; a list of pairs [key, value] if keys are composites
//	struct                    an object; a field that is absent has its zero value
//	union                     an object with one member
//	*T                        null, or the value; a pointer to a pointer is a list of the value
//
// Constants and padding are not in the text. A slice, a map or bytes may also be null. JSON
// has no bytes in a string that are not UTF-8: such a byte b is the lone surrogate \udcXX,
// with b as its last digits. Values of the kinds Raw, Stream, Reader and Func have no JSON.
//
// Append and Parse are inverse: Parse returns the bytes that Append was given. The exceptions
// are padding and the payload of a NaN, which are lost, and what Secret masks.
//
// Errors are of type [*JSONError] and contain no value. JSON is safe for concurrent use.
type JSON struct {
	// Secret lists places whose values Append replaces by the string "***": the names of
	// fields and members from the outermost type on, "[]" for the elements of arrays, slices
	// and maps, "[key]" for keys: "Users[].Password". Pointers add nothing. In a recursive
	// type the place holds at each level. A place that is not in the type is an error.
	Secret []string

	// MaxDepth limits the nested slices, maps, pointers and unions, as Limits.MaxDepth of a
	// client does. Zero means 64, -1 no limit. Without a limit, hostile bytes of a recursive type
	// can exhaust the stack.
	MaxDepth int

	// MaxSize limits the bytes appended to dst. Zero means 16 times the size of the input, or
	// 64 MiB if that is more; -1 means no limit. The last value may exceed it before the error,
	// by its own size.
	MaxSize int
}

// A JSONError is the error of bytes or of text that do not fit a layout. Neither its text nor its
// place contains a value, or a name that the layout does not have: both may be secrets. Elements of
// lists and maps have their number, from 0.
type JSONError struct {
	Place  string // in the value: "Config.Rates[2]"; "" for all of it
	Text   string // "a string; the layout has a 32-bit float"
	Offset int    // in the input of the conversion
	Err    error  // ErrTooDeep or ErrTooLong; nil for others

	steps []string // of Place, innermost first, until done joins them
}

// Error returns the place, the text and the offset: "Config.Rates[2]: a string; the layout has
// a 32-bit float, offset 27".
func (e *JSONError) Error() string {
	text := e.Text + ", offset " + strconv.Itoa(e.Offset)
	if e.Place != "" {
		text = e.Place + ": " + text
	}
	return text
}

// Unwrap returns Err.
func (e *JSONError) Unwrap() error { return e.Err }

// in prepends a step to the place: ".Rates", "[2]".
func (e *JSONError) in(step string) *JSONError {
	e.steps = append(e.steps, step)
	return e
}

// Places of more steps are cut in the middle.
const (
	maxPlaceSteps   = 16
	firstPlaceSteps = 6
)

// done sets Place from the steps. They are collected on the way out of the recursion, since joining
// them one by one would copy a long place once for each level of a deep value.
func (e *JSONError) done() *JSONError {
	slices.Reverse(e.steps)
	if n := len(e.steps); n > maxPlaceSteps {
		more := fmt.Sprintf("...(%d more)", n-maxPlaceSteps)
		e.steps = slices.Concat(e.steps[:firstPlaceSteps], []string{more}, e.steps[n-maxPlaceSteps+firstPlaceSteps:])
	}
	e.Place, e.steps = strings.TrimPrefix(strings.Join(e.steps, ""), "."), nil
	return e
}

// limits returns the limits of nesting and of the size for an input of n bytes. The defaults are those
// of bsrpc.Unmarshal for memory and depth.
func (o JSON) limits(n int) (depth, size int) {
	const least = 64 << 20
	depth, size = o.MaxDepth, o.MaxSize
	if depth == 0 {
		depth = 64
	} else if depth < 0 {
		depth = math.MaxInt
	}
	switch {
	case size == 0 && n > math.MaxInt/16:
		size = math.MaxInt
	case size == 0:
		size = max(16*n, least)
	case size < 0:
		size = math.MaxInt
	}
	return depth, size
}

// ErrTooDeep and ErrTooLong are wrapped by the errors of values beyond JSON.MaxDepth and
// JSON.MaxSize.
var (
	ErrTooDeep = errors.New("nested too deep")
	ErrTooLong = errors.New("too long")
)

// tooDeep returns the error of a value beyond MaxDepth. Depth counts composites that a layout can
// repeat, so it limits the stack whatever the input is.
func tooDeep(depth, at int) *JSONError {
	return &JSONError{Text: fmt.Sprintf("nested deeper than MaxDepth (%d)", depth), Offset: at, Err: ErrTooDeep}
}

// tooLong returns the error of a value beyond MaxSize. Size counts what is written, JSON or bytes,
// so it limits the memory of both directions.
func tooLong(size, at int) *JSONError {
	return &JSONError{Text: "takes more than the " + plural.Of(size, "byte") + " that MaxSize allows", Offset: at, Err: ErrTooLong}
}

// isScalar reports whether the JSON of l is a single word, number or string: whether it can
// be a name in an object. The kind decides for all keys of a map, so that a reader knows the form
// before it sees one.
func (l *Type) isScalar() bool {
	switch l.Kind {
	case Bool, Int, Uint, Float, String, Bytes, Time, Duration, Binary, Text:
		return true
	}
	return false
}

// describe returns l in words, for messages: what the reader of JSON should have written. The text of
// the layout would name formats, which JSON does not have.
func (l *Type) describe() string {
	switch l.Kind {
	case Bool:
		return "a bool"
	case Int:
		return strings.Replace(fmt.Sprintf("a %d-bit integer", 8*l.Format.width()), "a 8", "an 8", 1)
	case Uint:
		return fmt.Sprintf("an unsigned %d-bit integer", 8*l.Format.width())
	case Float:
		return fmt.Sprintf("a %d-bit float", 8*l.Format.width())
	case Complex:
		return "a complex number, a list of two floats"
	case String:
		return "a string"
	case Bytes:
		return "bytes, a string in base64"
	case Time:
		return "a time, a string as in RFC 3339"
	case Duration:
		return `a duration, a string such as "1.5s"`
	case Array:
		return fmt.Sprintf("a list of %d", l.Len)
	case Slice:
		return "a list"
	case Map:
		if !l.Key.isScalar() {
			return "a map, a list of pairs of key and value"
		}
		return "a map, an object"
	case Pointer:
		return l.describePointer()
	case Struct:
		return "a struct, an object"
	case Union:
		return "a union, an object with one of " + truncate(fieldNames(l.Fields))
	case Binary:
		return "the bytes of " + truncate(l.Opaque) + ", a string in base64"
	case Text:
		return "the text of " + truncate(l.Opaque)
	}
	return l.withoutJSON()
}

// describePointer is describe for a pointer.
func (l *Type) describePointer() string {
	switch l.Elem.Kind {
	case Pointer, BackRef:
		return "a pointer, null or a list of its value"
	}
	return l.Elem.describe() + ", or null"
}

// withoutJSON returns the text of the error of a kind without JSON: a part of a call that is not
// a value, or bytes whose end only a Go type knows.
func (l *Type) withoutJSON() string {
	switch l.Kind {
	case Raw:
		return "raw(" + truncate(l.Opaque) + "), bytes of a Go type's own, which only that type can read"
	case Stream, Reader, Func:
		return "a stream, reader or func, which is not a value"
	}
	return fmt.Sprintf("the unknown kind %d", l.Kind)
}

// unknownName returns the text of the error of a name that l does not have. The name may be
// a value at a wrong place, so it is not in the text; the offset leads to it.
func unknownName(name string, l *Type) string {
	what := "field"
	if l.Kind == Union {
		what = "member"
	}
	var names []string
	for _, f := range l.Fields {
		if f.Name != blankName {
			names = append(names, f.Name)
		}
	}
	if near := similar.Similar(name, slices.Values(names), 3, 1024); len(near) > 0 {
		return "unknown " + what + "; did you mean " + strings.Join(near, " or ") + "?"
	}
	if len(names) == 0 {
		return "unknown " + what + "; there are none"
	}
	return "unknown " + what + "; there are " + truncate(strings.Join(names, ", "))
}

// A secretPlace is a part of a type: a field by its number, or one of these. Types are compared by
// address. The nodes of a parsed layout are all different, and back references are resolved, so
// that a place is one in all values of a recursive type.
type secretPlace struct {
	in   *Type
	part int
}

const (
	secretElem = -1 - iota
	secretKey
)

// secrets returns the places of o.Secret in t. It fails closed: with a place that is not found,
// perhaps misspelt, or renamed at the server, nothing is printed.
func (o JSON) secrets(t *Type) (map[secretPlace]bool, error) {
	if len(o.Secret) == 0 {
		return nil, nil
	}
	places := make(map[secretPlace]bool, len(o.Secret))
	for _, path := range o.Secret {
		place, err := secretOf(t, path)
		if err != nil {
			return nil, fmt.Errorf("place %q of Secret is not in the type: %w", path, err)
		}
		places[place] = true
	}
	return places, nil
}

// secretOf returns the place in t with a path. It follows back references, so that a path through
// a recursive type leads to the place that all levels share.
func secretOf(t *Type, path string) (place secretPlace, err error) {
	s := jsonScope{maxDepth: math.MaxInt}
	for rest := path; ; {
		t, _ = s.resolve(t)
		// A pointer to itself has no end, but each of its levels is the same place.
		for i := 0; t.Kind == Pointer && i <= MaxDepth; i++ {
			s.enter(t)
			t, _ = s.resolve(t.Elem)
		}
		if rest == "" && path != "" {
			return place, nil
		}
		s.enter(t)
		var step string
		if step, rest = secretStep(rest); step == "" {
			return place, errors.New("want names separated by dots, [] and [key]")
		}
		switch {
		case step == "[]" && (t.Kind == Array || t.Kind == Slice || t.Kind == Map):
			place, t = secretPlace{t, secretElem}, t.Elem
		case step == "[key]" && t.Kind == Map:
			place, t = secretPlace{t, secretKey}, t.Key
		case t.Kind == Struct || t.Kind == Union:
			i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == step && step != blankName })
			if i < 0 {
				return place, errors.New(unknownName(step, t))
			}
			place, t = secretPlace{t, i}, t.Fields[i].Type
		default:
			return place, fmt.Errorf("%s stands for a part of %s", step, t.describe())
		}
	}
}

// secretStep cuts the first step off a path. The step is "" where there is none, as after a dot at
// the end.
func secretStep(path string) (step, rest string) {
	for _, s := range []string{"[]", "[key]"} {
		if rest, ok := strings.CutPrefix(path, s); ok {
			return s, rest
		}
	}
	path = strings.TrimPrefix(path, ".")
	n := strings.IndexAny(path, ".[")
	if n < 0 {
		n = len(path)
	}
	return path[:n], path[n:]
}
