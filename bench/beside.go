package main

import (
	"sync/atomic"
	"time"
)

// A small call begins each besidePace beside the bulk.
const besidePace = time.Millisecond

// measureBeside measures small calls while a bulk is echoed all the time on
// the same connection, and what that leaves of the bulk. Its time is some
// times that of other workloads, because a bulk takes long.
func measureBeside(c client, s *server, size int, d time.Duration) (result, error) {
	bulk := newLoad([]client{c}, workload{kind: "bulk", callers: 1, size: size})
	if _, err := bulk.run(d, s.bothEnds); err != nil {
		return result{}, err
	}
	alone, err := bulk.run(2*d, s.bothEnds)
	if err != nil {
		return result{}, err
	}

	var stop atomic.Bool
	times, calls := new(histogram), make(chan error, 1)
	go func() {
		calls <- paced(c.small(small), &stop, times)
		stop.Store(true) // also after an error
	}()
	beside, err := bulk.runUntil(&stop, func() { time.AfterFunc(4*d, func() { stop.Store(true) }) }, s.bothEnds)
	stop.Store(true)
	if err2 := <-calls; err == nil {
		err = err2
	}
	if err != nil {
		return result{}, err
	}
	return result{
		Calls:      int64(times.n),
		Seconds:    beside.elapsed.Seconds(),
		P50:        times.quantile(0.50),
		P99:        times.quantile(0.99),
		BulkAlone:  rateMB(alone, size),
		BulkBeside: rateMB(beside, size),
	}, nil
}

// paced makes a call each besidePace. The calls that would have begun while
// one was under way count with the time that they would have waited: else one
// call behind a bulk would be lost among the thousand that found a gap.
func paced(do call, stop *atomic.Bool, times *histogram) error {
	for seq := int64(0); !stop.Load(); seq++ {
		start := time.Now()
		if err := do(seq); err != nil {
			return err
		}
		took := time.Since(start)
		for t := took; t > 0; t -= besidePace {
			times.record(t)
		}
		time.Sleep(besidePace - took%besidePace)
	}
	return nil
}

func rateMB(t *tally, size int) float64 {
	return float64(t.total()) * float64(size) / t.elapsed.Seconds() / 1e6
}
