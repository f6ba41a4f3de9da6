package caller

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// An Eager is a call whose caller does not wait for the answer: for a future, or oneway. It is safe
// for concurrent use.
type Eager struct {
	End    *End
	Method *Method
	Sig    *method.Signature // for the peer; set before the end of the call
	Answer Answer            // complete at the end of the call

	out  *callctx.Outgoing // receives the metadata of the answer; may be nil
	done chan struct{}     // closed when the call is over

	mu     sync.Mutex // guards the rest until done is closed
	err    error
	over   bool
	onOver func(error) // of the interceptors; must not wait
}

// An Answer is the answer to an Eager, with or without a connection.
type Answer interface {
	Body() (data []byte, own bool) // the results; own memory belongs to the values decoded from it
	Entries() []byte               // the metadata
}

// A Sending is the State of the values of a call without a waiting caller while its func
// runs, for a future or with interceptors.
type Sending struct{ Call *Eager } // the newest: interceptors may repeat it

// NewEager returns a call that begins now.
func NewEager(end *End, m *Method, sig *method.Signature, a Answer, out *callctx.Outgoing) *Eager {
	return &Eager{End: end, Method: m, Sig: sig, Answer: a, out: out, done: make(chan struct{})}
}

// HandTo makes the call that of the values of its caller, if these wait for one.
func (e *Eager) HandTo(v *method.Values) {
	if s, ok := v.State.(*Sending); ok {
		s.Call = e
	}
}

// Done returns a channel closed when the call is over.
func (e *Eager) Done() <-chan struct{} { return e.done }

// EndWith ends the call, which began at a time by limits.Monotonic. It does not wait.
func (e *Eager) EndWith(began time.Duration, err error) {
	e.mu.Lock()
	e.err, e.over = err, true
	onOver := e.onOver
	e.mu.Unlock()
	if e.out != nil {
		e.out.Reply.Set(e.Answer.Entries())
	}
	if err != nil {
		CountFailed(e.Method, began, false, err)
	}
	if err != nil && e.Method.Oneway {
		OnewayFailed(e.End, e.Method, err)
	}
	if onOver != nil {
		onOver(err)
	}
	close(e.done)
}

// AtEnd calls f at the end of the call. f must not wait.
func (e *Eager) AtEnd(f func(error)) {
	e.mu.Lock()
	e.onOver = f
	over := e.over
	e.mu.Unlock()
	if over {
		f(e.err)
	}
}

// Result decodes the result of a call that is over into value, a pointer. It may be called once.
func (e *Eager) Result(value any) error {
	if e.err != nil {
		return e.Failed(e.err)
	}
	v := e.Method.Sig.NewValues()
	defer v.Free()
	data, own := e.Answer.Body()
	e.End.Settings.Bounds.Begin(&v.Dec, data, own)
	if err := ReadResults(e.Method, e.End.Log, e.Sig, v); err != nil {
		return fault.About(e.Method.Name, err)
	}
	method.CopyResults(v, []any{value})
	e.Answer = nil // its memory
	return nil
}

// Failed returns an error of the call with the errors of its identities. It runs user code.
func (e *Eager) Failed(err error) error {
	return fault.About(e.Method.Name, Identified(e.End, e.Method, err))
}

// Stopped returns the error of a wait for the end whose context has ended: the reason, if it has
// ended with the connection.
func (e *Eager) Stopped(ctx context.Context) error {
	why := fault.FromContext(ctx.Err(), fault.OutcomeUnknown)
	if of := e.End.EndOf; of != nil {
		if end := of(ctx); end != nil {
			why = end.WithOutcome(fault.OutcomeUnknown)
		}
	}
	return fault.About(e.Method.Name, why)
}
