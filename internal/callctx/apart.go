package callctx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Metadata of calls apart from connections: a map in each direction. What a connection has
// beside the entries of the user travels under a reserved key.

// heldKey has the ids of the held groups, as fields of a REQUEST.
const heldKey = reservedKeys + "held"

// Apart returns the metadata of a request. The map belongs to the caller. o may be nil.
func (o *Outgoing) Apart() map[string]string {
	if o == nil || len(o.Entries) == 0 && len(o.heldGroups) == 0 {
		return nil
	}
	md := make(map[string]string, len(o.Entries)+1)
	maps.Copy(md, o.Entries)
	if len(o.heldGroups) > 0 {
		md[heldKey] = string(wire.AppendRequestMetadata(nil, &wire.RequestMetadata{HeldGroups: o.heldGroups}))
	}
	return md
}

// RequestBlock returns the metadata of a request as a connection would have it, for
// Context.Receive; nil for none. The error is for metadata that the other end could not have sent.
func RequestBlock(md map[string]string) ([]byte, error) {
	if len(md) == 0 {
		return nil, nil
	}
	entries, err := EntriesOf(md)
	if err != nil {
		return nil, err
	}
	held, err := wire.ReadRequestMetadata([]byte(md[heldKey]))
	if err != nil || len(md[heldKey]) > wire.MaxMetadata {
		return nil, fmt.Errorf("the value of %q is not valid", heldKey)
	}
	return wire.AppendRequestMetadata(nil, &wire.RequestMetadata{HeldGroups: held.HeldGroups, Entries: entries}), nil
}

// EntriesOf returns the entries of received metadata, without those of the library; nil for none.
func EntriesOf(md map[string]string) ([]byte, error) {
	if len(md) == 0 {
		return nil, nil
	}
	own := make(map[string]string, len(md))
	for k, v := range md {
		if !strings.HasPrefix(k, reservedKeys) {
			own[k] = v
		}
	}
	if why := check(own); why != nil {
		return nil, errors.New(why.Plain())
	}
	return wire.AppendEntries(nil, own), nil
}

// ReplyMap returns the metadata of the reply of a call apart from connections; nil for none. It is
// called after EndReplied or SendHead, and the map never changes.
func (x *Context) ReplyMap() map[string]string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.extra == nil {
		return nil
	}
	return x.extra.reply
}

// Inward is the context of a session without a connection, the parent of its handler's. It has the values
// of its own parent, but not what that adds to calls: nothing is passed on by itself. It costs
// nothing until a user waits for its end.
type Inward struct {
	Context  // its values do not count
	Key, Own any

	cause context.Context // has ended with the cause of End; nil for none; set before the end
}

// End ends the context, unless it has ended. cause is what context.Cause returns then; nil for
// the error of the context.
func (c *Inward) End(cause error) {
	c.Err() // the parent may have ended before
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == notEnded && cause != nil {
		ended, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		c.cause = ended
	}
	c.endLocked(canceled)
}

// Value implements context.Context.
func (c *Inward) Value(key any) any {
	switch key {
	case c.Key:
		return c.Own
	case outgoingKey{}, handlerKey{}, waitKey{}:
		return nil
	case causeKey:
		if c.endedItself() {
			if c.cause == nil {
				return nil
			}
			return c.cause.Value(key)
		}
	}
	return c.Context.Context.Value(key)
}
