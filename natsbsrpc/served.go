package natsbsrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
)

// maxWaiting limits the workers of an Instance that wait for calls.
const maxWaiting = 64

// served is a running call.
type served struct {
	flow
	callContext
	endpoint *endpoint
	first    *nats.Msg
	addr     callerAddr
}

// requests are for the time before ServeRequest returns.
var requests = sync.Pool{New: func() any { return new(bsrpc.Request) }}

// serveCalls is a worker: it serves a call, and then others, because the stack of a new goroutine has to grow
// first. A handler may end it.
func (i *Instance) serveCalls(c *served) {
	for {
		i.serve(c)
		if i.waiting.Add(1) > maxWaiting {
			i.waiting.Add(-1)
			return
		}
		select {
		case c = <-i.work:
			i.waiting.Add(-1)
		case <-i.stopped:
			return
		}
	}
}

// serve runs one call.
func (i *Instance) serve(c *served) {
	defer i.running.Done()
	defer c.cancel()
	began := time.Now()
	answer := func(reply *bsrpc.Reply) {
		err := i.answer(c, reply)
		if err == nil && reply.Err != nil {
			err = errors.New(reply.Err.Code.String())
		}
		i.mu.Lock()
		delete(i.calls, c.first.Reply)
		i.mu.Unlock()
		c.endpoint.count(began, err)
	}
	r := requests.Get().(*bsrpc.Request)
	if err := i.readRequest(c, r); err != nil {
		answer(&bsrpc.Reply{Status: bsrpc.StatusError, Err: refusal(err)})
		return
	}
	if r.Timeout > 0 {
		r.Timeout = max(1, r.Timeout-time.Since(began))
	}
	i.srv.ServeRequest(c, r, answer)
	*r = bsrpc.Request{}
	requests.Put(r)
}

// A callContext is the context of a call. It costs nothing until something waits for its end.
type callContext struct {
	parent context.Context // has no deadline and no values

	lock   sync.Mutex // guards the rest
	over   bool
	waited context.Context // nil until Done
	stop   context.CancelFunc
}

// cancel ends the context.
func (c *callContext) cancel() {
	c.lock.Lock()
	c.over = true
	stop := c.stop
	c.lock.Unlock()
	if stop != nil {
		stop()
	}
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (at time.Time, ok bool) { return at, false }

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.waited == nil {
		if c.waited, c.stop = context.WithCancel(c.parent); c.over {
			c.stop()
		}
	}
	return c.waited.Done()
}

// Err implements context.Context.
func (c *callContext) Err() error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.over {
		return context.Canceled
	}
	return c.parent.Err()
}

// Value implements context.Context. Package context finds the context behind Done by it.
func (c *callContext) Value(key any) any {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.waited == nil {
		return nil
	}
	return c.waited.Value(key)
}

// refusal returns the error of a call whose request is not valid, or not complete.
func refusal(err error) *bsrpc.Error {
	e := &bsrpc.Error{Code: bsrpc.CodeInvalidArgument, Outcome: bsrpc.OutcomeNotRun, Message: "bsrpc: NATS: the request: " + err.Error()}
	if long := (*tooLong)(nil); errors.As(err, &long) {
		e.Code, e.Message = bsrpc.CodeResourceExhausted, e.Message+", ServeOptions.MaxMessage of the server"
	} else if errors.Is(err, context.Canceled) {
		e.Code = bsrpc.CodeCanceled
	}
	return e
}

// readRequest reads the whole request of a call into r.
func (i *Instance) readRequest(c *served, r *bsrpc.Request) error {
	m := c.first
	layout, err := readRequest(r, c.endpoint.method, m)
	if err != nil {
		return err
	}
	c.addr = callerAddr(m.Reply[:max(0, strings.LastIndexByte(m.Reply, '.'))])
	r.Peer.Addr = &c.addr
	m.Data = m.Data[requestFront:]
	body := m.Data
	if m.Header.Get(headerMore) != "" {
		select {
		case i.uploads <- struct{}{}:
			defer func() { <-i.uploads }()
		case <-c.Done():
			return c.Err()
		}
		if err = c.post(&nats.Msg{Header: nats.Header{headerCredit: {fmt.Sprint(window)}}}); err == nil {
			body, err = c.body(c, m, i.opts.MaxMessage)
		}
	}
	if err == nil {
		err = setBody(r, layout, body)
	}
	return err
}

// answer sends the reply of a call, with its stream.
func (i *Instance) answer(c *served, reply *bsrpc.Reply) error {
	if reply.Items == nil && c.Err() != nil && i.ctx.Err() == nil {
		return c.Err() // the caller has cancelled the call
	}
	m := replyOf(reply)
	defer freeMessage(m)
	rest, err := c.begin(m, reply.Items == nil)
	if errors.Is(err, nats.ErrMaxPayload) {
		e := &bsrpc.Error{Code: bsrpc.CodeResourceExhausted, Outcome: bsrpc.OutcomeAnswered, Message: "bsrpc: NATS: the metadata of the reply exceed the payload of the broker"}
		return errors.Join(err, c.post(replyOf(&bsrpc.Reply{Status: bsrpc.StatusError, Err: e})))
	}
	if err == nil && rest != nil {
		err = c.send(c, rest)
	}
	if err != nil || reply.Items == nil {
		return err
	}
	var failed error
	for item, err := range reply.Items {
		if err == nil {
			err = c.send(c, item)
		}
		if failed = err; err != nil {
			break
		}
	}
	end := endOf(failed)
	c.sent++
	end.Header[headerSeq] = []string{fmt.Sprint(c.sent)}
	return errors.Join(failed, c.post(end))
}

// A callerAddr is the address of a caller: the beginning of the subject for its answers.
type callerAddr string

func (callerAddr) Network() string  { return "nats" }
func (a callerAddr) String() string { return string(a) }
