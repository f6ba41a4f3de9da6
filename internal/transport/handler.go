package transport

import (
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Handler acts on the messages of the peer, except for answers and PINGs. The holder
// of the read lease calls its methods, one at a time. An error is a protocol violation
// by the peer and ends the connection.
type Handler interface {
	// Admit judges a request by its header, and may refuse it. An admitted request is
	// in flight until its reply is queued.
	Admit(f *wire.Frame) (refusal *fault.Fault, err error)

	// Request accepts an admitted request with its whole body. It returns a job if the
	// request is expected to be quick: the caller runs it. It returns nil if the request
	// is already answered, or runs on another goroutine. m is valid until Request
	// returns.
	Request(m *Message) Job

	// Bind answers a BIND. It is not in flight.
	Bind(m *Message) error

	// Cancel cancels the request id, if it is running.
	Cancel(id uint64) error

	// Control accepts a frame about the session, WAITING or ADMITTED.
	Control(m *Message) error

	// Idle is called before the lease holder waits. It runs no job while waiting.
	Idle()
}

// A Job is a request for the leader to run. The read lease stays with the connection: a
// job still running at the second period of the watchdog loses it. After Run or Refuse,
// either Free or, once Detach was called, Leave is called.
type Job interface {
	// Run runs the job, and replies even after a panic. It reports whether the send
	// queue is worth a write of its own.
	Run() (full bool)

	// Detach is called when the job loses the read lease. It runs on another
	// goroutine, with Conn.mu held.
	Detach()

	// Leave ends a detached job.
	Leave()

	// Free ends a job that was not detached.
	Free()

	// Refuse replies to the request in place of Run.
	Refuse(why *fault.Fault)
}
