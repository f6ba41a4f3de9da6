package transport

import (
	"github.com/bsrpc/bsrpc/internal/wire"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A handler acts on what the peer asks of this end. The lease holder calls
// its methods, one at a time; an error of theirs is the peer's violation of the
// protocol and ends the connection.
type Handler interface {
	// Admit judges a request by its header. A refusal is the answer to it. One that
	// is admitted is in flight until it is answered.
	Admit(f *wire.Frame) (refusal *fault.Fault, err error)

	// Request takes an admitted request, whose body has arrived. It returns a job
	// that promises to be quick, for the caller to run, or nil where the request is
	// answered already or runs elsewhere. m is valid until request returns.
	Request(m *Message) Job

	// Bind answers a BIND, which is not in flight.
	Bind(m *Message) error

	// Cancel ends the request with an id, if that is running.
	Cancel(id uint64) error

	// Control takes a frame about the session: WAITING, ADMITTED.
	Control(m *Message) error

	// Rest says that the caller is about to wait, and runs no job meanwhile.
	Idle()
}

// A job is a request that runs on the goroutine that has read it. The lease stays
// with the connection: a job that has not returned by the second period of the watchdog loses it.
type Job interface {
	// Run does the job, and answers the request whatever happens in it. full says
	// that its answer is worth a system call of its own.
	Run() (full bool)

	// Detach says that the job runs on without the lease. Another goroutine calls
	// it, with conn.mu held.
	Detach()

	// Leave ends a job that has been detached.
	Leave()

	// Free ends a job that has not been detached.
	Free()

	// Refuse answers the request, in place of run.
	Refuse(why *fault.Fault)
}
