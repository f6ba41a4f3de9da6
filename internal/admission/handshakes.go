package admission

import (
	"errors"
	"slices"
	"sync"
)

// Handshakes limits the unfinished handshakes of a server. Above the limit the oldest one
// of the peer with the most of them has to go: a peer that connects and sends nothing
// replaces its own connections, not those of others. T identifies a connection for the
// caller. Handshakes is safe for concurrent use.
//
// A handshake is dropped or settled, whichever is first, so that a client reads one answer
// only: that it is dropped, or that it is admitted.
type Handshakes[T any] struct {
	most int

	mu      sync.Mutex // guards the rest
	byPeer  map[string][]*Handshake[T]
	n       int                    // of all peers
	last    uint64                 // order of the newest one
	settled map[*Handshake[T]]bool // not in byPeer any more

	failures failures // of connections that have ended
}

// A Handshake is one connection in its handshake.
type Handshake[T any] struct {
	Conn  T
	Peer  string
	order uint64

	// guarded by Handshakes.mu
	dropped bool
	gone    chan struct{} // closed when it is dropped; nil before Pause

	interrupts sync.WaitGroup // to come, or under way
}

// Interrupted says that a handshake which had to go, or was about to end, has been interrupted.
func (e *Handshake[T]) Interrupted() { e.interrupts.Done() }

// Init sets the limit. It must be called before all other methods.
func (h *Handshakes[T]) Init(most int) {
	h.most, h.byPeer, h.settled = most, make(map[string][]*Handshake[T]), make(map[*Handshake[T]]bool)
	h.failures = make(failures)
}

// Enter adds a handshake of a peer. It also returns the one that has to go, nil if there is
// room.
func (h *Handshakes[T]) Enter(peer string, conn T) (e, dropped *Handshake[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e = &Handshake[T]{Conn: conn, Peer: peer, order: h.last}
	h.byPeer[peer] = append(h.byPeer[peer], e)
	if h.n++; h.n > h.most {
		dropped = h.victimLocked()
		h.dropLocked(dropped)
	}
	return e, dropped
}

// Relieve drops the older half of the handshakes of the peer with the most, unless it has
// only one. It is for a server without descriptors: it may have fewer of them than the limit.
func (h *Handshakes[T]) Relieve() (dropped []*Handshake[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	victim := h.victimLocked()
	if victim == nil {
		return nil
	}
	list := h.byPeer[victim.Peer]
	dropped = slices.Clone(list[:len(list)/2])
	for _, e := range dropped {
		h.dropLocked(e)
	}
	return dropped
}

// dropLocked makes a handshake one that has to go.
func (h *Handshakes[T]) dropLocked(e *Handshake[T]) {
	e.dropped = true
	e.interrupts.Add(1)
	if e.gone != nil {
		close(e.gone)
	}
	h.removeLocked(e)
}

// victimLocked returns the oldest handshake of the peer with the most, and among equals the
// oldest of all.
func (h *Handshakes[T]) victimLocked() (victim *Handshake[T]) {
	most := 0
	for _, list := range h.byPeer {
		if n := len(list); n > most || n == most && list[0].order < victim.order {
			victim, most = list[0], n
		}
	}
	return victim
}

// removeLocked removes a handshake, unless it was dropped before.
func (h *Handshakes[T]) removeLocked(e *Handshake[T]) {
	list := h.byPeer[e.Peer]
	i := slices.Index(list, e)
	if i < 0 {
		return
	}
	h.n--
	if len(list) == 1 {
		delete(h.byPeer, e.Peer)
		return
	}
	h.byPeer[e.Peer] = slices.Delete(list, i, i+1)
}

// ErrDropped is the error of Settle for a handshake that has to go.
var ErrDropped = errors.New("another handshake needs the place")

// Settle makes a handshake one that is not dropped any more, and does not count. It returns
// ErrDropped if it was dropped before.
func (h *Handshakes[T]) Settle(e *Handshake[T]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.dropped {
		return ErrDropped
	}
	h.removeLocked(e)
	h.settled[e] = true
	return nil
}

// Leave ends a handshake. It reports whether the handshake was dropped before. It waits for
// Interrupted: an interrupt must not hit what follows the handshake.
func (h *Handshakes[T]) Leave(e *Handshake[T]) (dropped bool) {
	h.mu.Lock()
	h.removeLocked(e)
	delete(h.settled, e)
	dropped = e.dropped
	h.mu.Unlock()
	e.interrupts.Wait()
	return dropped
}

// DropAll drops all handshakes. It returns them, and the settled ones, which are about to end. The
// caller interrupts each of them, as those of Enter and Relieve, and calls Interrupted.
func (h *Handshakes[T]) DropAll() (all []*Handshake[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := range h.settled {
		e.interrupts.Add(1)
		all = append(all, e)
	}
	for _, list := range h.byPeer {
		for _, e := range slices.Clone(list) {
			h.dropLocked(e)
			all = append(all, e)
		}
	}
	return all
}

// Count returns the number of unfinished handshakes, settled ones included.
func (h *Handshakes[T]) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n + len(h.settled)
}
