package main

import (
	"sync/atomic"
	"time"
)

// measureBeside measures small calls while a bulk is echoed all the time on
// the same connection, and what that leaves of the bulk. Its time is four
// times that of other workloads, because a bulk takes long.
func measureBeside(c client, s *server, size int, d time.Duration) (result, error) {
	bulk := newLoad(c, workload{kind: "bulk", callers: 1, size: size})
	if _, err := bulk.run(d, s.bothEnds); err != nil {
		return result{}, err
	}
	alone, err := bulk.run(2*d, s.bothEnds)
	if err != nil {
		return result{}, err
	}

	type outcome struct {
		t   *tally
		err error
	}
	done := make(chan outcome, 1)
	var stop atomic.Bool
	go func() {
		t, err := bulk.runUntil(&stop, func() {}, func() (usage, error) { return usage{}, nil })
		done <- outcome{t, err}
	}()
	calls := newLoad(c, workload{kind: "small", callers: 1})
	t, err := calls.run(4*d, s.bothEnds)
	stop.Store(true)
	beside := <-done
	if err != nil {
		return result{}, err
	}
	if beside.err != nil {
		return result{}, beside.err
	}
	r := t.result()
	r.CPU, r.Allocs = 0, 0 // mostly the bulk's
	r.BulkAlone = rateMB(alone, size)
	r.BulkBeside = rateMB(beside.t, size)
	return r, nil
}

func rateMB(t *tally, size int) float64 {
	return float64(t.total()) * float64(size) / t.elapsed.Seconds() / 1e6
}
