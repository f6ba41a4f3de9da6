package admission

import "time"

// A peer whose connections fail again and again costs the server a handshake each time, and
// no limit of a connection or of open connections ends that. So each failure beyond some
// makes the next handshakes of the peer wait longer.

const (
	failureTime = 100 * time.Millisecond // each failure counts for so long, one after another
	forgiven    = 20                     // failures that cost no pause
	maxPause    = time.Second
	maxFailing  = 4096 // peers remembered
)

// failures has, for each peer, the time at which its failures are forgotten.
type failures map[string]time.Time

// add counts a failure of a peer.
func (f failures) add(peer string, now time.Time) {
	looked := 0
	for other, until := range f { // in random order
		if looked++; looked > 2 {
			break
		}
		if !until.After(now) || len(f) >= maxFailing {
			delete(f, other)
		}
	}
	until := f[peer]
	if until.Before(now) {
		until = now
	}
	f[peer] = earlier(until.Add(failureTime), now.Add(forgiven*failureTime+maxPause))
}

// pause returns how long a new handshake of a peer has to wait.
func (f failures) pause(peer string, now time.Time) time.Duration {
	return max(0, f[peer].Sub(now.Add(forgiven*failureTime))) // without overflow for a zero time
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Failed counts a failed connection of a peer: its handshake failed, or it violated the
// protocol. A peer with more than ten a second has pauses, see Pause.
func (h *Handshakes[T]) Failed(peer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures.add(peer, time.Now())
}

// Pause waits before a handshake if connections of its peer have failed often: a second at
// most, and at most for the time given. It returns early when the handshake is dropped, or
// stop is closed.
func (h *Handshakes[T]) Pause(e *Handshake[T], most time.Duration, stop <-chan struct{}) {
	h.mu.Lock()
	d := min(h.failures.pause(e.Peer, time.Now()), most)
	if d == 0 || e.dropped {
		h.mu.Unlock()
		return
	}
	gone := make(chan struct{})
	e.gone = gone
	h.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-stop:
	}
}
