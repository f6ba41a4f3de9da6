package limits

import (
	"cmp"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Budget limits the received bytes of all connections of an end together, twice: those of
// unfinished messages, and those of whole requests and streams that wait to be decoded. It also
// limits what waits to be sent, see Unread. It is safe for concurrent use. A nil Budget has no limit.
//
// Bytes count as they arrive, so an announcement is free. Above the limit an unfinished message
// older than a moment has to go, the one that makes the least progress: so a long message over a
// slow network outlasts those that only hold their bytes. Without such a message the one that has
// received the bytes goes. A message
// that has to go counts until its connection has dropped it, so the sum may exceed the limit for a while,
// by as much again at most.
type Budget struct {
	most int64 // Limits.ServerBytes

	booked  atomic.Int64 // bytes of unfinished messages
	going   atomic.Int64 // of these, bytes of messages that have to go
	waiting atomic.Int64 // bytes of requests and streams that wait
	lent    atomic.Int64 // bytes of windows above Limits.StreamWindow

	mu     sync.Mutex // guards the links of the messages, and oldest
	oldest Unfinished // the ring of the messages that need not go; its next is the oldest

	queues queues
}

// graceTime is how long an unfinished message is safe from others. Its progress is counted in
// periods of pacePeriod, so that what it has sent at first says little once it is not safe any more.
const (
	graceTime  = time.Second
	pacePeriod = graceTime / 2
)

// mostCompared is how many old messages are compared, those that began first.
const mostCompared = 64

// Init sets the limit. It must be called before all other methods.
func (b *Budget) Init(most int64) {
	b.most = most
	b.oldest.next, b.oldest.prev = &b.oldest, &b.oldest
}

// Booked returns the number of bytes that count.
func (b *Budget) Booked() int64 {
	b.queues.mu.Lock()
	defer b.queues.mu.Unlock()
	return b.booked.Load() + b.waiting.Load() + b.lent.Load() + b.queues.bytes
}

// An Unfinished is an unfinished message in a Budget, and nothing before Begin. One goroutine
// at a time may call Add and End.
type Unfinished struct {
	budget     *Budget // nil without a limit
	owner      string  // Conn.Owner
	drop       func()
	began      time.Duration // by Monotonic
	bytes      atomic.Int64
	pace       pace
	going      atomic.Int64 // bytes counted in Budget.going, and 1 more; 0 if it need not go
	next, prev *Unfinished  // guarded by Budget.mu; nil after End, and if the message has to go
}

// Begin begins u, a message whose first bytes have arrived now, by Monotonic. If it has to go later, drop is
// called once, on a goroutine of its own, perhaps after End.
func (b *Budget) Begin(u *Unfinished, now time.Duration, owner string, drop func()) *fault.Fault {
	if b == nil {
		return nil
	}
	u.budget, u.owner, u.drop, u.began = b, owner, drop, now
	u.pace.begin(now)
	if b.booked.Load() > b.times(2) {
		return u.Fault()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.oldest.prev
	u.prev, u.next = last, &b.oldest
	last.next, b.oldest.prev = u, u
	return nil
}

// unlinkLocked takes u out of the ring. It reports false if u is not in it.
func (u *Unfinished) unlinkLocked() bool {
	if u.next == nil {
		return false
	}
	u.prev.next, u.next.prev = u.next, u.prev
	u.next, u.prev = nil, nil
	return true
}

// times returns the limit times n, without overflow.
func (b *Budget) times(n int64) int64 {
	if b.most > math.MaxInt64/n {
		return math.MaxInt64
	}
	return n * b.most
}

// A pace is the progress of a message. The goroutine of Add writes it, and others may read it at
// the same time: a value in between does no harm. Times are those of Monotonic.
type pace struct {
	at     atomic.Int64 // the begin of the present period
	bytes  atomic.Int64 // received before it
	last   atomic.Int64 // bytes a second in the period before
	newest atomic.Int64 // arrival of the newest bytes
}

func (p *pace) begin(now time.Duration) {
	p.at.Store(int64(now))
	p.newest.Store(int64(now))
}

// note notes the arrival of bytes. total is their number until then.
func (p *pace) note(total int64, now time.Duration) {
	if now-time.Duration(p.at.Load()) >= pacePeriod {
		p.last.Store(p.rate(total, now))
		p.bytes.Store(total)
		p.at.Store(int64(now))
	}
	p.newest.Store(int64(now))
}

// rate returns the bytes a second in the present period, or in the last one if this is short.
func (p *pace) rate(total int64, now time.Duration) int64 {
	took := now - time.Duration(p.at.Load())
	switch {
	case now-time.Duration(p.newest.Load()) >= pacePeriod:
		return 0
	case took < pacePeriod:
		return p.last.Load()
	}
	return int64(float64(total-p.bytes.Load()) / took.Seconds())
}

// Add counts n bytes that have arrived now, by Monotonic.
func (u *Unfinished) Add(n int, now time.Duration) {
	b := u.budget
	if b == nil {
		return
	}
	u.pace.note(u.bytes.Add(int64(n))-int64(n), now)
	if b.booked.Add(int64(n))-b.going.Load() > b.most || b.booked.Load() > b.times(2) {
		b.makeRoom(u)
	}
}

// makeRoom chooses messages that have to go: old ones, or u.
func (b *Budget) makeRoom(u *Unfinished) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.booked.Load()-b.going.Load() > b.most {
		if !b.sendAwayLocked(cmp.Or(b.slowestLocked(), u)) {
			break
		}
	}
	if b.booked.Load() > b.times(2) { // connections are slow to drop theirs
		b.sendAwayLocked(u)
	}
}

// slowestLocked returns the old message with the least progress, nil without any. Of equal ones it is the
// oldest.
func (b *Budget) slowestLocked() (slowest *Unfinished) {
	now, least := Monotonic(), int64(math.MaxInt64)
	for u, n := b.oldest.next, 0; u != &b.oldest && n < mostCompared && now-u.began >= graceTime; u, n = u.next, n+1 {
		if rate := u.pace.rate(u.bytes.Load(), now); rate < least {
			slowest, least = u, rate
		}
	}
	return slowest
}

// sendAwayLocked makes a message go. It reports false if it has to go already.
func (b *Budget) sendAwayLocked(u *Unfinished) bool {
	if !u.unlinkLocked() {
		return false
	}
	n := u.bytes.Load()
	u.going.Store(n + 1)
	b.going.Add(n)
	go u.drop()
	return true
}

// HasToGo reports whether the message has to go.
func (u *Unfinished) HasToGo() bool { return u.going.Load() > 0 }

// End ends the count of a message: it is complete, or has been dropped. Further calls have no
// effect.
func (u *Unfinished) End() {
	b := u.budget
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := u.going.Load(); !u.unlinkLocked() && n > 1 {
		b.going.Add(1 - n)
		u.going.Store(1)
	}
	b.booked.Add(-u.bytes.Swap(0))
}

// Fault returns the refusal of a message that has to go.
func (u *Unfinished) Fault() *fault.Fault {
	return fault.Refusal(fault.ResourceExhausted, "unfinished messages at %s exceed Limits.ServerBytes (%d)", end(u.owner), u.budget.most)
}

// A Waiting is the count of the requests and streams of one connection that wait to be decoded, and
// apart from them, of the windows lent to its streams. It is safe for concurrent use.
type Waiting struct {
	budget *Budget
	owner  string // Conn.Owner
	bytes  atomic.Int64
	lent   atomic.Int64
}

// Init prepares w. It must be called before all other methods. b may be nil.
func (w *Waiting) Init(owner string, b *Budget) { w.owner, w.budget = owner, b }

// alwaysFree is what a connection may have waiting beside any others, or this part of the limit if
// that is less: short requests and streams pass however much others take.
const (
	alwaysFree     = 64 << 10
	alwaysFreePart = 16
)

// add counts n bytes that wait. It reports whether they count.
func (w *Waiting) add(n int64) bool {
	most := w.budget.most
	return take(&w.bytes, &w.budget.waiting, n, most, min(alwaysFree, most/alwaysFreePart))
}

// take adds n bytes of one connection to own, and to those of all connections, unless own is above
// what all leave free then: so one connection has half of most at most, and each further one half of
// the rest, or least. It reports whether the bytes count.
func take(own, all *atomic.Int64, n, most, least int64) bool {
	mine, sum := own.Add(n), all.Add(n)
	if n > 0 && mine > max(most-(sum-n), least) {
		own.Add(-n)
		all.Add(-n)
		return false
	}
	return true
}

// Keep counts a request of n bytes that waits, or refuses it.
func (w *Waiting) Keep(n int) (k Kept, refusal *fault.Fault) {
	switch {
	case w.budget == nil:
		return k, nil
	case !w.add(int64(n)):
		return k, fault.Refusal(fault.ResourceExhausted, "requests that wait at %s exceed Limits.ServerBytes (%d)", end(w.owner), w.budget.most)
	}
	return Kept{w, n}, nil
}

// backlogStep is how many bytes a stream may change before that is counted: streams that are read
// as they arrive cost nothing.
const backlogStep = 4 << 10

// A Backlog is the bytes of one stream that wait to be read, as a part of a Waiting. The zero
// Backlog is empty. One goroutine at a time may use it.
type Backlog struct{ bytes, counted, lent int64 }

// Lend makes the window of the stream n bytes larger, if there is room for them. So many bytes of the
// stream do not count from then on: the peer may send them at any time, whatever others take
// meanwhile. It reports whether there is room.
func (l *Backlog) Lend(w *Waiting, n int64) bool {
	if w.budget == nil {
		return true
	}
	ok := take(&w.lent, &w.budget.lent, n, w.budget.most, 0)
	if ok {
		l.lent += n
	}
	return ok
}

// Add notes n bytes that have arrived or, if n is negative, do not wait any more. It returns why
// the stream has to end, if there are too many: then they do not count. After Release there is
// nothing to take away.
func (l *Backlog) Add(w *Waiting, n int) *fault.Fault {
	if w.budget == nil {
		return nil
	}
	l.bytes = max(0, l.bytes+int64(n))
	counts := max(0, l.bytes-l.lent)
	if d := counts - l.counted; counts > 0 && d < backlogStep && d > -backlogStep {
		return nil
	} else if d != 0 && !w.add(d) {
		return fault.New(fault.ResourceExhausted, fault.OutcomeUnknown, "streams that wait at %s to be read exceed Limits.ServerBytes (%d)", end(w.owner), w.budget.most)
	}
	l.counted = counts
	return nil
}

// Release empties the backlog of a stream that is not read any more, or does not count any more, and
// returns what is lent to it.
func (l *Backlog) Release(w *Waiting) {
	l.Add(w, int(-l.bytes))
	if l.lent > 0 {
		take(&w.lent, &w.budget.lent, -l.lent, 0, 0)
		l.lent = 0
	}
}

// A Kept is a request counted by a Waiting, or, if it is zero, none.
type Kept struct {
	of *Waiting
	n  int
}

// Release ends the count. Further calls have no effect.
func (k *Kept) Release() {
	if k.of != nil {
		k.of.bytes.Add(-int64(k.n))
		k.of.budget.waiting.Add(-int64(k.n))
		k.of = nil
	}
}
