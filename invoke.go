package bsrpc

import "reflect"

// invoke calls the method with the frame's arguments and leaves its results
// there.
func (m *method) invoke(f *frame) error {
	if m.code.valid() {
		return m.invokeCode(f)
	}
	in := f.inputs(m.ctx)
	var out []reflect.Value
	if m.vari {
		out = m.fn.CallSlice(in)
	} else {
		out = m.fn.Call(in)
	}
	return f.setResults(out)
}
