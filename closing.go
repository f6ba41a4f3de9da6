package bsrpc

// A connection takes no new calls for one of two reasons. Its server is shutting
// down: then the calls that run are answered as ever. Or its session has been
// closed under its calls: then they end with that reason, whatever their handlers
// return.

// errDraining refuses the calls that come during a shutdown.
var errDraining = refusalf(CodeUnavailable, "the server is shutting down")

// drain refuses further calls.
func (v *serving) drain() { v.closing.CompareAndSwap(nil, errDraining) }

// dismiss refuses further calls and ends those that run. The first reason counts.
func (v *serving) dismiss(why *Error) {
	for was := v.closing.Load(); was == nil || was == errDraining; was = v.closing.Load() {
		if v.closing.CompareAndSwap(was, why) {
			return
		}
	}
}

// isClosing reports whether the connection takes no new calls.
func (v *serving) isClosing() bool { return v.closing.Load() != nil }

// dismissed returns why the session has been closed, nil if it has not.
func (v *serving) dismissed() *Error {
	if why := v.closing.Load(); why != errDraining {
		return why
	}
	return nil
}
