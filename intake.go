package bsrpc

import "sync"

// How far a basic connection is read ahead of what is served: one frame of any
// length, further ones up to these, and one that waits for room.
const (
	aheadFrames = 256
	aheadBytes  = 64 << 10
)

// An intake holds the frames of a basic connection that have been read and not
// served. One goroutine puts, another takes.
type intake struct {
	mu     sync.Mutex
	moved  sync.Cond
	frames []basicFrame
	bytes  int  // in frames
	busy   bool // a frame has been taken and is being served
	ended  bool

	last   bool          // no more frames come
	served chan struct{} // closed when none is left then
}

func newIntake() *intake {
	in := &intake{served: make(chan struct{})}
	in.moved.L = &in.mu
	return in
}

// put adds a frame when there is room. It reports false if the intake has
// ended.
func (in *intake) put(f basicFrame) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.ended && len(in.frames) > 0 && (in.bytes+len(f.payload) > aheadBytes || len(in.frames) >= aheadFrames) {
		in.moved.Wait()
	}
	if in.ended {
		return false
	}
	in.frames = append(in.frames, f)
	in.bytes += len(f.payload)
	in.moved.Broadcast()
	return true
}

// take waits for the next frame. It reports false if the intake has ended.
func (in *intake) take() (f basicFrame, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.ended && len(in.frames) == 0 {
		in.moved.Wait()
	}
	if in.ended {
		return f, false
	}
	f = popFirst(&in.frames)
	in.busy = true
	in.bytes -= len(f.payload)
	in.moved.Broadcast()
	return f, true
}

// done ends what take has begun.
func (in *intake) done() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.busy = false
	in.tellLocked()
}

// finish says that no more frames come. The channel is closed when all that there
// were have been served.
func (in *intake) finish() <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.last = true
	in.tellLocked()
	return in.served
}

func (in *intake) tellLocked() {
	if in.last && !in.busy && len(in.frames) == 0 {
		close(in.served)
	}
}

// isIdle says whether there is nothing to serve and nothing being served.
func (in *intake) isIdle() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.frames) == 0 && !in.busy
}

// end drops what has not been served.
func (in *intake) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended, in.frames = true, nil
	in.moved.Broadcast()
}

// popFirst takes the first of a list that is not empty. The others, of which
// there may be thousands, are not moved.
func popFirst[T any](list *[]T) (first T) {
	first, (*list)[0] = (*list)[0], first
	*list = (*list)[1:]
	return first
}
