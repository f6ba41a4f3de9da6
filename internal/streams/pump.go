package streams

import (
	"iter"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Pump moves the items of a stream from a user's iterator of bytes to a Pipe.
type Pump struct {
	Pipe  *Pipe
	Max   int    // bytes of an item
	Owner string // of Max, as limits.Conn.Owner

	Failed   func(err error) *fault.Fault // the fault of an error that ends the iterator
	Ended    func() *fault.Fault          // not nil if the end of the iterator is not that of the stream
	Panicked func(what any) *fault.Fault  // the fault of an iterator that does not return
}

// Run ranges over items, until their end or that of the Pipe, and ends the Pipe.
func (p *Pump) Run(items iter.Seq2[[]byte, error]) {
	var why *fault.Fault
	returned := false
	defer func() { // after runtime.Goexit too
		if !returned {
			why = p.Panicked(recover())
		}
		p.Pipe.Fail(why, false)
	}()
	if why = p.move(items); why == nil {
		why = p.Ended()
	}
	returned = true
}

func (p *Pump) move(items iter.Seq2[[]byte, error]) *fault.Fault {
	for item, err := range items {
		switch {
		case err != nil:
			return p.Failed(err)
		case len(item) > p.Max:
			return fault.New(fault.ResourceExhausted, fault.Answered, "item of %d bytes, %s MaxMessage is %d", len(item), p.Owner, p.Max)
		case p.Pipe.Send(item) != nil:
			return nil
		}
	}
	return nil
}
