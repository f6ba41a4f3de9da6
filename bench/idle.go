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
	return memoryOfEach(n, clientAfter.since(clientBefore), serverAfter.since(serverBefore)), nil
}

// A growing is by how much a process has grown, in bytes.
type growing struct{ heap, rss float64 }

func (u usage) since(o usage) growing {
	return growing{float64(u.Heap) - float64(o.Heap), float64(u.RSS) - float64(o.RSS)}
}

// memoryOfEach divides by the number of connections or calls.
func memoryOfEach(n int, client, server growing) result {
	f := float64(n)
	return result{
		Calls:      int64(n),
		ClientHeap: client.heap / f,
		ServerHeap: server.heap / f,
		ClientRSS:  client.rss / f,
		ServerRSS:  server.rss / f,
	}
}

// idleUsage returns the memory of both ends when there is no garbage.
func idleUsage(s *server) (client, server usage, err error) {
	time.Sleep(settle)
	freeMemory()
	server, err = s.ask(order{Collect: true})
	return measureUsage(), server, err
}

// freeMemory gives back what is not in use. What is in pools is free only at
// the second collection.
func freeMemory() {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
}
