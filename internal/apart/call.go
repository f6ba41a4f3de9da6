package apart

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/streams"
)

// A Method is a method called without a connection. The layouts that its servers have differ from
// call to call. It is safe for concurrent use.
type Method struct {
	*caller.Method
	End    *caller.End
	Client *Client

	// Outdated makes a call of a server with another layout fail with ErrOutdated, in place of a
	// search for a version that fits.
	Outdated bool

	Versions numbering.Versions
}

// ErrOutdated is the cause of a call, not run, of a server that has another layout of the method
// than the one that described it.
var ErrOutdated = errors.New("the server has another layout of the method")

// A Carrier makes the attempts of a Call.
type Carrier interface {
	// RoundTrip carries a request to any server. layout is its layout, or "", and knows has
	// other ones that the caller understands.
	RoundTrip(layout string, knows [][32]byte) (*Reply, error)

	// Trip brings the request of RoundTrip to a server, for Call.Carry. It is code of the user.
	Trip() error

	// ItemFault returns the fault for an error among the items of the reply.
	ItemFault(err error) *fault.Fault

	// Differs returns the error for a server whose version of the method does not fit.
	Differs(found []numbering.Difference) error
}

// A Call is one call of a Method, and its answer. One goroutine makes its attempts, one behind
// another. What they set may be read once that goroutine is known to have ended.
type Call struct {
	Exchange
	of      *Method
	carrier Carrier
	out     *callctx.Outgoing // nil for none
	knows   []numbering.Version

	Args []byte // encoded

	// Set by the last attempt.
	Reply   *Reply
	sig     *method.Signature // that of the server
	entries []byte
}

// Init prepares a call. out receives the metadata of the reply; it may be nil.
func (x *Call) Init(of *Method, c Carrier, out *callctx.Outgoing) {
	x.of, x.carrier, x.out, x.Client = of, c, out, of.Client
}

// Body and Entries implement caller.Answer.
func (x *Call) Body() ([]byte, bool) { return x.Reply.Body, true }
func (x *Call) Entries() []byte      { return x.entries }

// ResultStream returns the stream of the server's version, once there is a reply.
func (x *Call) ResultStream() *method.Stream { return x.sig.ResultStream() }

// Try makes one attempt. It sets the reply, unless the attempt has failed without one.
func (x *Call) Try(layout string, knows [][32]byte) error {
	r, err := x.carrier.RoundTrip(layout, knows)
	if err != nil {
		return err
	}
	if r == nil {
		return fault.New(fault.Internal, fault.OutcomeUnknown, "the RoundTripper returned neither a reply nor an error")
	}
	if x.Reply = r; r.Differs {
		return nil
	}
	x.entries, err = x.Accept(r, x.of.End.Settings.MaxMessage)
	return err
}

// Encode encodes the arguments in v, and finds the versions of the method that they may go
// to: each may lack what others have. The caller's own version comes last, because its bytes are
// those to be sent.
func (x *Call) Encode(v *method.Values) error {
	for _, known := range x.of.Versions.All() {
		if x.of.appendArgs(v, known.Sig) == nil {
			x.knows = slices.Concat(x.knows, []numbering.Version{known})
		}
	}
	if err := x.of.appendArgs(v, x.of.Sig); err != nil {
		return err
	}
	v.ArgsSize = len(v.Enc.Buf)
	x.Args = bytes.Clone(v.Enc.Buf) // the carrier may keep it
	return nil
}

// appendArgs encodes the arguments for a server with sig, in place of what v.Enc has.
func (m *Method) appendArgs(v *method.Values, sig *method.Signature) error {
	s := m.End.Settings
	v.ResetEncoder()
	v.Enc.Max, v.Enc.MinCut, v.Enc.Depth = s.MaxMessage, 0, s.Bounds.Depth
	if err := caller.AppendArgs(m.Method, m.End.Log, sig, &v.Enc, v); err != nil {
		return m.tooLong(err)
	}
	return nil
}

// tooLong returns the error of arguments that cannot be encoded.
func (m *Method) tooLong(err error) error {
	return caller.EncodeError(m.Method, err, "this end's MaxMessage", uint64(m.End.Settings.MaxMessage))
}

// negotiate makes the call, again if its server has another version of the method. Each attempt
// may reach another server. On success x.sig is that of the server of the last one.
func (x *Call) negotiate() error {
	m := x.of
	n := numbering.Negotiation{Wanted: caller.Wanted(m.Method), Peer: m.End.Settings.Peer(), Versions: &m.Versions, Call: attempts{x}}
	_, found, err := n.Run(x.knows)
	if found != nil {
		return x.carrier.Differs(found)
	}
	return err
}

// attempts are those of a call. It implements numbering.Attempts.
type attempts struct{ *Call }

// Try makes an attempt, and reads its reply by the version of the server.
func (x attempts) Try(known []numbering.Version, layout string) (differs string, err error) {
	m := x.of
	var knows [][32]byte
	for _, k := range known {
		knows = append(knows, k.Hash)
	}
	if err := x.Call.Try(layout, knows); err != nil {
		return "", err
	}
	if x.Reply.Differs {
		if m.Outdated {
			return "", fault.Refusal(fault.FailedPrecondition, "%s: %w", m.Name, ErrOutdated)
		}
		return cmp.Or(x.Reply.Layout, "?"), nil
	}
	x.sig, err = Read(x.Reply.Hash, numbering.Version{Hash: m.Hash, Sig: m.Sig}, known, x.Reply.Items != nil, m.Streams != nil)
	return "", err
}

// Usable returns why the arguments of the call cannot go to a server with another signature. The
// values of the call may be gone, so they are decoded.
func (x attempts) Usable(sig *method.Signature) (err error) {
	m := x.of
	v := m.Sig.NewValues()
	defer v.Free()
	defer func() { // user code of a type
		if what := recover(); what != nil {
			err = caller.CodecPanicked(m.Name, m.End.Log, fault.NotRun, what, "decoding", v.Dec.UserType)
		}
	}()
	m.End.Settings.Bounds.Begin(&v.Dec, x.Args, false)
	if err := v.ReadArgs(); err != nil {
		return m.tooLong(err)
	}
	return m.appendArgs(v, sig)
}

// Do makes a call with one reply, and decodes that into v.
func (x *Call) Do(v *method.Values) error {
	x.Begin()
	v.Began = x.Began()
	err := x.negotiate()
	x.End()
	x.replied()
	if err == nil {
		err = x.readReply(v)
	}
	if err == nil {
		x.Count(x.of.Tally, nil)
	}
	return err
}

// replied gives the caller the metadata of the reply.
func (x *Call) replied() {
	if x.out != nil {
		x.out.Reply.Set(x.entries)
	}
}

// readReply decodes the results of the call.
func (x *Call) readReply(v *method.Values) error {
	x.of.End.Settings.Bounds.Begin(&v.Dec, x.Reply.Body, true)
	v.ResultsSize = len(x.Reply.Body)
	return caller.ReadResults(x.of.Method, x.of.End.Log, x.sig, v)
}

// Start makes a call whose caller does not wait for the answer. The count of Oneway comes before
// the check whether the client ends: Close waits for a oneway call that passes the check.
func (x *Call) Start(v *method.Values) error {
	if err := x.Ctx.Err(); err != nil {
		return x.Time.ContextFault(err, fault.NotRun)
	}
	m, c := x.of, x.Client
	if m.Oneway {
		x.Ctx = context.WithoutCancel(x.Ctx) // most callers end it when the func has returned
	}
	if c.Oneway.Begin(); c.Oneway.Refuses(false) != nil || c.Why() != nil {
		c.Oneway.Done(1)
		return cmp.Or(c.Why(), errClosing).WithOutcome(fault.NotRun)
	}
	e := caller.NewEager(m.End, m.Method, nil, x, x.out)
	e.HandTo(v)
	if !m.Oneway { // Close does not wait for it
		c.Oneway.Done(1)
	}
	x.Begin()
	go func() {
		err := x.negotiate()
		e.Sig = x.sig
		x.End()
		if err == nil {
			x.Count(m.Tally, nil)
		}
		e.EndWith(x.Began(), err)
		if m.Oneway {
			c.Oneway.Done(1)
		}
	}()
	return nil
}

// errClosing is shared, and must not be changed.
var errClosing = &fault.Fault{Code: fault.Canceled, Outcome: fault.NotRun, Message: fault.ErrClosed.Error(), Err: fault.ErrClosed}

// NewStream returns the result stream of the call, for Stream.
func (x *Call) NewStream() *Stream { return NewStream(&x.Exchange, x.of.Tally) }

// Stream makes a call with a result stream. The end of its Pipe ends the call, and counts it,
// for each cause: the server, the caller, the time, the end of the client. With
// Eager the caller ranges over the stream while the call is still negotiated.
func (x *Call) Stream(s *Stream, end *streams.End, v *method.Values) error {
	m := x.of
	v.Sent = true // the end of the stream counts the call
	answer := x.Time
	if m.TimeoutBy != limits.ByMethod { // only the wait for the func is limited by default
		x.Time = limits.Timeout{}
		x.Time.Begin(x.Ctx, 0, 0)
	}
	s.Begin(m.End.Settings.PingAfter)
	if m.Streams.Eager {
		streams.Store(s.Pipe, end, m.Streams.Result, v)
		go func() {
			err := x.negotiate()
			x.replied()
			if err == nil && len(x.Reply.Body) > 0 {
				err = fault.New(fault.Internal, fault.Answered, "cannot decode the answer: %d trailing bytes", len(x.Reply.Body))
			}
			x.move(s, err)
		}()
		return nil
	}
	err := s.Await(&answer, x.negotiate)
	x.replied()
	if err == nil {
		read := false
		defer func() { // after runtime.Goexit in a decoder too
			if !read {
				s.CloseResult()
			}
		}()
		err = x.readReply(v)
		read = true
	}
	if err != nil {
		s.Pipe.Fail(fault.Of(err), true)
		return err
	}
	streams.Store(s.Pipe, end, m.Streams.Result, v)
	go x.move(s, nil)
	return nil
}

// move moves the items of the reply to the user's range, or ends that with the error of the call.
func (x *Call) move(s *Stream, err error) {
	if err != nil {
		s.Pipe.Fail(fault.Of(err), false)
		return
	}
	s.Move(x.Reply.Items, &x.of.End.Settings.Conn, x.of.Name, x.of.End.Log, x.carrier.ItemFault)
}
