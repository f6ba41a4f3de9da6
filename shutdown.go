package bsrpc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
)

// How a server ends. The user's code may hang in handlers, in hooks, and in the Close of
// a listener: nothing here waits for it without a time limit, or with a lock held.

// Shutdown stops the server gracefully. It closes the channels of Session.Draining and the
// listeners, refuses waiting clients and new calls as not run, and closes each connection
// after the replies to its running calls. It returns nil when all sessions have left and
// OnDisconnect has returned.
//
// If ctx ends first, Shutdown returns at once an error that wraps that of ctx and names the
// methods still running, streams included. It cancels the contexts of the handlers, fails the running calls with CodeUnavailable, and closes all connections
// within a second. Close then waits for the hooks.
//
// Shutdown of ClientOptions.Handlers refuses new calls of the servers and waits for the running ones,
// and leaves the connections to their clients. Callbacks are not calls of a server.
//
// A hook may call Shutdown, which does not wait for the sessions of running hooks. A
// handler must not: Shutdown waits for the handler. Use go srv.Shutdown(ctx) there.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mustBeInitialized()
	mustContext(ctx, "Shutdown")
	within := report.InHook()
	conns, closing := s.stop()
	for _, c := range conns {
		c.conn.Drain()
	}
	ended := make(chan struct{})
	go func() {
		s.awaitHandshakes(closing)
		for _, v := range s.sessions.all() {
			if !within || v.runningHook() == "" {
				<-v.disconnected
				<-v.released
			}
		}
		for _, c := range conns {
			if c.session.isApart() {
				c.conn.Wait()
			}
		}
		if s.awaitAtClients(ctx) {
			close(ended)
		}
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	err := shutdownError(ctx.Err(), conns, s.runningAtClients())
	why := fault.New(fault.Unavailable, fault.OutcomeUnknown, "the server has shut down")
	for _, c := range conns {
		c.conn.Dismiss(why)
	}
	time.AfterFunc(2*netconn.CloseTime, func() { s.Close() })
	return err
}

// shutdownError returns the error of Shutdown after its context has ended with err. It
// names each method once, in the order of names. running are those at clients.
func shutdownError(err error, conns []*serverConn, running []string) error {
	for _, c := range conns {
		running = append(running, c.runningNames(true)...)
	}
	if len(running) == 0 {
		return fmt.Errorf("bsrpc: shutdown: %w", err)
	}
	slices.Sort(running)
	return fmt.Errorf("bsrpc: shutdown: %w; still running: %s", err, strings.Join(slices.Compact(running), ", "))
}

// closeGrace is the time that Close gives handlers to return, after it has cancelled
// their contexts.
const closeGrace = 500 * time.Millisecond

// Close stops the server at once: it closes listeners and connections, cancels the contexts
// of running handlers, and logs those that have not returned. It does not wait for them, except where
// sessions have PerSession receivers or OnDisconnect is set: then it waits for the Close of
// the receivers and for OnDisconnect, in all sessions whose handlers return within half a
// second, and for each hook at most ten seconds. Close returns nil.
//
// A hook may call Close, which does not wait for the sessions of running hooks.
func (s *Server) Close() error {
	s.mustBeInitialized()
	within := report.InHook()
	conns, closing := s.stop()
	began := time.Now()
	failed := s.failAll(conns)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		failed.Wait()
		s.awaitHandshakes(closing)
	}()
	awaitUntil(closed, began.Add(stuckLog))
	for _, v := range s.sessions.all() {
		if !within || v.runningHook() == "" {
			awaitUntil(v.disconnected, began.Add(stuckLog))
		}
	}
	if s.sessions.runsHooksLast() {
		s.awaitLeaving(within, began)
	}
	for _, c := range conns {
		// Also of sessions that have left already. A handler that has returned may be among the
		// running ones for a moment.
		if !within && s.sessions.runsHooksLast() && awaitUntil(c.session.handlersDone, began.Add(closeGrace)) {
			continue
		}
		c.logRunning("bsrpc: Close returns while a handler runs")
	}
	return nil
}

// failAll ends connections in parallel: with TLS each may take a while.
func (s *Server) failAll(conns []*serverConn) *sync.WaitGroup {
	var failed sync.WaitGroup
	for _, c := range conns {
		failed.Go(func() { c.conn.Fail(serverClosed()) })
	}
	return &failed
}

// awaitLeaving waits for the sessions of a closing server, within the time limits of
// handlers and hooks.
func (s *Server) awaitLeaving(within bool, began time.Time) {
	for _, v := range s.sessions.all() {
		if within && v.runningHook() != "" {
			continue
		}
		if !awaitUntil(v.handlersDone, began.Add(closeGrace)) && v.runningHook() == "" {
			continue // a handler runs
		}
		if !awaitUntil(v.released, began.Add(stuckLog)) {
			report.Unlimited(s.log).Warn("bsrpc: Close returns while a hook runs", "session", v.id, "hook", v.runningHook())
		}
	}
}

// awaitHandshakes waits until listeners are closed and handshakes have ended.
func (s *Server) awaitHandshakes(closing []<-chan error) {
	for _, c := range closing {
		<-c
	}
	s.handshakes.Wait()
}

// awaitUntil waits for ch to be closed, until a time. It reports whether ch is closed.
func awaitUntil(ch <-chan struct{}, until time.Time) bool {
	select {
	case <-ch:
		return true
	default:
	}
	left := time.Until(until)
	if left <= 0 {
		return false
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ch:
		return true
	case <-timer.C:
		return false
	}
}

// stop refuses further connections and unfinished handshakes, and closes listeners. It
// returns the connections, and channels with the results of closing.
func (s *Server) stop() (conns []*serverConn, closing []<-chan error) {
	s.mu.Lock()
	if !s.stopping.Swap(true) {
		close(s.sessions.draining)
	}
	s.sessions.queue.Close()
	conns = s.connectionsLocked()
	listeners := slices.Collect(maps.Keys(s.listeners))
	handshakes := s.handshaking.DropAll()
	s.mu.Unlock()
	for _, l := range listeners {
		closing = append(closing, s.log.Start("Close of a listener", (*l).Close))
	}
	for _, h := range handshakes {
		s.interrupt(h)
	}
	return conns, closing
}
