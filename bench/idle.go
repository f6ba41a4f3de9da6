package main

import (
	"runtime"
	"runtime/debug"
	"time"
)

// settle is how long connections may take to become idle.
const settle = 200 * time.Millisecond

// measureIdle measures the memory of connections that have made one call each.
// One connection more is there before, for what a process needs only once.
func measureIdle(p peer, s *server, n int) (result, error) {
	first, err := s.connect(p, 2)
	if err != nil {
		return result{}, err
	}
	defer first.close()
	clientBefore, serverBefore, err := idleUsage(s)
	if err != nil {
		return result{}, err
	}
	for range n {
		c, err := s.connect(p, 2)
		if err != nil {
			return result{}, err
		}
		defer c.close()
	}
	clientAfter, serverAfter, err := idleUsage(s)
	if err != nil {
		return result{}, err
	}
	each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / float64(n) }
	return result{
		Calls:      int64(n),
		ClientHeap: each(clientAfter.Heap, clientBefore.Heap),
		ServerHeap: each(serverAfter.Heap, serverBefore.Heap),
		ClientRSS:  each(clientAfter.RSS, clientBefore.RSS),
		ServerRSS:  each(serverAfter.RSS, serverBefore.RSS),
	}, nil
}

// idleUsage returns the memory of both ends when there is no garbage.
func idleUsage(s *server) (client, server usage, err error) {
	time.Sleep(settle)
	freeMemory()
	server, err = s.usage(true)
	return measureUsage(), server, err
}

// freeMemory gives back what is not in use. What is in pools is free only at
// the second collection.
func freeMemory() {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
}
