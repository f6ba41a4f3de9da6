package bsrpc

import (
	"context"
	"errors"
	"log/slog"
	"math"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls with streams at a server, from the request to the end of the result stream.

// openStreams opens the streams of a request.
func (c *nativeConn) openStreams(inv *invocation) *fault.Fault {
	if !c.SupportsStreams() {
		return fault.Refusal(fault.Unimplemented, "%s: the caller does not support streams", inv.method.Name)
	}
	p := inv.method.streams
	in, out, refusal := c.AcceptStreams(inv.id, p.Items, p.Result != nil)
	if refusal == nil {
		if inv.streams = (&streams.Served{In: in}); out != nil {
			inv.streams.Out = out
		}
	}
	return refusal
}

// setLease names the method to calls that wait for what w holds, and lets them end a result
// stream whose window stays full for Limits.SessionLease.
func (inv *invocation) setLease(w *admission.Waiter) {
	v, m, call := inv.served, inv.method, inv.call
	w.Name = m.Name
	lease := v.settings.Lease
	out, ok := inv.streams.Out.(*transport.Sender)
	if !ok || lease == math.MaxInt64 {
		return
	}
	out.SetLease(lease, w.WhenWanted, func() *fault.Fault {
		v.report(report.Lease, slog.LevelWarn, "bsrpc: stream ended: its reader kept others waiting", "session", v.session.id, "method", m.Name)
		call.Cancel()
		return fault.New(fault.Aborted, fault.Answered, "%s: others wait, and the reader has left the window of the stream full for %s Limits.SessionLease (%v)", m.Name, v.settings.Owner, lease)
	})
}

// storeParams stores the received streams in the arguments.
func (inv *invocation) storeParams() {
	end := inv.streamEnd()
	for i, st := range inv.method.streams.Params {
		streams.Store(inv.streams.In[i], end, st, inv.Values)
	}
}

// serveStreams replies to a call with streams, and sends its result stream. The call is
// over when it returns. A returned iterator is ranged over, and a reader closed, even if
// the caller has gone.
func (inv *invocation) serveStreams(err error) {
	if inv.streams.Out == nil || err != nil {
		inv.out.reply(inv, err)
		return
	}
	defer inv.call.EndReplied()
	inv.sendResult(false)
}

// sendResult replies to a call with its results, and sends its result stream. With hold the
// end of the stream is left to endResult, and sendResult returns its error.
func (inv *invocation) sendResult(hold bool) error {
	out, st := inv.streams.Out, inv.method.streams.Result
	o := &streams.Sent{End: inv.streamEnd(), Max: maxBody(inv.out.PeerMaxMessage()), Call: inv, Held: hold}
	run := o.Producer(out, st, inv.Values)
	if run == nil {
		run = func() { o.Finish(out, nil) }
	}
	inv.replyAndSend(run)
	if inv.err != nil { // the results could not be sent
		return publicError(inv.err)
	}
	return publicError(o.Why)
}

// replyAndSend replies to a call and calls send, also if an encoder of the results panics or
// calls runtime.Goexit.
func (inv *invocation) replyAndSend(send func()) {
	defer send()
	defer inv.out.Flush()
	defer inv.recoverPanic()
	inv.out.reply(inv, nil)
}

// endResult ends a result stream after the interceptors of its call.
func (inv *invocation) endResult(err error) {
	o := &streams.Sent{End: inv.streamEnd(), Call: inv}
	defer func() { // also after runtime.Goexit in the methods of err
		if inv.err == nil {
			inv.err = o.Why
		}
		inv.call.EndReplied()
	}()
	o.Finish(inv.streams.Out, err)
}

// endStreams ends the streams of a call that is over.
func (inv *invocation) endStreams() {
	if inv.streams == nil {
		return
	}
	inv.streams.EndParams(errCallOver)
	inv.streams = nil
}

// Ended implements streams.ResultCall. It returns why the call has ended before its result stream, nil if it has not. held says
// that interceptors see the error.
func (inv *invocation) Ended(held bool) (why error) {
	if over := inv.streams.Out.LeaseOver(); over != nil {
		return over
	}
	switch {
	case inv.call != nil:
		why = inv.call.Err()
	case inv.canceled.Load():
		why = context.Canceled
	}
	if why == nil || held {
		return why
	}
	return fault.FromContext(why, fault.Answered)
}

// Fails implements streams.ResultCall, for an ERROR frame too. It notes the code of the error that
// answers inv, and returns the flags of the frame.
func (inv *invocation) Fails(code fault.Code) (flags wire.Flags) {
	inv.code = code
	if inv.refusal != nil || inv.intercepted != nil && inv.intercepted.notRun(inv.err) {
		flags = wire.NotRun
	}
	if code == fault.DeadlineExceeded && (inv.call.Expired() || inv.refusal != nil && errors.Is(inv.refusal, context.DeadlineExceeded)) {
		flags |= wire.Expired // also of a call given up in time; Authorize may refuse with this code as well
	}
	return flags
}

// continues reports whether a call goes on after its reply, with its result stream.
func (inv *invocation) continues() bool {
	return inv.streams != nil && inv.streams.Out != nil && inv.err == nil
}

// streamEnd returns the end of a server for a call.
func (inv *invocation) streamEnd() *streams.End {
	v, m := inv.served, inv.method
	return newStreamEnd(streamEnd{End: streams.End{Method: m.Name, Limits: v.limits}, settings: &v.settings.Settings, log: v.log, seen: inv.intercepted, panicked: func(what any) *fault.Fault {
		return v.panicked(&m.Description, what, "handler").Fault(m.Name, fault.OutcomeUnknown)
	}})
}
