package codec

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/bsrpc/bsrpc/internal/errtree"
)

// ErrLimit is wrapped by errors of values beyond a local limit of size, memory
// or depth.
var ErrLimit = errors.New("limit reached")

// ErrSize is wrapped, as well as ErrLimit, by errors of values beyond
// Encoder.Max.
var ErrSize = fmt.Errorf("%w: size", ErrLimit)

// LimitOf adds the owner of a limit, the depth or the budget, to an error.
func LimitOf(owner string, err error) error {
	if errors.Is(err, ErrLimit) && !errors.Is(err, ErrSize) {
		return fmt.Errorf("%w (%s limit)", err, owner)
	}
	return err
}

// ErrRange is wrapped by errors of numbers out of range for their wire format.
var ErrRange = errors.New("out of range")

// An Error is the reason and place of a failed Append or Read. It never
// contains a value.
type Error struct {
	Path   string // "parameter 1, Order.ID"
	Offset int    // in the input; -1 if encoding
	Text   string // the reason and, if helpful, the remedy
	Err    error  // the cause: ErrLimit, ErrRange, io.ErrUnexpectedEOF, or the error of a type's own method
	Need   int    // of a truncated input: the size of the whole, as far as known; 0 for other errors
	Base   int64  // added to Offset in the text

	steps []string // of Path, innermost first, until withPath joins them
}

// Error returns the path, text and offset: "Order.ID: want 8 bytes, have 3,
// offset 12".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Text)
	if e.Offset >= 0 {
		b.WriteString(", offset ")
		b.WriteString(strconv.FormatInt(e.Base+int64(e.Offset), 10))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// in prepends a step to the path. Joining the steps is deferred to withPath:
// with thousands of them, one by one would take quadratic time.
//
//go:noinline
func (e *Error) in(step string) *Error {
	e.steps = append(e.steps, step)
	return e
}

// withPath sets Path from the steps.
func (e *Error) withPath(r pathRoot) *Error {
	slices.Reverse(e.steps)
	e.Path, e.steps = r.path(elidePath(strings.Join(e.steps, ""))), nil
	return e
}

// Paths of more than maxPathSteps fields and elements are elided in the middle.
const (
	maxPathSteps   = 16
	firstPathSteps = 4
	lastPathSteps  = 2
)

// elidePath replaces the middle of a long path.
func elidePath(path string) string {
	var begin []int // offsets of the steps
	for i := range len(path) {
		if path[i] == '.' || path[i] == '[' {
			begin = append(begin, i)
		}
	}
	n := len(begin)
	if n <= maxPathSteps {
		return path
	}
	return fmt.Sprintf("%s...(%d more)%s", path[:begin[firstPathSteps]], n-firstPathSteps-lastPathSteps, path[begin[n-lastPathSteps]:])
}

// encodeErrorf returns an error of Append. Like in and the other funcs of errors
// it is not inlined: they have many callers, and none on a fast path.
//
//go:noinline
func encodeErrorf(format string, args ...any) *Error {
	return &Error{Offset: -1, Text: fmt.Sprintf(format, args...)}
}

// rangeError returns the error of a number that does not fit in what the text says.
//
//go:noinline
func rangeError(text string) *Error {
	e := encodeErrorf("does not fit in %s", text)
	e.Err = ErrRange
	return e
}

// A panicError is the error of a panic in a method of a user's type.
type panicError struct {
	method string
	value  any
}

// PanicError returns the error of a panic with this value in a method. Its text contains
// the value only if it is by the Go runtime; an error is unwrapped.
func PanicError(method string, value any) error { return &panicError{method, value} }

// Error returns the method and, of runtime errors, the text.
func (e *panicError) Error() string {
	if err, ok := e.value.(runtime.Error); ok {
		return e.method + " panicked: " + err.Error()
	}
	return e.method + " panicked"
}

// Unwrap returns the value of the panic if that is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// causeOf is errtree.Sound for the error of a user's method. The text of a panic may be a value, and is left
// out.
func causeOf(err error) (cause error) {
	defer func() {
		if recover() != nil {
			cause = fmt.Errorf("an error of type %T, whose methods panic", err)
		}
	}()
	cause = errtree.Bounded(err)
	_, _ = cause.Error(), errors.Is(cause, ErrLimit)
	return cause
}

// A Problem is a reason for a type to have no codec.
type Problem struct {
	Path string // "parameter 1, Order.Items[].Price"
	Text string
}

// Problems is the error of a type without a codec, with all reasons.
type Problems []Problem

// Error returns one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Text
		if p.Path != "" {
			lines[i] = p.Path + ": " + p.Text
		}
	}
	return strings.Join(lines, "\n")
}

// A pathRoot converts paths relative to a codec's type into paths for messages.
type pathRoot struct {
	typ   reflect.Type
	word  string // for the elements of a list; "" for a single value
	place string // of a single value: "parameter 1" for the items of a stream
}

// inCall reports whether the type is a part of a call.
func (r pathRoot) inCall() bool { return r.word != "" || r.place != "" }

// path converts a relative path: ".ID" to "Order.ID", in a list ".A0.ID" to
// "parameter 1, Order.ID".
func (r pathRoot) path(inside string) string {
	if r.word == "" {
		return joinPath(r.place, rootPath(r.typ, inside))
	}
	rest, ok := strings.CutPrefix(inside, ".A")
	if !ok {
		return inside
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	i, err := strconv.Atoi(rest[:end])
	if err != nil {
		return inside
	}
	if i >= r.typ.NumField() { // of the peer alone
		return r.word + " " + strconv.Itoa(i+1)
	}
	return joinPath(r.word+" "+strconv.Itoa(i+1), rootPath(r.typ.Field(i).Type, rest[end:]))
}

// joinPath returns a path with its parameter or result.
func joinPath(place, path string) string {
	return place + stringIf(place != "" && path != "", ", ") + path
}

// rootPath prepends the name of t to a relative path. Predeclared types have no
// name in paths. An unnamed type is written as in Go, such as []Order, and
// replaces the leading brackets of the path.
func rootPath(t reflect.Type, inside string) string {
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	if t.PkgPath() == "" && t.Name() != "" || isSeq(t) || isJSON(t) {
		return strings.TrimPrefix(inside, ".")
	}
	// Spell out the type up to the first name. Each bracket of the type stands
	// for the same bracket in the path.
	shape := ""
	for t.Name() == "" {
		switch t.Kind() {
		case reflect.Slice:
			shape += "[]"
		case reflect.Array:
			shape += "[" + strconv.Itoa(t.Len()) + "]"
		case reflect.Map:
			shape += "map[" + cmp.Or(t.Key().Name(), t.Key().String()) + "]"
		case reflect.Pointer:
			t = t.Elem()
			continue
		default:
			return shape + strings.TrimPrefix(inside, stringIf(shape == "", "."))
		}
		inside = strings.TrimPrefix(inside, "[]")
		t = t.Elem()
	}
	return shape + stringIf(!isSeq(t), t.Name()) + inside
}

// stringIf returns s if ok, or else "".
func stringIf(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}
