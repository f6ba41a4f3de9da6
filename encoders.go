package bsrpc

import "github.com/bsrpc/bsrpc/internal/codec"

// Types may encode and decode themselves, by methods of the user's. One that panics
// at a client costs its call. Where a codec has no such type nothing is paid.

// appendArgs encodes the arguments of a call.
func (m *proxyMethod) appendArgs(enc *codec.Encoder, v *values) error {
	if m.sig.args.UserCode() {
		return m.appendUserArgs(enc, v)
	}
	return v.appendArgs(enc)
}

func (m *proxyMethod) appendUserArgs(enc *codec.Encoder, v *values) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = m.codecPanicked(OutcomeNotRun, what, "encoding", enc.Inside)
		}
	}()
	return v.appendArgs(enc)
}

// read decodes the results of a call.
func (m *proxyMethod) read(v *values) error {
	if m.sig.rets.UserCode() {
		return m.readUser(v)
	}
	return v.readResults()
}

func (m *proxyMethod) readUser(v *values) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = m.codecPanicked(OutcomeUnknown, what, "decoding", v.dec.Inside)
		}
	}()
	return v.readResults()
}

// codecPanicked is the error of a call for which the methods of a type, of the
// user's, have panicked.
func (m *proxyMethod) codecPanicked(outcome Outcome, what any, doing string, typ any) *Error {
	log := m.log()
	e := errorf(CodeInternal, outcome, "%s: panic in %s a %v", m.Name, doing, typ)
	e.ID = log.addPanic(reportPanic, "bsrpc: panic in "+doing, what, "method", m.Name, "type", typ)
	return e
}

func (m *proxyMethod) log() *reports {
	if m.basic != nil {
		return m.basic.log
	}
	return m.conn.log
}
