package callctx

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// What contexts add to the calls made with them.

// outgoingKey is the context key of the *Outgoing of calls.
type outgoingKey struct{}

// An Outgoing is what a context adds to the calls made with it. It never changes once it
// is in a context, except for the contents of Reply.
type Outgoing struct {
	Entries  map[string]string         // metadata of the user
	Err      *fault.Fault              // why calls cannot be made
	Block    []byte                    // the metadata of a REQUEST; nil for none
	Position func(group string, n int) // receives places in line; may be nil
	Reply    *Reply                    // receives the metadata of the reply; may be nil

	heldGroups []uint64 // ids of the exclusive groups held by the caller
}

// OutgoingOf returns what ctx adds to a call; nil for nothing.
func OutgoingOf(ctx context.Context) *Outgoing {
	if ctx == nil {
		return nil
	}
	out, _ := ctx.Value(outgoingKey{}).(*Outgoing)
	return out
}

// With returns a context whose calls get what change adds to an Outgoing, beside what those
// of ctx get.
func With(ctx context.Context, change func(out *Outgoing)) context.Context {
	out := new(Outgoing)
	if known := OutgoingOf(ctx); known != nil {
		*out = *known
	}
	change(out)
	return context.WithValue(ctx, outgoingKey{}, out)
}

// Add adds entries. One replaces another under the same key.
func (o *Outgoing) Add(entries map[string]string) {
	all := make(map[string]string, len(o.Entries)+len(entries))
	maps.Copy(all, o.Entries)
	maps.Copy(all, entries)
	o.Entries = all
	o.encode()
}

// SetPosition makes f receive places in line.
func (o *Outgoing) SetPosition(f func(group string, n int)) {
	o.Position = f
	o.encode()
}

// PositionOf returns what receives places in line for calls made with ctx; nil for nothing.
func PositionOf(ctx context.Context) func(group string, n int) {
	if out := OutgoingOf(ctx); out != nil {
		return out.Position
	}
	return nil
}

// AddReply adds a receiver for the metadata of replies, beside that which o has.
func (o *Outgoing) AddReply(r *Reply) { r.outer, o.Reply = o.Reply, r }

// encode sets Block and Err.
func (o *Outgoing) encode() {
	o.Block = nil
	if o.Err = check(o.Entries); o.Err == nil {
		o.Block = wire.AppendRequestMetadata(nil, &wire.RequestMetadata{HeldGroups: o.heldGroups, Positions: o.Position != nil, Entries: wire.AppendEntries(nil, o.Entries)})
	}
}

// Begin begins a call on the native wire. It returns the reason if it cannot be made.
func (o *Outgoing) Begin() error {
	o.Reply.Set(nil)
	if o.Err != nil {
		return o.Err
	}
	return nil
}

// BeginBasic is Begin for the basic wire.
func (o *Outgoing) BeginBasic() error {
	if len(o.Entries) > 0 && o.Err == nil {
		o.Reply.Set(nil)
		return fault.Refusal(fault.Unimplemented, "the server speaks the basic wire, which carries no metadata; call without WithMetadata")
	}
	return o.Begin()
}

// waitKey is the context key of WaitForReady.
type waitKey struct{}

// WaitForReady returns a context whose calls wait for a connection.
func WaitForReady(ctx context.Context) context.Context {
	return context.WithValue(ctx, waitKey{}, true)
}

// WaitsForReady reports whether calls made with ctx wait for a connection.
func WaitsForReady(ctx context.Context) bool { return ctx.Value(waitKey{}) != nil }

// outgoing returns what a call made with x carries: the held groups, none of the metadata
// received, and in a callback what the caller's context adds.
func (x *Context) outgoing() *Outgoing {
	outer := OutgoingOf(x.Context)
	out := new(Outgoing)
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
		out.Entries, out.Position = outer.Entries, outer.Position
	}
	out.encode()
	return out
}

// A Reply receives the metadata of replies. It is safe for concurrent use.
type Reply struct {
	outer   *Reply
	entries atomic.Pointer[string] // valid; nil for none
}

// Get returns the metadata of the last reply. The map belongs to the caller.
func (r *Reply) Get() map[string]string {
	if s := r.entries.Load(); s != nil {
		return entriesOf(*s)
	}
	return map[string]string{}
}

// Set stores the entries of a reply; nil for none. r may be nil.
func (r *Reply) Set(entries []byte) {
	for ; r != nil; r = r.outer {
		if len(entries) == 0 {
			r.entries.Store(nil)
			continue
		}
		s := string(entries)
		r.entries.Store(&s)
	}
}
