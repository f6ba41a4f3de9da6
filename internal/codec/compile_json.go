package codec

import (
	"fmt"
	"math"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/jsontext"
	"github.com/bsrpc/bsrpc/layout"
)

// Values of JSON in a layout, for CompileAs. Their Go type says nothing of the layout: an any,
// as encoding/json makes it. They are converted by way of JSON text and package layout, which
// has the one mapping.
//
// The executors call encode and decode through the node. Nothing else refers to them, so that the
// linker leaves them, and JSON, out of programs without Client.Call. Neither gets the writer or the
// reader: an indirect call would move these from the stack to the heap, for all values.

// A jsonCode converts the values of a node.
type jsonCode struct {
	layout *layout.Type

	// encode returns the encoding of v, of at most size bytes. Depth is the limit that is left.
	encode func(l *layout.Type, v reflect.Value, depth, size int) ([]byte, *Error)

	// decode sets v to the value at the start of data. It returns the size of its encoding, and
	// what is left of the budget. Offsets of its errors are those in data.
	decode func(n *node, data []byte, v reflect.Value, depth int, budget int64) (size int, left int64, err *Error)
}

var (
	anyType     = reflect.TypeFor[any]()
	listOfAny   = reflect.TypeFor[[]any]()
	objectOfAny = reflect.TypeFor[map[string]any]()
	stringType  = reflect.TypeFor[string]()
	floatType   = reflect.TypeFor[float64]()
)

// isJSON reports whether values of t are JSON in every layout.
func isJSON(t reflect.Type) bool {
	return t == anyType || t == listOfAny || t == objectOfAny || jsontext.IsRaw(t) || jsontext.IsNumber(t)
}

// isWholeJSON reports whether values of t, a whole parameter, are JSON in the layout l: a string
// for what is not one, as a time, and a float64 for a number. Parts of Go types are no such
// values: a float64 that a program declares for a layout of another kind is a mistake.
func (f *asCompiler) isWholeJSON(t reflect.Type, l *layout.Type) bool {
	return f.root.inCall() && !f.reads && (t == stringType && l.Kind != layout.String || t == floatType)
}

// json completes n, a node of JSON in the layout l.
func (f *asCompiler) json(n *node, l *layout.Type, loc location) {
	// The layout is used alone, without those around it.
	if refersOutside(l, 0) || loc.inKey {
		f.mismatch(loc, n.typ, l)
		return
	}
	t := &translator{skips: make(map[*layout.Type]*skipped)}
	n.op, n.skipped = opJSON, t.skipped(l)
	for _, s := range t.skips {
		s.setSize()
	}
	n.json = &jsonCode{l, encodeJSON, decodeJSON}
}

// jsonDepth returns the depth that is left at a depth.
func jsonDepth(limit, depth int) int {
	if limit == math.MaxInt || depth >= limit { // the latter is found by the parts themselves
		return -1
	}
	return limit - depth
}

// json appends a value of JSON.
func (w *writer) json(buf []byte, n *node, v reflect.Value, depth int) ([]byte, *Error) {
	b, err := n.json.encode(n.json.layout, v, jsonDepth(w.depth, depth), max(w.limit-len(buf), 1))
	if err == nil {
		err = w.checkRoom(buf, len(b))
	}
	return append(buf, b...), err
}

// json reads a value of JSON.
func (r *reader) json(n *node, v reflect.Value, depth int) *Error {
	size, left, err := n.json.decode(n, r.data[r.off:], v, jsonDepth(r.depth, depth), r.budget)
	if err != nil && err.Err == layout.ErrTooLong {
		return r.errBudget()
	}
	if r.budget = left; err != nil {
		err.Offset += r.off
		return err
	}
	r.off += size
	return nil
}

// encodeJSON is jsonCode.encode.
func encodeJSON(l *layout.Type, v reflect.Value, depth, size int) ([]byte, *Error) {
	text, err := jsontext.Append(nil, v.Interface())
	if err != nil {
		return nil, encodeErrorf("%v", err)
	}
	b, err := layout.JSON{MaxDepth: depth, MaxSize: size}.Parse(nil, l, text)
	if err == nil {
		return b, nil
	}
	e := jsonError(err)
	e.Offset = -1
	if e.Err == layout.ErrTooLong {
		e.Text, e.Err = "too long", ErrSize // as errTooLarge
	}
	return nil, e
}

// decodeJSON is jsonCode.decode. Both the text and the value count in the budget.
func decodeJSON(n *node, data []byte, v reflect.Value, depth int, budget int64) (size int, left int64, _ *Error) {
	v.SetZero()
	o := layout.JSON{MaxDepth: depth, MaxSize: int(max(min(budget, math.MaxInt), 1))}
	text, rest, err := o.Decode(nil, n.json.layout, data)
	if err != nil {
		return 0, budget, jsonError(err)
	}
	size, left = len(data)-len(rest), budget-int64(len(text))
	if jsontext.IsRaw(n.typ) {
		v.SetBytes(text)
		return size, left, nil
	}
	value, err := jsontext.Value(string(text), &left)
	switch t := reflect.TypeOf(value); {
	case err != nil: // of the budget: the text is layout's
		return 0, left, &Error{Err: layout.ErrTooLong}
	case t == nil:
	case !t.AssignableTo(n.typ):
		return 0, left, &Error{Text: fmt.Sprintf("%s does not take %v", typeName(n.typ), jsontext.NewScanner(string(text)).Kind())}
	default:
		v.Set(reflect.ValueOf(value))
	}
	return size, left, nil
}

// jsonError returns an error of package layout as one of a codec.
func jsonError(err error) *Error {
	j, ok := err.(*layout.JSONError)
	if !ok {
		return &Error{Text: err.Error()}
	}
	e := &Error{Text: j.Text, Offset: j.Offset, Err: j.Err}
	if j.Err == layout.ErrTooDeep {
		e.Err = ErrLimit
	}
	switch {
	case j.Place == "":
	case j.Place[0] == '[':
		e.in(j.Place)
	default:
		e.in("." + j.Place)
	}
	return e
}
