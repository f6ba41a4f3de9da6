package stress

// The callers: they follow the plans of their calls, and compare the results with the model.

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/bsrpc/bsrpc"
)

// run makes a call of the program at its time.
func (o *op) run() {
	time.Sleep(o.start)
	o.call(context.Background())
}

// call makes the call, checks its outcome, and returns its error.
func (o *op) call(ctx context.Context) error {
	w := o.link.world
	defer o.over.Store(true)
	if o.timeout > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, o.timeout)
		defer o.release(end)
	}
	if o.cancel > 0 {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		timer := time.AfterFunc(o.cancel, end)
		defer o.release(func() { timer.Stop(); end() })
	}
	var reply *bsrpc.ReplyMetadata
	if o.metadata {
		ctx = bsrpc.WithMetadata(ctx, bsrpc.Metadata{"op": fmt.Sprint(o.id)})
		ctx, reply = bsrpc.WithReplyMetadata(ctx)
	}
	begun := time.Now()
	n, err := o.invoke(ctx)
	took := time.Since(begun)
	o.err = err
	if o.unused() {
		if want := o.want(); err != nil && !o.excused(err) && !want.end.matches(err, want.of) {
			w.fault(o, "%v", err)
		}
		return nil
	}
	o.check(n, err)
	if limit := o.latest(); w.bubble && limit > 0 && took > limit {
		w.fault(o, "took %v, want at most %v", took, limit)
	}
	if reply != nil && o.begun.Load() == 1 {
		got, want := reply.Get()["re"], fmt.Sprint(o.id)
		if got != want && (got != "" || !o.kind.returns() && o.want().end.matches(err, o.want().of)) {
			w.fault(o, "reply metadata %q", got)
		}
	}
	return err
}

// release ends a context at the end of its call. That of a dropped stream or future lives on.
func (o *op) release(end func()) {
	if o.dropped {
		o.link.world.atEnd(end)
	} else {
		end()
	}
}

// unused reports whether the caller does not learn the outcome.
func (o *op) unused() bool { return o.dropped || o.kind == oneway }

// latest returns the longest time of a call that its own limits allow, 0 if they do not decide.
func (o *op) latest() time.Duration {
	if o.slow > 0 {
		return 0
	}
	limit := o.timeout
	if o.cancel > 0 && (limit == 0 || o.cancel < limit) {
		limit = o.cancel
	}
	if limit == 0 {
		return 0
	}
	return limit + 5*time.Millisecond
}

// invoke makes the call. It returns how many items or bytes the caller has received.
func (o *op) invoke(ctx context.Context) (int, error) {
	w, p := o.link.world, o.link.proxy(o.toClient)
	check := func(ok bool, err error) (int, error) {
		if err == nil && !ok {
			w.fault(o, "a result of another call")
		}
		return 0, err
	}
	switch o.kind {
	case unary:
		in := o.item(-1)
		out, err := p.Unary(ctx, &in)
		return check(out != nil && *out == o.item(-2), err)
	case byValue:
		out, id, err := p.Value(ctx, o.id, o.item(-1))
		return check(out == o.item(-2) && id == o.id, err)
	case bulk:
		data := make([]byte, o.size)
		for i := range data {
			data[i] = o.byteAt(int64(i))
		}
		out, err := p.Bulk(ctx, o.id, data)
		clear(data) // the caller's again
		if err == nil {
			o.checkBytes(out, 1, o.size)
		}
		return 0, err
	case quick:
		n, err := p.Quick(ctx, o.id)
		return check(n == o.id+1, err)
	case byName:
		var n int64
		err := o.link.client.Call(ctx, "Stress.Quick", []any{o.id}, &n)
		return check(n == o.id+1, err)
	case alone:
		n, err := p.Alone(ctx, o.id)
		return check(n == o.id+1, err)
	case callback:
		return o.callback(ctx, p)
	case relay:
		n, err := p.Relay(ctx, o.id)
		return check(n == o.id+1, err)
	case future:
		return o.await(ctx, p)
	case oneway:
		return 0, p.Note(ctx, o.id)
	}
	return o.stream(ctx, p)
}

// callback makes a call with two funcs. The first must be called in order, and before the
// call returns. The second fails in the last third of its calls, if it is to fail.
func (o *op) callback(ctx context.Context, p *contract) (int, error) {
	w := o.link.world
	tell := func(item *Item) {
		if o.over.Load() && o.err == nil { // after an end by its context, one may be starting
			w.fault(o, "a callback begins after the call")
		}
		n := o.told.Load()
		if item == nil || *item != o.item(int64(n)) {
			w.fault(o, "item %d of a callback is wrong", n)
		}
		if o.told.Add(1) != n+1 {
			w.fault(o, "two callbacks at the same time")
		}
	}
	ask := func(ctx context.Context, n int64) (string, error) {
		o.sending.Add(1)
		defer o.sending.Add(-1)
		if told := int64(o.told.Load()); told < n && ctx.Err() == nil {
			w.fault(o, "callback %d starts before those before it: %d", n, told)
		}
		if o.step > 0 {
			w.sleep(ctx, o.step, o.deaf)
		}
		if n >= int64(o.items-4) {
			if err := o.sentEnds.act(o); err != nil {
				return "", err
			}
		}
		return o.text(n), nil
	}
	n, err := p.Callback(ctx, o.id, tell, ask)
	all := int(o.told.Load()) == o.items || o.contextEnds() // the time may end between the answer and the last of them
	if err == nil && (n != o.id+1 || !all) {
		w.fault(o, "%d callbacks without results, or the result of another call", o.told.Load())
	}
	return 0, err
}

// await makes a call with a future.
func (o *op) await(ctx context.Context, p *contract) (int, error) {
	f := p.Later(ctx, o.id)
	if o.dropped {
		return 0, nil
	}
	w := o.link.world
	if o.twice {
		short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := f.Wait(short); err != nil && short.Err() == nil {
			// the call itself has failed; the next Wait says the same
			_ = err
		}
	}
	got, err := f.Wait(context.Background())
	again, err2 := f.Wait(context.Background())
	select {
	case <-f.Done():
	default:
		w.fault(o, "a future with a result is not done")
	}
	if got != again || (err == nil) != (err2 == nil) || err == nil && got != o.text(-2) {
		w.fault(o, "a result of another call, or two of them")
	}
	return 0, err
}

// stream makes a call with streams.
func (o *op) stream(ctx context.Context, p *contract) (int, error) {
	send := producing{o, o.sent, o.sentEnds, false, &o.sending}
	switch o.kind {
	case watch:
		return ranged(ctx, o, p.Watch(ctx, o.id), pointed, 1)
	case watchValues:
		return ranged(ctx, o, p.WatchValues(ctx, o.id), same, 1)
	case opened:
		seq, err := p.Opened(ctx, o.id)
		if err != nil {
			return 0, err
		}
		return ranged(ctx, o, seq, pointed, 1)
	case both:
		return ranged(ctx, o, p.Both(ctx, o.id, send.pointers(ctx)), pointed, 2)
	case load:
		n, err := p.Load(ctx, o.id, send.pointers(ctx))
		return o.loaded(n, err)
	case loadValues:
		n, err := p.LoadValues(ctx, o.id, func(yield func(Item) bool) {
			send.run(ctx, func(item Item, err error) bool { return yield(item) })
		})
		return o.loaded(n, err)
	case upload:
		n, err := p.Upload(ctx, o.id, &source{producing: send, ctx: ctx, shut: &o.closed})
		return o.loaded(n, err)
	}
	r, err := p.Download(ctx, o.id)
	if err != nil || o.dropped {
		return 0, err
	}
	n, err := o.drain(ctx, r, o.takes, o.items)
	if err == io.EOF {
		err = nil
	}
	r.Close()
	if o.takes < 0 && err == nil && n != o.items {
		o.link.world.fault(o, "a reader ends after %d bytes", n)
	}
	return n, err
}

// loaded checks the result of a call with a parameter stream.
func (o *op) loaded(n int, err error) (int, error) {
	if want := o.want(); err == nil && n != want.received {
		o.link.world.fault(o, "the handler has received %d, want %d", n, want.received)
	}
	return 0, err
}

// ranged ranges over a result stream as planned. The numbers of its items rise by step.
func ranged[T any](ctx context.Context, o *op, seq iter.Seq2[T, error], item func(T) Item, step int64) (n int, failed error) {
	w := o.link.world
	if o.dropped {
		return 0, nil
	}
	for v, err := range seq {
		if failed != nil {
			w.fault(o, "an item or error after the error %v", failed)
		}
		if failed = err; err != nil {
			continue
		}
		if item(v) != o.item(int64(n)*step) {
			w.fault(o, "item %d is wrong: %d of op %d", n, item(v).N, item(v).Op)
		}
		if n++; n == o.takes {
			break
		}
		if o.slow > 0 {
			w.sleep(ctx, o.slow, o.deaf)
		}
	}
	if o.twice {
		again := 0
		for _, err := range seq {
			if again++; err != bsrpc.ErrStreamUsed {
				w.fault(o, "a second range: %v", err)
			}
		}
		if again != 1 {
			w.fault(o, "a second range gives %d errors", again)
		}
	}
	return n, failed
}
