package transport

// A role says who writes a connection. Writing is a role, as reading is a lease: whoever
// finds frames waiting and nobody at them takes it, writes until nothing waits, and
// gives it up. Its holder alone touches the send queue's batch. It changes under
// conn.mu only.
//
//	noWriter ──▶ callerWriter  a caller, or the leader, has frames, on a socket
//	noWriter ──▶ connWriter    likewise on any other net.Conn; or for one that must not wait; or to send CLOSE
//	callerWriter ──▶ noWriter  nothing waits
//	callerWriter ──▶ connWriter    it has written for others maxCallerBatches times, or a watchdog period has stopped it
//	connWriter   ──▶ noWriter  nothing waits
//
// Invariants:
//   - Frames are queued first, and then it is looked whether nobody writes; the role is
//     given up under the lock under which nothing waited. So no frame lies where
//     nobody writes.
//   - A caller never waits in a write: it makes sendQueue.callerWrites odd before a system call and
//     then arms the watchdog, which sets a deadline in the past if it finds the same
//     call a watchdog period later. One that comes too late stops the next caller's write: that
//     hands over, and nothing is lost.
//   - The connection's goroutine may wait, for WriteStall. It clears its deadline before
//     it gives the role up.
//   - Who wants the memory of a chunk back (withdraw) says so under the lock and then sets
//     a deadline in the past; the writer sets its own under the lock, and looks. So
//     it does not begin to wait when it has been told.
//   - Who holds the role when the connection has ended keeps it: nobody writes then.
type writerRole uint8

const (
	noWriter     writerRole = iota
	callerWriter            // a caller, or the leader with its answers
	connWriter              // a goroutine of the connection
)

// passLocked gives the role from one to another, both as they must be.
func (r *writerRole) passLocked(from, to writerRole) {
	if *r != from || from == to || from == connWriter && to == callerWriter {
		panic("bsrpc: the writing role was passed on by who has not got it")
	}
	*r = to
}
