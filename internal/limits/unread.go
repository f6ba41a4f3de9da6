package limits

import (
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// unreadTimes is how many times Limits.ServerBytes the send queues of all connections may have
// together: many clients may be reading long answers.
const unreadTimes = 4

// unreadStep is how many bytes a send queue may change before that is counted: short queues cost
// nothing.
const unreadStep = 64 << 10

// queues are the send queues of all connections in a Budget.
type queues struct {
	mu    sync.Mutex       // guards the rest
	bytes int64            // counted, of all but those that have to go
	long  map[*Unread]bool // with counted bytes
}

// An Unread counts what waits in the send queue of one connection: its peer has not read it. Above
// unreadTimes the limit of the Budget the connection with the longest queue has to go. The
// zero Unread counts nothing. Only one goroutine at a time may call Set and End.
type Unread struct {
	budget  *Budget
	owner   string // Conn.Owner
	drop    func(*fault.Fault)
	counted int64 // changes with queues.mu held
	ended   bool  // nothing counts any more; guarded by queues.mu
}

// Init prepares u. If the connection has to go, drop is called once, on a goroutine of its own. b
// may be nil.
func (u *Unread) Init(owner string, b *Budget, drop func(*fault.Fault)) {
	u.owner, u.budget, u.drop = owner, b, drop
}

// Set notes the length of the queue. It takes no lock for small changes.
func (u *Unread) Set(n uint64) {
	if d := int64(n) - u.counted; u.budget != nil && (d >= unreadStep || -d >= unreadStep) {
		u.set(int64(n) / unreadStep * unreadStep)
	}
}

// End ends the count.
func (u *Unread) End() {
	if u.budget == nil {
		return
	}
	u.set(0)
	q := &u.budget.queues
	q.mu.Lock()
	defer q.mu.Unlock()
	u.ended = true
}

func (u *Unread) set(n int64) {
	q := &u.budget.queues
	q.mu.Lock()
	defer q.mu.Unlock()
	if u.ended {
		return
	}
	q.bytes += n - u.counted
	if u.counted = n; n == 0 {
		delete(q.long, u)
		return
	}
	if q.long == nil {
		q.long = make(map[*Unread]bool)
	}
	q.long[u] = true
	for q.bytes > u.budget.times(unreadTimes) && len(q.long) > 1 { // OutQueue is enough for one
		q.dropLongestLocked()
	}
}

// dropLongestLocked makes the connection with the longest queue go.
func (q *queues) dropLongestLocked() {
	var longest *Unread
	for u := range q.long {
		if longest == nil || u.counted > longest.counted {
			longest = u
		}
	}
	q.bytes -= longest.counted
	delete(q.long, longest)
	longest.ended = true
	go longest.drop(fault.New(fault.ResourceExhausted, fault.OutcomeUnknown,
		"what waits at %s to be read exceeds %d times Limits.ServerBytes (%d), and this connection has the most", end(longest.owner), unreadTimes, longest.budget.most))
}
