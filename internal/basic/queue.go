package basic

import "sync"

// The bounds of a request queue: one frame of any length, or several within both. One
// more frame is read and waits for room.
const (
	queueFrames = 256
	queueBytes  = 64 << 10
)

// A requestQueue holds the frames of a connection, read and not yet served. The reader
// puts frames into it, the worker takes them.
type requestQueue struct {
	mu     sync.Mutex
	moved  sync.Cond // after each change
	frames []Frame
	bytes  int  // of the payloads in frames
	busy   bool // the worker is serving a frame
	ended  bool

	last   bool          // no further frames follow
	served chan struct{} // closed when all frames are served after the last
}

// newRequestQueue returns an empty queue.
func newRequestQueue() *requestQueue {
	q := &requestQueue{served: make(chan struct{})}
	q.moved.L = &q.mu
	return q
}

// put waits for room and appends a frame. It reports false after end.
func (q *requestQueue) put(f Frame) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.ended && len(q.frames) > 0 && (q.bytes+len(f.Payload) > queueBytes || len(q.frames) >= queueFrames) {
		q.moved.Wait()
	}
	if q.ended {
		return false
	}
	q.frames = append(q.frames, f)
	q.bytes += len(f.Payload)
	q.moved.Broadcast()
	return true
}

// take waits for the next frame and removes it. It reports false after end. done follows.
func (q *requestQueue) take() (f Frame, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.ended && len(q.frames) == 0 {
		q.moved.Wait()
	}
	if q.ended {
		return f, false
	}
	f = popFirst(&q.frames)
	q.busy = true
	q.bytes -= len(f.Payload)
	q.moved.Broadcast()
	return f, true
}

// done ends the service of a frame.
func (q *requestQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	q.tellLocked()
}

// finish says that no further frames follow. The channel is closed after the service of
// all frames.
func (q *requestQueue) finish() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = true
	q.tellLocked()
	return q.served
}

func (q *requestQueue) tellLocked() {
	if q.last && q.isIdleLocked() {
		close(q.served)
	}
}

// isIdle reports whether all frames are served.
func (q *requestQueue) isIdle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.isIdleLocked()
}

// isIdleLocked reports whether no request waits or runs.
func (q *requestQueue) isIdleLocked() bool { return len(q.frames) == 0 && !q.busy }

// end drops all frames.
func (q *requestQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.frames {
		q.frames[i].kept.Release()
	}
	q.ended, q.frames = true, nil
	q.moved.Broadcast()
}

// popFirst removes the first element of a list. It does not move the others: there may
// be thousands.
func popFirst[T any](list *[]T) (first T) {
	first, (*list)[0] = (*list)[0], first
	*list = (*list)[1:]
	return first
}
