package layout

// Values with parts: lists, maps, pointers, structs and unions, from bytes to JSON. The order of
// everything is that of the bytes: of fields by the layout, of pairs by the bytes of their keys.
// Equal bytes therefore make equal text, and text can be compared line by line.

import (
	"math"
	"strconv"

	"github.com/bsrpc/bsrpc/internal/jsontext"
	"github.com/bsrpc/bsrpc/internal/plural"
)

// list appends an array or a slice. An empty one is [], never null: a slice has no nil on the wire.
func (w *jsonWriter) list(l *Type) *JSONError {
	w.text("[")
	err := w.elements(l, func(i int) *JSONError {
		if i > 0 {
			w.text(",")
		}
		if err := w.part(l, secretElem, l.Elem); err != nil {
			return err.in("[" + strconv.Itoa(i) + "]")
		}
		return nil
	})
	w.text("]")
	return err
}

// elements reads the lengths of an array, slice or map, and calls each for each element. Within a
// list that has its length in bytes, data ends with the list, so that no element reads on.
func (w *jsonWriter) elements(l *Type, each func(i int) *JSONError) *JSONError {
	if l.Kind == Array {
		for i := range l.Len {
			if err := each(i); err != nil {
				return err
			}
		}
		return nil
	}
	outer, bounded := w.data, l.Bytes != NoFormat
	if bounded {
		size, err := w.uint(l.Bytes)
		if err != nil {
			return err
		}
		if size > uint64(len(w.data)-w.off) {
			return w.errorf("want %s of elements, have %d", plural.Of(size, "byte"), len(w.data)-w.off)
		}
		w.data = w.data[:w.off+int(size)]
	}
	count := uint64(math.MaxUint64)
	if l.Format != NoFormat && l.Format != Rest {
		from := w.off
		var err *JSONError
		if count, err = w.uint(l.Format); err != nil {
			return err
		}
		// Each element takes at least a byte.
		if count > uint64(len(w.data)-w.off) {
			err := w.errorf("want %s, have %s", plural.Of(count, "element"), plural.Of(len(w.data)-w.off, "byte"))
			err.Offset = from
			return err
		}
	}
	// Without a count the end of data is that of the list.
	for i := 0; uint64(i) < count; i++ {
		if count == math.MaxUint64 && w.off == len(w.data) {
			break
		}
		if err := each(i); err != nil {
			return err
		}
	}
	if bounded && w.off != len(w.data) {
		return w.errorf("%s after the elements", plural.Of(len(w.data)-w.off, "trailing byte"))
	}
	w.data = outer
	return nil
}

// pairs appends a map. Its keys are in the order of their bytes, which is that of names only if they
// have one length: a text with its length in front sorts by that first.
func (w *jsonWriter) pairs(l *Type) *JSONError {
	object := l.Key.isScalar()
	brackets := "[]"
	if object {
		brackets = "{}"
	}
	var last []byte
	w.text(brackets[:1])
	err := w.elements(l, func(i int) *JSONError {
		if i > 0 {
			w.text(",")
		}
		if !object {
			w.text("[")
		}
		from, text := w.off, len(w.out)
		if err := w.key(l); err != nil {
			return err.in("[key]")
		}
		if object && w.out[text] != '"' { // a number or a word
			w.text(`""`)
			copy(w.out[text+1:], w.out[text:len(w.out)-2])
			w.out[text] = '"'
		}
		// One encoding per map, and no key twice. The bytes are compared, as the codec does.
		key := w.data[from:w.off]
		if i > 0 && string(last) >= string(key) {
			w.off = from
			return w.errorf("want unique keys in the order of their bytes").in("[key]")
		}
		last = key
		if object {
			w.text(":")
		} else {
			w.text(",")
		}
		if err := w.part(l, secretElem, l.Elem); err != nil {
			return err.in("[" + strconv.Itoa(i) + "]")
		}
		if !object {
			w.text("]")
		}
		return nil
	})
	w.text(brackets[1:])
	return err
}

// key appends the key of a map. Floats in it, also inside of a composite key, must be equal to
// themselves, or a Go map would never find them.
func (w *jsonWriter) key(l *Type) *JSONError {
	outer := w.inKey
	w.inKey = true
	err := w.part(l, secretKey, l.Key)
	w.inKey = outer
	return err
}

// pointer appends null or the target of a pointer. All other types have JSON that is never null, so
// null is free to stand for nil: only a pointer to a pointer has two of them. The target may be a
// back reference to one, as in type P *P.
func (w *jsonWriter) pointer(l *Type) *JSONError {
	present, err := w.flag("the presence of a pointer's value")
	switch {
	case err != nil:
		return err
	case !present:
		w.text("null")
		return nil
	case !w.isPointer(l.Elem):
		return w.value(l.Elem)
	}
	// Otherwise null would stand for each of the two.
	w.text("[")
	err = w.value(l.Elem)
	w.text("]")
	return err
}

// fields appends a struct. Names are identifiers of any language, and need no escapes.
func (w *jsonWriter) fields(l *Type) *JSONError {
	w.text("{")
	first := true
	for i, f := range l.Fields {
		if f.Name == blankName {
			if err := w.blank(f.Type); err != nil {
				return err.in("._")
			}
			continue
		}
		if !first {
			w.text(",")
		}
		first = false
		w.out = append(jsontext.AppendString(w.out, f.Name), ':')
		if err := w.part(l, i, f.Type); err != nil {
			return err.in("." + truncate(f.Name))
		}
	}
	w.text("}")
	return nil
}

// blank reads a constant or padding. Neither is in the text: the layout has the one, and the other
// is no value.
func (w *jsonWriter) blank(l *Type) *JSONError {
	if l.Kind == Pad {
		_, err := w.next(l.Len)
		return err
	}
	want := l.constBytes()
	from := w.off
	b, err := w.next(len(want))
	if err == nil && string(b) != string(want) {
		w.off = from
		return w.errorf("want the constant %s, which is % x", l.Const, want)
	}
	return err
}

// member appends a union, as an object with the name of its member. A number without a member is
// an error, and so is 0: no writer may send a union without one.
func (w *jsonWriter) member(l *Type) *JSONError {
	b, err := w.next(1)
	if err != nil {
		return err
	}
	i := int(b[0])
	if i < 1 || i > len(l.Fields) {
		w.off--
		return w.errorf("want 1 to %d for the member of a union", len(l.Fields))
	}
	f := l.Fields[i-1]
	w.text("{")
	w.out = append(jsontext.AppendString(w.out, f.Name), ':')
	if err := w.part(l, i-1, f.Type); err != nil {
		return err.in("." + truncate(f.Name))
	}
	w.text("}")
	return nil
}
