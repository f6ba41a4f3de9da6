package basic

import (
	"context"
	"slices"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A call is one call of a Client. Except as noted, Client.mu guards it.
type call struct {
	request   []byte // a whole frame; the writer's
	size      int    // of request
	abandoned bool   // its caller has left; the call keeps its place until its answer

	answered chan struct{} // closed after reply or err is set
	reply    Frame
	err      *fault.Fault
}

// failLocked ends a call without an answer.
func (k *call) failLocked(why *fault.Fault) {
	if !k.abandoned {
		k.err = why
		close(k.answered)
	}
}

// result returns the reply to an answered call.
func (k *call) result() (Frame, error) {
	if k.err != nil {
		return Frame{}, k.err
	}
	return k.reply, nil
}

// Do makes a call and returns its encoded results, which are the caller's. request is a
// whole REQUEST frame, which Do may keep. timeout has been started. An exception is
// returned as a *fault.Fault.
func (c *Client) Do(ctx context.Context, request []byte, timeout *limits.Timeout) ([]byte, error) {
	id, _, _ := wire.ReadCommand(request[wire.BasicHeaderSize:])
	f, err := c.roundTrip(ctx, request, timeout)
	switch {
	case err != nil:
		return nil, err
	case f.Type != wire.Exception:
		return f.Payload, nil
	}
	name, text, err := wire.ReadException(f.Payload)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.OutcomeUnknown, "cannot decode the answer: EXCEPTION: %w", err)
	}
	return nil, faultOfCommand(id, name, text, c.limits.MaxErrorText)
}

// roundTrip sends a request and waits for its answer.
func (c *Client) roundTrip(ctx context.Context, request []byte, timeout *limits.Timeout) (Frame, error) {
	if _, expired := timeout.Left(); expired {
		return Frame{}, timeout.Fault(fault.NotRun)
	}
	k := &call{request: request, size: len(request), answered: make(chan struct{})}
	if err := c.enqueue(k); err != nil {
		return Frame{}, err
	}
	expired := timeout.Expired()
	defer timeout.Stop()
	var why func(fault.Outcome) *fault.Fault
	select {
	case <-k.answered:
		return k.result()
	case <-ctx.Done():
		why = func(o fault.Outcome) *fault.Fault { return timeout.ContextFault(ctx.Err(), o) }
	case <-expired:
		why = timeout.Fault
	}
	if outcome, ok := c.abandon(k); ok {
		return Frame{}, why(outcome)
	}
	return k.result()
}

// enqueue appends a call to the queue of the writer.
func (c *Client) enqueue(k *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err.WithOutcome(fault.NotRun)
	}
	c.queue = append(c.queue, k)
	c.wakeWriter()
	return nil
}

// Open returns the number of calls without an answer.
func (c *Client) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) + len(c.unanswered)
}

// abandon gives up a call. A call still in the queue is not sent; the answer to any
// other is dropped on arrival. ok is false if the call has just been answered.
func (c *Client) abandon(k *call) (outcome fault.Outcome, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-k.answered:
		return 0, false
	default:
	}
	if i := slices.Index(c.queue, k); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		return fault.NotRun, true
	}
	k.abandoned = true
	return fault.OutcomeUnknown, true
}
