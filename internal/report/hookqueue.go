package report

import (
	"log/slog"
	"sync"
	"time"
)

// maxQueued limits the calls waiting in a HookQueue.
const maxQueued = 1024

// hungAfter is the time between two log lines about a hook that does not return.
const hungAfter = 10 * time.Second

// A HookQueue calls a hook for events that a peer can repeat, one call at a time, on a
// goroutine of its own while there are calls. Add never waits for the hook: if maxQueued
// calls wait, it drops further ones. A HookQueue is safe for concurrent use.
type HookQueue struct {
	log  *Log
	name string // of the hook

	mu      sync.Mutex // guards the rest
	waiting []func()
	running bool
	dropped int
}

// NewHookQueue returns a queue for the hook with a name.
func NewHookQueue(l *Log, name string) *HookQueue { return &HookQueue{log: l, name: name} }

// Add queues a call of the hook.
func (q *HookQueue) Add(call func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxQueued {
		q.dropped++
		return
	}
	q.waiting = append(q.waiting, call)
	if !q.running {
		q.running = true
		go q.run()
	}
}

// run calls the hook until no call waits.
func (q *HookQueue) run() {
	for call := q.next(); call != nil; call = q.next() {
		q.log.await(q.name, call)
	}
}

// await calls a hook and waits for it. It logs one that does not return.
func (l *Log) await(hook string, f func()) {
	result := l.Start(hook, func() error { f(); return nil })
	for {
		select {
		case <-result:
			return
		case <-time.After(hungAfter):
			l.Add(Running, slog.LevelWarn, "bsrpc: a hook does not return", "hook", hook)
		}
	}
}

// next removes the first call, nil if there is none. It logs the calls dropped since the
// last one.
func (q *HookQueue) next() (call func()) {
	q.mu.Lock()
	dropped := q.dropped
	q.dropped = 0
	if q.running = len(q.waiting) > 0; q.running {
		call, q.waiting[0] = q.waiting[0], nil
		q.waiting = q.waiting[1:]
	}
	q.mu.Unlock()
	if dropped > 0 {
		q.log.Add(Hook, slog.LevelWarn, "bsrpc: a hook is too slow, calls of it were dropped", "hook", q.name, "dropped", dropped)
	}
	return call
}
