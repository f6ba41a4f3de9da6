// Package caller has the methods of contracts at the end that calls them: their values to bytes and
// back, the time of a call, and its count; and calls whose caller does not wait. It knows no
// connections and no proxies.
package caller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/tally"
)

// A Method is a method at its caller. It is not changed after its first call, and is safe for
// concurrent use then. It has funcs in place of methods: the linker would keep those of each type
// that embeds it, in every server.
type Method struct {
	method.Description // of the contract
	Sig                *method.Signature
	ID                 int           // from the id= tag; -1 for none
	Key                string        // misspelt key of the func's tag, for the list of differences
	Timeout            time.Duration // of a call whose context has no deadline; 0 for none
	TimeoutBy          limits.Source // the source of Timeout, for errors
	Optional           bool          // the peer may lack it
	Idempotent         bool          // it may run twice
	Eager              bool          // its callers do not wait for the answer
	Oneway             bool          // ... nor does anything use it
	Streams            *streams.Plan // nil without streams
	Tally              *tally.Method // counts its calls; nil for a callback

	// Of is nil for a method of the peer. For a func among the arguments of a call by the peer it
	// has the settings, with their list of errors, of the method of that call.
	Of *option.Settings
}

// New returns the method of a func of a contract. byDefault limits its calls unless its tag does;
// math.MaxInt64 is no limit. The tallies may be nil.
func New(s *method.Stub, byDefault time.Duration, tallies *tally.Set) Method {
	oneway := s.Sig.Oneway()
	m := Method{
		Description: s.Description, Sig: s.Sig, ID: s.Tag.ID, Key: s.Key, Optional: s.Tag.Optional, Idempotent: s.Tag.Idempotent,
		Streams: streams.PlanOf(s.Sig), Oneway: oneway, Eager: oneway || s.Sig.Future(), Tally: tallies.Method(s.Name),
	}
	switch {
	case s.Tag.Timeout > 0:
		m.Timeout, m.TimeoutBy = s.Tag.Timeout, limits.ByMethod
	case s.Tag.Timeout == 0 && byDefault != math.MaxInt64:
		m.Timeout, m.TimeoutBy = byDefault, limits.ByDefault
	}
	return m
}

// Wanted returns the method as its peer is asked for it.
func Wanted(m *Method) numbering.Wanted {
	return numbering.Wanted{Description: &m.Description, Sig: m.Sig, Key: m.Key, Optional: m.Optional}
}

// AppendArgs encodes the arguments in v for a peer with sig. Only types with code of the user need
// a deferred recover; the others avoid its cost.
func AppendArgs(m *Method, log *report.Log, sig *method.Signature, enc *codec.Encoder, v *method.Values) error {
	if sig.Args.UserCode() {
		return appendUserArgs(m, log, sig, enc, v)
	}
	return sig.AppendArgs(enc, v)
}

// appendUserArgs is AppendArgs for types with encoders of their own. A panic there fails
// the call only.
func appendUserArgs(m *Method, log *report.Log, sig *method.Signature, enc *codec.Encoder, v *method.Values) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = CodecPanicked(m.Name, log, fault.NotRun, what, "encoding", enc.UserType)
		}
	}()
	return sig.AppendArgs(enc, v)
}

// EncodeError returns the error of a call whose arguments cannot be encoded. limit names
// the limit of their size, and most is its value.
func EncodeError(m *Method, err error, limit string, most uint64) error {
	if e, ok := err.(*fault.Fault); ok {
		return e
	}
	code := fault.InvalidArgument
	if errors.Is(err, codec.ErrLimit) {
		code = fault.ResourceExhausted
	}
	if errors.Is(err, codec.ErrSize) {
		err = fmt.Errorf("%w (%s is %d)", err, limit, most)
	}
	return fault.New(code, fault.NotRun, "%s, %w", m.Name, codec.LimitOf("this end's", err))
}

// ReadResults decodes the results of a peer with sig into v.
func ReadResults(m *Method, log *report.Log, sig *method.Signature, v *method.Values) (err error) {
	if sig.Results.UserCode() {
		err = readUserResults(m, log, sig, v)
	} else {
		err = method.ReadResults(sig, v)
	}
	switch err.(type) {
	case nil, *fault.Fault:
		return err
	}
	return fault.New(fault.Internal, fault.Answered, "cannot decode the answer: %s, %w", m.Name, codec.LimitOf("this end's", err))
}

// readUserResults is ReadResults for types with decoders of their own. A panic there
// fails the call only.
func readUserResults(m *Method, log *report.Log, sig *method.Signature, v *method.Values) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = CodecPanicked(m.Name, log, fault.Answered, what, "decoding", v.Dec.UserType)
		}
	}()
	return method.ReadResults(sig, v)
}

// CodecPanicked logs a panic in the encoder or decoder of typ, and returns the error of
// the call of the method with this name.
func CodecPanicked(name string, log *report.Log, outcome fault.Outcome, what any, doing string, typ any) *fault.Fault {
	e := fault.New(fault.Internal, outcome, "%s: panic while %s a %v", name, doing, typ)
	e.LogID = log.AddPanic(report.Panic, "bsrpc: panic while "+doing, what, "method", name, "type", typ)
	return e
}

// BeginTimeout begins the time limit of a call. The context of an intercepted call may have
// the limit already. BeginTimeout returns the context to wait with: the caller's own, if it
// differs only in that.
func BeginTimeout(m *Method, ctx context.Context, t *limits.Timeout, v *method.Values) context.Context {
	own := callctx.Own(v.Ctx)
	switch {
	case v.Until != 0: // made before, with the time of the first attempt
		t.BeginUntil(v.Until, m.Timeout, m.TimeoutBy)
		if own != nil && ctx == v.Ctx {
			return own.Context
		}
		return ctx
	case own == nil || own.Until == 0:
	case ctx == v.Ctx:
		t.BeginUntil(own.Until, m.Timeout, m.TimeoutBy)
		return own.Context
	default:
		end, _ := own.Deadline()
		if at, ok := ctx.Deadline(); ok && at.Equal(end) {
			t.BeginUntil(own.Until, m.Timeout, m.TimeoutBy)
			return ctx
		}
	}
	t.Begin(ctx, m.Timeout, m.TimeoutBy)
	return ctx
}

// CloseReaders closes the readers among the arguments of a call whose request was not sent. Those of
// another are closed after their last Read. A panic in Close has no effect: most such calls have an
// error already.
func CloseReaders(m *Method, v *method.Values) {
	if m.Streams == nil || v.Sent {
		return
	}
	for _, st := range m.Streams.Params {
		if st.Item != nil {
			continue
		}
		if closer, ok := st.Reader(v).(io.Closer); ok {
			closeReader(closer)
		}
	}
}

func closeReader(c io.Closer) {
	defer func() { recover() }()
	c.Close()
}

// CountFailed counts a call that has failed with err. The transport counts successful calls, and
// the ends of those whose streams have been sent.
func CountFailed(m *Method, began time.Duration, streamsSent bool, err error) {
	var f *fault.Fault
	if !errors.As(err, &f) {
		f = fault.New(fault.Unknown, fault.NotRun, "%w", err)
	}
	switch sent := f.Outcome != fault.NotRun; {
	case m.Streams != nil && (sent || streamsSent):
	case !sent:
		m.Tally.Refuse(nil, f.Code)
	case began == 0: // it was successful, and its results cannot be decoded
		m.Tally.Recode(nil, f.Code)
	default:
		m.Tally.Add(nil, 1, f.Code, limits.Monotonic()-began)
	}
}
