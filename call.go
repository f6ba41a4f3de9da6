package bsrpc

import (
	"cmp"
	"context"
	"math"
	"time"

	"github.com/bsrpc/bsrpc/internal/callback"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls at a client: through a proxy on the native wire, and by name.

// Call implements method.Caller: it sends the arguments in v and stores the results
// there. Its error names the method.
func (m *boundMethod) Call(ctx context.Context, v *method.Values) error {
	b := m.binding.Load()
	if b.err != nil || ctx == nil {
		if ctx != nil && b.gone() {
			return m.unsuccessful(ctx, b, v, b.err)
		}
		m.closeReaders(v)
		return m.uncallable(ctx, b)
	}
	if b.all != nil {
		b = least(b.all)
	}
	if err := b.link.call(ctx, m, b, v); err != nil {
		return m.unsuccessful(ctx, b, v, err)
	}
	return nil
}

// unsuccessful sends a call again that has failed with err, where that is safe, and otherwise
// returns its error.
func (m *boundMethod) unsuccessful(ctx context.Context, b *binding, v *method.Values, err error) error {
	if m.home != nil {
		err = m.home.again(ctx, m, b, v, err)
	}
	v.Until = 0
	if err == nil {
		return nil
	}
	m.closeReaders(v)
	caller.CountFailed(&m.Method, v.Began, v.Sent, err)
	v.Began = 0 // interceptors may repeat the call
	return m.failed(err)
}

// closeReaders closes the readers among the arguments of a failed call, except within
// interceptors, which may repeat it: an interceptedMethod closes them at its end.
func (m *boundMethod) closeReaders(v *method.Values) {
	if _, intercepted := v.Ctx.(*callContext); !intercepted {
		caller.CloseReaders(&m.Method, v)
	}
}

// uncallable returns the error of a call that cannot begin.
func (m *boundMethod) uncallable(ctx context.Context, b *binding) error {
	if b.err != nil {
		m.Tally.Refuse(nil, b.err.Code)
		return m.failed(b.err)
	}
	return m.failed(needContext(ctx, m.Name))
}

// failed returns err as the user sees it.
func (m *boundMethod) failed(err error) error { return publicError(fault.About(m.Name, err)) }

// call implements link. The transport.Call is kept with v for the next call, to avoid an
// allocation.
func (c *nativeLink) call(ctx context.Context, m *boundMethod, b *binding, v *method.Values) error {
	out := callctx.OutgoingOf(ctx)
	if out != nil {
		if err := out.Begin(); err != nil {
			return err
		}
	}
	v.Enc.Max, v.Enc.MinCut, v.Enc.Depth = maxBody(c.PeerMaxMessage()), wire.MinCut, c.Settings.Bounds.Depth
	if err := caller.AppendArgs(&m.Method, c.Log, b.sig, &v.Enc, v); err != nil {
		return caller.EncodeError(&m.Method, err, c.Settings.PeerName()+" MaxMessage", c.PeerMaxMessage())
	}
	k, ok := v.State.(*transport.Call)
	if !ok {
		if k = transport.NewCall(); !m.Eager { // otherwise k serves one call only
			v.State = k
		}
	}
	k.Head.Type, k.Head.Flags, k.Head.Arg = wire.Request, 0, b.number
	if out != nil && out.Block != nil {
		k.Head.Flags, k.Head.Meta = wire.Metadata, out.Block
	}
	if out != nil && out.Position != nil {
		k.Moved, v.State = c.Log.Positions(out.Position), nil // k serves one call only
	}
	if m.callOf != 0 {
		k.Head.Flags |= wire.Callback
		k.Head.Call = m.callOf
	}
	v.ArgsSize = int(v.Enc.Size())
	k.Tally, k.Began = m.Tally, v.Began
	ctx = caller.BeginTimeout(&m.Method, ctx, &k.Timeout, v)
	var err error
	if b.funcs != nil {
		err = c.callWithFuncs(ctx, m, b, k, v, out)
	} else {
		err = c.carry(ctx, m, b, k, v, out)
	}
	if err != nil {
		v.Until, v.Began = k.Timeout.End(), k.Began
	}
	return err
}

// carry sends the request of a call, whose arguments are encoded, and receives its answer.
func (c *nativeLink) carry(ctx context.Context, m *boundMethod, b *binding, k *transport.Call, v *method.Values, out *callctx.Outgoing) error {
	if b.streams != nil {
		v.State = nil // k serves one call only
		return caller.Identified(&c.End, &m.Method, c.callStreams(ctx, m, b, k, v, out))
	}
	if m.Eager {
		return c.start(ctx, m, b, k, v, out)
	}
	err := transport.Do(ctx, c.Conn, k, &v.Enc.Body)
	if out != nil {
		out.Reply.Set(k.Entries())
	}
	if err != nil {
		v.State = nil // the connection may still use k
		return caller.Identified(&c.End, &m.Method, err)
	}
	data, own := k.Body()
	c.Settings.Bounds.Begin(&v.Dec, data, own)
	v.ResultsSize = len(data)
	err = caller.ReadResults(&m.Method, c.Log, b.sig, v)
	k.Reset()
	return err
}

// callWithFuncs is carry for a method with funcs among its parameters.
func (c *nativeLink) callWithFuncs(ctx context.Context, m *boundMethod, b *binding, k *transport.Call, v *method.Values, out *callctx.Outgoing) error {
	f := callback.New(transport.Within(ctx, c.Conn), b.funcs, v)
	if k.Funcs = f; !m.Eager {
		v.State = nil // k serves one call only
	}
	later := false
	defer func() { // also after runtime.Goexit in a decoder of the results
		if !later {
			f.End(k.Timeout.Remaining())
		}
	}()
	if err := c.carry(ctx, m, b, k, v, out); err != nil {
		return err
	}
	switch s := k.Streams(); {
	case m.Eager: // ended by finish
		later = true
	case s != nil && s.Result != nil:
		s.WhenOver(func(*fault.Fault) { f.End(s.Whole.Remaining()) })
		later = true
	}
	return nil
}

// maxBody returns the limit of an encoder for messages to a peer.
func maxBody(peer uint64) int { return int(min(peer, math.MaxInt32)) }

// An interceptedMethod is a boundMethod of a client with interceptors.
type interceptedMethod struct {
	*boundMethod
	chain CallFunc
	end   callEnd
}

// Call implements method.Caller: it passes the call through the interceptors.
func (m *interceptedMethod) Call(ctx context.Context, v *method.Values) (err error) {
	if ctx == nil {
		return m.boundMethod.Call(ctx, v)
	}
	c := &Call{method: &m.Description, kind: m.kind, end: &m.end, values: v}
	c.ctx.Context.Context, c.ctx.AtClient, c.ctx.call, v.Ctx = ctx, true, c, &c.ctx
	if _, ok := ctx.Deadline(); !ok && m.Timeout > 0 && (m.Streams == nil || m.TimeoutBy == limits.ByMethod) {
		c.ctx.Until = cmp.Or(m.now()+m.Timeout, 1)
		ctx = &c.ctx
	}
	v.ArgsSize, v.ResultsSize = 0, 0
	if m.Oneway {
		v.State = new(caller.Sending)
	}
	defer func() { // after Goexit too
		caller.CloseReaders(&m.Method, v)
		if c.collapsed != nil {
			outcome := fault.NotRun
			if c.attempted {
				outcome = fault.OutcomeUnknown
			}
			err = errorOf(c.collapsed.Fault(m.Name, outcome))
		}
		switch {
		case err != nil:
			method.ZeroResults(v)
			c.resultsSize = 0
		case m.Eager && c.goOn(v):
			return
		default:
			m.Sig.FillResults(v)
		}
		if s := c.streams; s != nil && s.HasResult() {
			if err == nil {
				m.overWith(s, c)
				return
			}
			s.CloseResult()
		}
		c.ctx.Cancel()
		c.over(err)
	}()
	return c.run(ctx, m.chain)
}

// now is limits.Monotonic for the beginning of a call.
func (m *interceptedMethod) now() time.Duration {
	if c, ok := m.binding.Load().link.(*nativeLink); ok {
		return c.Now()
	}
	return limits.Monotonic()
}

// overWith ends a call together with its streams.
func (m *interceptedMethod) overWith(s openStreams, c *Call) {
	s.WhenOver(func(why *fault.Fault) {
		c.ctx.Cancel()
		if why == nil {
			c.over(nil)
		} else {
			c.over(publicError(fault.About(m.Name, why)))
		}
	})
}

// next is callEnd.carryOut: it makes the call, or makes it again.
func (m *interceptedMethod) next(ctx context.Context, c *Call, again bool) error {
	v := c.values
	if again {
		if s := c.streams; s != nil && s.ParamsRead() {
			return &Error{Code: CodeInternal, Message: fault.Prefix + m.Name + ": next called again after a stream of the call has been sent"}
		} else if s != nil && s.HasResult() {
			s.CloseResult()
		}
		c.streams = nil
		method.ZeroResults(v)
		v.ResetEncoder()
		v.ArgsSize, v.ResultsSize = 0, 0
	}
	return m.boundMethod.Call(ctx, v)
}
