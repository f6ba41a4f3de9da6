package bsrpc

import (
	"github.com/bsrpc/bsrpc/internal/wire"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A handler acts on what the peer asks of this end. The holder of the turn calls
// its methods, one at a time; an error of theirs is the peer's violation of the
// protocol and ends the connection.
type handler interface {
	// admit judges a request by its header. A refusal is the answer to it. One that
	// is admitted is in flight until it is answered.
	admit(f *wire.Frame) (refusal *fault.Fault, err error)

	// request takes an admitted request, whose body has arrived. It returns a job
	// that promises to be quick, for the caller to run, or nil where the request is
	// answered already or runs elsewhere. m is valid until request returns.
	request(m *message) job

	// bind answers a BIND, which is not in flight.
	bind(m *message) error

	// cancel ends the request with an id, if that is running.
	cancel(id uint64) error

	// control takes a frame about the session: WAITING, ADMITTED.
	control(m *message) error

	// rest says that the caller is about to wait, and runs no job meanwhile.
	rest()
}

// A job is a request that runs on the goroutine that has read it. The turn stays
// with the connection: a job that has not returned by the second tick loses it.
type job interface {
	// run does the job, and answers the request whatever happens in it. full says
	// that its answer is worth a system call of its own.
	run() (full bool)

	// detach says that the job runs on without the turn. Another goroutine calls
	// it, with conn.mu held.
	detach()

	// leave ends a job that has been detached.
	leave()

	// free ends a job that has not been detached.
	free()

	// refuse answers the request, in place of run.
	refuse(why *fault.Fault)
}
