package stress

// The service of both ends: handlers that follow the plans of their calls.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync/atomic"

	"github.com/bsrpc/bsrpc"
)

// Methods has all methods but one, whose result is a future at the caller.
type Methods struct {
	Unary       func(ctx context.Context, in *Item) (*Item, error)
	Value       func(ctx context.Context, id int64, in Item) (Item, int64, error)
	Bulk        func(ctx context.Context, id int64, data []byte) ([]byte, error)
	Quick       func(ctx context.Context, id int64) (int64, error)
	Alone       func(ctx context.Context, id int64) (int64, error) `bsrpc:"exclusive=one"`
	Note        func(ctx context.Context, id int64) error          `bsrpc:"oneway"`
	Callback    func(ctx context.Context, id int64, tell func(*Item), ask func(ctx context.Context, n int64) (string, error)) (int64, error)
	Relay       func(ctx context.Context, id int64) (int64, error)
	Watch       func(ctx context.Context, id int64) iter.Seq2[*Item, error]
	WatchValues func(ctx context.Context, id int64) iter.Seq2[Item, error]
	Opened      func(ctx context.Context, id int64) (iter.Seq2[*Item, error], error)
	Load        func(ctx context.Context, id int64, in iter.Seq2[*Item, error]) (int, error)
	LoadValues  func(ctx context.Context, id int64, in iter.Seq[Item]) (int, error)
	Both        func(ctx context.Context, id int64, in iter.Seq2[*Item, error]) iter.Seq2[*Item, error]
	Download    func(ctx context.Context, id int64) (io.ReadCloser, error)
	Upload      func(ctx context.Context, id int64, in io.Reader) (int, error)
}

// A contract is that of the callers, a served one that of the handlers.
type contract struct {
	Methods
	Later func(ctx context.Context, id int64) *bsrpc.Future[string]
}

type served struct {
	Methods
	Later func(ctx context.Context, id int64) (string, error)
}

// A service is the receiver at one end.
type service struct {
	world    *world
	atClient bool
	alone    atomic.Int32
}

// begin finds the call of a handler, and checks that it is its only run.
func (s *service) begin(ctx context.Context, id int64) *op {
	w := s.world
	if id < 0 || id >= int64(len(w.ops)) {
		w.fault(nil, "a handler with id %d", id)
		runtime.Goexit()
	}
	o := w.ops[id]
	if n := o.begun.Add(1); n != 1 || o.toClient != s.atClient {
		w.fault(o, "run %d of the handler, at the client %v", n, s.atClient)
	}
	if ctx == context.TODO() { // a method without one
		return o
	}
	if v := bsrpc.SessionFrom(ctx); !s.atClient && v != o.link.session.Load() && o.link.session.Load() != nil {
		w.fault(o, "a session of another connection")
	}
	if got := bsrpc.MetadataFrom(ctx)["op"]; o.metadata != (got != "") || o.metadata && got != fmt.Sprint(id) {
		w.fault(o, "metadata of op %q", got)
	}
	if o.metadata {
		if err := bsrpc.SetReplyMetadata(ctx, "re", fmt.Sprint(id)); err != nil {
			w.fault(o, "SetReplyMetadata: %v", err)
		}
	}
	return o
}

// leave marks the end of a handler.
func (o *op) leave() { o.left.Add(1) }

// work is what a handler does before its answer.
func (o *op) work(ctx context.Context) error {
	if o.pause > 0 {
		o.link.world.sleep(ctx, o.pause, o.deaf)
	}
	if o.hangs && !o.kind.returns() {
		<-ctx.Done()
		return ctx.Err()
	}
	if o.kind.returns() && !o.early {
		return nil
	}
	return o.ends.act(o)
}

func (s *service) Unary(ctx context.Context, in *Item) (*Item, error) {
	o := s.begin(ctx, in.Op)
	defer o.leave()
	if *in != o.item(-1) {
		s.world.fault(o, "an argument of another call")
	}
	if err := o.work(ctx); err != nil {
		return nil, err
	}
	out := o.item(-2)
	return &out, nil
}

func (s *service) Value(ctx context.Context, id int64, in Item) (Item, int64, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	if in != o.item(-1) {
		s.world.fault(o, "an argument of another call")
	}
	return o.item(-2), id, o.work(ctx)
}

func (s *service) Bulk(ctx context.Context, id int64, data []byte) ([]byte, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	o.checkBytes(data, 0, o.size)
	out := make([]byte, o.size)
	for i := range out {
		out[i] = o.byteAt(int64(i) + 1)
	}
	return out, o.work(ctx)
}

// checkBytes checks a whole message.
func (o *op) checkBytes(data []byte, first int64, size int) {
	if len(data) != size {
		o.link.world.fault(o, "%d bytes, want %d", len(data), size)
	}
	o.checkPart(data, first)
}

// checkPart checks bytes from one offset on.
func (o *op) checkPart(data []byte, first int64) {
	for i, b := range data {
		if b != o.byteAt(first+int64(i)) {
			o.link.world.fault(o, "byte %d is wrong", first+int64(i))
			return
		}
	}
}

// Quick has no context: leaders run it, most of the time.
func (s *service) Quick(id int64) (int64, error) {
	o := s.begin(context.TODO(), id)
	defer o.leave()
	return id + 1, o.ends.act(o)
}

func (s *service) Alone(ctx context.Context, id int64) (int64, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	if n := s.alone.Add(1); n != 1 {
		s.world.fault(o, "%d calls in an exclusive group", n)
	}
	defer s.alone.Add(-1)
	return id + 1, o.work(ctx)
}

func (s *service) Later(ctx context.Context, id int64) (string, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	return o.text(-2), o.work(ctx)
}

func (s *service) Note(ctx context.Context, id int64) error {
	o := s.begin(ctx, id)
	defer o.leave()
	return o.work(ctx)
}

func (s *service) Relay(ctx context.Context, id int64) (int64, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	if err := o.inner.call(ctx); err != nil {
		return 0, err
	}
	return id + 1, o.work(ctx)
}

// Callback tells the caller its items, in order, and asks it as often. At its end the funcs
// must have no effect.
func (s *service) Callback(ctx context.Context, id int64, tell func(*Item), ask func(ctx context.Context, n int64) (string, error)) (int64, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	defer s.world.after(func() {
		if _, err := ask(context.Background(), 0); !errors.Is(err, bsrpc.ErrCallOver) && !o.link.disturbed.lost() && !s.world.shutdown {
			s.world.fault(o, "a callback after the call: %v", err)
		}
		tell(nil)
	})
	for i := range o.items {
		item := o.item(int64(i))
		tell(&item)
		if i%4 == 0 {
			text, err := ask(ctx, int64(i))
			if err != nil {
				return 0, err
			}
			if text != o.text(int64(i)) {
				s.world.fault(o, "answer %d of a callback is wrong", i)
			}
		}
	}
	return id + 1, o.work(ctx)
}
