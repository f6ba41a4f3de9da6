package callctx

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// What a handler's call has received, and what it adds to the reply.

// reservedKeys begin the keys of the library.
const reservedKeys = "bsrpc-"

// An extra is what only some calls have at a server. Context.mu guards it.
type extra struct {
	heldGroups []uint64          // ids of the exclusive groups held by the caller
	received   string            // valid entries
	reply      map[string]string // valid; unchanged once the head is sent
	waited     time.Duration

	waiter   *admission.Waiter              // of the call; nil without a group
	position func(group string, n int) bool // sends a place in line to the caller; nil for none
}

// A replyHead is the state of the head of a reply: whether metadata can be added.
type replyHead uint8

const (
	headOpen replyHead = iota
	headSent
	headBasic // the reply has none
)

// extraLocked returns the extra of x, a new one at first.
func (x *Context) extraLocked() *extra {
	if x.extra == nil {
		x.extra = new(extra)
	}
	return x.extra
}

// Receive stores the metadata of a request, which has been validated. It reports whether the
// caller wants its places in line.
func (x *Context) Receive(block []byte) (positions bool) {
	m, _ := wire.ReadRequestMetadata(block)
	x.extra = &extra{heldGroups: m.HeldGroups, received: string(m.Entries)}
	return m.Positions
}

// SendPositions sets what sends places in line to the caller, after Receive.
func (x *Context) SendPositions(f func(group string, n int) bool) { x.extra.position = f }

// Received returns the metadata of the request. The map belongs to the caller. x may be nil.
func (x *Context) Received() map[string]string {
	if x == nil {
		return map[string]string{}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.extra == nil {
		return map[string]string{}
	}
	return entriesOf(x.extra.received)
}

// ReplyWithout says that the reply has no metadata, on the basic wire.
func (x *Context) ReplyWithout() { x.head = headBasic }

// SetReply adds an entry to the metadata of the reply.
func (x *Context) SetReply(key, value string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch x.head {
	case headSent:
		return errors.New("the reply has been sent")
	case headBasic:
		return errors.New("the caller speaks the basic wire, which carries no metadata")
	}
	e := x.extraLocked()
	reply := make(map[string]string, len(e.reply)+1)
	maps.Copy(reply, e.reply)
	reply[key] = value
	if why := check(reply); why != nil {
		return errors.New(why.Plain())
	}
	e.reply = reply
	return nil
}

// ReplyEntries returns the entries for the reply; nil for none. It is called after
// EndReplied. x may be nil.
func (x *Context) ReplyEntries() []byte {
	if x == nil || x.extra == nil {
		return nil
	}
	return wire.AppendEntries(nil, x.extra.reply)
}

// NewWaiter returns the waiter of the call for a semaphore and for its group, whose number in
// the lines its caller learns; each may be nil. It returns nil if a caller of the call holds
// the group.
func (x *Context) NewWaiter(s *admission.Semaphore, g *admission.Group) *admission.Waiter {
	if g == nil {
		return admission.NewWaiter(s, nil, nil)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.extraLocked()
	held := e.heldGroups
	w := admission.NewWaiter(s, g, held)
	if w.WaitsForItself() {
		return nil
	}
	w.Moved = e.position
	e.heldGroups, e.waiter = append(slices.Clip(held), w.ID), w
	return w
}

// WaiterOf returns the waiter of a handler's call for its exclusive group, the ids of the groups
// used by the call and its callers, and what sends places in line to the caller; nil for none.
func WaiterOf(ctx context.Context) (w *admission.Waiter, held []uint64, position func(group string, n int) bool) {
	x := Of(ctx)
	if x == nil {
		return nil, nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.extraLocked()
	return e.waiter, e.heldGroups, e.position
}

// NoteWait notes that the call has waited since a time for its semaphores.
func (x *Context) NoteWait(since time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.extraLocked().waited = time.Since(since)
}

// Waited returns how long the call has waited.
func (x *Context) Waited() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.extra == nil {
		return 0
	}
	return x.extra.waited
}

// entriesOf returns a new map of valid entries, without those of the library. Keys and
// values share the memory of entries.
func entriesOf(entries string) map[string]string {
	md := make(map[string]string)
	for k, v := range wire.Entries(entries) {
		if !strings.HasPrefix(k, reservedKeys) {
			md[k] = v
		}
	}
	return md
}

// check returns the reason why a call cannot carry entries, or nil.
func check(entries map[string]string) *fault.Fault {
	if len(entries) > wire.MaxEntries {
		return fault.Refusal(fault.ResourceExhausted, "metadata of %d entries, want at most %d", len(entries), wire.MaxEntries)
	}
	longest := ""
	for _, k := range wire.SortedKeys(entries) {
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
		if longest == "" || len(entries[k]) > len(entries[longest]) {
			longest = k
		}
	}
	if size := wire.EntriesSize(entries); size > wire.MaxEntryBytes {
		return fault.Refusal(fault.ResourceExhausted, "metadata of %d bytes, want at most %d; the longest value is that of %q, %d bytes", size, wire.MaxEntryBytes, longest, len(entries[longest]))
	}
	return nil
}

// Redacted returns the keys of entries in order, without values. An invalid key may be a value
// in the wrong place.
func Redacted(entries map[string]string) string {
	keys := wire.SortedKeys(entries)
	for i, k := range keys {
		if len(k) > wire.MaxEntryKey || wire.BadKeyByte(k) >= 0 {
			keys[i] = "?"
		}
	}
	return "metadata[" + strings.Join(keys, " ") + "]"
}
