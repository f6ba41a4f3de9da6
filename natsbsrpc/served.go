package natsbsrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
)

// served is a running call.
type served struct {
	flow
	request bsrpc.Request
	ctx     context.Context
	cancel  context.CancelFunc
}

// serve runs one call.
func (i *Instance) serve(e *endpoint, c *served, m *nats.Msg) {
	defer i.running.Done()
	defer c.cancel()
	began := time.Now()
	answer := func(reply *bsrpc.Reply) {
		err := i.answer(c, reply)
		if err == nil && reply.Err != nil {
			err = errors.New(reply.Err.Code.String())
		}
		i.mu.Lock()
		delete(i.calls, m.Reply)
		i.mu.Unlock()
		e.count(began, err)
	}
	r := &c.request
	if err := i.readRequest(e.method, c, m); err != nil {
		answer(&bsrpc.Reply{Status: bsrpc.StatusError, Err: refusal(err)})
		return
	}
	if r.Timeout > 0 {
		r.Timeout = max(1, r.Timeout-time.Since(began))
	}
	i.srv.ServeRequest(c.ctx, r, answer)
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

// readRequest reads the whole request of a call, which begins with m.
func (i *Instance) readRequest(method string, c *served, m *nats.Msg) error {
	r := &c.request
	layout, err := readRequest(r, method, m)
	if err != nil {
		return err
	}
	r.Peer.Addr = callerAddr(m.Reply[:max(0, strings.LastIndexByte(m.Reply, '.'))])
	m.Data = m.Data[requestFront:]
	body := m.Data
	if m.Header.Get(headerMore) != "" {
		select {
		case i.uploads <- struct{}{}:
			defer func() { <-i.uploads }()
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		if err = c.post(&nats.Msg{Header: nats.Header{headerCredit: {fmt.Sprint(window)}}}); err == nil {
			body, err = c.body(c.ctx, m, i.opts.MaxMessage)
		}
	}
	if err == nil {
		err = setBody(r, layout, body)
	}
	return err
}

// answer sends the reply of a call, with its stream.
func (i *Instance) answer(c *served, reply *bsrpc.Reply) error {
	if reply.Items == nil && c.ctx.Err() != nil && i.ctx.Err() == nil {
		return c.ctx.Err() // the caller has cancelled the call
	}
	rest, err := c.begin(replyOf(reply), reply.Items == nil)
	if errors.Is(err, nats.ErrMaxPayload) {
		e := &bsrpc.Error{Code: bsrpc.CodeResourceExhausted, Outcome: bsrpc.OutcomeAnswered, Message: "bsrpc: NATS: the metadata of the reply exceed the payload of the broker"}
		return errors.Join(err, c.post(replyOf(&bsrpc.Reply{Status: bsrpc.StatusError, Err: e})))
	}
	if err == nil && rest != nil {
		err = c.send(c.ctx, rest)
	}
	if err != nil || reply.Items == nil {
		return err
	}
	var failed error
	for item, err := range reply.Items {
		if err == nil {
			err = c.send(c.ctx, item)
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
