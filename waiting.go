package bsrpc

import (
	"context"
	"fmt"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A lobby is where a client waits that its server has not admitted yet. The
// reader tells it what comes.
type lobby struct {
	place    chan int      // capacity 1: the newest position in the queue
	admitted chan struct{} // closed by ADMITTED
	open     bool          // not yet; the reader's
}

func newLobby(place uint32) *lobby {
	l := &lobby{place: make(chan int, 1), admitted: make(chan struct{}), open: true}
	if place > 0 {
		l.place <- int(place)
	}
	return l
}

// tell passes on a WAITING or ADMITTED frame. A nil lobby is that of an end
// that does not wait.
func (l *lobby) tell(m *message) error {
	if l == nil || !l.open {
		return fmt.Errorf("unexpected %v", m.Type)
	}
	if m.Type == wire.Admitted {
		l.open = false
		close(l.admitted)
		return nil
	}
	select { // an older one that has not been looked at
	case <-l.place:
	default:
	}
	l.place <- int(min(m.ID, 1<<31-1))
	return nil
}

// awaitPlace waits until the server has admitted this client.
func (c *conn) awaitPlace(ctx context.Context, onWait func(position int)) error {
	position := 0
	for {
		select {
		case <-c.lobby.admitted:
			return nil
		case position = <-c.lobby.place:
			onWait(position)
		case <-c.done:
			return c.endedAs(OutcomeNotRun)
		case <-ctx.Done():
			err := stopped(notYet(position), ctx.Err())
			c.fail(err)
			c.join()
			return err
		}
	}
}

// notYet says what a client at a position of the queue has not got.
func notYet(position int) string {
	if position == 0 {
		return "not admitted yet"
	}
	return fmt.Sprintf("not admitted yet, at position %d of the queue", position)
}

// endedAs returns the error of a call on a connection that has ended.
func (c *conn) endedAs(outcome Outcome) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endedLocked(outcome)
}
