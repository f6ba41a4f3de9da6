// Package waiting is the wait of a client for its admission, and what a server says about a
// session later. It knows frames and connections, but no calls.
package waiting

import (
	"context"
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/reconnect"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Wait receives the WAITING and ADMITTED frames of a server until the client is
// admitted.
type Wait struct {
	positions chan int      // capacity 1: the newest position in the queue
	admitted  chan struct{} // closed by ADMITTED
	waiting   bool          // not admitted yet; only for the holder of the read lease
	conn      *reconnect.Conn
}

// New returns the handler of a client. hello is the server's INIT.
func New(hello *wire.Hello, c *reconnect.Conn) *Wait {
	w := &Wait{positions: make(chan int, 1), admitted: make(chan struct{}), waiting: hello.Waiting, conn: c}
	if hello.Position > 0 {
		w.positions <- int(hello.Position)
	}
	return w
}

// Control handles a frame for the session. It never blocks: the channel has room after an
// older position has been removed.
func (w *Wait) Control(m *transport.Message) error {
	switch {
	case m.Type == wire.Draining:
		w.conn.Leave()
		return nil
	case m.Type == wire.SessionState:
		w.conn.Hold()
		return nil
	case !w.waiting:
		return fmt.Errorf("unexpected %v", m.Type)
	case m.Type == wire.Admitted:
		w.waiting = false
		close(w.admitted)
		return nil
	}
	select { // discard an older position, not received yet
	case <-w.positions:
	default:
	}
	w.positions <- int(min(m.ID, 1<<31-1))
	return nil
}

// Await waits until the server has admitted the client on c, and calls the hook with its
// positions. It closes c if it fails.
func (w *Wait) Await(ctx context.Context, c *transport.Conn, h *Hook) error {
	position := 0
	for {
		positions := w.positions
		if h.running != nil {
			positions = nil // keep the newest in the channel until the hook returns
		}
		select {
		case <-w.admitted:
			return failOn(c, h.Settle())
		case position = <-positions:
			h.Call(position)
		case err := <-h.running:
			h.running = nil
			if err != nil {
				return failOn(c, err)
			}
		case <-c.Done():
			return c.Ended(fault.NotRun)
		case <-ctx.Done():
			err := fault.Missing(notAdmittedAt(position), ctx.Err())
			c.Fail(err)
			c.Wait()
			return err
		}
	}
}

// notAdmittedAt describes the wait of a client at a position of the queue, 0 for unknown.
func notAdmittedAt(position int) string {
	if position == 0 {
		return "not admitted yet"
	}
	return fmt.Sprintf("not admitted yet, at position %d of the queue", position)
}

// failOn closes the connection if OnWait has panicked with err, and returns err.
func failOn(c *transport.Conn, err error) error {
	if e, ok := err.(*fault.Fault); ok {
		c.Fail(e)
		c.Wait()
	}
	return err
}

// hookGrace is the time for the last call of OnWait to return before Dial does.
const hookGrace = 500 * time.Millisecond

// A Hook calls OnWait, one call at a time, each on a new goroutine: a hook that hangs
// must not delay Dial beyond its context.
type Hook struct {
	OnWait  func(position int) // nil for none
	Log     *report.Log
	running <-chan error // receives the result of the running call; nil for none
}

// Call starts a call of OnWait. h.running must be nil.
func (h *Hook) Call(position int) {
	if h.OnWait != nil {
		h.running = h.Log.Start("OnWait", func() error { h.OnWait(position); return nil })
	}
}

// Settle waits for the last call to return, at most for hookGrace.
func (h *Hook) Settle() error {
	if h.running == nil {
		return nil
	}
	select {
	case err := <-h.running:
		return err
	case <-time.After(hookGrace):
		return nil
	}
}

// Pause waits for d, or until ctx ends or OnWait panics.
func (h *Hook) Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case err := <-h.running:
			h.running = nil
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return fault.Missing(notAdmittedAt(0), ctx.Err())
		}
	}
}
