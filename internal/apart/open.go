package apart

import (
	"container/heap"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/limits"
)

// openCalls are the calls under way, whose contexts it ends with their times. One timer for all costs each call
// less than its own: most calls have ended long before it runs.
type openCalls struct {
	mu    sync.Mutex // guards all
	n     int        // calls under way
	times times      // of those whose contexts have not been ended here
	timer *time.Timer
	next  time.Duration // when timer runs expire, by limits.Monotonic; 0 for never
	ended bool          // timer is not set again
}

// Open returns the number of calls under way, streams included.
func (o *openCalls) Open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

func (o *openCalls) add(x *Exchange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	heap.Push(&o.times, x)
	o.awaitLocked()
}

func (o *openCalls) remove(x *Exchange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n--
	if x.place >= 0 {
		heap.Remove(&o.times, x.place)
	}
}

// endLocked returns the contexts of the calls under way. No time counts any more.
func (o *openCalls) endLocked() (all []*callctx.Context) {
	o.ended = true
	if o.timer != nil {
		o.timer.Stop()
	}
	for _, x := range o.times {
		all = append(all, x.within)
	}
	return all
}

// awaitLocked makes expire run at the earliest time.
func (o *openCalls) awaitLocked() {
	until := o.times.earliest()
	if o.ended || until == 0 || o.next != 0 && o.next <= until {
		return
	}
	o.next = until
	if left := max(1, until-limits.Monotonic()); o.timer == nil {
		o.timer = time.AfterFunc(left, o.expire)
	} else {
		o.timer.Reset(left)
	}
}

// expire ends the contexts whose time is over. mu is not held then: that reaches all contexts that users have
// derived.
func (o *openCalls) expire() {
	var over []*callctx.Context
	o.mu.Lock()
	o.next = 0
	now := limits.Monotonic()
	for until := o.times.earliest(); until != 0 && until <= now; until = o.times.earliest() {
		over = append(over, heap.Pop(&o.times).(*Exchange).within)
	}
	o.awaitLocked()
	o.mu.Unlock()
	for _, within := range over {
		within.Expire()
	}
}

// times are calls in the order of a heap: the one whose time ends first is first, and those without a limit are
// last. Exchange.place is the index of a call, -1 after it.
type times []*Exchange

// earliest returns the end of the first time, by limits.Monotonic; 0 for none.
func (t times) earliest() time.Duration {
	if len(t) == 0 {
		return 0
	}
	return t[0].within.Until
}

// Len is heap.Interface.Len.
func (t times) Len() int { return len(t) }

// Less is heap.Interface.Less.
func (t times) Less(i, j int) bool {
	a, b := t[i].within.Until, t[j].within.Until
	return a != 0 && (b == 0 || a < b)
}

// Swap is heap.Interface.Swap.
func (t times) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push is heap.Interface.Push.
func (t *times) Push(x any) {
	e := x.(*Exchange)
	e.place = len(*t)
	*t = append(*t, e)
}

// Pop is heap.Interface.Pop.
func (t *times) Pop() any {
	last := len(*t) - 1
	e := (*t)[last]
	e.place = -1
	(*t)[last] = nil
	*t = (*t)[:last]
	return e
}
