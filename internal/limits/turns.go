package limits

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Turns are the turns of the readers of a server that find more to do after each read. Go's
// scheduler looks for bytes on other connections only when no goroutine is ready, and otherwise
// each ten milliseconds. So only some of these readers are ready at a time: as many as there are
// processors, and one less while other connections have something to do. The rest wait in line.
//
// A Turns is safe for concurrent use. Its zero value is ready to use.
type Turns struct {
	full   atomic.Bool  // turns take all processors but one, or all of them
	noted  atomic.Int64 // Monotonic of the last Note; 0 for none
	others atomic.Int64 // how often Note was called

	mu      sync.Mutex // guards the rest
	running int        // turns
	line    []chan struct{}
	seen    int64 // others at the last Rest
	sleeps  bool  // a reader sleeps in Rest
}

// TurnTime is how long a reader runs before it needs a turn, and how long a turn is: a hundredth
// of the scheduler's, and some ten times what the change costs.
const TurnTime = 100 * time.Microsecond

// maxRest limits the sleep after a turn: a turn seems longer than it was if its goroutines had to
// wait for a processor.
const maxRest = 10 * TurnTime

// noteTime is how long a processor stays free after the last read of another connection.
const noteTime = time.Second

// Full reports whether a reader without a turn calls Note after a read. It costs one load.
func (t *Turns) Full() bool { return t.full.Load() }

// Note notes a read of a reader that needs no turn, at a time by Monotonic.
func (t *Turns) Note(at time.Duration) {
	t.noted.Store(int64(at))
	t.others.Add(1)
}

// Begin begins a turn: at once if it returns nil, and otherwise when the channel is closed.
func (t *Turns) Begin() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.beginLocked()
}

// beginLocked is Begin with the lock held.
func (t *Turns) beginLocked() <-chan struct{} {
	t.grantLocked()
	if len(t.line) == 0 && t.running < t.mostLocked() {
		t.running++
		t.setFullLocked()
		return nil
	}
	turn := make(chan struct{})
	t.line = append(t.line, turn)
	return turn
}

// End ends a turn.
func (t *Turns) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	t.grantLocked()
}

// Next is End and Begin. The turns of those in line come first.
func (t *Turns) Next() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	return t.beginLocked()
}

// grantLocked begins the turns of the first in line, if there are free ones.
func (t *Turns) grantLocked() {
	for most := t.mostLocked(); t.running < most && len(t.line) > 0; t.running++ {
		close(t.line[0])
		t.line[0], t.line = nil, t.line[1:]
	}
	t.setFullLocked()
}

// mostLocked returns how many turns there may be.
func (t *Turns) mostLocked() int {
	n := runtime.GOMAXPROCS(0)
	if at := time.Duration(t.noted.Load()); at != 0 && Monotonic()-at < noteTime {
		n--
	}
	return max(n, 1)
}

// setFullLocked sets full.
func (t *Turns) setFullLocked() {
	full := t.running > 0 && t.running >= runtime.GOMAXPROCS(0)-1
	if full != t.full.Load() {
		t.full.Store(full)
	}
}

// Rest lets the goroutines run that the reader has started: they count as parts of its turn,
// which began at since, by Monotonic. If other connections have much to do, one reader at a time then sleeps
// here for as long as the turn has lasted, and its peer must wait.
func (t *Turns) Rest(since time.Duration) {
	runtime.Gosched()
	if !t.mustSleep() {
		return
	}
	time.Sleep(min(max(Monotonic()-since, TurnTime), maxRest))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sleeps = false
}

// mustSleep reports whether Rest sleeps, and notes that it does. A single processor reads nothing
// else during a turn, so there one read is much.
func (t *Turns) mustSleep() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.others.Load()
	reads := n - t.seen
	t.seen = n
	if t.sleeps || reads < 2 && (reads == 0 || runtime.GOMAXPROCS(0) > 1) {
		return false
	}
	t.sleeps = true
	return true
}
