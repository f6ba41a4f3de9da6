package apart

import (
	"iter"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/streams"
)

// A Produced is the result stream of a handler as the items of a reply. The handler sends to its
// Pipe, and what carries the reply ranges over its Items.
type Produced struct {
	Pipe   *streams.Pipe
	Used   error                    // of a second range
	Cancel func()                   // cancels the handler: nothing takes more items
	Sent   func(*fault.Fault) error // the last error of the items, for the end of an incomplete stream
}

// Items returns the items, for one range. An item is valid until the next one. Breaking out, or
// a panic in the body of the loop, cancels the handler. A second range gets Used, and does not
// disturb the first one.
func (p *Produced) Items() iter.Seq2[[]byte, error] {
	var used atomic.Bool
	return func(yield func([]byte, error) bool) {
		if used.Swap(true) {
			yield(nil, p.Used)
			return
		}
		ended := false
		defer func() {
			if !ended {
				p.Pipe.Close()
				p.Cancel()
			}
		}()
		for {
			item, err := p.Pipe.Next()
			if err == nil {
				if !yield(item, nil) {
					return
				}
				continue
			}
			ended = true
			if f, ok := err.(*fault.Fault); ok {
				yield(nil, p.Sent(f))
			}
			return
		}
	}
}
