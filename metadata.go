package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/bsrpc/bsrpc/internal/callctx"
)

// Metadata is a set of values beside the arguments of a call, or beside its results or
// its error: a tenant, a trace, a token. WithMetadata sends them to a handler, and
// MetadataFrom reads them there. SetReplyMetadata sends values back, and
// WithReplyMetadata receives them.
//
// A key has 1 to 64 lower-case letters, digits, '-', '_' and '.'. Keys beginning with
// "bsrpc-" are reserved for the library. A value may contain any bytes. One call carries
// at most 56 entries in each direction, and at most 7 KiB: the bytes of all keys and
// values, and 3 for each entry.
//
// Values may be secrets. Package fmt and slog print only the keys; encoders such as
// encoding/json, and a map[string]string converted from a Metadata, contain everything.
type Metadata map[string]string

// Format implements fmt.Formatter. Every verb prints the keys and no values.
func (m Metadata) Format(f fmt.State, _ rune) { io.WriteString(f, callctx.Redacted(m)) }

// LogValue implements slog.LogValuer. A log contains the keys and no values.
func (m Metadata) LogValue() slog.Value { return slog.StringValue(callctx.Redacted(m)) }

// WithMetadata returns a context for calls sending md, beside the entries of ctx. An entry
// of md replaces one of ctx under the same key. The caller may change md afterwards.
//
// A handler's context sends nothing by itself: metadata received from a caller is passed
// on only if WithMetadata adds it again. Bind sends no metadata.
//
// If all entries together exceed a limit, or a key is not valid, the calls fail with
// CodeResourceExhausted or CodeInvalidArgument; the error names the entry. Calls over the
// basic wire fail with CodeUnimplemented. Both have the outcome OutcomeNotRun.
func WithMetadata(ctx context.Context, md Metadata) context.Context {
	if len(md) == 0 {
		return ctx
	}
	return callctx.With(ctx, func(out *callctx.Outgoing) { out.Add(md) })
}

// MetadataFrom returns the metadata sent by the caller of a handler. ctx is the context of
// the handler or one derived from it. The map belongs to the caller of MetadataFrom. It is
// empty, and not nil, for a call without metadata, a call over the basic wire, and any
// other context.
func MetadataFrom(ctx context.Context) Metadata {
	return callctx.Of(ctx).Received()
}

// CarriesMetadata reports whether next can send the metadata of ctx, as a client's call: the
// wire carries some or there is none, and it is within the limits. An interceptor that adds
// metadata to every call asks first, because next fails otherwise:
//
//	if traced := bsrpc.WithMetadata(ctx, trace); call.CarriesMetadata(traced) {
//		ctx = traced
//	}
//	return next(ctx, call)
//
// At a server it returns false.
func (c *Call) CarriesMetadata(ctx context.Context) bool {
	if c.end == nil || c.end.remote == nil {
		return false
	}
	out := callctx.OutgoingOf(ctx)
	return out == nil || out.Err == nil && (c.end.remote.metadata || len(out.Entries) == 0)
}

// SetReplyMetadata adds an entry to the metadata of the reply, results or error, of a
// handler's call. ctx is the handler's context or one derived from it. An entry replaces
// one under the same key.
//
// It returns an error, and adds nothing, if ctx is not a handler's, if the key is not
// valid, if the entries exceed a limit of Metadata, if the handler has returned, or if the
// caller speaks the basic wire. It is safe for concurrent use.
func SetReplyMetadata(ctx context.Context, key, value string) error {
	x := callctx.Of(ctx)
	if x == nil {
		return errors.New("bsrpc: SetReplyMetadata: the context is not a handler's")
	}
	if err := x.SetReply(key, value); err != nil {
		return fmt.Errorf("bsrpc: SetReplyMetadata: %w", err)
	}
	return nil
}

// WithReplyMetadata returns a context for calls, and a receiver for the metadata of their
// replies. If ctx has a receiver already, both get the metadata.
func WithReplyMetadata(ctx context.Context) (context.Context, *ReplyMetadata) {
	r := new(ReplyMetadata)
	return callctx.With(ctx, func(out *callctx.Outgoing) { out.AddReply(&r.last) }), r
}

// WithPosition returns a context for calls whose caller learns its place in the line of an exclusive
// group: f is called with the name of the group and the place, 1 for the next one, when the
// call has to wait, and when the place has changed, at most ten times a second. The same holds for
// Session.Acquire in the handler of such a call, and for Acquire with this context.
//
// Calls of f do not overlap. They run on a goroutine of their own, and may end after the call;
// those for Acquire run on its goroutine. A nil f ends the effect. Servers of the basic wire, and
// older ones, send no places.
func WithPosition(ctx context.Context, f func(group string, n int)) context.Context {
	return callctx.With(ctx, func(out *callctx.Outgoing) { out.SetPosition(f) })
}

// A ReplyMetadata receives the metadata of replies, see WithReplyMetadata. All methods
// are safe for concurrent use.
type ReplyMetadata struct{ last callctx.Reply }

// Get returns the metadata of the last call's answer, results or error. The map belongs to
// the caller of Get. It is empty, and not nil, before the first answer, after an answer
// without metadata, and after a call without an answer.
func (r *ReplyMetadata) Get() Metadata { return r.last.Get() }

// Format implements fmt.Formatter, as Metadata.Format does.
func (r *ReplyMetadata) Format(f fmt.State, verb rune) { r.Get().Format(f, verb) }

// LogValue implements slog.LogValuer, as Metadata.LogValue does.
func (r *ReplyMetadata) LogValue() slog.Value { return r.Get().LogValue() }
