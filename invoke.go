package bsrpc

import "reflect"

// invoke calls the method on recv with the arguments of v, and leaves its
// results there.
func (m *method) invoke(recv *receiver, v *values) error {
	if m.code.valid() {
		return m.invokeCode(recv, v)
	}
	in := v.inputs(recv, m.ctx)
	var out []reflect.Value
	if m.vari {
		out = m.fn.CallSlice(in)
	} else {
		out = m.fn.Call(in)
	}
	return v.setResults(out)
}
