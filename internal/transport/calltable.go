package transport

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Call is a request of this end and its answer. It belongs to the calling goroutine,
// except for the fields written by the reader.
type Call struct {
	// What the reader touches of a call stands in its first two cache lines.

	wake  chan bool     // capacity 1, nil for an eager call that has not waited: one token for each sleep; true if the wake batch counts the call
	state atomic.Uint32 // callRunning and so on
	long  bool          // waits with timers of its own, and never reads

	// guarded by Conn.mu
	id        uint64
	slot      uint16
	periods   uint8 // watchdog periods spent parked
	abandoned bool  // the caller has gone; the slot is kept until the answer arrives
	eager     bool  // no caller waits: over is called in place of a token in wake; set before sending

	reply reply       // the answer; set before state is callAnswered
	body  []byte      // memory of a short answer, reused by the next call
	err   error       // the reason, if there is no answer
	meta  *answerMeta // nil for most

	Tally *tally.Method // counts the call if it is answered by RESPONSE, or has streams; nil for none; set by the caller
	Began time.Duration // by limits.Monotonic; set by the caller for a call sent before, otherwise by Do

	Head    wire.Frame      // of the request; set by the caller
	chunked *chunkedMessage // the request, if it is sent in chunks
	Timeout limits.Timeout  // set by the caller
	streams *StreamCall     // nil for a call without streams

	Funcs      any                              // the funcs among its arguments, for FuncsOf; nil for none; set by the caller
	Over       func(error)                      // of a call for Start; set by the caller
	Moved      func(group string, position int) // accepts positions, for this call only; must not wait; nil for a call that has not asked for them; set by the caller
	HandedOver bool                             // see Conn.AnyHandedOver; set by the caller
	over       func()                           // of an eager call; must not wait
}

// An answerMeta is the metadata of an answer, and the user's part of it.
type answerMeta struct{ all, entries []byte }

// A reply is the part of the answering message a call keeps.
type reply struct {
	typ   wire.Type
	flags wire.Flags
	arg   uint16
	own   bool // body has memory of its own; otherwise it is in Call.body
	body  []byte
}

// The states of a call.
const (
	callRunning   uint32 = iota // its goroutine is awake
	callParked                  // it sleeps on wake
	callLong                    // woken to continue with timers of its own
	callSelecting               // it sleeps on wake, its context and a timer
	callAnswered                // reply or err is set
)

// NewCall returns a call for Do. After Reset it can be used again.
func NewCall() *Call { return &Call{wake: make(chan bool, 1)} }

// Body returns the body of the answer, valid until Reset. own reports whether it has
// memory of its own, which stays valid.
func (call *Call) Body() (data []byte, own bool) { return call.reply.body, call.reply.own }

// Entries returns the user's metadata in the answer, valid entries of package wire. They
// have memory of their own. It returns nil before the answer.
func (call *Call) Entries() []byte {
	if call.meta == nil {
		return nil
	}
	return call.meta.entries
}

// Reset prepares the call for another call, on any connection.
func (call *Call) Reset() {
	call.state.Store(callRunning)
	call.long, call.periods, call.abandoned = false, 0, false
	call.Head.Meta, call.chunked, call.reply.body, call.err = nil, nil, nil, nil
	call.meta, call.Began = nil, 0
}

// answered reports whether reply or err is set.
func (call *Call) answered() bool { return call.state.Load() == callAnswered }

// finish hands the answered call back to its goroutine. If that is parked, finish
// reports true, and the caller sends a token to wake.
func (call *Call) finish() (parked bool) {
	old := call.state.Swap(callAnswered)
	if old == callSelecting {
		call.wake <- false
	}
	return old == callParked
}

// unpark wakes a parked call into another state. It reports whether the call was parked.
func (call *Call) unpark(state uint32) bool {
	if !call.state.CompareAndSwap(callParked, state) {
		return false
	}
	call.wake <- false
	return true
}

// A callTable is the open calls of this end. The id of a call has its slot in the low 16
// bits, so an answer finds its call by index. The rest of the id is a counter rising in
// the order of writing. Conn.mu guards the table, except for long.
type callTable struct {
	slots   []*Call
	free    []uint16
	ids     uint64  // how many ids have been assigned
	written uint64  // ids at the time of the newest batch; later requests have not been written
	limit   int     // of open; the peer's MaxInflight
	open    int     // calls with a slot, or about to get one
	waiting []*Call // for a place among open, first come, first served

	long atomic.Int32 // calls waiting with timers of their own
	load *int32       // Config.Load

	// The calls of a slow peer, or of a busy machine, are long from the start: becoming long
	// costs more than all else of a call.
	startLong int // how many of the next calls are
	penalty   int // twice startLong after the last call that became long
	attempts  int // calls since then that were not long from the start
}

// maxStartLong bounds startLong: one call in so many finds out whether the peer is still slow.
const maxStartLong = 256

// startsLongLocked reports whether the next call is long from the start.
func (t *callTable) startsLongLocked() bool {
	if t.startLong > 0 {
		t.startLong--
		return true
	}
	if t.attempts++; t.attempts > 2 {
		t.penalty = 0
	}
	return false
}

// becameLongLocked notes that calls became long: one while its goroutine read for it and those
// parked behind it, or those parked behind the leader. A single time changes nothing.
func (t *callTable) becameLongLocked() {
	t.penalty = min(2*t.penalty+1, 2*maxStartLong)
	t.startLong, t.attempts = t.penalty/2, 0
}

const slotBits = 16

// mostInflight is the greatest number of open calls of one end, and mostStreams that of its
// open streams. A call keeps its slot until its result stream ends, so both share the slots.
const (
	mostInflight = 1 << (slotBits - 1)
	mostStreams  = 1 << (slotBits - 1)
)

// openLocked makes a call one of the open calls. If there are as many as the peer allows, it
// makes the call wait for a token in wake instead, and reports false.
func (t *callTable) openLocked(call *Call) bool {
	t.loadedLocked(1)
	if t.open < t.limit && len(t.waiting) == 0 {
		t.open++
		return true
	}
	if t.waiting = append(t.waiting, call); call.wake == nil {
		call.wake = make(chan bool, 1)
	}
	return false
}

// closeLocked ends one of the open calls. It returns the next call to take its place, to
// be woken, or nil.
func (t *callTable) closeLocked() (next *Call) {
	t.loadedLocked(-1)
	if len(t.waiting) == 0 {
		t.open--
		return nil
	}
	return popFirst(&t.waiting)
}

// stopWaitingLocked removes a call from the waiting calls. It reports whether it was waiting.
func (t *callTable) stopWaitingLocked(call *Call) bool {
	i := slices.Index(t.waiting, call)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		t.loadedLocked(-1)
	}
	return i >= 0
}

// loadedLocked adds n to the calls of the connection, those counted that wait.
func (t *callTable) loadedLocked(n int32) {
	if t.load != nil {
		*t.load += n
	}
}

// addLocked gives an open call a slot.
func (t *callTable) addLocked(call *Call) {
	call.id = 0
	if n := len(t.free); n > 0 {
		call.slot, t.free = t.free[n-1], t.free[:n-1]
		t.slots[call.slot] = call
		return
	}
	call.slot = uint16(len(t.slots))
	t.slots = append(t.slots, call)
}

// removeLocked frees the slot of a call. It returns the result of closeLocked.
func (t *callTable) removeLocked(call *Call) (next *Call) {
	t.freeSlotLocked(call)
	return t.closeLocked()
}

// freeSlotLocked frees the slot of a call that has given its place to another one.
func (t *callTable) freeSlotLocked(call *Call) {
	if int(call.slot) >= len(t.slots) || t.slots[call.slot] != call {
		return // the connection has ended
	}
	t.slots[call.slot] = nil
	t.free = append(t.free, call.slot)
}

// assignIDLocked assigns the next id to a call. Its request is then written.
func (t *callTable) assignIDLocked(call *Call) uint64 {
	t.ids++
	call.id = t.ids<<slotBits | uint64(call.slot)
	if call.streams != nil {
		call.streams.openLocked()
	}
	return call.id
}

// findLocked returns the open call with an id. unused reports that the id was never
// assigned.
func (t *callTable) findLocked(id uint64) (call *Call, unused bool) {
	slot, n := id&(1<<slotBits-1), id>>slotBits
	if n == 0 || n > t.ids || slot >= uint64(len(t.slots)) {
		return nil, true
	}
	if call := t.slots[slot]; call != nil && call.id == id {
		return call, false
	}
	return nil, false
}

// markWrittenLocked notes that the next batch has all requests with an id.
func (t *callTable) markWrittenLocked() { t.written = t.ids }

// writtenLocked reports whether the request of a call may have reached the peer.
func (t *callTable) writtenLocked(call *Call) bool {
	return call.id != 0 && call.id>>slotBits <= t.written
}

// clearLocked empties the table. It returns the calls with a slot, and the waiting ones.
func (t *callTable) clearLocked() (open, waiting []*Call) {
	for _, call := range t.slots {
		if call != nil && !call.abandoned {
			open = append(open, call)
		}
	}
	waiting = t.waiting
	t.slots, t.free, t.waiting = nil, nil, nil
	t.open = 0
	t.loadedLocked(EndedLoad)
	return open, waiting
}

// wakeOneLocked wakes one parked call to check for a free read lease.
func (t *callTable) wakeOneLocked() {
	if t.open == 0 {
		return
	}
	for _, call := range t.slots {
		if call != nil && call.unpark(callRunning) {
			return
		}
	}
}

// parkedPeriods is how many watchdog periods a call stays parked before it becomes long.
const parkedPeriods = 2

// countPeriodLocked counts a watchdog period for the parked calls, and makes them long
// after parkedPeriods. It reports whether some became long.
func (t *callTable) countPeriodLocked() (became bool) {
	for _, call := range t.slots {
		if call == nil || call.state.Load() != callParked {
			continue
		}
		if call.periods++; call.periods >= parkedPeriods {
			became = call.unpark(callLong) || became
		}
	}
	return became
}

// anyParkedLocked reports whether a call is parked.
func (t *callTable) anyParkedLocked() bool {
	return t.open > 0 && slices.ContainsFunc(t.slots, func(call *Call) bool { return call != nil && call.state.Load() == callParked })
}

// popFirst removes the first element of a list and returns it. It does not move the
// others, which may be thousands.
func popFirst[T any](list *[]T) (first T) {
	first, (*list)[0] = (*list)[0], first
	*list = (*list)[1:]
	return first
}
