package bsrpc

import (
	"context"
	"slices"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basicCall is one call to a server that speaks the basic wire. The link's
// lock guards it, but for what answered says.
type basicCall struct {
	request   []byte // a whole frame; the writer's
	size      int    // of it
	abandoned bool   // its caller has gone; it stays in line for its answer

	answered chan struct{} // closed when reply or err has been set
	reply    basicFrame
	err      *fault.Fault
}

// end finishes a call that will not be answered.
func (k *basicCall) end(err *fault.Fault) {
	if !k.abandoned {
		k.err = err
		close(k.answered)
	}
}

// call is link.call.
func (l *basicLink) call(ctx context.Context, m *boundMethod, v *method.Values) error {
	if err := ctx.Err(); err != nil {
		return fault.OfContext(err, fault.NotRun)
	}
	b := l.settings
	k := &basicCall{answered: make(chan struct{})}
	enc := codec.Encoder{Body: wire.Body{Buf: wire.AppendCommand(nil, m.number, 0)}, Max: b.MaxMessage, Depth: b.maxDepth, Lenient: true}
	if err := m.appendArgs(l.log, &enc, v); err != nil {
		return m.encodeError(err, "this end's MaxMessage", uint64(b.MaxMessage))
	}
	wire.SetBasicSize(enc.Buf, len(enc.Buf))
	k.request, k.size = enc.Buf, len(enc.Buf)
	var timeout limits.Timeout
	timeout.Begin(ctx, m.timeout, m.timeoutBy)
	timeout.Start(limits.Monotonic())
	if err := l.do(ctx, k, &timeout); err != nil {
		return err
	}
	if k.reply.typ == wire.Exception {
		name, text, err := wire.ReadException(k.reply.payload)
		if err != nil {
			return fault.New(fault.Internal, fault.OutcomeUnknown, "the answer cannot be read: EXCEPTION: %w", err)
		}
		return answerOfException(m.number, name, text, b.MaxErrorText)
	}
	b.decode(&v.Dec, k.reply.payload, true)
	v.Dec.Lenient = true
	return m.readResults(l.log, v)
}

// do makes a call and waits for its answer.
func (l *basicLink) do(ctx context.Context, k *basicCall, timeout *limits.Timeout) error {
	if _, over := timeout.Left(); over {
		return timeout.Fault(fault.NotRun)
	}
	if err := l.send(k); err != nil {
		return err
	}
	expired := timeout.Expired()
	defer timeout.Stop()
	var over func(fault.Outcome) *fault.Fault
	select {
	case <-k.answered:
		return k.failure()
	case <-ctx.Done():
		over = func(o fault.Outcome) *fault.Fault { return fault.OfContext(ctx.Err(), o) }
	case <-expired:
		over = timeout.Fault
	}
	if outcome, ok := l.abandon(k); ok {
		return over(outcome)
	}
	return k.failure()
}

// failure is the error of a call that is answered, if it has one.
func (k *basicCall) failure() error {
	if k.err != nil {
		return k.err
	}
	return nil
}

// send puts a call into the queue.
func (l *basicLink) send(k *basicCall) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.endedLocked(fault.NotRun)
	}
	l.queue = append(l.queue, k)
	l.wake()
	return nil
}

// abandon leaves a call without its answer: one that has not been written is
// not sent, any other's answer is dropped when it comes. It reports false if the
// call has just been answered.
func (l *basicLink) abandon(k *basicCall) (fault.Outcome, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-k.answered:
		return 0, false
	default:
	}
	if i := slices.Index(l.queue, k); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		return fault.NotRun, true
	}
	k.abandoned = true
	return fault.OutcomeUnknown, true
}
