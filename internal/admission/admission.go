// Package admission decides who may use a limited resource, and in which order.
//
// A [Queue] admits the sessions of a server. A [Semaphore] limits the calls
// running at a time, and a [Group] makes calls exclusive. A ticket is a session
// in the queue or admitted by it, a [Waiter] a call with its semaphores, and an
// [Owner] a session that holds groups across calls. The package knows sessions and
// calls only by these types. [Handshakes] are the connections that are not sessions
// yet; those of a peer whose connections fail all the time have pauses.
//
// Guarantees:
//
//   - Order. Admission is first come, first served. A free slot with a line in
//     front of it does not exist, not even for a moment: Leave and Release hand
//     their slot to the first in line under the lock. A newcomer cannot overtake.
//     The waiters of an owner go before the line of its group, in order.
//   - Exclusion. There are never more holders than slots. A holder keeps its slot
//     until it leaves; eviction is a request. Only waiters of the owner get the slot
//     of a group that has one.
//   - Progress. A wait that could only end by giving up is refused: owners never
//     wait for each other in a circle.
//   - No blocking. All methods but Waiter.Acquire return at once. Waiting costs no
//     goroutine: a ticket has channels, and a waiter starts its func on a new
//     goroutine.
//   - Callbacks run on goroutines of their own and hold no lock, except for
//     Owner.OnBusy.
//
// Lock order: a waiter, then a semaphore, or the groups of a server, which share a
// lock. No goroutine locks two waiters or two semaphores at a time. The lock of a
// queue is taken alone.
package admission
