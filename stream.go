package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/callback"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls with streams, at both ends. internal/method turns iterators and readers into
// items and back, internal/transport carries them.

// ErrStreamUsed is the error of a second range over a received stream.
var ErrStreamUsed = method.ErrStreamUsed

// errCallOver is the error of a parameter used after its call. It is shared, and must not
// be changed.
var errCallOver = &fault.Fault{Code: fault.Canceled, Outcome: fault.NotRun, Message: ErrCallOver.Error(), Err: ErrCallOver}

// A streamPlan lists the streams of a method in the form the transport needs.
type streamPlan struct {
	params []*method.Stream
	result *method.Stream // nil for none
	items  []bool         // of each of params: a stream of items, not of bytes
	first  *bool          // the same of result
	eager  bool           // a proxy's func does not wait for the answer
	kind   Kind

	end atomic.Pointer[streamEnd] // of calls of a proxy without interceptors
}

// streamPlanOf returns the plan of a method, nil if it has no streams.
func streamPlanOf(sig *method.Signature) *streamPlan {
	p := &streamPlan{params: sig.ParamStreams(), result: sig.ResultStream()}
	if p.params == nil && p.result == nil {
		return nil
	}
	for _, st := range p.params {
		p.items = append(p.items, st.Item != nil)
		p.kind |= KindClientStream
	}
	if p.result != nil {
		p.kind |= KindServerStream
		items := p.result.Item != nil
		p.first = &items
		p.eager = !sig.EndsInError() && len(sig.Results.Layouts()) == 1
	}
	return p
}

// callStreams is call for a method with streams.
func (c *nativeLink) callStreams(ctx context.Context, m *boundMethod, b *binding, k *transport.Call, v *method.Values, sent *callctx.Outgoing) error {
	p := b.streams
	s := transport.NewStreamCall(c.Conn, k, len(p.params), p.first, p.eager)
	if m.timeoutBy == limits.ByMethod {
		m.beginTimeout(ctx, &s.Whole, v)
	} else {
		s.Whole.Begin(ctx, 0, 0)
	}
	if p.eager && sent != nil && sent.Reply != nil {
		s.OnAnswer = sent.Reply.Set
	}
	end := p.end.Load()
	if end == nil {
		end = c.streamEnd(m.Name)
		p.end.Store(end)
	}
	if x, ok := v.Ctx.(*callContext); ok {
		own := *end
		end, own.seen = &own, x.call
		own.seen.streams = s
	}
	out := &sentStreams{end: end, max: maxBody(c.PeerMaxMessage())}
	err := transport.OpenStreams(ctx, c.Conn, s, &v.Enc.Body, func() {
		for i, st := range p.params {
			if produce := out.producer(s.Params[i], st, v); produce != nil {
				go produce()
			} else {
				s.Params[i].End(nil, 0)
			}
		}
	})
	if !p.eager && sent != nil {
		sent.Reply.Set(k.Entries())
	}
	if err != nil {
		v.Sent = s.Produced
		return err
	}
	if !p.eager {
		data, own := k.Body()
		c.settings.decode(&v.Dec, data, own)
		if err := m.readResults(c.log, b.sig, v); err != nil {
			if s.Result != nil {
				s.Result.Close()
			}
			return err
		}
	}
	if s.Result != nil {
		newReceivedStream(s.Result, end.withFuncs(k.Funcs), p.result).store(v)
	}
	return nil
}

// A streamEnd is how the errors of a stream are made, and where panics are logged.
type streamEnd struct {
	method   string
	settings *settings
	limits   *limits.Conn // of this end
	log      *report.Log
	panicked func(what any) *fault.Fault // logs a panic in user code
	seen     *Call                       // by interceptors; nil without any
	funcs    *callback.Funcs             // of the call; nil without any
}

// withFuncs returns e for a call with these transport.Call.Funcs. It does not change e, which
// other calls share.
func (e *streamEnd) withFuncs(funcs any) *streamEnd {
	f, ok := funcs.(*callback.Funcs)
	if !ok {
		return e
	}
	own := *e
	own.funcs = f
	return &own
}

// streamEnd returns the end of a client for a method.
func (c *nativeLink) streamEnd(name string) *streamEnd {
	return &streamEnd{method: name, settings: c.settings, limits: &c.settings.Conn, log: c.log, panicked: func(what any) *fault.Fault {
		e := fault.New(fault.Internal, fault.OutcomeUnknown, "%s: panic in an iterator or reader of the caller", name)
		e.LogID = c.log.AddPanic(report.Panic, "bsrpc: panic in an iterator or reader", what, "method", name)
		return e
	}}
}

// failure returns the fault to send for the error of an iterator or a reader.
func (e *streamEnd) failure(err error) *fault.Fault {
	if f, ok := err.(*fault.Fault); ok {
		return f
	}
	var p *panicError
	if errors.As(err, &p) {
		return &fault.Fault{Code: fault.Internal, Message: fault.Prefix + e.method + ": " + p.Error(), LogID: p.id}
	}
	code, f, ids := e.settings.failureOf(err, e.log, e.method, wire.MaxIdentityRoom)
	return &fault.Fault{Code: code, Name: f.Name, Message: f.Message, LogID: f.LogID, Identities: ids}
}

// A sentStreams is how this end sends the streams of a call. At a caller each parameter has a
// goroutine of its own, at a server the result has that of the handler.
type sentStreams struct {
	end  *streamEnd
	max  int        // bytes of an item
	call resultCall // at a server: the call of the stream, its result
	held bool       // the interceptors decide on the end of the stream
	why  error      // why the held stream is not complete
}

// A resultCall is a call at a server, as its result stream sees it: an invocation.
type resultCall interface {
	ended(held bool) error                 // why the call has ended before the stream; nil if it has not
	errorFlags(code fault.Code) wire.Flags // of an END with a failure
}

// producer returns a func that sends a stream stored in v, nil if there is nothing to
// send. The func does not refer to v.
func (o *sentStreams) producer(s *transport.Sender, st *method.Stream, v *method.Values) func() {
	if st.Item == nil {
		r := st.Reader(v)
		if r == nil {
			return nil
		}
		return func() { o.send(s, func() error { return o.sendBytes(s, r) }) }
	}
	items := st.Items(v)
	if items == nil {
		return nil
	}
	return func() { o.send(s, func() error { return o.sendItems(s, st, items) }) }
}

// send runs the user's code in run, and ends the stream with its result. A panic, or
// runtime.Goexit, is a failure of the stream.
func (o *sentStreams) send(s *transport.Sender, run func() error) {
	var why error
	returned := false
	defer func() {
		if !returned {
			why = o.end.panicked(recover())
		}
		o.finish(s, why)
	}()
	if err := run(); err != transport.ErrStreamOver {
		why = err
	}
	returned = true
}

// finish ends a stream. A result is not complete if its call has been canceled, or its
// time is over: most iterators just return then.
func (o *sentStreams) finish(s *transport.Sender, why error) {
	if o.call != nil && why == nil {
		why = o.call.ended(o.held)
	}
	if o.why = why; o.held {
		return
	}
	var failure *fault.Fault
	var flags wire.Flags
	if why != nil {
		failure = o.end.failure(why)
		if o.call != nil {
			flags = o.call.errorFlags(failure.Code)
		}
	}
	s.End(failure, flags)
}

// sendItems sends the items of an iterator.
func (o *sentStreams) sendItems(s *transport.Sender, st *method.Stream, items func(func(codec.Ref, error) bool)) (failed error) {
	enc := codec.Encoder{Max: o.max, Depth: o.end.settings.maxDepth}
	n := 0
	items(func(item codec.Ref, err error) bool {
		if err == nil && o.end.seen.watchesItems() {
			err = o.end.seen.passItem(false, method.CopyItem(st, item))
		}
		if err == nil {
			enc.Buf = enc.Buf[:0]
			if err = st.Item.Append(&enc, item); err != nil {
				err = o.itemError(n+1, err)
			} else {
				err = s.Send(enc.Buf)
			}
		}
		n++
		failed = err
		return err == nil
	})
	return failed
}

// itemError returns the error of an item that cannot be sent.
func (o *sentStreams) itemError(n int, err error) *fault.Fault {
	code := fault.InvalidArgument
	if o.call != nil {
		code = fault.Internal
	}
	if errors.Is(err, codec.ErrSize) {
		code, err = fault.ResourceExhausted, fmt.Errorf("%w (%s MaxMessage is %d)", err, o.end.limits.PeerName(), o.max)
	}
	return fault.New(code, fault.OutcomeUnknown, "%s, item %d: %w", o.end.method, n, limitOf(o.end.limits.Owner, err))
}

// sendBytes sends the bytes of a reader, and closes it if it is an io.Closer.
func (o *sentStreams) sendBytes(s *transport.Sender, r io.Reader) (err error) {
	if closer, ok := r.(io.Closer); ok {
		defer closer.Close()
	}
	buf := transport.NewByteBuffer()
	defer func() { buf.Free() }()
	// A reader is user code: its count is checked, and so is its progress.
	for empty := 0; ; {
		space := buf.Space()
		n, err := r.Read(space)
		if n < 0 || n > len(space) {
			return fault.New(fault.Internal, fault.OutcomeUnknown, "%s: the reader returned an impossible count", o.end.method)
		}
		if n > 0 {
			var err error
			if buf, err = s.SendBuffer(buf, n); err != nil {
				return err
			}
			empty = 0
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case n == 0:
			if empty++; empty == maxEmptyReads {
				return io.ErrNoProgress
			}
		}
	}
}

// maxEmptyReads is how many reads in a row may return nothing.
const maxEmptyReads = 100

// A receivedStream is a received stream in the hands of the user. It is not referred to by the
// connection, so a stream dropped by the user can be canceled.
type receivedStream struct {
	recv   *transport.Receiver
	end    *streamEnd
	stream *method.Stream
	ranged atomic.Pointer[ranging] // nil before the first range

	dropped runtime.Cleanup // if the user drops the stream
}

// A ranging is the range over a stream.
type ranging struct {
	dec codec.Decoder
	n   int // items
}

func newReceivedStream(recv *transport.Receiver, end *streamEnd, st *method.Stream) *receivedStream {
	in := &receivedStream{recv: recv, end: end, stream: st}
	in.dropped = runtime.AddCleanup(in, (*transport.Receiver).Drop, recv)
	return in
}

// store stores the stream in the values of a call.
func (in *receivedStream) store(v *method.Values) {
	if in.stream.Item == nil {
		in.stream.SetReader(v, in)
		return
	}
	in.stream.SetItems(v, in.open)
}

// open begins the only range over a stream.
func (in *receivedStream) open() (method.ItemReader, error) {
	if !in.ranged.CompareAndSwap(nil, new(ranging)) {
		return nil, ErrStreamUsed
	}
	return in, nil
}

// Next implements method.ItemReader.
func (in *receivedStream) Next(item codec.Ref) error {
	data, err := in.recv.Next()
	if err != nil {
		return in.failed(err)
	}
	r := in.ranged.Load()
	r.n++
	in.end.settings.decode(&r.dec, data, false)
	if err := in.stream.Item.Read(&r.dec, item); err != nil {
		in.recv.Close()
		return errorOf(fault.New(fault.Internal, fault.OutcomeUnknown, "cannot decode an item: %s, item %d: %w", in.end.method, r.n, limitOf(in.end.limits.Owner, err)))
	}
	if in.end.seen.watchesItems() {
		if err := in.end.seen.passItem(true, method.CopyItem(in.stream, item)); err != nil {
			in.Stop()
			return err
		}
	}
	return nil
}

// failed returns the error of a stream for its reader. The call is over, so the callbacks
// without results that have arrived run before.
func (in *receivedStream) failed(err error) error {
	if in.dropped.Stop(); in.end.funcs != nil {
		in.end.funcs.AwaitEnd()
	}
	if err == io.EOF {
		return io.EOF
	}
	return publicError(fault.About(in.end.method, in.end.settings.identified(err, in.end.log, in.end.method)))
}

// Stop implements method.ItemReader.
func (in *receivedStream) Stop() {
	in.dropped.Stop()
	in.recv.Close()
}

// Read implements io.Reader.
func (in *receivedStream) Read(p []byte) (int, error) {
	n, err := in.recv.Read(p)
	if err != nil {
		err = in.failed(err)
	}
	return n, err
}

// Close implements io.Closer: the sender stops.
func (in *receivedStream) Close() error {
	in.Stop()
	return nil
}
