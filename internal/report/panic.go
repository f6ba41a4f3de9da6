package report

import "github.com/bsrpc/bsrpc/internal/fault"

// A PanicError is the error of a func of the user's that panicked or ended its goroutine, during a
// call.
type PanicError struct{ where, id string } // id of the line in the log; "" without one

// NewPanicError logs a panic. A nil what means runtime.Goexit.
func NewPanicError(log *Log, method string, what any, where string) *PanicError {
	return &PanicError{where, log.AddPanic(Panic, "bsrpc: "+where+" panicked", what, "method", method)}
}

func (e *PanicError) Error() string { return "panic in the " + e.where }

// Fault returns the fault of the call of a method.
func (e *PanicError) Fault(method string, outcome fault.Outcome) *fault.Fault {
	return &fault.Fault{Code: fault.Internal, Outcome: outcome, Message: fault.Prefix + method + ": " + e.Error(), LogID: e.id, Err: e}
}

// Located returns the text with the id of the line in the log.
func (e *PanicError) Located() string {
	if e.id == "" {
		return e.Error()
	}
	return e.Error() + " (id " + e.id + " in the server's log)"
}
