package transport

import (
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// lead reads as the leader, from epoch e on, until the connection ends or another
// leader takes over. The leader is counted in closeState.running; the next one inherits
// the count.
func (r *reader) lead(e epoch) {
	returned := false
	defer func() {
		if !returned { // a handler has called runtime.Goexit, which ends only this goroutine
			if e != leaseLost {
				go r.lead(e)
			}
		} else if e != leaseLost {
			r.c.cfg.Handler.Idle()
			r.c.end.running.Done()
		}
	}()
	r.readAsLeader(&e)
	returned = true
}

// readAsLeader handles messages and waits for more, until this goroutine is not the
// leader any more.
//
// On a connection with a shared lease it releases the lease once all messages of a read
// are handled. fresh means there was a read since the leader was woken: it was woken for
// a long call, and must read for that call first.
func (r *reader) readAsLeader(e *epoch) {
	c := r.c
	for fresh := false; r.handleAll(e); {
		c.cfg.Handler.Idle()
		r.coalesceWrites()
		if fresh && c.cfg.SharesLease && c.calls.long.Load() == 0 && !r.in.incomplete() {
			r.releaseLease(*e)
			select {
			case <-r.leaderWake:
				*e = r.lease.current()
			case <-c.end.done:
				return
			}
			fresh = false
			continue
		}
		if err := r.fill(); err != nil && !r.continueAfter(err) {
			return
		}
		fresh = true
	}
}

// serve passes a request to the handler, and runs it if the handler returns a job. ok
// is false if another leader has taken over meanwhile.
func (r *reader) serve(m *Message, e *epoch) (ok bool, err error) {
	c := r.c
	c.AwaitRoom()
	if m.Flags&wire.Chunked == 0 {
		if ok, err := c.requests.accept(&m.Frame); !ok {
			return true, err
		}
	}
	if j := c.cfg.Handler.Request(m); j != nil {
		return r.runInline(j, e), nil
	}
	return true, nil
}

// runInline runs a job on the leader. If the job is still running at the second period
// of the watchdog, this goroutine is replaced as the leader.
func (r *reader) runInline(j Job, e *epoch) (ok bool) {
	c := r.c
	r.inline = j
	*e = r.lease.mustPass(*e, handling)
	full := false
	defer func() { // runs after runtime.Goexit too; lead continues on another goroutine
		if ok = r.endInline(j, e); ok && full {
			c.writer.flush(nil)
		}
	}()
	if c.end.hasEnded() { // Fail may have seen the lease before it was handling, and then does not replace this leader
		j.Refuse(c.Ended(fault.NotRun))
		return
	}
	c.watchdog.arm()
	full = j.Run()
	return
}

// endInline ends a job and makes its goroutine the leader again. It reports false if
// another leader has taken over.
func (r *reader) endInline(j Job, e *epoch) bool {
	next, ok := r.lease.pass(*e, leader)
	if ok {
		*e = next
		j.Free()
		return true
	}
	r.c.mu.Lock() // waits for replaceLeader, which detaches j under the lock
	*e = leaseLost
	r.c.mu.Unlock()
	j.Leave()
	return false
}

// replaceLeader takes the lease of epoch e from a leader running a job, and starts
// another leader. After the end of the connection it starts none: the connection does
// not wait for the job.
func (r *reader) replaceLeader(e epoch) {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	next, ok := r.lease.pass(e, leader)
	if !ok {
		return
	}
	r.inline.Detach()
	if c.end.why != nil {
		c.cfg.Handler.Idle()
		c.end.running.Done()
		return
	}
	go r.lead(next)
}
