package reconnect

import (
	"sync"

	"github.com/bsrpc/bsrpc/internal/report"
)

// better returns the state of a client with keepers in two states.
func better(a, b State) State {
	rank := [...]int{Connecting: 1, Waiting: 2, Ready: 3, Lost: 0, Closed: 0}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// mostStates bounds the states that wait for a slow hook; then the oldest go.
const mostStates = 16

// A states calls a hook with each new state, on a goroutine that lasts while there are
// some: the hook may take any time.
type states struct {
	hook func(State)
	log  *report.Log

	mu      sync.Mutex // guards the rest
	now     State
	known   bool
	queue   []State
	running bool
}

func newStates(hook func(State), log *report.Log) *states { return &states{hook: hook, log: log} }

// set notes a state. It does not wait. Nothing follows Closed.
func (s *states) set(now State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hook == nil || s.known && (s.now == now || s.now == Closed) {
		return
	}
	s.now, s.known = now, true
	if s.queue = append(s.queue, now); len(s.queue) > mostStates {
		s.queue = s.queue[1:]
	}
	if !s.running {
		s.running = true
		go s.run()
	}
}

// run calls the hook until the queue is empty.
func (s *states) run() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.running = false
			s.mu.Unlock()
			return
		}
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		s.log.Guard("OnState", func() error { s.hook(next); return nil })
	}
}
