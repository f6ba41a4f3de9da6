package admission

import (
	"errors"
	"slices"
	"sync"
)

// Reasons for a refusal by Enter.
var (
	ErrFull   = errors.New("admission: queue full")
	ErrPeer   = errors.New("admission: too many tickets of the peer wait")
	ErrClosed = errors.New("admission: queue closed")
)

// A Queue admits a limited number of tickets, first come, first served. It is safe
// for concurrent use.
//
// Invariants: held counts the tickets with holds set and is at most slots; the line
// is empty unless held == slots or the queue is closed; no ticket in line holds;
// while expired holds tickets, as many others are evicted as wait. Lock order: mu, then Peers.mu.
type Queue struct {
	slots int // most admitted at a time
	room  int // most in line

	mu      sync.Mutex // guards the rest, and the tickets
	held    int
	line    []*Ticket // waiting, the next one first
	expired []*Ticket // admitted, the oldest first; one is evicted for each ticket that waits
	evicted int       // tickets that have been evicted, and hold their slots still
	closed  bool
}

// NewQueue returns a queue for as many admitted tickets as slots, and room more waiting.
func NewQueue(slots, room int) *Queue { return &Queue{slots: slots, room: room} }

// A Ticket waits in a queue, is admitted, or has left. It is safe for concurrent
// use. A nil Ticket is one that has left.
type Ticket struct {
	queue    *Queue
	of       any // the caller's
	counted  *PeerConn
	evict    func()
	admitted chan struct{}
	moved    chan struct{} // capacity 1
	holds    bool          // admitted and not left; guarded by queue.mu
	evicted  bool          // guarded by queue.mu
}

// Enter returns a new ticket of something, for Line, with its connection, and its position in the
// line: 1 is next, 0 is admitted. It fails with ErrFull, ErrPeer or ErrClosed. The queue calls
// evict, on another goroutine, when the ticket has expired and another one waits for its slot.
func (q *Queue) Enter(of any, c *PeerConn, evict func()) (t *Ticket, position int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, 0, ErrClosed
	case q.held >= q.slots && len(q.line) >= q.room:
		return nil, 0, ErrFull
	case q.held >= q.slots && !c.wait():
		return nil, 0, ErrPeer
	}
	t = &Ticket{queue: q, of: of, counted: c, evict: evict, admitted: make(chan struct{}), moved: make(chan struct{}, 1)}
	q.line = append(q.line, t)
	q.admitLocked()
	if t.holds {
		return t, 0, nil
	}
	q.evictLocked()
	return t, len(q.line), nil
}

// Line returns what was given to Enter for the waiting tickets, the next one first. The caller
// owns the slice.
func (q *Queue) Line() (list []any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.line {
		list = append(list, t.of)
	}
	return list
}

// Close stops admission. Admitted tickets keep their slots, waiting ones are never
// admitted, and Enter fails.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// admitLocked gives free slots to the first in line.
func (q *Queue) admitLocked() {
	if q.closed {
		return
	}
	n := min(q.slots-q.held, len(q.line))
	if n <= 0 {
		return
	}
	for _, t := range q.line[:n] {
		t.counted.waited()
		t.holds = true
		close(t.admitted)
	}
	q.held += n
	q.line = slices.Delete(q.line, 0, n)
	signalMoved(q.line)
}

// evictLocked evicts as many expired tickets as wait for a slot.
func (q *Queue) evictLocked() {
	for len(q.expired) > 0 && q.evicted < len(q.line) && !q.closed {
		t := q.expired[0]
		q.expired = slices.Delete(q.expired, 0, 1)
		t.evicted = true
		q.evicted++
		go t.evict()
	}
}

// signalMoved leaves a value in moved of every ticket.
func signalMoved(line []*Ticket) {
	for _, t := range line {
		select {
		case t.moved <- struct{}{}:
		default:
		}
	}
}

// Admitted returns a channel closed on admission.
func (t *Ticket) Admitted() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.admitted
}

// Moved returns a channel with a value after changes of the position. Several
// changes may give one value.
func (t *Ticket) Moved() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.moved
}

// Position returns the position in the line, or 0 if the ticket is not waiting.
func (t *Ticket) Position() int {
	if t == nil {
		return 0
	}
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	return slices.Index(t.queue.line, t) + 1
}

// Leave takes the ticket out of the line, or hands its slot to the first in line.
// Leaving twice has no further effect.
func (t *Ticket) Leave() {
	if t == nil {
		return
	}
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.holds {
		t.holds = false
		q.held--
		if t.evicted {
			q.evicted--
		}
		if i := slices.Index(q.expired, t); i >= 0 {
			q.expired = slices.Delete(q.expired, i, i+1)
		}
		q.admitLocked()
		return
	}
	if i := slices.Index(q.line, t); i >= 0 {
		t.counted.waited()
		q.line = slices.Delete(q.line, i, i+1)
		signalMoved(q.line[i:])
	}
}

// Expire ends the time of an admitted ticket to hold its slot undisturbed: it is
// evicted now if more tickets wait than have been evicted, or later.
func (t *Ticket) Expire() {
	if t == nil {
		return
	}
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.holds {
		q.expired = append(q.expired, t)
		q.evictLocked()
	}
}
