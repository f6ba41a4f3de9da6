package transport

import (
	"slices"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A call is a request that this end has made and waits for. It belongs to the
// calling goroutine, but for what the reader delivers.
type Call struct {
	wake  chan bool     // capacity 1: one token for each sleep that ends, true if the wake batch counts it
	state atomic.Uint32 // callRunning and so on
	long  bool          // waits with timers of its own, and never reads

	// guarded by conn.mu
	id        uint64
	slot      uint16
	periods   uint8 // how many watchdog periods have found it parked
	abandoned bool  // the caller has gone; the slot is kept for the answer

	Head    wire.Frame      // of the request
	chunked *chunkedMessage // the request, if it travels in chunks
	Timeout limits.Timeout

	reply reply  // the answer: set before state is callAnswered
	err   error  // or why there is none
	body  []byte // memory of a short reply, kept for the next call
}

// A reply is what a call keeps of the message that answers it.
type reply struct {
	typ   wire.Type
	flags wire.Flags
	arg   uint16
	own   bool // as message.own; what is not, is in call.body
	body  []byte
}

// The states of a call.
const (
	callRunning   uint32 = iota // its goroutine is awake
	callParked                  // it sleeps on wake
	callLong                    // it has been parked for long
	callSelecting               // it sleeps on wake, its context and a timer
	callAnswered                // reply or err is set
)

// answered says whether there is a reply, or an error, to take.
func (k *Call) answered() bool { return k.state.Load() == callAnswered }

// finish hands the call back to its goroutine, unless that is parked: then it
// reports true and wake is to follow.
func (k *Call) finish() (parked bool) {
	old := k.state.Swap(callAnswered)
	if old == callSelecting {
		k.wake <- false
	}
	return old == callParked
}

// unpark wakes a parked call into another state. It reports whether the call
// was parked.
func (k *Call) unpark(state uint32) bool {
	if !k.state.CompareAndSwap(callParked, state) {
		return false
	}
	k.wake <- false
	return true
}

// callTable is the table of the calls that this end has made. A call's id has its
// slot in the low 16 bits, so that an answer finds it without a map, and above
// that a count that rises as requests are written.
type callTable struct {
	// guarded by conn.mu
	slots     []*Call
	free      []uint16
	lastCount uint64  // of ids given
	written   uint64  // the count when a batch was last taken: later ones have not been written
	limit     int     // the most that may be open, by the peer's word
	waiting   []*Call // they wait to be open, first come first served
	open      int     // calls that have a slot, or have been granted one

	long atomic.Int32 // calls that wait with timers of their own
}

const slotBits = 16

// MostInflight is the most calls that an end can have open.
const MostInflight = 1 << slotBits

// addLocked gives k a slot that it has been granted.
func (t *callTable) addLocked(k *Call) {
	k.id = 0
	if n := len(t.free); n > 0 {
		k.slot, t.free = t.free[n-1], t.free[:n-1]
		t.slots[k.slot] = k
		return
	}
	k.slot = uint16(len(t.slots))
	t.slots = append(t.slots, k)
}

// nextIDLocked gives k the next id, as its request is written.
func (t *callTable) nextIDLocked(k *Call) uint64 {
	t.lastCount++
	k.id = t.lastCount<<slotBits | uint64(k.slot)
	return k.id
}

// findLocked returns the open call with an id. unused says that no call ever
// had it.
func (t *callTable) findLocked(id uint64) (k *Call, unused bool) {
	slot, count := id&(1<<slotBits-1), id>>slotBits
	if count == 0 || count > t.lastCount || slot >= uint64(len(t.slots)) {
		return nil, true
	}
	if k := t.slots[slot]; k != nil && k.id == id {
		return k, false
	}
	return nil, false
}

// removeLocked frees k's slot. What it returns is as of ungrantLocked.
func (t *callTable) removeLocked(k *Call) (next *Call) {
	t.slots[k.slot] = nil
	t.free = append(t.free, k.slot)
	return t.releaseLocked()
}

// openLocked lets k be open. If as many are as the peer takes, it makes k wait
// for a token in its wake, and reports false.
func (t *callTable) openLocked(k *Call) bool {
	if t.open < t.limit && len(t.waiting) == 0 {
		t.open++
		return true
	}
	t.waiting = append(t.waiting, k)
	return false
}

// releaseLocked gives up what a call had been granted. It returns the call that
// has it instead, and is to be woken; nil for none.
func (t *callTable) releaseLocked() (next *Call) {
	if len(t.waiting) == 0 {
		t.open--
		return nil
	}
	return popFirst(&t.waiting)
}

// stopWaitingLocked takes k out of those that wait. It reports whether it was there.
func (t *callTable) stopWaitingLocked(k *Call) bool {
	i := slices.Index(t.waiting, k)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	return i >= 0
}

// markWrittenLocked notes that a batch has been taken, which has all ids given so far.
func (t *callTable) markWrittenLocked() { t.written = t.lastCount }

// writtenLocked says whether k's request may have reached the peer.
func (t *callTable) writtenLocked(k *Call) bool { return k.id != 0 && k.id>>slotBits <= t.written }

// clearLocked empties the table. It returns the calls that were open and those
// that waited to be.
func (t *callTable) clearLocked() (ended, waiting []*Call) {
	for _, k := range t.slots {
		if k != nil && !k.abandoned {
			ended = append(ended, k)
		}
	}
	waiting = t.waiting
	t.slots, t.free, t.waiting = nil, nil, nil
	t.open = 0
	return ended, waiting
}

// unparkOneLocked lets one parked call look again whether it can read.
func (t *callTable) unparkOneLocked() {
	if t.open == 0 {
		return
	}
	for _, k := range t.slots {
		if k != nil && k.unpark(callRunning) {
			return
		}
	}
}

// parkedPeriods is how many watchdog periods a call stays parked before it waits long.
const parkedPeriods = 2

// markLongLocked lets the calls that have been parked for a while wait long.
func (t *callTable) markLongLocked() {
	for _, k := range t.slots {
		if k == nil || k.state.Load() != callParked {
			continue
		}
		if k.periods++; k.periods >= parkedPeriods {
			k.unpark(callLong)
		}
	}
}

// anyParkedLocked says whether a call is parked.
func (t *callTable) anyParkedLocked() bool {
	return t.open > 0 && slices.ContainsFunc(t.slots, func(k *Call) bool { return k != nil && k.state.Load() == callParked })
}

// NewCall returns a call.
func NewCall() *Call { return &Call{wake: make(chan bool, 1)} }

// Body returns the body of the answer, until Reset. own reports whether it is memory of
// its own.
func (k *Call) Body() (data []byte, own bool) { return k.reply.body, k.reply.own }

// Reset makes k fit for another call, on any connection.
func (k *Call) Reset() {
	k.state.Store(callRunning)
	k.long, k.periods, k.abandoned = false, 0, false
	k.Head.Meta, k.chunked, k.reply.body, k.err = nil, nil, nil, nil
}

// popFirst removes the first of a list that is not empty. It moves none of the others,
// which may be thousands.
func popFirst[T any](list *[]T) (first T) {
	first, (*list)[0] = (*list)[0], first
	*list = (*list)[1:]
	return first
}
