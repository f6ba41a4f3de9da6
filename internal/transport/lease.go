package transport

import "sync/atomic"

// A turn says who reads a connection. Exactly one goroutine may: it alone
// touches the connection's inbox and delivers what arrives. Every change of
// hands is one compare-and-swap of one word, which also counts the changes, so
// that a stamp taken earlier names one tenure and no other.
//
//	nobody  ──▶ caller   a caller that waits for its answer reads for itself
//	nobody  ──▶ leader   nobody has read for a tick, or a call waits long
//	caller  ──▶ nobody   its answer is there; a parked caller is roused
//	caller  ──▶ leader   it has read for too long, or a call waits long
//	leader  ──▶ nobody   nothing to wait for: the next caller may read
//	leader  ──▶ leader   a call began to wait long as it was about to lend the turn
//	leader  ──▶ handling it runs a job
//	handling──▶ leader   by the leader: the handler returned in time
//	handling──▶ leader   by the tick: it did not, and a new leader takes over
//
// Invariants:
//   - Who passes the turn on holds it, or, from nobody and from handling, wins
//     the compare-and-swap; and makes sure that the new holder is awake.
//   - A caller parks first and then looks whether nobody reads; who leaves the
//     turn to nobody does that first and then rouses a caller that is parked.
//     So no caller sleeps while nobody reads.
//   - A call is counted as long first and then looks whether nobody reads; who
//     leaves the turn to nobody then looks for calls that are long.
//   - A leader whose pass from handling fails has been deposed: it touches
//     nothing of the connection but the outbox, and ends.
//   - On a connection that has ended the turn stays where it is.
type turn struct {
	word atomic.Uint64
}

// A stamp is a turn at one moment: a count of changes and the holder.
type stamp uint64

type holder uint64

const (
	nobody holder = iota
	leader
	caller
	handling
	holders = 4
)

// deposed is the stamp of a goroutine whose tenure another has ended.
const deposed stamp = 0

func (s stamp) holder() holder { return holder(s % holders) }

// now returns the turn as it stands.
func (t *turn) now() stamp { return stamp(t.word.Load()) }

// pass gives the turn from the tenure s to the holder h. It reports the new
// tenure, and whether s was still the current one.
func (t *turn) pass(s stamp, h holder) (stamp, bool) {
	next := s - s%holders + holders + stamp(h)
	return next, t.word.CompareAndSwap(uint64(s), uint64(next))
}

// must is pass by the holder of a tenure that nobody else may end.
func (t *turn) must(s stamp, h holder) stamp {
	next, ok := t.pass(s, h)
	if !ok {
		panic("bsrpc: the turn was taken from its holder")
	}
	return next
}
