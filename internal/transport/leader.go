package transport

import "runtime"

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
			r.endTurn()
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
// are handled, unless the peer calls this end: its next request would wait for the
// watchdog. fresh means there was a read since the leader was woken: it was woken for
// a long call, and must read for that call first.
func (r *reader) readAsLeader(e *epoch) {
	c := r.c
	for fresh := false; r.handleAll(e); {
		c.cfg.Handler.Idle()
		r.restTurn()
		r.coalesceWrites()
		r.yieldToOne()
		if fresh && c.cfg.SharesLease && c.calls.long.Load() == 0 && r.asked == 0 && !r.in.incomplete() {
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
		r.asked = max(0, r.asked-1)
		r.endTurn()
		if err := r.fill(); err != nil && !r.continueAfter(err) {
			return
		}
		if c.cfg.Serves {
			r.noteRead()
		}
		fresh = true
	}
}

// yieldToOne runs the goroutine that got the only message of a read, before the leader looks for
// more. It would be the next on this processor anyway, but an idle one may take it meanwhile, and
// the two ends of a stream that send items in turn then change processors at each.
func (r *reader) yieldToOne() {
	if r.handed == 1 {
		runtime.Gosched()
	}
	r.handed = 0
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
		r.woken.wakeAll(r.in.lastRead()) // no other leader does
		r.endTurn()
		c.cfg.Handler.Idle()
		c.end.running.Done()
		return
	}
	go r.lead(next)
}
