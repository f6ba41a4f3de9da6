package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A load is what a number of callers do, on one connection or each on its own.
type load struct {
	calls []call // one a caller
	seqs  []int64
}

// newLoad prepares the callers of a small, bulk, items or conns workload.
func newLoad(cs []client, w workload) *load {
	l := &load{seqs: make([]int64, w.callers)}
	for i := range w.callers {
		l.calls = append(l.calls, prepare(cs[i%len(cs)], w))
		l.seqs[i] = int64(i) << 40
	}
	return l
}

// prepare makes the call of one caller, with a value of its own.
func prepare(c client, w workload) call {
	if w.isStream() {
		return prepareStream(c, w)
	}
	switch w.kind {
	case "bare":
		if b, ok := c.(*bsrpcClient); ok {
			return b.bare(small)
		}
	case "each":
		return c.(*bsrpcClient).each(streamItems)
	case "bulk":
		return c.bulk(makeBulk(w.size))
	case "items":
		return c.items(makeItems(itemCount))
	}
	return c.small(small)
}

// A tally is what callers have done.
type tally struct {
	calls   []int64 // of each caller
	times   histogram
	elapsed time.Duration // from the first call's begin to the last one's end
	used    usage
}

func (t *tally) total() (n int64) {
	for _, c := range t.calls {
		n += c
	}
	return n
}

// sampling is one in how many calls is timed where many call: the clock takes
// as long as a tenth of the fastest peer's call.
const (
	sampling    = 8
	manyCallers = 16
)

// run lets all callers call for a time, each at least once, until the last
// call has ended. use returns what both ends have used so far.
func (l *load) run(d time.Duration, use func() (usage, error)) (*tally, error) {
	var stop atomic.Bool
	timer := time.AfterFunc(time.Hour, func() { stop.Store(true) })
	defer timer.Stop()
	return l.runUntil(&stop, func() { timer.Reset(d) }, use)
}

// runUntil is run until stop is true; it calls begun when the callers begin.
func (l *load) runUntil(stop *atomic.Bool, begun func(), use func() (usage, error)) (*tally, error) {
	n := len(l.calls)
	t := &tally{calls: make([]int64, n)}
	times, errs := make([]histogram, n), make([]error, n)
	begin := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			t.calls[i], errs[i] = l.caller(i, stop, &times[i])
		})
	}
	ready.Wait()
	before, err := use()
	start := time.Now()
	close(begin)
	begun()
	done.Wait()
	t.elapsed = time.Since(start)
	after, err2 := use()
	t.used = after.sub(before)
	for i := range times {
		t.times.add(&times[i])
	}
	for _, e := range slices.Concat([]error{err, err2}, errs) {
		if e != nil {
			return nil, e
		}
	}
	return t, nil
}

// caller makes calls until the stop, or the first error, which stops all.
func (l *load) caller(i int, stop *atomic.Bool, times *histogram) (n int64, err error) {
	do, every := l.calls[i], int64(1)
	if len(l.calls) >= manyCallers {
		every = sampling
	}
	for {
		timed := n%every == 0
		var start time.Time
		if timed {
			start = time.Now()
		}
		if err = do(l.seqs[i]); err != nil {
			stop.Store(true)
			return n, err
		}
		if timed {
			times.record(time.Since(start))
		}
		l.seqs[i]++
		n++
		if stop.Load() {
			return n, nil
		}
	}
}
