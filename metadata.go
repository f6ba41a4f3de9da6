package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
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

// reservedKeys begin the keys of the library.
const reservedKeys = "bsrpc-"

// Format implements fmt.Formatter. Every verb prints the keys and no values.
func (m Metadata) Format(f fmt.State, _ rune) { io.WriteString(f, m.redacted()) }

// LogValue implements slog.LogValuer. A log contains the keys and no values.
func (m Metadata) LogValue() slog.Value { return slog.StringValue(m.redacted()) }

// redacted returns the keys in order. An invalid key may be a value in the wrong place.
func (m Metadata) redacted() string {
	keys := wire.SortedKeys(m)
	for i, k := range keys {
		if len(k) > wire.MaxEntryKey || wire.BadKeyByte(k) >= 0 {
			keys[i] = "?"
		}
	}
	return "metadata[" + strings.Join(keys, " ") + "]"
}

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
	out := copyOutgoing(ctx)
	all := make(Metadata, len(out.entries)+len(md))
	maps.Copy(all, out.entries)
	maps.Copy(all, md)
	out.entries = all
	out.encode()
	return context.WithValue(ctx, outgoingKey{}, out)
}

// MetadataFrom returns the metadata sent by the caller of a handler. ctx is the context of
// the handler or one derived from it. The map belongs to the caller of MetadataFrom. It is
// empty, and not nil, for a call without metadata, a call over the basic wire, and any
// other context.
func MetadataFrom(ctx context.Context) Metadata {
	x, _ := ctx.Value(callKey{}).(*callContext)
	if x == nil {
		return Metadata{}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.extra == nil {
		return Metadata{}
	}
	return metadataOf(x.extra.received)
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
	out := outgoingOf(ctx)
	return out == nil || out.err == nil && (c.end.remote.metadata || len(out.entries) == 0)
}

// SetReplyMetadata adds an entry to the metadata of the reply, results or error, of a
// handler's call. ctx is the handler's context or one derived from it. An entry replaces
// one under the same key.
//
// It returns an error, and adds nothing, if ctx is not a handler's, if the key is not
// valid, if the entries exceed a limit of Metadata, if the handler has returned, or if the
// caller speaks the basic wire. It is safe for concurrent use.
func SetReplyMetadata(ctx context.Context, key, value string) error {
	x, _ := ctx.Value(callKey{}).(*callContext)
	if x == nil {
		return errors.New("bsrpc: SetReplyMetadata: the context is not a handler's")
	}
	if err := x.setReply(key, value); err != nil {
		return fmt.Errorf("bsrpc: SetReplyMetadata: %w", err)
	}
	return nil
}

// WithReplyMetadata returns a context for calls, and a receiver for the metadata of their
// replies. If ctx has a receiver already, both get the metadata.
func WithReplyMetadata(ctx context.Context) (context.Context, *ReplyMetadata) {
	out := copyOutgoing(ctx)
	out.reply = &ReplyMetadata{outer: out.reply}
	return context.WithValue(ctx, outgoingKey{}, out), out.reply
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
	out := copyOutgoing(ctx)
	out.position = f
	out.encode()
	return context.WithValue(ctx, outgoingKey{}, out)
}

// A ReplyMetadata receives the metadata of replies, see WithReplyMetadata. All methods
// are safe for concurrent use.
type ReplyMetadata struct {
	outer   *ReplyMetadata
	entries atomic.Pointer[string] // valid; nil for none
}

// Get returns the metadata of the last call's answer, results or error. The map belongs to
// the caller of Get. It is empty, and not nil, before the first answer, after an answer
// without metadata, and after a call without an answer.
func (r *ReplyMetadata) Get() Metadata {
	if s := r.entries.Load(); s != nil {
		return metadataOf(*s)
	}
	return Metadata{}
}

// Format implements fmt.Formatter, as Metadata.Format does.
func (r *ReplyMetadata) Format(f fmt.State, verb rune) { r.Get().Format(f, verb) }

// LogValue implements slog.LogValuer, as Metadata.LogValue does.
func (r *ReplyMetadata) LogValue() slog.Value { return r.Get().LogValue() }

// set stores the entries of an answer; nil for none. r may be nil.
func (r *ReplyMetadata) set(entries []byte) {
	for ; r != nil; r = r.outer {
		if len(entries) == 0 {
			r.entries.Store(nil)
			continue
		}
		s := string(entries)
		r.entries.Store(&s)
	}
}

// metadataOf returns a new map of valid entries, without those of the library. Keys and
// values share the memory of entries.
func metadataOf(entries string) Metadata {
	md := make(Metadata)
	for k, v := range wire.Entries(entries) {
		if !strings.HasPrefix(k, reservedKeys) {
			md[k] = v
		}
	}
	return md
}

// check returns the reason why a call cannot carry m, or nil.
func (m Metadata) check() *fault.Fault {
	if len(m) > wire.MaxEntries {
		return fault.Refusal(fault.ResourceExhausted, "metadata of %d entries, want at most %d", len(m), wire.MaxEntries)
	}
	longest := ""
	for _, k := range wire.SortedKeys(m) {
		if k == "" {
			return fault.Refusal(fault.InvalidArgument, "metadata key of 0 bytes, want 1 to %d", wire.MaxEntryKey)
		}
		if len(k) > wire.MaxEntryKey {
			return fault.Refusal(fault.ResourceExhausted, "metadata key %q has %d bytes, want 1 to %d", fault.Cut(k, wire.MaxEntryKey), len(k), wire.MaxEntryKey)
		}
		if i := wire.BadKeyByte(k); i >= 0 {
			return fault.Refusal(fault.InvalidArgument, "metadata key %q contains %q; use lower-case letters, digits, '-', '_' and '.'", k, k[i:i+1])
		}
		if strings.HasPrefix(k, reservedKeys) {
			return fault.Refusal(fault.InvalidArgument, "metadata key %q begins with %q, which is reserved for the library", k, reservedKeys)
		}
		if longest == "" || len(m[k]) > len(m[longest]) {
			longest = k
		}
	}
	if size := wire.EntriesSize(m); size > wire.MaxEntryBytes {
		return fault.Refusal(fault.ResourceExhausted, "metadata of %d bytes, want at most %d; the longest value is that of %q, %d bytes", size, wire.MaxEntryBytes, longest, len(m[longest]))
	}
	return nil
}

// outgoingKey is the context key of the *outgoing of calls.
type outgoingKey struct{}

// An outgoing is what a context adds to the calls made with it. It never changes once it
// is in a context, except for the contents of reply.
type outgoing struct {
	heldGroups []uint64 // ids of the exclusive groups held by the caller
	entries    Metadata
	block      []byte                    // the metadata of a REQUEST; nil for none
	err        *fault.Fault              // why calls cannot be made
	reply      *ReplyMetadata            // receives that of the reply; may be nil
	position   func(group string, n int) // receives places in line; may be nil
}

// outgoingOf returns what ctx adds to a call; nil for nothing.
func outgoingOf(ctx context.Context) *outgoing {
	out, _ := ctx.Value(outgoingKey{}).(*outgoing)
	return out
}

// copyOutgoing returns a copy of what ctx adds to a call.
func copyOutgoing(ctx context.Context) *outgoing {
	if out := outgoingOf(ctx); out != nil {
		other := *out
		return &other
	}
	return new(outgoing)
}

// encode sets block and err.
func (o *outgoing) encode() {
	o.block = nil
	if o.err = o.entries.check(); o.err == nil {
		o.block = wire.AppendRequestMetadata(nil, &wire.RequestMetadata{HeldGroups: o.heldGroups, Positions: o.position != nil, Entries: wire.AppendEntries(nil, o.entries)})
	}
}

// begin begins a call on the native wire. It returns the reason if it cannot be made.
func (o *outgoing) begin() error {
	o.reply.set(nil)
	if o.err != nil {
		return o.err
	}
	return nil
}

// beginBasic is begin for the basic wire.
func (o *outgoing) beginBasic() error {
	if len(o.entries) > 0 && o.err == nil {
		o.reply.set(nil)
		return fault.Refusal(fault.Unimplemented, "the server speaks the basic wire, which carries no metadata; call without WithMetadata")
	}
	return o.begin()
}

// callKey is the context key of a handler's *callContext.
type callKey struct{}

// A callExtra is what only some calls have at a server. callContext.mu guards it.
type callExtra struct {
	heldGroups []uint64 // ids of the exclusive groups held by the caller
	received   string   // valid entries
	reply      Metadata // valid; unchanged once the head is sent
	waited     time.Duration

	waiter   *admission.Waiter              // of the call; nil without a group
	position func(group string, n int) bool // sends a place in line to the caller; nil for none
}

// waiterOf returns the waiter of a handler's call for its exclusive group, the ids of the groups
// held by the call and its callers, and what sends places in line to the caller; nil for none.
func waiterOf(ctx context.Context) (w *admission.Waiter, held []uint64, position func(group string, n int) bool) {
	x, _ := ctx.Value(callKey{}).(*callContext)
	if x == nil {
		return nil, nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.extraLocked()
	return e.waiter, e.heldGroups, e.position
}

// extraLocked returns the callExtra of x, a new one at first.
func (x *callContext) extraLocked() *callExtra {
	if x.extra == nil {
		x.extra = new(callExtra)
	}
	return x.extra
}

// A replyHead is the state of the head of a reply: whether metadata can be added.
type replyHead uint8

const (
	headOpen replyHead = iota
	headSent
	headBasic // the reply has none
)

// Format implements fmt.Formatter. It prints nothing of the call.
func (x *callContext) Format(f fmt.State, _ rune) { io.WriteString(f, "bsrpc: a handler's context") }

// LogValue implements slog.LogValuer.
func (x *callContext) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(x)) }

// receive stores the metadata of a request, which Admit has validated. It reports whether the
// caller wants its places in line.
func (x *callContext) receive(block []byte) (positions bool) {
	m, _ := wire.ReadRequestMetadata(block)
	x.extra = &callExtra{heldGroups: m.HeldGroups, received: string(m.Entries)}
	return m.Positions
}

// outgoing returns what a call made with x carries: the held groups, none of the metadata
// received, and in a callback what the caller's context adds.
func (x *callContext) outgoing() *outgoing {
	outer := outgoingOf(x.Context)
	out := new(outgoing)
	x.mu.Lock()
	if x.extra != nil {
		out.heldGroups = x.extra.heldGroups
	}
	x.mu.Unlock()
	if len(out.heldGroups) == 0 && outer == nil {
		return nil
	}
	if outer != nil {
		out.heldGroups = append(slices.Clip(out.heldGroups), outer.heldGroups...)
		out.entries, out.position = outer.entries, outer.position
	}
	out.encode()
	return out
}

// setReply adds an entry to the metadata of the reply.
func (x *callContext) setReply(key, value string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch x.head {
	case headSent:
		return errors.New("the reply has been sent")
	case headBasic:
		return errors.New("the caller speaks the basic wire, which carries no metadata")
	}
	e := x.extraLocked()
	reply := make(Metadata, len(e.reply)+1)
	maps.Copy(reply, e.reply)
	reply[key] = value
	if why := reply.check(); why != nil {
		return errors.New(why.Plain())
	}
	e.reply = reply
	return nil
}

// replyEntries returns the entries for the reply; nil for none. It is called after
// endReplied. x may be nil.
func (x *callContext) replyEntries() []byte {
	if x == nil || x.extra == nil {
		return nil
	}
	return wire.AppendEntries(nil, x.extra.reply)
}
