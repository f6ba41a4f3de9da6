package bsrpc

import (
	"context"
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A lobby is where a client waits that its server has not admitted yet. The
// reader tells it what comes. It is the handler of a client's connection, and takes
// nothing else.
type lobby struct {
	place    chan int      // capacity 1: the newest position in the queue
	admitted chan struct{} // closed by ADMITTED
	open     bool          // not yet; the reader's
}

// newLobby returns the lobby of a client, whose server has said whether it waits.
func newLobby(server *wire.Hello) *lobby {
	l := &lobby{place: make(chan int, 1), admitted: make(chan struct{}), open: server.Waiting}
	if server.Position > 0 {
		l.place <- int(server.Position)
	}
	return l
}

func (l *lobby) Admit(f *wire.Frame) (*fault.Fault, error) {
	return nil, fmt.Errorf("unexpected %v", f.Type)
}
func (l *lobby) Request(*transport.Message) transport.Job { return nil }
func (l *lobby) Bind(m *transport.Message) error          { return fmt.Errorf("unexpected %v", m.Type) }
func (l *lobby) Cancel(uint64) error                      { return fmt.Errorf("unexpected %v", wire.Cancel) }
func (l *lobby) Idle()                                    {}

// Control passes on a WAITING or ADMITTED frame.
func (l *lobby) Control(m *transport.Message) error {
	if !l.open {
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

// await waits until the server has admitted the client of c.
func (l *lobby) await(ctx context.Context, c *transport.Conn, h *waitHook) error {
	position := 0
	for {
		places := l.place
		if h.running != nil {
			places = nil // the newest stays there
		}
		select {
		case <-l.admitted:
			return failOn(c, h.settle())
		case position = <-places:
			h.call(position)
		case err := <-h.running:
			h.running = nil
			if err != nil {
				return failOn(c, err)
			}
		case <-c.Done():
			return c.Ended(fault.NotRun)
		case <-ctx.Done():
			err := stopped(notYet(position), ctx.Err())
			c.Fail(err)
			c.Wait()
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

// failOn ends the connection if OnWait has fallen.
func failOn(c *transport.Conn, err error) error {
	if e, ok := err.(*fault.Fault); ok {
		c.Fail(e)
		c.Wait()
	}
	return err
}

// A waitHook calls OnWait, one call at a time, on goroutines of their own.
type waitHook struct {
	onWait  func(position int) // nil for none
	log     *report.Log
	running <-chan error // of the call that runs, nil for none
}

func (h *waitHook) call(position int) {
	if h.onWait != nil {
		h.running = h.log.Start("OnWait", func() error { h.onWait(position); return nil })
	}
}

// settle gives the last call a moment to return, before Dial does.
func (h *waitHook) settle() error {
	if h.running == nil {
		return nil
	}
	select {
	case err := <-h.running:
		return err
	case <-time.After(closeGrace):
		return nil
	}
}

// pause waits for a time, unless OnWait falls.
func (h *waitHook) pause(ctx context.Context, d time.Duration) error {
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
			return stopped(notYet(0), ctx.Err())
		}
	}
}
