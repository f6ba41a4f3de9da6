package bsrpc

import (
	"context"
	"errors"

	"github.com/bsrpc/bsrpc/internal/callback"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/identity"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls with streams, at both ends. internal/streams turns iterators and readers into
// items and back, internal/transport carries them.

// ErrStreamUsed is the error of a second range over a received stream.
var ErrStreamUsed = method.ErrStreamUsed

// errCallOver is the error of a parameter used after its call. It is shared, and must not
// be changed.
var errCallOver = &fault.Fault{Code: fault.Canceled, Outcome: fault.NotRun, Message: ErrCallOver.Error(), Err: ErrCallOver}

// callStreams is call for a method with streams.
func (c *nativeLink) callStreams(ctx context.Context, m *boundMethod, b *binding, k *transport.Call, v *method.Values, sent *callctx.Outgoing) error {
	p := b.streams
	s := transport.NewStreamCall(c.Conn, k, len(p.Params), p.First, p.Eager)
	if m.TimeoutBy == limits.ByMethod {
		caller.BeginTimeout(&m.Method, ctx, &s.Whole, v)
	} else {
		s.Whole.Begin(ctx, 0, 0)
	}
	if p.Eager && sent != nil && sent.Reply != nil {
		s.OnAnswer = sent.Reply.Set
	}
	end := p.End.Load()
	if end == nil {
		end = newStreamEnd(streamEnd{End: streams.End{Method: m.Name, Limits: &c.Settings.Conn}, settings: c.Settings, log: c.Log})
		p.End.Store(end)
	}
	if x, ok := v.Ctx.(*callContext); ok {
		own := *end.User.(*streamEnd)
		own.seen = x.call
		own.seen.streams, end = &clientStreams{s}, newStreamEnd(own)
	}
	out := &streams.Sent{End: end, Max: maxBody(c.PeerMaxMessage())}
	err := transport.OpenStreams(ctx, c.Conn, s, &v.Enc.Body, func() {
		for i, st := range p.Params {
			if produce := out.Producer(s.Params[i], st, v); produce != nil {
				go produce()
			} else {
				s.Params[i].End(nil, 0)
			}
		}
	})
	if !p.Eager && sent != nil {
		sent.Reply.Set(k.Entries())
	}
	if v.Sent = s.Produced; err != nil {
		return err
	}
	if !p.Eager {
		data, own := k.Body()
		c.Settings.Bounds.Begin(&v.Dec, data, own)
		read := false
		defer func() { // also after runtime.Goexit in a decoder
			if !read && s.Result != nil {
				s.Result.Close()
			}
		}()
		if err := caller.ReadResults(&m.Method, c.Log, b.sig, v); err != nil {
			return err
		}
		read = true
	}
	if s.Result != nil {
		if f, ok := k.Funcs.(*callback.Funcs); ok {
			own := *end
			own.Funcs, end = f, &own
		}
		streams.Store(s.Result, end, p.Result, v)
	}
	return nil
}

// A streamEnd is the end of the streams of a call at this end, and its streams.User.
type streamEnd struct {
	streams.End
	settings *option.Settings
	log      *report.Log
	seen     *Call // by interceptors; nil without any

	panicked func(what any) *fault.Fault // at a server; nil at a client
}

// newStreamEnd returns the end of a copy of e, which is its User.
func newStreamEnd(e streamEnd) *streams.End {
	e.Bounds, e.User = &e.settings.Bounds, &e
	return &e.End
}

// Failure implements streams.User.
func (e *streamEnd) Failure(err error) *fault.Fault {
	var p *report.PanicError
	if errors.As(err, &p) {
		return p.Fault(e.Method, fault.OutcomeUnknown)
	}
	code, f, ids := failureOf(e.settings, err, e.log, e.Method, wire.MaxIdentityRoom)
	return &fault.Fault{Code: code, Name: f.Name, Message: f.Message, LogID: f.LogID, Identities: ids}
}

// Panicked implements streams.User.
func (e *streamEnd) Panicked(what, decoding any) *fault.Fault {
	if e.panicked != nil {
		return e.panicked(what)
	}
	if decoding != nil {
		return caller.CodecPanicked(e.Method, e.log, fault.OutcomeUnknown, what, "decoding", decoding)
	}
	f := fault.New(fault.Internal, fault.OutcomeUnknown, "%s: panic in an iterator or reader of the caller", e.Method)
	f.LogID = e.log.AddPanic(report.Panic, "bsrpc: panic in an iterator or reader", what, "method", e.Method)
	return f
}

// Public implements streams.User.
func (e *streamEnd) Public(f *fault.Fault) error { return errorOf(f) }

// Received implements streams.User.
func (e *streamEnd) Received(err error) error {
	return publicError(fault.About(e.Method, identity.Caused(e.settings.Errors, err, e.Bounds, e.log, e.Method)))
}

// Watches implements streams.User.
func (e *streamEnd) Watches() bool {
	return e.seen != nil && e.seen.observers != nil && len(e.seen.observers.item) > 0
}

// PassItem implements streams.User.
func (e *streamEnd) PassItem(in bool, item any) (err error) {
	defer func() {
		if what := recover(); what != nil {
			p := e.seen.panicked(what, "OnItem func")
			if err = p; in { // for a range of the user
				err = errorOf(p.Fault(e.Method, fault.OutcomeUnknown))
			}
		}
	}()
	for _, f := range e.seen.observers.item {
		if err := f(in, item); err != nil {
			return err
		}
	}
	return nil
}
