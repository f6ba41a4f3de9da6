package transport

import "sync/atomic"

// A lease says who reads a connection. Exactly one goroutine may: it alone
// touches the connection's receive buffer and delivers what arrives. Every change of
// hands is one compare-and-swap of one word, which also counts the changes, so
// that an epoch read earlier names one tenure and no other.
//
//	nobody  ──▶ caller   a caller that waits for its answer reads for itself
//	nobody  ──▶ leader   nobody has read for a watchdog period, or a call waits long
//	caller  ──▶ nobody   its answer is there; a parked caller is unparked
//	caller  ──▶ leader   it has read for too long, or a call waits long
//	leader  ──▶ nobody   nothing to wait for: the next caller may read
//	leader  ──▶ leader   a call began to wait long as it was about to release the lease
//	leader  ──▶ handling it runs a job
//	handling──▶ leader   by the leader: the handler returned in time
//	handling──▶ leader   by the watchdog: it did not, and a new leader takes over
//
// Invariants:
//   - Who passes the lease on holds it, or, from nobody and from handling, wins
//     the compare-and-swap; and makes sure that the new holder is awake.
//   - A caller parks first and then looks whether nobody reads; who leaves the
//     turn to nobody does that first and then unparks a caller that is parked.
//     So no caller sleeps while nobody reads.
//   - A call is counted as long first and then looks whether nobody reads; who
//     leaves the lease to nobody then looks for calls that are long.
//   - A leader whose pass from handling fails has been replaced: it touches
//     nothing of the connection but the send queue, and ends.
//   - On a connection that has ended the lease stays where it is.
type readLease struct {
	word atomic.Uint64
}

// An epoch is a lease at one moment: a count of changes and the holder.
type epoch uint64

type holder uint64

const (
	nobody holder = iota
	leader
	caller
	handling
	holders = 4
)

// leaseLost is the epoch of a goroutine whose epoch another has ended.
const leaseLost epoch = 0

func (s epoch) holder() holder { return holder(s % holders) }

// current returns the lease as it stands.
func (t *readLease) current() epoch { return epoch(t.word.Load()) }

// pass gives the lease from epoch s to the holder h. It reports the new
// epoch, and whether s was still the current one.
func (t *readLease) pass(s epoch, h holder) (epoch, bool) {
	next := s - s%holders + holders + epoch(h)
	return next, t.word.CompareAndSwap(uint64(s), uint64(next))
}

// mustPass is pass by the holder of an epoch that nobody else may end.
func (t *readLease) mustPass(s epoch, h holder) epoch {
	next, ok := t.pass(s, h)
	if !ok {
		panic("bsrpc: the turn was taken from its holder")
	}
	return next
}
