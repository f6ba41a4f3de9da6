package bsrpctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc"
)

// The checks of calls whose result is a stream.

// intStream is a stream of numbers.
type intStream = iter.Seq2[int, error]

// ints yields n numbers.
func ints(n int) intStream {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// A blobs has a stream of n items of a size. It has no other results, so its func returns before the
// answer arrives. A reading has another one, and its func waits.
type blobs struct {
	Blobs func(ctx context.Context, n, size int) iter.Seq2[[]byte, error]
}

// blob is an item of blobs: each has another content.
func blob(i, size int) []byte { return bytes.Repeat([]byte{byte(i)}, size) }

// newBlobs returns the handler. sent counts the items of all streams, and ended says that one has ended: true
// for a complete one.
func newBlobs() (b *blobs, sent *atomic.Int64, ended chan bool) {
	sent, ended = new(atomic.Int64), make(chan bool, 64)
	return &blobs{func(_ context.Context, n, size int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for i := range n {
				if !yield(blob(i, size), nil) {
					ended <- false
					return
				}
				sent.Add(1)
			}
			ended <- true
		}
	}}, sent, ended
}

// endless is more items than any stream sends in a test.
const endless = 1 << 30

// checkItems: the items arrive, in their order, each once, of any size. It finds transports that
// drop items without bytes, cut streams at a limit, or take a stream that they have lost for a
// complete one.
func checkItems(x *trial) {
	type contract struct {
		Blobs func(ctx context.Context, n, size int) iter.Seq2[[]byte, error]
		Ticks func(ctx context.Context) iter.Seq2[struct{}, error]
	}
	b, _, _ := newBlobs()
	p := pair(x, &contract{b.Blobs, func(context.Context) iter.Seq2[struct{}, error] {
		return func(yield func(struct{}, error) bool) {
			for range 2 {
				yield(struct{}{}, nil)
			}
		}
	}})
	if ticks, err := Collect(p.Ticks(x.ctx)); len(ticks) != 2 || err != nil {
		x.wrong("got %d items without bytes, %v, want 2", len(ticks), err)
	}
	// An item above 64 KiB is longer than the buffers of the library, one of 3 MiB than a message of
	// most brokers.
	for _, test := range []struct{ n, size int }{{0, 0}, {1, 0}, {3, 1}, {2000, 20}, {3, 100_000}, {3, 3 << 20}} {
		got := 0
		for item, err := range p.Blobs(x.ctx, test.n, test.size) {
			if err != nil || !bytes.Equal(item, blob(got, test.size)) {
				x.wrong("item %d of %d with %d bytes: got %d bytes, %v, want the bytes of the handler", got, test.n, test.size, len(item), err)
				return
			}
			got++
		}
		if got != test.n {
			x.wrong("got %d items of %d with %d bytes", got, test.n, test.size)
		}
	}
}

// checkItemMemory: a transport that sends an item later than the next one must copy it. A slow
// reader gives it the time to mistake them. The library uses the memory of an item again for a
// later one.
func checkItemMemory(x *trial) {
	b, _, _ := newBlobs()
	p := pair(x, b)
	// More items than one buffer of the library holds, and each has one byte again and again.
	const n, size = 300, 1000
	got := 0
	for item, err := range p.Blobs(x.ctx, n, size) {
		x.must(err, "item %d of %d", got, n)
		if got%100 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
		if !bytes.Equal(item, blob(got, size)) {
			x.wrong("item %d of %d has the bytes of another one: the transport has kept it for longer than it is valid", got, n)
			return
		}
		got++
	}
}

// A reading has a reader beside another result.
type reading struct {
	Open func(ctx context.Context, n int) (int, io.ReadCloser, error)
}

// A closer says that it has been closed.
type closer struct {
	io.Reader
	closed chan struct{}
}

func (c closer) Close() error { close(c.closed); return nil }

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// checkReader: the bytes of a reader arrive, and its end, and the result beside it. The pieces
// may be cut and joined on the way, because they are bytes without boundaries.
func checkReader(x *trial) {
	closed := make(chan chan struct{}, 8)
	p := pair(x, &reading{func(_ context.Context, n int) (int, io.ReadCloser, error) {
		c := make(chan struct{})
		closed <- c
		if n < 0 {
			return n + 1, closer{zeros{}, c}, nil
		}
		return n + 1, closer{bytes.NewReader(pattern(n)), c}, nil
	}})
	for _, size := range []int{0, 1, 300_000, 3 << 20} {
		n, r, err := p.Open(x.ctx, size)
		if err != nil || n != size+1 {
			x.wrong("a reader of %d bytes: got %d, %v, want %d beside it", size, n, err, size+1)
			return
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, pattern(size)) {
			x.wrong("a reader of %d bytes: got %d, %v, want the same bytes", size, len(b), err)
		}
		r.Close()
		await(x, <-closed, "the reader of a handler has not been closed at its end")
	}
	// A caller that closes its reader wants no more of it, as one that breaks out of items.
	_, r, err := p.Open(x.ctx, -1)
	x.must(err, "an endless reader")
	r.Close()
	await(x, <-closed, "the reader of a handler has not been closed after that of the caller")
}

// checkLive: an item does not wait for the next one, nor for the end. The handler sends one only
// after the caller has got the one before. It finds transports that fill a buffer before they
// send, or return the whole stream as one body.
func checkLive(x *trial) {
	next := make(chan struct{})
	p := pair(x, &blobs{func(ctx context.Context, n, size int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for i := range n {
				select {
				case <-next:
				case <-ctx.Done():
					return
				}
				if !yield(blob(i, size), nil) {
					return
				}
			}
		}
	}})
	// Sending to next and receiving from got take turns: neither has a buffer.
	got := make(chan error)
	step := func(err error) {
		select {
		case got <- err:
		case <-x.ctx.Done():
		}
	}
	go func() {
		for _, err := range p.Blobs(x.ctx, 3, 1) {
			step(err)
		}
		step(io.EOF)
	}()
	for i := range 3 {
		select {
		case next <- struct{}{}:
		case <-time.After(patience):
			x.wrong("item %d: the handler of the stream does not wait for it", i)
			return
		}
		if err := await(x, got, "an item has not arrived before the next one is sent"); err != nil {
			x.wrong("item %d: %v", i, err)
			return
		}
	}
	if err := await(x, got, "the end of a stream has not arrived"); err != io.EOF {
		x.wrong("the stream goes on after its end: %v", err)
	}
}

// checkFlow: a reader that does not read holds the handler, which must not fill the memory. What the
// handler would send is more than the buffers of sockets hold, so a transport may use those. The
// handler waits if it has sent nothing for some time. On a slow machine the check may
// take a transport for a right one, but never the other way round.
func checkFlow(x *trial) {
	b, sent, ended := newBlobs()
	p := pair(x, b)
	// 32 MiB: the buffers of two sockets have a few.
	const n, size = 128, 256 << 10
	next, stop := iter.Pull2(p.Blobs(x.ctx, n, size))
	defer stop()
	_, err, _ := next()
	x.must(err, "the first item")
	const quiet = 50 * time.Millisecond
	for was := int64(-1); was != sent.Load(); time.Sleep(quiet) {
		was = sent.Load()
	}
	if len(ended) > 0 {
		x.wrong("a handler has sent %d MiB to a reader that has read one item: nothing holds it", n*size>>20)
		return
	}
	// Nothing is lost of what has waited, in buffers and behind them.
	for i := 1; i < n/4; i++ {
		if item, err, _ := next(); err != nil || !bytes.Equal(item, blob(i, size)) {
			x.wrong("item %d behind a slow reader: %d bytes, %v", i, len(item), err)
			return
		}
	}
}

// checkUnread: a stream that waits for its reader delays no other call. A transport with one
// connection for all calls must not let one of them fill it.
func checkUnread(x *trial) {
	type contract struct {
		Blobs func(ctx context.Context, n, size int) iter.Seq2[[]byte, error]
		Echo  func(ctx context.Context, b []byte) ([]byte, error)
	}
	b, _, _ := newBlobs()
	p := pair(x, &contract{b.Blobs, newEcho().Echo})
	for range 2 {
		next, stop := iter.Pull2(p.Blobs(x.ctx, endless, 64<<10))
		defer stop()
		_, err, _ := next()
		x.must(err, "the first item of a stream")
	}
	// Its body is longer than what remains of most buffers.
	ctx, cancel := context.WithTimeout(x.ctx, patience)
	defer cancel()
	if _, err := p.Echo(ctx, make([]byte, 100_000)); err != nil {
		x.wrong("a call beside two streams that wait for their readers: %v", err)
	}
}

// checkStreamMetadata: the metadata of a reply arrives with its stream. It travels with the
// answer, before the items: a handler cannot set it later.
func checkStreamMetadata(x *trial) {
	type contract struct {
		Count func(ctx context.Context) (int, intStream, error)
	}
	p := pair(x, &contract{func(ctx context.Context) (int, intStream, error) {
		for key, value := range someMetadata() {
			bsrpc.SetReplyMetadata(ctx, key, value)
		}
		return 1, ints(3), nil
	}})
	ctx, reply := bsrpc.WithReplyMetadata(x.ctx)
	_, seq, err := p.Count(ctx)
	x.must(err, "a stream with metadata")
	// Reply metadata may be read at any time after the func has returned.
	got, err := Collect(seq)
	if keys := differences(reply.Get()); keys != "" || len(got) != 3 || err != nil {
		x.wrong("the metadata of a reply with a stream differs at the caller (%s); %d items, %v", keys, len(got), err)
	}
}

// checkStreamError: the items before an error arrive, then the error with all that it has. It
// finds transports that end a stream in the same way with and without an error, and those that
// send the text of the error only.
func checkStreamError(x *trial) {
	type contract struct {
		Count func(ctx context.Context, n int) intStream
	}
	p := pair(x, &contract{func(_ context.Context, n int) intStream {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			if n == 0 {
				panic("secret")
			}
			yield(0, fmt.Errorf("after %d:\r\n%w", n, errProbeEmpty))
		}
	}})
	// With 1000 items the error is behind several buffers full of them.
	for _, n := range []int{1, 3, 1000} {
		got, err := Collect(p.Count(x.ctx, n))
		e := x.failedAs("a stream that fails", err, bsrpc.CodeUnknown, bsrpc.OutcomeAnswered)
		if want := fmt.Sprintf("after %d:\r\n%v", n, errProbeEmpty); len(got) != n || e.Message != want || !errors.Is(err, errProbeEmpty) {
			x.wrong("a stream that fails after %d items: got %d items, then %q, want %q with its identity", n, len(got), e.Message, want)
		}
	}
	// A panic of the iterator is an error of the stream, as an error that it yields.
	_, err := Collect(p.Count(x.ctx, 0))
	if e := x.failedAs("a stream that panics", err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered); e.ID == "" {
		x.wrong("a stream that panics: the id of the line in the log is lost")
	}
}

// checkStreamRefused: a func with a stream that fails has no items. Its reply is as that of any
// failed call.
func checkStreamRefused(x *trial) {
	p := pair(x, &reading{func(context.Context, int) (int, io.ReadCloser, error) { return 0, nil, fs.ErrNotExist }})
	if _, r, err := p.Open(x.ctx, 1); r != nil || !errors.Is(err, fs.ErrNotExist) {
		x.wrong("a method with a stream that fails: got %v, want fs.ErrNotExist", err)
	}
}
