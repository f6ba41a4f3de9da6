// Package admission decides who may use a limited resource, and in which order.
//
// A [Queue] admits the sessions of a server. A [Semaphore] limits the calls
// running at a time, and a [Group] makes calls exclusive. A ticket is a session
// in the queue or admitted by it, a [Waiter] a call with its semaphores. The
// package knows sessions and calls only by these two types. [Handshakes] are the
// connections that are not sessions yet.
//
// Guarantees:
//
//   - Order. Admission is first come, first served. A free slot with a line in
//     front of it does not exist, not even for a moment: Leave and Release hand
//     their slot to the first in line under the lock. A newcomer cannot overtake.
//   - Exclusion. There are never more holders than slots. A holder keeps its slot
//     until it leaves; eviction is a request.
//   - No blocking. All methods return at once. Waiting costs no goroutine: a
//     ticket has channels, and a waiter starts its func on a new goroutine.
//   - Callbacks run on goroutines of their own and hold no lock.
//
// Lock order: a waiter, then a semaphore. No goroutine locks two waiters or two
// semaphores at a time. The lock of a queue is taken alone.
package admission
