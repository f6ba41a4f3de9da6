// Package streams turns the iterators and readers of calls into items and bytes, and back, at
// both ends. It knows the streams of a connection, and neither servers nor clients.
package streams

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/callback"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Plan lists the streams of a method in the form the transport needs.
type Plan struct {
	Params []*method.Stream
	Result *method.Stream // nil for none
	Items  []bool         // of each of Params: a stream of items, not of bytes
	First  *bool          // the same of Result
	Eager  bool           // a proxy's func does not wait for the answer

	End atomic.Pointer[End] // of the calls of a client without interceptors; nil before the first
}

// PlanOf returns the plan of a method, nil if it has no streams.
func PlanOf(sig *method.Signature) *Plan {
	p := &Plan{Params: sig.ParamStreams(), Result: sig.ResultStream()}
	if p.Params == nil && p.Result == nil {
		return nil
	}
	for _, st := range p.Params {
		p.Items = append(p.Items, st.Item != nil)
	}
	if p.Result != nil {
		items := p.Result.Item != nil
		p.First = &items
		p.Eager = !sig.EndsInError() && len(sig.Results.Layouts()) == 1
	}
	return p
}

// An End is one end of the streams of a call. It is not changed after its first use.
type End struct {
	Method string
	Limits *limits.Conn // of this end
	Bounds *codec.Bounds
	User   User
	Funcs  *callback.Funcs // of the call; nil without any

	// Received, if not nil, returns the Stream with the codec of received items, once the first
	// has come.
	Received func() *method.Stream
}

// A User is what an End needs of its server or client: the errors of users, and what watches
// the items.
type User interface {
	// Failure returns the fault to send for the error of an iterator or a reader.
	Failure(err error) *fault.Fault

	// Panicked logs a panic in user code: in an iterator or a reader, or if decoding is not nil in
	// the decoder of this type. It returns the fault to send, or for the reader of the stream.
	Panicked(what, decoding any) *fault.Fault

	// Public returns an error of this end as users see it.
	Public(f *fault.Fault) error

	// Received returns the error in which a received stream has ended.
	Received(err error) error

	// Watches reports whether PassItem wants the items, which gets a copy of each.
	Watches() bool
	PassItem(in bool, item any) error
}

// A Sender is the sending end of a stream: a *transport.Sender, or a *Pipe without a connection.
type Sender interface {
	Send(item []byte) error

	// SendBuffer sends the first n bytes of b.Space, and returns the buffer to go on with.
	SendBuffer(b *transport.ByteBuffer, n int) (*transport.ByteBuffer, error)

	// End ends the stream, with why if it is not complete.
	End(why *fault.Fault, flags wire.Flags)

	Cancel()                 // ends what Send does; End must follow
	LeaseOver() *fault.Fault // not nil if others have got the place of the stream
}

// A Receiver is the receiving end of a stream: a *transport.Receiver, or a *Pipe.
type Receiver interface {
	Next() ([]byte, error) // the next item, valid until the next call; io.EOF at the end
	Read(p []byte) (int, error)
	Close() // before the end of the stream
	Drop()  // is Close for a cleanup, and takes effect later
}

// Served are the streams of a call at a server.
type Served struct {
	In  []*transport.Receiver
	Out Sender // nil without a result stream
}

// Cancel ends the streams of a call that its caller has canceled: nothing more comes for the
// parameters, and their readers may wait without watching the context.
func (s *Served) Cancel(why error) {
	s.EndParams(fault.FromContext(why, fault.OutcomeUnknown))
	if s.Out != nil {
		s.Out.Cancel()
	}
}

// EndParams ends the parameters of a call that is over.
func (s *Served) EndParams(why *fault.Fault) {
	for _, r := range s.In {
		r.EndOfCall(why)
	}
}

// A ResultCall is a call at a server, as its result stream sees it.
type ResultCall interface {
	Ended(held bool) error            // why the call has ended before the stream; nil if it has not
	Fails(code fault.Code) wire.Flags // notes that the call ends in an error; the flags of its END
}
