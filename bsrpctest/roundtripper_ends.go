package bsrpctest

import (
	"context"
	"errors"
	"time"

	"github.com/bsrpc/bsrpc"
)

// The checks of how calls end before their answer, and streams before their last item.

// A waiting has a method whose handler waits for the end of its context.
type waiting struct {
	Wait func(ctx context.Context) error
}

// newWaiting returns the handler, and the channels on which it says that it has begun, and that
// its context has ended.
func newWaiting() (w *waiting, began chan struct{}, ended chan error) {
	began, ended = make(chan struct{}, 8), make(chan error, 8)
	return &waiting{func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}, began, ended
}

// handlerRuns is the mistake of a transport that does not end the context of Handle.
const handlerRuns = "the context of the handler has not ended with the call"

// checkTimeout: the handler knows how much time is left. It is a duration on the wire, so the
// clocks of both ends need not agree. It finds transports that leave the time to the context:
// nothing tells the server when the client or the way to it is gone.
func checkTimeout(x *trial) {
	type contract struct {
		Left func(ctx context.Context) (time.Duration, error)
	}
	p := pair(x, &contract{func(ctx context.Context) (time.Duration, error) {
		at, ok := ctx.Deadline()
		if !ok {
			return -1, nil
		}
		return time.Until(at), nil
	}})
	// On its way the call may lose some of its time, but not a third.
	const most = 3 * patience
	ctx, cancel := context.WithTimeout(x.ctx, most)
	defer cancel()
	switch left, err := p.Left(ctx); {
	case err != nil:
		x.wrong("a call with a deadline: %v", err)
	case left == -1:
		x.wrong("the handler of a call with a deadline has none")
	case left > most || left < most-patience:
		x.wrong("the handler of a call with %v left has %v", most, left)
	}
}

// checkDeadline: the end of the time ends the call at both ends. It finds transports that only
// look at the context before they send.
func checkDeadline(x *trial) {
	w, began, ended := newWaiting()
	p := pair(x, w)
	x.withDeadlines(func(ctx context.Context) bool {
		if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || bsrpc.CodeOf(err) != bsrpc.CodeDeadlineExceeded {
			x.wrong("a call whose time is over: got %v, want that errors.Is finds context.DeadlineExceeded", err)
		}
		return len(began) > 0
	})
	await(x, ended, handlerRuns)
}

// withDeadlines calls f with a deadline, and with later ones until f says that it was late enough. On
// a busy machine the time of a call may be over before it arrives, and then no handler runs.
func (x *trial) withDeadlines(f func(ctx context.Context) bool) {
	for in := 20 * time.Millisecond; in < patience; in *= 4 {
		ctx, cancel := context.WithTimeout(x.ctx, in)
		enough := f(ctx)
		if cancel(); enough || x.Failed() {
			return
		}
	}
}

// checkCancel: so does the context of the caller. It finds transports that return at the client,
// and let the handler run.
func checkCancel(x *trial) {
	w, began, ended := newWaiting()
	p := pair(x, w)
	ctx, cancel := context.WithCancel(x.ctx)
	called := make(chan error, 1)
	go func() { called <- p.Wait(ctx) }()
	// A call canceled before it has arrived may never run, and would test nothing.
	await(x, began, "the handler has not begun")
	cancel()
	if err := await(x, called, "a canceled call has not returned"); !errors.Is(err, context.Canceled) || bsrpc.CodeOf(err) != bsrpc.CodeCanceled {
		x.wrong("a canceled call: got %v, want that errors.Is finds context.Canceled", err)
	}
	await(x, ended, handlerRuns)
}

// checkClose: so does Client.Close, and later calls fail at once. It finds transports that wait
// for answers when they are closed, or cancel by means of what Close has closed.
func checkClose(x *trial) {
	w, began, ended := newWaiting()
	_, client := serve(x, w)
	p := bind[waiting](x, client)
	called := make(chan error, 1)
	go func() { called <- p.Wait(x.ctx) }()
	await(x, began, "the handler has not begun")
	// Close waits for nothing here: oneway calls only have time to leave.
	client.Close()
	if err := await(x, called, "a call of a closed client has not returned"); !errors.Is(err, bsrpc.ErrClosed) {
		x.wrong("a call of a closed client: got %v, want ErrClosed", err)
	}
	await(x, ended, handlerRuns)
	err := p.Wait(x.ctx)
	if e := x.failedAs("a call after Close", err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun); !errors.Is(err, bsrpc.ErrClosed) {
		x.wrong("a call after Close: got %q, want ErrClosed", e.Message)
	}
}

// checkShutdown: Shutdown waits for a call under way, whose answer arrives, and refuses others.
// It finds transports that drop an answer because the server is closing, or take the refusal for
// the loss of the server, of which the outcome is unknown.
func checkShutdown(x *trial) {
	began, release := make(chan struct{}, 1), make(chan struct{})
	srv, client := serve(x, &echo{func(ctx context.Context, b []byte) ([]byte, error) {
		if len(b) == 0 {
			return b, nil
		}
		began <- struct{}{}
		select {
		case <-release:
			return b, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}})
	p := bind[echo](x, client)
	called, stopped := make(chan error, 1), make(chan error, 1)
	go func() {
		got, err := p.Echo(x.ctx, []byte("a"))
		if err == nil && string(got) != "a" {
			err = errors.New("another answer")
		}
		called <- err
	}()
	await(x, began, "the handler has not begun")
	go func() { stopped <- srv.Shutdown(x.ctx) }()
	// Shutdown begins at some time after this. Until then calls succeed.
	var err error
	for until := time.Now().Add(patience); err == nil && time.Now().Before(until); {
		if _, err = p.Echo(x.ctx, nil); err == nil {
			time.Sleep(time.Millisecond)
		}
	}
	x.failedAs("a call of a server that shuts down", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun)
	// The handler of the first call still runs, and the server waits for it.
	close(release)
	if err := await(x, called, "a call under way has not returned"); err != nil {
		x.wrong("a call under way when the server shuts down: %v", err)
	}
	if err := await(x, stopped, "Shutdown has not returned after the last call"); err != nil {
		x.wrong("Shutdown: %v", err)
	}
}

// checkBreak: a caller that breaks out of a stream ends it at the handler. It finds transports
// that go on reading what the caller does not want, or never tell the server.
func checkBreak(x *trial) {
	b, _, ended := newBlobs()
	p := pair(x, b)
	got := 0
	for _, err := range p.Blobs(x.ctx, endless, 100) {
		x.must(err, "item %d", got)
		if got++; got == 10 {
			break
		}
	}
	await(x, ended, "the handler of a stream goes on after its caller has broken out")
}

// A streaming has a stream whose handler sends three items, and then waits for its end.
type streaming struct {
	Items func(ctx context.Context) intStream
}

// newStreaming returns the handler, and the channel on which it says that its context has ended.
func newStreaming() (s *streaming, ended chan error) {
	ended = make(chan error, 8)
	return &streaming{func(ctx context.Context) intStream {
		return func(yield func(int, error) bool) {
			for i := range 3 {
				yield(i, nil)
			}
			<-ctx.Done()
			ended <- ctx.Err()
		}
	}}, ended
}

// checkStreamCancel: the context of the caller ends the call until the last item. It finds
// transports that watch the context until the reply, and not until the end of its stream.
func checkStreamCancel(x *trial) {
	s, ended := newStreaming()
	p := pair(x, s)
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	// The fourth step has the error. The func of a stream without other results has returned before.
	got := 0
	var last error
	for _, last = range p.Items(ctx) {
		if got++; got == 3 {
			cancel()
		}
	}
	if got != 4 || !errors.Is(last, context.Canceled) {
		x.wrong("a stream canceled after three items: got %d steps, then %v, want that errors.Is finds context.Canceled", got, last)
	}
	await(x, ended, handlerRuns)
}

// checkStreamDeadline: so does its deadline. The items before it arrive all the same.
func checkStreamDeadline(x *trial) {
	s, ended := newStreaming()
	p := pair(x, s)
	x.withDeadlines(func(ctx context.Context) bool {
		got, err := Collect(p.Items(ctx))
		if !errors.Is(err, context.DeadlineExceeded) {
			x.wrong("a stream whose time is over: got %v, want that errors.Is finds context.DeadlineExceeded", err)
		}
		return len(got) == 3
	})
	await(x, ended, handlerRuns)
}
