package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// held is where the calls of the method Hold wait, in a process that serves
// for inflight: each such process serves one job.
var held = gate{open: make(chan struct{})}

// A gate keeps those who come to it until its release.
type gate struct {
	waiting atomic.Int64
	open    chan struct{}
	once    sync.Once
}

func (g *gate) wait() {
	g.waiting.Add(1)
	<-g.open
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// holdLimit is how long calls may take until all are in their handlers.
const holdLimit = 20 * time.Second

// measureInflight measures the memory of calls on one connection that all
// wait in their handlers.
func measureInflight(p peer, s *server, n int) (result, error) {
	c, err := s.connect(p, max(n, 2))
	if err != nil {
		return result{}, err
	}
	defer c.close()
	clientBefore, serverBefore, err := idleUsage(s)
	if err != nil {
		return result{}, err
	}
	calls := make(chan error, n)
	for i := range n {
		go func() { calls <- c.hold(small)(int64(i)) }()
	}
	defer s.ask(order{Release: true})
	if err := s.awaitHeld(n, calls); err != nil {
		return result{}, err
	}
	clientAfter, serverAfter, err := idleUsage(s)
	if err != nil {
		return result{}, err
	}
	if _, err := s.ask(order{Release: true}); err != nil {
		return result{}, err
	}
	for range n {
		err = errors.Join(err, <-calls)
	}
	return memoryOfEach(n, clientAfter.since(clientBefore), serverAfter.since(serverBefore)), err
}

// awaitHeld waits until n calls are in their handlers.
func (s *server) awaitHeld(n int, calls <-chan error) error {
	for end := time.Now().Add(holdLimit); ; {
		u, err := s.ask(order{})
		if err != nil || u.Held >= int64(n) {
			return err
		}
		select {
		case err := <-calls:
			return fmt.Errorf("a call that should wait has ended: %w", err)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d calls have come to their handlers in %v", u.Held, n, holdLimit)
		}
	}
}
