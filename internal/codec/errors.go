package codec

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// ErrLimit is found in the error of a value that is refused for its size or
// depth by a limit of this end.
var ErrLimit = errors.New("limit reached")

// ErrSize is found, and ErrLimit with it, in the error of a value that takes more
// bytes than Encoder.Max.
var ErrSize = fmt.Errorf("%w: size", ErrLimit)

// ErrRange is found in the error of a number that cannot be appended because
// it does not fit its format.
var ErrRange = errors.New("out of range")

// An Error says where a value could not be encoded or decoded, and why. It
// never holds the value.
type Error struct {
	Path   string // "parameter 1, Order.ID"
	Offset int    // in the input; -1 where there is none
	Text   string // what is wrong and, where it helps, what would be right
	Err    error  // cause: ErrLimit, ErrRange, or what a type's own method returned

	steps []string // of the path, the innermost first, until Path is made of them
}

// Error returns path, text and offset: "Order.ID: want 8 bytes, have 3, offset 12".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Text)
	if e.Offset >= 0 {
		b.WriteString(", offset ")
		b.WriteString(strconv.Itoa(e.Offset))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// in puts one step of the path before what is there. Steps are joined only
// when all are there: a value may lie thousands of them deep.
func (e *Error) in(step string) *Error {
	e.steps = append(e.steps, step)
	return e
}

// placed makes e's path of its steps.
func (e *Error) withPath(r pathRoot) *Error {
	slices.Reverse(e.steps)
	e.Path, e.steps = r.path(elidePath(strings.Join(e.steps, ""))), nil
	return e
}

// A path of more than maxSteps fields and elements is told by its first and
// its last ones.
const (
	maxPathSteps   = 16
	firstPathSteps = 4
	lastPathSteps  = 2
)

// cutPath leaves out the middle of a long path.
func elidePath(path string) string {
	var begin []int // of each step
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

// amount writes a number with its unit: "1 byte", "2 bytes".
func plural[T int | uint64](n T, unit string) string {
	return fmt.Sprint(n, " ", unit) + stringIf(n != 1, "s")
}

// refuse makes the error of a value that cannot be appended.
func encodeErrorf(format string, args ...any) *Error {
	return &Error{Offset: -1, Text: fmt.Sprintf(format, args...)}
}

// overflow makes the error of a number that does not fit.
func rangeErrorf(format string, args ...any) *Error {
	e := encodeErrorf("does not fit in "+format, args...)
	e.Err = ErrRange
	return e
}

// A Problem is one reason why a type has no codec.
type Problem struct {
	Path string // "parameter 1, Order.Items[].Price"
	Text string
}

// Problems are all the reasons why a type has no codec.
type Problems []Problem

// Error returns a line for each problem.
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

// A root turns a path inside of a codec's type, which begins with a field or
// with the brackets of an element, into what a user reads.
type pathRoot struct {
	typ  reflect.Type
	word string // what the elements of a list are called; "" for a single value
}

func (r pathRoot) path(inside string) string {
	if r.word == "" {
		return rootPath(r.typ, inside)
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
	if err != nil || i >= r.typ.NumField() {
		return inside
	}
	place := r.word + " " + strconv.Itoa(i+1)
	if path := rootPath(r.typ.Field(i).Type, rest[end:]); path != "" {
		place += ", " + path
	}
	return place
}

// rootPath puts the name of t before a path inside of it. A type without a
// name is written by its shape, which takes the place of the first brackets.
func rootPath(t reflect.Type, inside string) string {
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	if t.PkgPath() == "" && t.Name() != "" {
		return strings.TrimPrefix(inside, ".")
	}
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
	return shape + t.Name() + inside
}

// textIf returns s if ok, else nothing.
func stringIf(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}
