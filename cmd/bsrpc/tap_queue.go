package main

import (
	"sync"

	"github.com/bsrpc/bsrpc/trace"
)

// Limits of the bytes of a connection whose lines are not made yet: a connection that is further
// ahead waits. Memory above keepBehind is not kept for later.
const (
	maxBehind  = 16 << 20
	keepBehind = 256 << 10
)

// A pieceQueue passes the pieces of a connection to a func, in a goroutine of its own: decoding a
// frame takes longer than passing it on.
type pieceQueue struct {
	feed func(*trace.Piece)
	most int // maxBehind; less in tests
	done chan struct{}

	mu      sync.Mutex
	changed sync.Cond // of what follows
	waiting pieces
	busy    int // bytes at feed
	closed  bool
	failed  bool // a panic has ended it
}

// pieces are pieces behind one another.
type pieces struct {
	list  []trace.Piece // without their bytes
	sizes []int
	bytes []byte
}

// newPieceQueue returns a queue for feed, until close.
func newPieceQueue(feed func(*trace.Piece)) *pieceQueue {
	q := &pieceQueue{feed: feed, most: maxBehind, done: make(chan struct{})}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// add adds a piece, of which it keeps nothing. It waits while too much is waiting.
func (q *pieceQueue) add(p *trace.Piece) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting.bytes)+q.busy > q.most && !q.failed {
		q.changed.Wait()
	}
	if q.failed {
		return
	}
	q.waiting.bytes = append(q.waiting.bytes, p.Bytes...)
	q.waiting.sizes = append(q.waiting.sizes, len(p.Bytes))
	q.waiting.list = append(q.waiting.list, trace.Piece{Time: p.Time, Conn: p.Conn, From: p.From, End: p.End})
	q.changed.Broadcast()
}

// close waits until everything has been fed. It reports false if a panic has ended that.
func (q *pieceQueue) close() bool {
	q.mu.Lock()
	q.closed = true
	q.changed.Broadcast()
	q.mu.Unlock()
	<-q.done
	return !q.failed
}

// run feeds pieces until close. A fault of the decoder must not become one of the connection.
func (q *pieceQueue) run() {
	defer close(q.done)
	defer func() {
		if recover() != nil {
			q.mu.Lock()
			q.failed = true
			q.changed.Broadcast()
			q.mu.Unlock()
		}
	}()
	var next pieces
	for q.take(&next) {
		b := next.bytes
		for i := range next.list {
			p := &next.list[i]
			p.Bytes, b = b[:next.sizes[i]], b[next.sizes[i]:]
			q.feed(p)
		}
	}
}

// take exchanges what waits for next, whose pieces are fed. It reports false after the last one.
func (q *pieceQueue) take(next *pieces) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = 0
	q.changed.Broadcast()
	for len(q.waiting.list) == 0 && !q.closed {
		q.changed.Wait()
	}
	if cap(next.bytes) > keepBehind {
		next.bytes = nil
	}
	*next, q.waiting = q.waiting, pieces{next.list[:0], next.sizes[:0], next.bytes[:0]}
	q.busy = len(next.bytes)
	return len(next.list) > 0
}
