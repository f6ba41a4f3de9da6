package codec

// The reflect executor. It follows the node tree over addressable
// reflect.Values and defines the results required of the fast executor. Depth
// counts the enclosing slices, maps and pointers.

import (
	"math"
	"reflect"
	"time"
)

// reflectAppendValue appends v.
func reflectAppendValue(w *writer, buf []byte, n *node, v reflect.Value, depth int) ([]byte, *Error) {
	switch n.op {
	case opBool:
		return appendBool(buf, v.Bool()), nil
	case opInt:
		return w.int(buf, n, v.Int())
	case opUint:
		return w.uint(buf, n, v.Uint())
	case opFloat:
		return w.float(buf, n, floatBits(v), n.size)
	case opComplex:
		return w.complex(buf, n, complexBits(v))
	case opString:
		return w.string(buf, n, v.String())
	case opBytes:
		return w.blob(buf, n, v.Bytes())
	case opTime:
		return appendTime(buf, *v.Addr().Interface().(*time.Time)), nil
	case opBinary, opText:
		b, err := w.marshal(n, v)
		return w.custom(buf, n, b, err)
	case opRaw:
		return w.raw(buf, n, v)
	case opArray:
		return reflectAppendArray(w, buf, n, v, depth)
	case opSlice:
		return reflectAppendSlice(w, buf, n, v, depth)
	case opMap:
		return reflectAppendMap(w, buf, n, v, depth)
	case opPointer, opDeref:
		return reflectAppendPointer(w, buf, n, v, depth)
	case opUnion:
		return reflectAppendUnion(w, buf, n, v, depth)
	case opStream:
		return buf, nil
	case opFunc:
		return appendBool(buf, !v.IsNil()), nil
	case opBlank:
		return w.blank(buf, n)
	case opJSON:
		return w.json(buf, n, v, depth)
	}
	return reflectAppendStruct(w, buf, n, v, depth)
}

// reflectReadValue reads into v.
func reflectReadValue(r *reader, n *node, v reflect.Value, depth int) *Error {
	switch n.op {
	case opBool:
		b, err := r.bool()
		v.SetBool(b)
		return err
	case opInt:
		i, err := r.signed(n)
		v.SetInt(i)
		return err
	case opUint:
		u, err := r.unsigned(n)
		v.SetUint(u)
		return err
	case opFloat:
		bits, err := r.float(n, n.size)
		setFloatBits(v, bits)
		return err
	case opComplex:
		bits, err := r.complex(n)
		setComplexBits(v, bits)
		return err
	case opString:
		s, err := r.string(n)
		v.SetString(s)
		return err
	case opBytes:
		b, err := r.blob(n)
		v.SetBytes(b)
		return err
	case opTime:
		t, err := r.time()
		*v.Addr().Interface().(*time.Time) = t
		return err
	case opBinary, opText:
		return r.unmarshal(n, v)
	case opRaw:
		return r.raw(n, v)
	case opArray:
		return reflectReadArray(r, n, v, depth)
	case opSlice:
		return reflectReadSlice(r, n, v, depth)
	case opMap:
		return reflectReadMap(r, n, v, depth)
	case opPointer, opDeref:
		return reflectReadPointer(r, n, v, depth)
	case opUnion:
		return reflectReadUnion(r, n, v, depth)
	case opStream:
		return nil
	case opSkip:
		return r.skipValue(n.skipped, depth)
	case opBlank:
		return r.blank(n)
	case opJSON:
		return r.json(n, v, depth)
	case opFunc: // one stored before stays
		set, err := r.presence("a func")
		if !set {
			v.SetZero()
		}
		return err
	}
	return reflectReadStruct(r, n, v, depth)
}

// reflectAppendArray appends an array.
func reflectAppendArray(w *writer, buf []byte, n *node, v reflect.Value, depth int) (_ []byte, err *Error) {
	for i := range n.length {
		if buf, err = reflectAppendValue(w, buf, n.elem, v.Index(i), depth); err != nil {
			return buf, err.in("[]")
		}
	}
	return buf, nil
}

// reflectReadArray reads an array.
func reflectReadArray(r *reader, n *node, v reflect.Value, depth int) *Error {
	for i := range n.length {
		if err := reflectReadValue(r, n.elem, v.Index(i), depth); err != nil {
			return err.in("[]")
		}
	}
	return nil
}

// reflectAppendSlice appends a slice with its lengths.
func reflectAppendSlice(w *writer, buf []byte, n *node, v reflect.Value, depth int) ([]byte, *Error) {
	count := v.Len()
	buf, list, err := w.beginList(buf, n, count, depth+1)
	if err != nil {
		return buf, err
	}
	for i := range count {
		if buf, err = reflectAppendValue(w, buf, n.elem, v.Index(i), depth+1); err != nil {
			return buf, err.in("[]")
		}
	}
	return w.endList(buf, n, list)
}

// reflectReadSlice reads a slice. The old elements may belong to the caller, so it
// sets the slice to nil first instead of overwriting them.
func reflectReadSlice(r *reader, n *node, v reflect.Value, depth int) *Error {
	v.SetZero()
	count, list, err := r.beginList(n, n.elem.minSize, depth+1)
	if err != nil {
		return err
	}
	// beginList has checked count against the input, charge checks it against
	// the budget. Only then may the slice be allocated.
	if count < 0 {
		return r.readRest(n, v, list, depth+1, false)
	}
	if count > 0 {
		if err := r.charge(int64(count) * int64(n.elem.size)); err != nil {
			return err
		}
		v.Grow(count)
		v.SetLen(count)
	}
	for i := range count {
		if err := reflectReadValue(r, n.elem, v.Index(i), depth+1); err != nil {
			return err.in("[]")
		}
	}
	return r.endList(list)
}

// reflectAppendMap appends the pairs of a map.
func reflectAppendMap(w *writer, buf []byte, n *node, v reflect.Value, depth int) ([]byte, *Error) {
	return w.appendPairs(buf, n, v, depth, false)
}

// reflectReadMap reads a map.
func reflectReadMap(r *reader, n *node, v reflect.Value, depth int) *Error {
	m, list, err := r.beginMap(n, depth)
	if err != nil {
		return err
	}
	v.Set(m)
	return r.readPairs(n, m, list, depth, false)
}

// reflectAppendPointer appends a presence byte and the target of a pointer.
func reflectAppendPointer(w *writer, buf []byte, n *node, v reflect.Value, depth int) ([]byte, *Error) {
	buf, err := w.present(buf, n, !v.IsNil(), depth+1)
	if err != nil || v.IsNil() {
		return buf, err
	}
	return reflectAppendValue(w, buf, n.elem, v.Elem(), depth+1)
}

// reflectReadPointer reads a pointer to a new target.
func reflectReadPointer(r *reader, n *node, v reflect.Value, depth int) *Error {
	v.SetZero()
	present, err := r.pointer(n, depth+1)
	if err != nil || !present {
		return err
	}
	return reflectReadTarget(r, n.elem, v, depth+1)
}

// reflectReadTarget reads the new target n of the pointer v.
func reflectReadTarget(r *reader, n *node, v reflect.Value, depth int) *Error {
	// Convert, as the pointer type may have a name.
	p := reflect.New(n.typ)
	v.Set(p.Convert(v.Type()))
	return reflectReadValue(r, n, p.Elem(), depth)
}

// reflectAppendUnion appends the number and the target of the only pointer set.
func reflectAppendUnion(w *writer, buf []byte, n *node, v reflect.Value, depth int) ([]byte, *Error) {
	set := none
	for i := range n.fields {
		switch {
		case v.Field(n.fields[i].index).IsNil():
		case set != none:
			return buf, n.errTwoMembers(set, i)
		default:
			set = i
		}
	}
	buf, err := w.member(buf, set, depth+1)
	if err != nil {
		return buf, err
	}
	f := &n.fields[set]
	if buf, err = reflectAppendValue(w, buf, f.node, v.Field(f.index).Elem(), depth+1); err != nil {
		return buf, err.in(f.path)
	}
	return buf, nil
}

// reflectReadUnion reads the target of one pointer and sets the others to nil.
func reflectReadUnion(r *reader, n *node, v reflect.Value, depth int) *Error {
	for i := range n.fields {
		if f := &n.fields[i]; f.node.op != opSkip {
			v.Field(f.index).SetZero()
		}
	}
	f, err := r.member(n, depth+1)
	if err != nil {
		return err
	}
	if f.node.op == opSkip { // none is set
		if err := r.skipValue(f.node.skipped, depth+1); err != nil {
			return err.in(f.path)
		}
		return nil
	}
	if err := reflectReadTarget(r, f.node, v.Field(f.index), depth+1); err != nil {
		return err.in(f.path)
	}
	return nil
}

// reflectAppendStruct appends the fields of a struct, without anything between them.
func reflectAppendStruct(w *writer, buf []byte, n *node, v reflect.Value, depth int) (_ []byte, err *Error) {
	for i := range n.fields {
		f := &n.fields[i]
		if buf, err = reflectAppendValue(w, buf, f.node, f.of(v), depth); err != nil {
			return buf, err.in(f.path)
		}
	}
	return buf, nil
}

// reflectReadStruct reads the fields of a struct and leaves skipped ones unchanged.
func reflectReadStruct(r *reader, n *node, v reflect.Value, depth int) *Error {
	for i := range n.fields {
		f := &n.fields[i]
		if err := reflectReadValue(r, f.node, f.of(v), depth); err != nil {
			return err.in(f.path)
		}
	}
	return nil
}

// of returns the field of the struct v, which stands for blank fields itself.
func (f *field) of(v reflect.Value) reflect.Value {
	if f.index < 0 {
		return v
	}
	return v.Field(f.index)
}

// Floats are copied as bits, as conversions between float types change some
// NaNs.

// Types to convert pointers to named float types to.
var (
	float32Pointer    = reflect.TypeFor[*float32]()
	float64Pointer    = reflect.TypeFor[*float64]()
	complex64Pointer  = reflect.TypeFor[*complex64]()
	complex128Pointer = reflect.TypeFor[*complex128]()
)

// floatBits returns the bits of the float v.
func floatBits(v reflect.Value) uint64 {
	if v.Type().Size() == 4 {
		return uint64(math.Float32bits(*v.Addr().Convert(float32Pointer).Interface().(*float32)))
	}
	return math.Float64bits(*v.Addr().Convert(float64Pointer).Interface().(*float64))
}

// setFloatBits sets the float v from bits.
func setFloatBits(v reflect.Value, bits uint64) {
	if v.Type().Size() == 4 {
		*v.Addr().Convert(float32Pointer).Interface().(*float32) = math.Float32frombits(uint32(bits))
		return
	}
	*v.Addr().Convert(float64Pointer).Interface().(*float64) = math.Float64frombits(bits)
}

// complexBits returns the bits of the parts of v.
func complexBits(v reflect.Value) [2]uint64 {
	if v.Type().Size() == 8 {
		c := *v.Addr().Convert(complex64Pointer).Interface().(*complex64)
		return [2]uint64{uint64(math.Float32bits(real(c))), uint64(math.Float32bits(imag(c)))}
	}
	c := *v.Addr().Convert(complex128Pointer).Interface().(*complex128)
	return [2]uint64{math.Float64bits(real(c)), math.Float64bits(imag(c))}
}

// setComplexBits sets the parts of v from bits.
func setComplexBits(v reflect.Value, bits [2]uint64) {
	if v.Type().Size() == 8 {
		*v.Addr().Convert(complex64Pointer).Interface().(*complex64) =
			complex(math.Float32frombits(uint32(bits[0])), math.Float32frombits(uint32(bits[1])))
		return
	}
	*v.Addr().Convert(complex128Pointer).Interface().(*complex128) =
		complex(math.Float64frombits(bits[0]), math.Float64frombits(bits[1]))
}
