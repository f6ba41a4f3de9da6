package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
)

const (
	pause      = 20 * time.Millisecond // of a client between two calls
	recordings = 25                    // each of so many calls of a client is a stream
	inRecord   = 10                    // readings of a stream
	attempts   = 3                     // of a call that has not run
	history    = 8                     // bars of an instrument in the picture
	barEvery   = 300 * time.Millisecond
)

// A tally is what the clients have seen.
type tally struct {
	mu       sync.Mutex // guards the rest
	calls    int
	records  int // of them, streams
	readings int // in the streams
	warm     int // readings with a temperature, of new clients
	again    int // calls sent again
	failed   int
	first    error          // of the failed ones
	by       map[string]int // calls answered, by server
	meters   [instruments]meter
}

// A meter is what a client has read from its instrument.
type meter struct {
	volts   float64
	celsius *float64
	bars    []float64 // some of the last values
	barred  time.Time // the last one of them
}

func newTally() *tally { return &tally{by: make(map[string]int)} }

// repeat is an interceptor: calls that have not run are sent again, to any server. Calls whose
// outcome is unknown are not.
func (t *tally) repeat(next bsrpc.CallFunc) bsrpc.CallFunc {
	return func(ctx context.Context, call *bsrpc.Call) error {
		for n := 1; ; n++ {
			err := next(ctx, call)
			var e *bsrpc.Error
			if n == attempts || !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun || e.Code != bsrpc.CodeUnavailable {
				return err
			}
			t.mu.Lock()
			t.again++
			t.mu.Unlock()
		}
	}
}

// see notes a reading of instrument i.
func (t *tally) see(i int, server string, volts float64, celsius *float64) {
	m := &t.meters[i]
	m.volts, m.celsius = volts, celsius
	if celsius != nil {
		t.warm++
	}
	if now := time.Now(); now.Sub(m.barred) >= barEvery {
		m.barred = now
		m.bars = append(m.bars[max(0, len(m.bars)-history+1):], volts)
	}
}

// count notes the end of a call.
func (t *tally) count(server string, err error) {
	t.calls++
	if err == nil {
		t.by[server]++
		return
	}
	if t.failed++; t.first == nil {
		t.first = err
	}
}

// A client reads one instrument again and again. view shows what it knows of a reading.
type client[R any] struct {
	*tally
	i       int
	measure func(ctx context.Context, name string) (R, error)
	record  func(ctx context.Context, name string, n int) iter.Seq2[R, error]
	view    func(r R) (server string, volts float64, celsius *float64)
}

// run makes calls until stop is closed. The last one is completed.
func (c *client[R]) run(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		if (n+c.i)%recordings == 0 {
			c.stream(ctx)
			continue
		}
		r, err := c.measure(ctx, nameOf(c.i))
		server, volts, celsius := c.view(r)
		c.mu.Lock()
		if err == nil {
			c.see(c.i, server, volts, celsius)
		}
		c.count(server, err)
		c.mu.Unlock()
	}
}

// stream makes a call of Record.
func (c *client[R]) stream(ctx context.Context) {
	var server string
	var last error
	for r, err := range c.record(ctx, nameOf(c.i), inRecord) {
		if last = err; err != nil {
			break
		}
		s, volts, celsius := c.view(r)
		server = s
		c.mu.Lock()
		c.see(c.i, server, volts, celsius)
		c.readings++
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records++
	c.count(server, last)
}

// newClients returns a client of each instrument: two of three are of release 1, the others of
// release 2.
func newClients(ctx context.Context, conn *bsrpc.Client, t *tally) (all []func(context.Context, <-chan struct{}), err error) {
	older, err := bsrpc.Bind[Instruments[oldReading]](ctx, conn, service)
	if err != nil {
		return nil, err
	}
	newer, err := bsrpc.Bind[Instruments[newReading]](ctx, conn, service)
	if err != nil {
		return nil, err
	}
	for i := range instruments {
		if i%3 < 2 {
			c := &client[oldReading]{t, i, older.Measure, older.Record, func(r oldReading) (string, float64, *float64) { return r.Server, r.Volts, nil }}
			all = append(all, c.run)
		} else {
			c := &client[newReading]{t, i, newer.Measure, newer.Record, func(r newReading) (string, float64, *float64) { return r.Server, r.Volts, r.Celsius }}
			all = append(all, c.run)
		}
	}
	return all, nil
}
