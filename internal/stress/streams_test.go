package stress

// The handlers with streams, and the iterators and readers of both ends.

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
)

// A producing is an iterator of one end: its op, what it sends, and how it ends.
type producing struct {
	op      *op
	n       int
	end     ending
	hangs   bool
	running *atomic.Int32
}

// run is an iterator. It checks that nothing asks it for more after its end.
func (p producing) run(ctx context.Context, yield func(Item, error) bool) {
	p.running.Add(1)
	defer p.running.Add(-1)
	for i := range p.n {
		if !yield(p.op.item(int64(i)), nil) {
			return
		}
		if p.op.step > 0 {
			p.op.link.world.sleep(ctx, p.op.step, p.op.deaf)
		}
	}
	if p.hangs {
		<-ctx.Done()
		return
	}
	if err := p.end.act(p.op); err != nil {
		yield(Item{}, err)
	}
}

// pointers is the iterator with items by pointer.
func (p producing) pointers(ctx context.Context) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		p.run(ctx, func(item Item, err error) bool {
			if err != nil {
				return yield(nil, err)
			}
			return yield(&item, nil)
		})
	}
}

// result returns the iterator of a result.
func (o *op) result() producing { return producing{o, o.items, o.ends, o.hangs, &o.ranging} }

// once counts the ranges over a result.
func once[T any](o *op, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if n := o.ranged.Add(1); n != 1 {
			o.link.world.fault(o, "range %d over a result", n)
		}
		seq(yield)
	}
}

func (s *service) Watch(ctx context.Context, id int64) (iter.Seq2[*Item, error], error) {
	o := s.begin(ctx, id)
	defer o.leave()
	return once(o, o.result().pointers(ctx)), o.work(ctx)
}

func (s *service) WatchValues(ctx context.Context, id int64) (iter.Seq2[Item, error], error) {
	o := s.begin(ctx, id)
	defer o.leave()
	p := o.result()
	return once(o, func(yield func(Item, error) bool) { p.run(ctx, yield) }), o.work(ctx)
}

func (s *service) Opened(ctx context.Context, id int64) (iter.Seq2[*Item, error], error) {
	return s.Watch(ctx, id)
}

// receive ranges over a parameter as planned, and passes its items on. It returns the error
// of the parameter.
func receive[T any](ctx context.Context, o *op, in iter.Seq2[T, error], item func(T) Item, pass func(Item) bool) (n int, failed error) {
	w := o.link.world
	if o.handles == 0 {
		return 0, nil
	}
	for v, err := range in {
		if err != nil {
			failed = err
			continue // the range ends by itself
		}
		if failed != nil || n >= o.sent {
			w.fault(o, "an item after the end of a parameter")
		}
		if item(v) != o.item(int64(n)) {
			w.fault(o, "item %d of a parameter is wrong", n)
		}
		if n++; !pass(o.item(int64(n-1) * 2)) {
			return n, nil
		}
		if n == o.handles {
			return n, nil
		}
		if o.slow > 0 {
			w.sleep(ctx, o.slow, o.deaf)
		}
	}
	if failed == nil && (n != o.sent || o.sentEnds != fine) {
		w.fault(o, "a parameter ends after %d items, without an error", n)
	}
	return n, failed
}

func pointed(item *Item) Item { return *item }
func same(item Item) Item     { return item }
func always(Item) bool        { return true }

func (s *service) Load(ctx context.Context, id int64, in iter.Seq2[*Item, error]) (int, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	n, err := receive(ctx, o, in, pointed, always)
	if err != nil {
		return n, err
	}
	return n, o.work(ctx)
}

func (s *service) LoadValues(ctx context.Context, id int64, in iter.Seq2[Item, error]) (int, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	n, err := receive(ctx, o, in, same, always)
	if err != nil {
		return n, err
	}
	return n, o.work(ctx)
}

func (s *service) Both(ctx context.Context, id int64, in iter.Seq2[*Item, error]) (iter.Seq2[*Item, error], error) {
	o := s.begin(ctx, id)
	defer o.leave()
	return once(o, func(yield func(*Item, error) bool) {
		o.ranging.Add(1)
		defer o.ranging.Add(-1)
		left := false
		_, err := receive(ctx, o, in, pointed, func(item Item) bool {
			left = !yield(&item, nil)
			return !left
		})
		switch {
		case left:
		case err != nil:
			yield(nil, err)
		case o.hangs:
			<-ctx.Done()
		default:
			if err := o.ends.act(o); err != nil {
				yield(nil, err)
			}
		}
	}), o.work(ctx)
}

// A source is a reader of one end.
type source struct {
	producing
	ctx  context.Context
	at   int
	shut *atomic.Int32
}

func (r *source) Read(p []byte) (int, error) {
	r.running.Add(1)
	defer r.running.Add(-1)
	w := r.op.link.world
	if r.shut.Load() != 0 {
		w.fault(r.op, "Read after Close")
	}
	if r.at == r.n {
		if r.hangs {
			<-r.ctx.Done()
			return 0, r.ctx.Err()
		}
		if err := r.end.act(r.op); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	if r.op.step > 0 {
		w.sleep(r.ctx, r.op.step, r.op.deaf)
	}
	n := min(len(p), r.n-r.at, 1+int(uint64(r.at)*2654435761>>8%9000))
	for i := range n {
		p[i] = r.op.byteAt(int64(r.at + i))
	}
	r.at += n
	return n, nil
}

func (r *source) Close() error {
	if n := r.shut.Add(1); n != 1 {
		r.op.link.world.fault(r.op, "Close %d of a reader", n)
	}
	return nil
}

func (s *service) Download(ctx context.Context, id int64) (io.ReadCloser, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	return &source{producing: o.result(), ctx: ctx, shut: &o.ranged}, o.work(ctx)
}

// drain reads a reader as planned. limit is where it stops, -1 for the end.
func (o *op) drain(ctx context.Context, r io.Reader, limit, most int) (n int, err error) {
	w := o.link.world
	size := 1 + o.id*777%20_000
	if o.slow > 0 {
		size += 2000
	}
	buf := make([]byte, size)
	for n != limit {
		part := buf
		if limit >= 0 {
			part = buf[:min(len(buf), limit-n)]
		}
		k, err := r.Read(part)
		if n+k > most {
			w.fault(o, "%d bytes read, want at most %d", n+k, most)
		}
		o.checkPart(part[:k], int64(n))
		n += k
		if err != nil {
			return n, err
		}
		if o.slow > 0 {
			w.sleep(ctx, o.slow, o.deaf)
		}
	}
	return n, nil
}

func (s *service) Upload(ctx context.Context, id int64, in io.Reader) (int, error) {
	o := s.begin(ctx, id)
	defer o.leave()
	n, err := o.drain(ctx, in, o.handles, o.sent)
	if err == io.EOF {
		if err = nil; n != o.sent || o.sentEnds != fine {
			s.world.fault(o, "a reader ends after %d bytes", n)
		}
	}
	if err != nil {
		return n, err
	}
	return n, o.work(ctx)
}
