package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/bsrpc/bsrpc"
)

// Histograms are of nanoseconds.
const (
	leastLatency = 1_000
	mostLatency  = int64(10 * time.Minute)
	digits       = 3
	batchSize    = 256 // latencies of a caller before they are added to the histogram
)

// A load makes calls of one method.
type load struct {
	clients     []*bsrpc.Client
	method      string
	args        argSource
	streams     *streamer // in place of args, for a method with streams; nil for others
	concurrency int
	duration    time.Duration
	sleep       func(time.Duration) // of the schedule; nil for what suits the rate
}

// A tally is what the calls of a step were like. Its fields are guarded by mu until the end.
type tally struct {
	Rate       float64 // asked for; 0 for as many as possible
	Elapsed    time.Duration
	Started    int64
	Failed     int64
	NotStarted int64 // of the schedule: all callers were busy until its end, or that of the run
	CutOff     int64 // open at the end of a run that ended early; neither started nor failed in these figures
	Received   amount
	Lost       error // the end of a connection
	errors     map[errorKind]*errorCount

	mu        sync.Mutex
	latencies *hdrhistogram.Histogram // of successful calls, from the intended start
	late      *hdrhistogram.Histogram // from the intended start to the actual one
}

// An errorKind is what errors are counted by.
type errorKind struct {
	code    bsrpc.Code
	outcome bsrpc.Outcome
	name    string
}

// An errorCount is the number of errors of a kind.
type errorCount struct {
	count int64
	first error
}

// newTally returns an empty tally.
func newTally(rate float64) *tally {
	return &tally{
		Rate: rate, errors: make(map[errorKind]*errorCount),
		latencies: hdrhistogram.New(leastLatency, mostLatency, digits), late: hdrhistogram.New(leastLatency, mostLatency, digits),
	}
}

// run makes calls at a rate, or as many as possible for 0, and returns what they were like.
func (l *load) run(ctx context.Context, rate float64) *tally {
	t := newTally(rate)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var next atomic.Int64
	var callers sync.WaitGroup
	begin := time.Now()
	var p *pacer
	if rate > 0 {
		p = newPacer(rate, l.duration, l.sleep)
		begin = p.begin
		go p.run(ctx)
	}
	end := make(chan struct{}) // closed when no more calls start
	ended := time.AfterFunc(l.duration, func() { close(end) })
	defer ended.Stop()
	for i := range l.concurrency {
		c := &caller{load: l, tally: t, client: l.clients[i%len(l.clients)], pacer: p, next: &next, begin: begin, stop: stop}
		callers.Go(func() { c.run(ctx, end) })
	}
	callers.Wait()
	select { // the time until the next call was due is part of the rate
	case <-end:
	case <-ctx.Done():
	}
	t.Elapsed = time.Since(begin)
	if p != nil {
		due := p.total
		if ctx.Err() != nil {
			due = min(due, int64(rate*t.Elapsed.Seconds()))
		}
		t.NotStarted = max(due-t.Started-t.CutOff, 0)
	}
	return t
}

// A caller makes one call after another.
type caller struct {
	*load
	*tally
	client *bsrpc.Client
	pacer  *pacer // nil for as many calls as possible
	next   *atomic.Int64
	begin  time.Time
	stop   func() // ends the step

	latencies, late []int64
	started, failed int64
	received        amount
	cutOff          bool // its last call
	kinds           map[errorKind]*errorCount
	buf, results    []byte
}

// run makes calls until ctx is over, or end is closed.
func (c *caller) run(ctx context.Context, end <-chan struct{}) {
	defer c.finish()
	c.latencies, c.late = make([]int64, 0, batchSize), make([]int64, 0, batchSize)
	wake := make(chan struct{}, 1)
	last := time.Since(c.begin)
	for {
		call := c.next.Add(1) - 1
		intended, start := last, last
		if c.pacer != nil {
			if call >= c.pacer.total || !c.pacer.await(call, wake) {
				return
			}
			intended, start = c.pacer.at(call), time.Since(c.begin)
		}
		select {
		case <-end:
			if c.pacer == nil || start > c.duration {
				return
			}
		default:
		}
		if ctx.Err() != nil {
			return
		}
		err := c.call(ctx, call)
		last = time.Since(c.begin)
		if err != nil && ctx.Err() != nil {
			c.cutOff = true
			return
		}
		c.started++
		if err != nil {
			c.fail(err)
			continue
		}
		c.record(last-intended, start-intended)
	}
}

// call makes one call.
func (c *caller) call(ctx context.Context, call int64) error {
	if c.streams != nil {
		got, err := c.streams.call(ctx, c.client)
		c.received.Items += got.Items
		c.received.Bytes += got.Bytes
		return err
	}
	args, err := c.args.encode(c.buf[:0], call)
	if err != nil {
		return err
	}
	if c.args.varies() {
		c.buf = args
	}
	c.results, err = c.client.CallEncoded(ctx, c.method, args, c.results[:0])
	return err
}

// record adds the latency of a call.
func (c *caller) record(latency, late time.Duration) {
	c.latencies = append(c.latencies, int64(latency))
	if c.pacer != nil {
		c.late = append(c.late, int64(late))
	}
	if len(c.latencies) == batchSize {
		c.mu.Lock()
		c.flushLocked()
		c.mu.Unlock()
	}
}

// flushLocked adds the latencies so far to the histogram.
func (c *caller) flushLocked() {
	for _, n := range c.latencies {
		c.tally.latencies.RecordValue(min(max(n, leastLatency), mostLatency))
	}
	for _, n := range c.late {
		c.tally.late.RecordValue(min(max(n, leastLatency), mostLatency))
	}
	c.latencies, c.late = c.latencies[:0], c.late[:0]
}

// fail counts a failed call. A lost connection, or arguments that cannot be made, end the step.
func (c *caller) fail(err error) {
	c.failed++
	kind := errorKind{}
	var e *bsrpc.Error
	if errors.As(err, &e) {
		kind = errorKind{e.Code, e.Outcome, e.Name}
	}
	if c.kinds == nil {
		c.kinds = make(map[errorKind]*errorCount)
	}
	if c.kinds[kind] == nil && len(c.kinds) < maxKinds {
		c.kinds[kind] = &errorCount{first: err}
	}
	if n := c.kinds[kind]; n != nil {
		n.count++
	}
	select {
	case <-c.client.Done():
	default:
		if e != nil {
			return
		}
	}
	c.mu.Lock()
	c.Lost = cmp.Or(c.Lost, err)
	c.mu.Unlock()
	c.stop()
}

// maxKinds limits the kinds of errors that are counted apart: names come from the server.
const maxKinds = 64

// finish adds what the caller has counted.
func (c *caller) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushLocked()
	c.Started += c.started
	c.Failed += c.failed
	c.Received.Items += c.received.Items
	c.Received.Bytes += c.received.Bytes
	if c.cutOff {
		c.CutOff++
	}
	for kind, n := range c.kinds {
		sum := c.errors[kind]
		if sum == nil {
			if len(c.errors) == maxKinds {
				continue
			}
			sum = &errorCount{first: n.first}
			c.errors[kind] = sum
		}
		sum.count += n.count
	}
}

// kinds returns the kinds of errors, the most frequent first.
func (t *tally) sortedErrors() []errorKind {
	return slices.SortedFunc(maps.Keys(t.errors), func(a, b errorKind) int {
		return cmp.Or(cmp.Compare(t.errors[b].count, t.errors[a].count), cmp.Compare(a.code, b.code), cmp.Compare(a.outcome, b.outcome), cmp.Compare(a.name, b.name))
	})
}

// achieved returns the successful calls a second.
func (t *tally) achieved() float64 {
	return float64(t.Started-t.Failed) / max(t.Elapsed.Seconds(), 1e-9)
}
