package streams

import (
	"errors"
	"fmt"
	"io"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Sent is how this end sends the streams of a call. At a caller each parameter has a
// goroutine of its own, at a server the result has that of the handler.
type Sent struct {
	End  *End
	Max  int        // bytes of an item
	Call ResultCall // at a server: the call of the stream, its result
	Held bool       // the interceptors decide on the end of the stream
	Why  error      // at a server: why the held stream is not complete
}

// Producer returns a func that sends a stream stored in v, nil if there is nothing to
// send. The func does not refer to v.
func (o *Sent) Producer(s Sender, st *method.Stream, v *method.Values) func() {
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
func (o *Sent) send(s Sender, run func() error) {
	var why error
	returned := false
	defer func() {
		if !returned {
			why = o.End.User.Panicked(recover(), nil)
		}
		o.Finish(s, why)
	}()
	if err := run(); err != transport.ErrStreamOver {
		why = errtree.Bounded(err)
	}
	returned = true
}

// Finish ends a stream. A result is not complete if its call has been canceled, or its
// time is over: most iterators just return then.
//
// The methods of why are the user's code. If they panic or call runtime.Goexit, the stream ends
// all the same, with that as its failure.
func (o *Sent) Finish(s Sender, why error) {
	if o.Call != nil && why == nil {
		why = o.Call.Ended(o.Held)
	}
	if o.Call != nil { // the parameters of a call end one beside another, and nothing reads it there
		o.Why = why
	}
	if o.Held {
		return
	}
	var failure *fault.Fault
	returned := false
	defer func() {
		if !returned {
			failure = o.End.User.Panicked(recover(), nil)
			if o.Call != nil {
				o.Why = failure
			}
		}
		var flags wire.Flags
		if failure != nil && o.Call != nil {
			flags = o.Call.Fails(failure.Code)
		}
		s.End(failure, flags)
	}()
	if why != nil {
		failure = o.failure(why)
	}
	returned = true
}

// failure returns the fault to send for the error of an iterator or a reader.
func (o *Sent) failure(err error) *fault.Fault {
	if f, ok := err.(*fault.Fault); ok {
		return f
	}
	return o.End.User.Failure(err)
}

// errRecovered is what an iterator has recovered from yield.
var errRecovered = errors.New("a panic while an item was sent, recovered by the iterator")

// sendItems sends the items of an iterator. Sending one runs user code: encoders, and what watches
// the items. An iterator that recovers a panic of theirs must not make the stream look complete.
func (o *Sent) sendItems(s Sender, st *method.Stream, items func(func(codec.Ref, error) bool)) (failed error) {
	enc := codec.Encoder{Max: o.Max, Depth: o.End.Bounds.Depth}
	watched := o.End.User.Watches()
	n, inside := 0, false
	items(func(item codec.Ref, err error) bool {
		if inside {
			return false
		}
		if inside = true; err == nil && watched {
			err = o.End.User.PassItem(false, method.CopyItem(st, item))
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
		failed, inside = err, false
		return err == nil
	})
	if inside {
		return o.End.User.Panicked(errRecovered, nil)
	}
	return failed
}

// itemError returns the error of an item that cannot be sent.
func (o *Sent) itemError(n int, err error) *fault.Fault {
	code := fault.InvalidArgument
	if o.Call != nil {
		code = fault.Internal
	}
	if errors.Is(err, codec.ErrSize) {
		code, err = fault.ResourceExhausted, fmt.Errorf("%w (%s MaxMessage is %d)", err, o.End.Limits.PeerName(), o.Max)
	}
	return fault.New(code, fault.OutcomeUnknown, "%s, item %d: %w", o.End.Method, n, codec.LimitOf(o.End.Limits.Owner, err))
}

// sendBytes sends the bytes of a reader, and closes it if it is an io.Closer.
func (o *Sent) sendBytes(s Sender, r io.Reader) (err error) {
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
			return fault.New(fault.Internal, fault.OutcomeUnknown, "%s: the reader returned an impossible count", o.End.Method)
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
