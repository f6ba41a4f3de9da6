package main

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// quantum is the shortest sleep of a pacer: calls due within one start together.
const quantum = 100 * time.Microsecond

// maxSleep is the longest one: an interrupt ends the step after it.
const maxSleep = 50 * time.Millisecond

// A pacer tells callers when to start, by a schedule that does not depend on the answers: call
// i is due i/rate after the begin. A caller takes the next number, and waits for it here.
type pacer struct {
	rate  float64 // calls a second
	total int64   // calls of the schedule
	begin time.Time
	sleep func(time.Duration)

	due atomic.Int64 // calls whose time has come

	mu      sync.Mutex // guards waiting
	waiting []waiter
	ended   bool
}

// A waiter is a caller before the time of its call.
type waiter struct {
	call int64
	wake chan struct{} // with room for one
}

// busyRate is a rate at which the timers of Go are precise enough, as its scheduler is never idle. A
// sleep in the kernel would cost a thread more there.
const busyRate = 20_000

// sleepAt returns how to wait at a rate.
func sleepAt(rate float64) func(time.Duration) {
	if rate < busyRate {
		return sleep
	}
	return time.Sleep
}

// newPacer returns a pacer that begins now. Without sleep it waits as suits the rate.
func newPacer(rate float64, d time.Duration, sleep func(time.Duration)) *pacer {
	if sleep == nil {
		sleep = sleepAt(rate)
	}
	return &pacer{rate: rate, total: int64(math.Ceil(rate*d.Seconds() - 1e-9)), begin: time.Now(), sleep: sleep}
}

// at returns the intended start of a call, since the begin.
func (p *pacer) at(call int64) time.Duration {
	return time.Duration(float64(call) / p.rate * float64(time.Second))
}

// run releases calls until the schedule is over, or ctx is.
func (p *pacer) run(ctx context.Context) {
	defer p.release(p.total, true)
	for due := int64(0); due < p.total && ctx.Err() == nil; {
		now := time.Since(p.begin)
		for due < p.total && p.at(due) <= now {
			due = max(due+1, int64(now.Seconds()*p.rate))
		}
		due = min(due, p.total)
		p.release(due, false)
		if due < p.total {
			p.sleep(min(max(p.at(due)-time.Since(p.begin), quantum), maxSleep))
		}
	}
}

// release makes all calls below due start, and wakes those that wait for it.
func (p *pacer) release(due int64, end bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !end {
		p.due.Store(due)
	}
	p.ended = end
	kept := p.waiting[:0]
	for _, w := range p.waiting {
		if w.call < due || end {
			w.wake <- struct{}{}
		} else {
			kept = append(kept, w)
		}
	}
	p.waiting = kept
}

// await waits until a call is due. It returns false if the schedule has ended before.
func (p *pacer) await(call int64, wake chan struct{}) bool {
	if call < p.due.Load() {
		return true
	}
	p.mu.Lock()
	if call >= p.due.Load() && !p.ended {
		p.waiting = append(p.waiting, waiter{call, wake})
		p.mu.Unlock()
		<-wake
	} else {
		p.mu.Unlock()
	}
	return call < p.due.Load()
}
