package trace

import (
	"io"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/plural"
)

// maxLines limits the bytes of lines that wait for a writer.
const maxLines = 1 << 20

// Lines is a queue of lines for a writer that may be slow, fail or panic. A goroutine writes them
// while there are some, many in one Write; if a Write hangs, this goroutine does, and nothing
// else. Up to 1 MiB of lines wait, and a line tells how many were dropped. It is safe for
// concurrent use, and the writer gets one Write at a time.
type Lines struct {
	w    io.Writer
	lost func(n int) string

	mu      sync.Mutex // not held during w.Write
	waiting []byte
	count   int           // lines in waiting
	dropped int           // lines since the last one in waiting
	idle    chan struct{} // closed at the end of the goroutine; nil if there is none
}

// NewLines returns a queue for w. lost returns the line about dropped ones, without a newline at
// its end; nil means a sentence. It must neither wait nor panic.
func NewLines(w io.Writer, lost func(n int) string) *Lines {
	if lost == nil {
		lost = func(n int) string {
			return plural.Of(n, "line") + " dropped: the writer is slow, or has failed"
		}
	}
	return &Lines{w: w, lost: lost}
}

// Write queues the text of one line, or several of one event, or drops it if there is no room. It
// never waits for the writer, and returns no error.
func (q *Lines) Write(text []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting)+len(text) > maxLines {
		q.dropped++
		return len(text), nil
	}
	q.note()
	q.waiting = append(q.waiting, text...)
	q.count++
	if q.idle == nil { // starts the goroutine
		q.idle = make(chan struct{})
		go q.run(q.idle)
	}
	return len(text), nil
}

// note queues the line about dropped ones, in their place: before the next line, or after the
// last one once there is room. If this line is lost as well, its count is not.
func (q *Lines) note() {
	if q.dropped > 0 {
		q.waiting = append(append(q.waiting, q.lost(q.dropped)...), '\n')
		q.count, q.dropped = q.count+q.dropped, 0
	}
}

// run writes lines until there are none.
func (q *Lines) run(idle chan struct{}) {
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.idle == idle { // runtime.Goexit in the writer: the next line continues
			q.idle = nil
		}
		close(idle)
	}()
	for ok := true; ; {
		q.mu.Lock()
		if q.count == 0 && ok {
			q.note()
		}
		text, n := q.waiting, q.count
		q.waiting, q.count = nil, 0
		if n == 0 {
			q.idle = nil
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		ok = q.write(text, n)
	}
}

// write writes n lines. It reports false if that fails; the lines are dropped then. The writer may
// be closed, full or broken for good, so nothing is tried twice. After a part of the lines the
// next ones begin in the middle of a line; a writer that fails has no better.
func (q *Lines) write(text []byte, n int) (ok bool) {
	defer func() {
		recover()
		if !ok {
			q.mu.Lock()
			q.dropped += n
			q.mu.Unlock()
		}
	}()
	written, err := q.w.Write(text)
	return err == nil && written == len(text)
}

// Wait waits until all lines are written, at most for a time. Without it the last lines of a
// program that ends would be lost, such as the reason for a failed Dial.
func (q *Lines) Wait(most time.Duration) {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
