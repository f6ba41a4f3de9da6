package admission

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func mustEnter(t *testing.T, q *Queue, want int) *Ticket {
	t.Helper()
	ticket, position, err := q.Enter(nil, nil, nil)
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
	if q.held != 0 || len(q.line)+len(q.expired)+q.evicted != 0 {
		t.Errorf("left: %d held, %d in line, %d expired, %d evicted", q.held, len(q.line), len(q.expired), q.evicted)
	}
}

func TestQueueOrder(t *testing.T) {
	q := NewQueue(2, 3)
	a, b := mustEnter(t, q, 0), mustEnter(t, q, 0)
	c, d, e := mustEnter(t, q, 1), mustEnter(t, q, 2), mustEnter(t, q, 3)
	if ticket, _, err := q.Enter(nil, nil, nil); err != ErrFull || ticket != nil {
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
	if _, _, err := q.Enter(nil, nil, nil); err != ErrFull {
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
	if _, _, err := q.Enter(nil, nil, nil); err != ErrClosed {
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
				holder, _, _ := q.Enter(nil, nil, func() {
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

// As many tickets are evicted as wait, the oldest first, whether they expire before or after
// the others come. One that is evicted, and has not left, counts.
func TestQueueEvictsAsManyAsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(5, 5)
		var evicted []int
		want := func(step string, want ...int) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(evicted, want) {
				t.Errorf("%s: %v have been evicted, want %v", step, evicted, want)
			}
		}
		holders := make([]*Ticket, 5)
		for i := range holders {
			holders[i], _, _ = q.Enter(nil, nil, func() { evicted = append(evicted, i) })
			if i < 4 {
				holders[i].Expire()
			}
		}
		want("before one waits")
		first := mustEnter(t, q, 1)
		want("one waits", 0)
		second := mustEnter(t, q, 2)
		want("two wait", 0, 1)
		second.Leave()
		third := mustEnter(t, q, 2)
		want("another one waits in the place of the second", 0, 1)
		holders[0].Leave()
		holders[1].Leave()
		if !first.isAdmitted() || !third.isAdmitted() {
			t.Error("two slots are free, but tickets wait")
		}
		want("the two have left", 0, 1)
		holders[2].Leave()
		fourth := mustEnter(t, q, 0)
		mustEnter(t, q, 1)
		want("the oldest is next, and one that has left is not", 0, 1, 3)
		mustEnter(t, q, 2)
		want("none of the others has expired", 0, 1, 3)
		fourth.Leave()
		holders[4].Expire()
		want("as many have been evicted as wait", 0, 1, 3)
		mustEnter(t, q, 2)
		want("one that expires after the other came", 0, 1, 3, 4)
	})
}

// A ticket beyond the limit of its peer does not enter the line, so it evicts none. A ticket counts
// only while it waits.
func TestQueueOfPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var peers Peers
		peers.Init(PeerLimits{Conns: 9, Waiting: 1, CallRate: noRate})
		q := NewQueue(2, 5)
		evicted := 0
		enter := func(want int, wantErr error) *Ticket {
			t.Helper()
			counted, _ := peers.Enter("a")
			ticket, position, err := q.Enter(nil, counted, func() { evicted++ })
			if position != want || err != wantErr {
				t.Errorf("position %d, %v, want %d, %v", position, err, want, wantErr)
			}
			return ticket
		}
		a, b := enter(0, nil), enter(0, nil)
		c := enter(1, nil)
		a.Expire()
		b.Expire()
		enter(0, ErrPeer)
		synctest.Wait()
		if evicted != 1 {
			t.Errorf("%d evicted, one waits", evicted)
		}
		c.Leave() // the line
		d := enter(1, nil)
		a.Leave()
		if !d.isAdmitted() {
			t.Error("a slot is free, but a ticket waits")
		}
		enter(1, nil).Leave()
		b.Leave()
		d.Leave()
		q.wantIdle(t)
		if n := peers.byKey["a"].waiting; n != 0 {
			t.Errorf("%d of the peer wait", n)
		}
	})
}

// An expired ticket that leaves before another one waits is not evicted.
func TestQueueExpiredLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1, 5)
		holder, _, _ := q.Enter(nil, nil, func() { t.Error("evicted") })
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
				ticket, position, err := q.Enter(nil, nil, func() { evict <- struct{}{} })
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
