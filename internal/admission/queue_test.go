package admission

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func mustEnter(t *testing.T, q *Queue, want int) *Ticket {
	t.Helper()
	ticket, position, err := q.Enter(nil)
	if err != nil || position != want || ticket.Position() != want || ticket.isAdmitted() != (want == 0) {
		t.Fatalf("position %d, %v, want %d", position, err, want)
	}
	return ticket
}

func (t *Ticket) isAdmitted() bool {
	select {
	case <-t.Admitted():
		return true
	default:
		return false
	}
}

// hasMoved reports, and forgets, a change of the position.
func (t *Ticket) hasMoved() bool {
	select {
	case <-t.Moved():
		return true
	default:
		return false
	}
}

func (q *Queue) wantIdle(t *testing.T) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held != 0 || len(q.line)+len(q.expired) != 0 {
		t.Errorf("left: %d held, %d in line, %d expired", q.held, len(q.line), len(q.expired))
	}
}

func TestQueueOrder(t *testing.T) {
	q := NewQueue(2, 3)
	a, b := mustEnter(t, q, 0), mustEnter(t, q, 0)
	c, d, e := mustEnter(t, q, 1), mustEnter(t, q, 2), mustEnter(t, q, 3)
	if ticket, _, err := q.Enter(nil); err != ErrFull || ticket != nil {
		t.Error(err)
	}
	d.Leave()
	if c.hasMoved() || !e.hasMoved() || e.hasMoved() || e.Position() != 2 || d.Position() != 0 {
		t.Error("a ticket behind the one that left has moved once, others have not")
	}
	b.Leave()
	if !c.isAdmitted() || d.isAdmitted() || e.isAdmitted() || !e.hasMoved() || e.Position() != 1 {
		t.Error("the slot goes to the first in line")
	}
	for range 2 { // once more has no effect
		b.Leave()
		d.Leave()
	}
	f := mustEnter(t, q, 2)
	for _, ticket := range []*Ticket{a, c, nil} {
		ticket.Leave()
	}
	if !e.isAdmitted() || !f.isAdmitted() {
		t.Error("both slots are free, but two tickets wait")
	}
	e.Leave()
	f.Leave()
	q.wantIdle(t)
}

func TestNilTicket(t *testing.T) {
	var left *Ticket
	left.Expire()
	left.Leave()
	if left.Position() != 0 || left.isAdmitted() || left.hasMoved() {
		t.Error("a nil ticket waits, or is admitted")
	}
}

func TestQueueWithoutLine(t *testing.T) {
	q := NewQueue(1, 0)
	a := mustEnter(t, q, 0)
	if _, _, err := q.Enter(nil); err != ErrFull {
		t.Error(err)
	}
	a.Leave()
	mustEnter(t, q, 0).Leave()
	q.wantIdle(t)
}

// A closed queue admits nobody, although slots become free.
func TestQueueClose(t *testing.T) {
	q := NewQueue(1, 2)
	a, b := mustEnter(t, q, 0), mustEnter(t, q, 1)
	q.Close()
	if _, _, err := q.Enter(nil); err != ErrClosed {
		t.Error(err)
	}
	a.Leave()
	if b.isAdmitted() || b.Position() != 1 {
		t.Error("admitted by a closed queue")
	}
	b.Leave()
	q.wantIdle(t)
}

// An expired ticket is evicted once, as soon as another one waits, and keeps its
// slot until it leaves.
func TestQueueExpire(t *testing.T) {
	for _, test := range []struct {
		name          string
		expire, enter time.Duration
	}{
		{"before another one waits", 1, 2},
		{"while another one waits", 2, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := NewQueue(1, 5)
				start := time.Now()
				var evicted time.Duration
				holder, _, _ := q.Enter(func() {
					if evicted != 0 {
						t.Error("evicted twice")
					}
					evicted = time.Since(start)
				})
				time.AfterFunc(test.expire*time.Second, holder.Expire)
				time.Sleep(test.enter * time.Second)
				next := mustEnter(t, q, 1)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if evicted != 2*time.Second || next.isAdmitted() {
					t.Errorf("evicted after %v", evicted)
				}
				last := mustEnter(t, q, 2) // does not evict again
				synctest.Wait()
				last.Leave()
				holder.Leave()
				if !next.isAdmitted() {
					t.Error("the slot is free, but a ticket waits")
				}
				holder.Expire() // has left
				next.Leave()
				q.wantIdle(t)
			})
		})
	}
}

// An expired ticket that leaves before another one waits is not evicted.
func TestQueueExpiredLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1, 5)
		holder, _, _ := q.Enter(func() { t.Error("evicted") })
		holder.Expire()
		holder.Leave()
		next := mustEnter(t, q, 0)
		mustEnter(t, q, 1).Leave()
		synctest.Wait()
		next.Leave()
		q.wantIdle(t)
	})
}

// Tickets enter, wait, hold, expire, and leave at any time: there are never more
// holders than slots, the order is that of entering, and nothing is left.
func TestQueueStorm(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			slots, room := 1+rng.IntN(4), rng.IntN(60)
			q := NewQueue(slots, room)
			var mu sync.Mutex // guards the rest
			inside, last, admitted, evicted := 0, -1, 0, 0
			pause := func(most int) time.Duration { return time.Duration(1+rng.IntN(most)) * time.Millisecond }
			var wg sync.WaitGroup
			for i := range 200 {
				holds, waits, expires := pause(40), pause(4000), pause(60)
				evict := make(chan struct{}, 1)
				ticket, position, err := q.Enter(func() { evict <- struct{}{} })
				if err != nil {
					if err != ErrFull {
						t.Error(err)
					}
					time.Sleep(pause(20))
					continue
				}
				wg.Go(func() {
					defer ticket.Leave()
					select {
					case <-ticket.Admitted():
					case <-time.After(waits):
						return
					}
					mu.Lock()
					inside++
					admitted++
					if inside > slots {
						t.Errorf("%d inside, %d slots", inside, slots)
					}
					if slots == 1 && i < last { // with more, those admitted together run in any order
						t.Errorf("%d after %d", i, last)
					}
					last = i
					mu.Unlock()
					defer time.AfterFunc(expires, ticket.Expire).Stop()
					select {
					case <-time.After(holds):
					case <-evict:
						mu.Lock()
						evicted++
						mu.Unlock()
					}
					mu.Lock()
					inside--
					mu.Unlock()
				})
				if position > room {
					t.Errorf("position %d, room for %d", position, room)
				}
				time.Sleep(pause(20))
			}
			wg.Wait()
			q.wantIdle(t)
			if admitted < 10 {
				t.Errorf("%d admitted", admitted)
			}
		})
	}
}
