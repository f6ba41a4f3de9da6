package tlsconn

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Work limits what verifying certificates takes at a server: half of the processors, and at least
// one. Strangers cause it, and crypto/tls verifies a chain in one go, so without a limit the
// handshakes of one stranger take all processors from the calls of others.
//
// Handshakes above the limit wait in line. The peers in line take turns, so one with many
// handshakes delays another one by a single verification. A Work is safe for concurrent use. Its
// zero value is ready to use.
type Work struct {
	mu      sync.Mutex // guards the rest, and the same of each part
	running int        // turns
	byPeer  map[string][]*part
	peers   []string // those in byPeer, the next one first
}

// turnTime limits a turn, some ten times what the longest verification takes: on the way to it
// the user's code may hang.
const turnTime = time.Second

// A part is the work of one handshake. A nil one has no limit.
type part struct {
	work     *Work
	peer     string
	answered atomic.Bool // the server has answered, so the next bytes may be certificates
	once     sync.Once
	gone     chan struct{} // closed when the handshake must end

	// guarded by Work.mu
	turn  chan struct{} // closed when it has a turn
	runs  bool          // it has a turn
	timer *time.Timer   // of turnTime
}

// newPart returns the work of a handshake of a peer.
func newPart(w *Work, peer string) *part {
	return &part{work: w, peer: peer, gone: make(chan struct{})}
}

// begin waits for a turn, after a read. It returns an error if the handshake must end.
func (p *part) begin() error {
	if p == nil || !p.answered.Load() {
		return nil
	}
	select {
	case <-p.work.enter(p):
		return nil
	case <-p.gone:
		p.end()
		return os.ErrDeadlineExceeded
	}
}

// end ends the turn of p, or its wait: before a read or a write, which may wait, and at the end of
// the handshake.
func (p *part) end() {
	if p != nil && p.answered.Load() {
		p.work.leave(p)
	}
}

// abandon makes begin return an error, now or later.
func (p *part) abandon() {
	if p != nil {
		p.once.Do(func() { close(p.gone) })
	}
}

// enter puts p in line. The channel is closed when it has a turn.
func (w *Work) enter(p *part) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.turn = make(chan struct{})
	if w.byPeer == nil {
		w.byPeer = make(map[string][]*part)
	}
	if w.byPeer[p.peer] == nil {
		w.peers = append(w.peers, p.peer)
	}
	w.byPeer[p.peer] = append(w.byPeer[p.peer], p)
	w.grantLocked()
	return p.turn
}

// leave ends the turn of p, or takes it out of the line.
func (w *Work) leave(p *part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.byPeer[p.peer], p); i >= 0 {
		w.removeLocked(p.peer, i)
	}
	w.stopLocked(p)
}

// expire ends a turn of p that has taken turnTime.
func (w *Work) expire(p *part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopLocked(p)
}

// stopLocked ends the turn of p, if it has one, with the lock held.
func (w *Work) stopLocked(p *part) {
	if p.runs {
		p.runs = false
		p.timer.Stop()
		w.running--
		w.grantLocked()
	}
}

// grantLocked gives the free turns to the next in line, with the lock held.
func (w *Work) grantLocked() {
	for len(w.peers) > 0 && w.running < max(runtime.GOMAXPROCS(0)/2, 1) {
		peer := w.peers[0]
		p := w.byPeer[peer][0]
		w.peers = append(w.peers[1:], peer) // behind the others
		w.removeLocked(peer, 0)
		w.running++
		p.runs, p.timer = true, time.AfterFunc(turnTime, func() { w.expire(p) })
		close(p.turn)
	}
}

// removeLocked takes part i of a peer out of the line, with the lock held.
func (w *Work) removeLocked(peer string, i int) {
	if w.byPeer[peer] = slices.Delete(w.byPeer[peer], i, i+1); len(w.byPeer[peer]) == 0 {
		delete(w.byPeer, peer)
		i := slices.Index(w.peers, peer)
		w.peers = slices.Delete(w.peers, i, i+1)
	}
}
