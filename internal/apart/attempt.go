package apart

import (
	"fmt"
	"iter"
	"slices"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/report"
)

// A Carried is the fault of an error of what carries a request. A *fault.Fault itself is a panic.
type Carried struct{ *fault.Fault }

// Carry makes an attempt with Carrier.Trip, which brings the request to a server, and returns the
// fault of its error, which is a Carried. It is code of the user: it may panic, and unless it is prompt, it
// may hang. The wait for one that may hang ends with Within, and then it goes on alone: the caller
// must not read what it sets unless Carry returns nil. Afterwards it is unknown whether the call
// has run, unless it knows better.
func (x *Call) Carry(log *report.Log, prompt bool) (err error) {
	const hook = "RoundTrip"
	if prompt {
		err = log.Call(hook, func() error { return x.carrier.Trip() })
	} else {
		err = log.Await(x.Within(), hook, x.carrier.Trip)
	}
	switch e := err.(type) {
	case nil:
		return nil
	case Carried:
		// Most errors after the end of Within only say so. The caller's own reason says more.
		if x.within.Err() != nil {
			return x.Over(e.Outcome)
		}
		return e.Fault
	case *fault.Fault:
		return e.WithOutcome(fault.OutcomeUnknown)
	}
	return x.Over(fault.OutcomeUnknown)
}

// A Reply is the answer to an attempt. What has carried it is code of the user, so a Reply may say anything.
type Reply struct {
	Status   fmt.Stringer
	OK       bool         // by Status
	Differs  bool         // by Status: the call has not run, and the server has another layout
	Hash     [32]byte     // of the server's layout
	Layout   string       // its text, with Differs
	Failed   *fault.Fault // the error in it; nil for none
	Expired  bool         // with Failed: the time of the call was over at the server
	Body     []byte       // the encoded results
	Items    iter.Seq2[[]byte, error]
	Metadata map[string]string
}

// Accept returns the metadata of r as entries. With an error, the call has failed: with that of
// r, or with one for a reply that makes no sense or has more than most bytes. The entries of a
// failed call count too.
func (x *Exchange) Accept(r *Reply, most int) (entries []byte, err error) {
	if entries, err = callctx.EntriesOf(r.Metadata); err != nil {
		return nil, fault.New(fault.Internal, fault.Answered, "metadata of the reply: %v", err)
	}
	switch {
	case r.Failed != nil: // whatever the status
		return entries, x.Received(r.Failed, r.Expired)
	case !r.OK:
		return entries, fault.New(fault.Internal, fault.OutcomeUnknown, "a reply with %v and without an error", r.Status)
	case len(r.Body) > most:
		return entries, fault.New(fault.ResourceExhausted, fault.Answered, "answer of %d bytes, this end's MaxMessage is %d", len(r.Body), most)
	}
	return entries, nil
}

// Read returns the signature that reads the results of a reply: that of the version with its
// hash, the caller's own or one of known. The request has named them all, so a server that
// answers with another one is at fault. streamed says that the reply has a stream, and streams
// that the method has one.
func Read(hash [32]byte, own numbering.Version, known []numbering.Version, streamed, streams bool) (*method.Signature, error) {
	at := slices.IndexFunc(known, func(v numbering.Version) bool { return v.Hash == hash })
	switch {
	case hash == own.Hash:
	case at >= 0:
		own = known[at]
	default:
		return nil, fault.New(fault.Internal, fault.Answered, "the reply has a layout that the request did not name")
	}
	switch {
	case streamed && !streams:
		return nil, fault.New(fault.Internal, fault.Answered, "the reply has a stream, and the method has none")
	case streams && !streamed:
		return nil, fault.New(fault.Internal, fault.Answered, "the reply lacks the stream of the method")
	}
	return own.Sig, nil
}
