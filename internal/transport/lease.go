package transport

import "sync/atomic"

// A readLease is the exclusive right to read a connection. The pattern is
// leader/followers: one goroutine holds the lease, reads, and delivers the messages of
// all others. Only the holder touches the receive buffer.
//
// The lease is one word, the holder and a count of its changes. Every change is one
// compare-and-swap, so an old epoch cannot change the lease again.
//
//	nobody  ──▶ caller    a caller reads for itself while waiting for its answer
//	nobody  ──▶ leader    unused for a watchdog period, or a call is long
//	caller  ──▶ nobody    its answer has arrived; one parked caller is woken
//	caller  ──▶ leader    it has read for too long, or a call is long
//	leader  ──▶ nobody    all messages are handled: the next caller may read
//	leader  ──▶ leader    a call became long while the leader was releasing the lease
//	leader  ──▶ handling  it runs a job
//	handling──▶ leader    by the leader: the job has returned in time
//	handling──▶ leader    by the watchdog: it has not, and a new leader takes over
//
// Invariants:
//   - A goroutine passes the lease only if it holds it or, from nobody and from
//     handling, wins the compare-and-swap. It makes sure the new holder is awake.
//   - A caller parks first and then checks for a free lease. A holder frees the lease
//     first and then wakes a parked caller. So no caller sleeps while the lease is free.
//   - A long call is counted first and then checks for a free lease. A holder frees the
//     lease first and then checks for long calls.
//   - A leader failing to pass the lease from handling has been replaced. From then on
//     it touches only the send queue of the connection, and ends.
//   - On a connection that has ended the lease stays with its holder.
type readLease struct {
	word atomic.Uint64
}

// An epoch is the value of a read lease: a count of its changes, and the holder.
type epoch uint64

// A holder is the kind of goroutine holding a read lease.
type holder uint64

const (
	nobody   holder = iota
	leader          // the connection's own reading goroutine
	caller          // a caller waiting for its answer
	handling        // the leader, running a job
	holders  = 4
)

// leaseLost is the epoch of a goroutine replaced by another leader.
const leaseLost epoch = 0

func (e epoch) holder() holder { return holder(e % holders) }

// current returns the current epoch.
func (l *readLease) current() epoch { return epoch(l.word.Load()) }

// pass passes the lease from epoch e to h and returns the new epoch. It reports false,
// without effect, if e is no longer the current epoch.
func (l *readLease) pass(e epoch, h holder) (epoch, bool) {
	next := e - e%holders + holders + epoch(h)
	return next, l.word.CompareAndSwap(uint64(e), uint64(next))
}

// mustPass is pass for a holder with a lease only it can pass.
func (l *readLease) mustPass(e epoch, h holder) epoch {
	next, ok := l.pass(e, h)
	if !ok {
		panic("bsrpc: read lease taken from its holder")
	}
	return next
}
