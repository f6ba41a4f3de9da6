package transport

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
)

// A turn is the turn of the leader among those of its server that have more to do than their
// share. The read lease guards it, except for flushes.
type turn struct {
	since  time.Duration // the leader has run since then, by limits.Monotonic
	taken  bool          // it has a turn
	starts bool          // it has started handlers that may not have run

	// The leader has a turn, and flushes before it waits. Other goroutines queue an answer and
	// then look here; the leader clears flushes and then looks at the queue.
	flushes atomic.Bool
}

// turnMessages is how many messages of a read are handled between two looks at the clock.
const turnMessages = 64

// noteRead begins the time of a server's leader after a read. It goes on if the peer has more:
// without a wait, reads are parts of one run.
func (r *reader) noteRead() {
	at := r.in.lastRead()
	if r.in.filled {
		r.checkTurn(at)
		return
	}
	r.turn.starts = false
	if r.turn.since = at; r.c.cfg.Turns.Full() {
		r.c.cfg.Turns.Note(at)
	}
}

// checkTurn waits for a turn, or for the next one, if the leader has run for its time. So have the
// handlers that it has started, which run first.
func (r *reader) checkTurn(now time.Duration) {
	if r.turn.starts {
		r.turn.starts = false
		runtime.Gosched()
		now = limits.Monotonic()
	}
	if now-r.turn.since < limits.TurnTime {
		return
	}
	turns := r.c.cfg.Turns
	begin := turns.Begin
	if r.turn.taken {
		turns.Rest(r.turn.since)
		begin = turns.Next
	}
	if begun := begin(); begun != nil {
		r.turn.flushes.Store(false)
		r.c.cfg.Handler.Idle()
		r.c.writer.flush(nil) // the turn may have begun
		<-begun
	}
	r.turn.since, r.turn.taken = limits.Monotonic(), true
	r.turn.flushes.Store(true)
}

// restTurn lets the handlers run that the leader has started in its turn, before it writes their
// answers with its own.
func (r *reader) restTurn() {
	if r.turn.taken {
		r.c.cfg.Turns.Rest(r.turn.since)
		r.turn.flushes.Store(false)
	}
}

// endTurn ends the turn of the leader, before it waits.
func (r *reader) endTurn() {
	if r.turn.taken {
		r.turn.flushes.Store(false)
		r.turn.taken = false
		r.c.cfg.Turns.End()
	}
}
