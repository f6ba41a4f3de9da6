package streams

import (
	"io"
	"runtime"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// A received is a received stream in the hands of the user. It is not referred to by the
// connection, so a stream dropped by the user can be canceled.
type received struct {
	recv   Receiver
	end    *End
	stream *method.Stream
	ranged atomic.Pointer[ranging] // nil before the first range

	dropped runtime.Cleanup // if the user drops the stream
}

// A ranging is the range over a stream.
type ranging struct {
	dec     codec.Decoder
	codec   *codec.Codec // of the items
	watched bool
	n       int // items
}

// Store stores the stream received by recv in the values of a call.
func Store(recv Receiver, end *End, st *method.Stream, v *method.Values) {
	in := &received{recv: recv, end: end, stream: st}
	in.dropped = runtime.AddCleanup(in, Receiver.Drop, recv)
	if st.Item == nil {
		st.SetReader(v, in)
		return
	}
	st.SetItems(v, in.open)
}

// open begins the only range over a stream.
func (in *received) open() (method.ItemReader, error) {
	if !in.ranged.CompareAndSwap(nil, &ranging{watched: in.end.User.Watches()}) {
		return nil, method.ErrStreamUsed
	}
	return in, nil
}

// Next implements method.ItemReader.
func (in *received) Next(item codec.Ref) error {
	data, err := in.recv.Next()
	if err != nil {
		return in.failed(err)
	}
	r := in.ranged.Load()
	if r.n++; r.codec == nil {
		if r.codec = in.stream.Item; in.end.Received != nil {
			r.codec = in.end.Received().Item
		}
	}
	in.end.Bounds.Begin(&r.dec, data, false)
	if r.codec.UserCode() {
		err = in.readUser(r, item)
	} else {
		err = r.codec.Read(&r.dec, item)
	}
	if err != nil {
		in.recv.Close()
		f, ok := err.(*fault.Fault)
		if !ok {
			f = fault.New(fault.Internal, fault.OutcomeUnknown, "cannot decode an item: %s, item %d: %w", in.end.Method, r.n, codec.LimitOf(in.end.Limits.Owner, err))
		}
		return in.end.User.Public(f)
	}
	if r.watched {
		if err := in.end.User.PassItem(true, method.CopyItem(in.stream, item)); err != nil {
			in.Stop()
			return err
		}
	}
	return nil
}

// readUser decodes an item of a type with decoders of the user. A panic there fails the stream only.
func (in *received) readUser(r *ranging, item codec.Ref) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = in.end.User.Panicked(what, r.dec.UserType)
		}
	}()
	return r.codec.Read(&r.dec, item)
}

// failed returns the error of a stream for its reader. The call is over, so the callbacks
// without results that have arrived run before.
func (in *received) failed(err error) error {
	if in.dropped.Stop(); in.end.Funcs != nil {
		in.end.Funcs.AwaitEnd()
	}
	if err == io.EOF {
		return io.EOF
	}
	return in.end.User.Received(err)
}

// Stop implements method.ItemReader.
func (in *received) Stop() {
	in.dropped.Stop()
	in.recv.Close()
}

// Read implements io.Reader.
func (in *received) Read(p []byte) (int, error) {
	n, err := in.recv.Read(p)
	if err != nil {
		err = in.failed(err)
	}
	return n, err
}

// Close implements io.Closer: the sender stops.
func (in *received) Close() error {
	in.Stop()
	return nil
}
