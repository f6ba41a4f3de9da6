package transport

// A writerRole is the exclusive right to write to a connection. A goroutine finding
// frames in the send queue and the role free takes it, writes until the queue is empty,
// and releases it. Only the holder touches the write batch. Conn.mu guards the role.
//
//	noWriter     ──▶ callerWriter  a caller or the leader has frames, on a socket
//	noWriter     ──▶ connWriter    on any other net.Conn; for a sender that must not wait; to send CLOSE
//	callerWriter ──▶ noWriter      the queue is empty
//	callerWriter ──▶ connWriter    after maxCallerBatches, or when the watchdog stops a write
//	connWriter   ──▶ noWriter      the queue is empty
//
// Invariants:
//   - A sender queues its frames first and then checks for a free role. The role is
//     released under the same lock as the check for an empty queue. So no frame is
//     left in the queue while the role is free.
//   - A caller never waits in a write. It makes callerWrite odd before a write that may
//     wait, and then arms the watchdog. The watchdog sets a deadline in the past if the same
//     write is still running a period later. If the deadline comes too late, it stops the
//     write of the next caller, which passes the role on; nothing is lost.
//   - The goroutine of the connection may wait, until WriteStall. It clears its deadline
//     before it releases the role.
//   - takeBack marks a chunk under the lock and then sets a deadline in the past. The
//     writer checks for the mark and sets its own deadline under the lock. So the writer
//     never begins to wait with memory already wanted back.
//   - On a connection that has ended the role stays with its holder.
type writerRole uint8

const (
	noWriter     writerRole = iota
	callerWriter            // a caller, or the leader with its replies
	connWriter              // a goroutine of the connection
)

// passLocked passes the role between two holders. It panics if from does not hold it.
func (r *writerRole) passLocked(from, to writerRole) {
	if *r != from || from == to || from == connWriter && to == callerWriter {
		panic("bsrpc: writer role passed on by a goroutine without it")
	}
	*r = to
}
