package trace

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/plural"
)

// maxLines limits the bytes of lines that wait for a writer.
const maxLines = 1 << 20

// A lines is a queue of lines for a writer, the user's code. A goroutine writes them while there
// are some; if a Write hangs, this goroutine does, and nothing else.
type lines struct {
	w io.Writer

	mu      sync.Mutex // not held during w.Write
	waiting []byte
	count   int           // lines in waiting
	dropped int           // lines since the last one in waiting
	idle    chan struct{} // closed at the end of the goroutine; nil if there is none
}

// add queues the lines of one event, or drops them if there is no room. It never waits for the
// writer, and starts the goroutine if there is none.
func (q *lines) add(text []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting)+len(text) > maxLines {
		q.dropped++
		return
	}
	q.note()
	q.waiting = append(q.waiting, text...)
	q.count++
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.run(q.idle)
	}
}

// note queues the line about dropped ones, in their place: before the next line, or after the
// last one once there is room. If this line is lost as well, its count is not.
func (q *lines) note() {
	if q.dropped > 0 {
		q.waiting = fmt.Appendf(q.waiting, "%s dropped: the writer is slow, or has failed\n", plural.Of(q.dropped, "line"))
		q.count, q.dropped = q.count+q.dropped, 0
	}
}

// run writes lines until there are none.
func (q *lines) run(idle chan struct{}) {
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
func (q *lines) write(text []byte, n int) (ok bool) {
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

// wait waits until all lines are written, at most for a time. Without it the last lines of a
// program that ends after Close would be lost, such as the reason for a failed Dial.
func (q *lines) wait(most time.Duration) {
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
