package bsrpc

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
)

// How a server ends. Users' code may hang in each of its parts: in handlers, in
// hooks, in the Close of a listener. Nothing here waits for such code without a
// bound, or with a lock held.

// Shutdown stops the server gracefully: it closes the listeners, refuses those
// who wait and new calls, as not run, and closes each connection when no call of
// it is running and its last answers have been written. Session.Draining is closed
// first, so that long calls can end. Shutdown returns nil when all sessions have
// left, OnDisconnect included.
//
// When ctx ends first, Shutdown returns ctx's error at once. The contexts of the
// handlers are cancelled then, the calls that still run end at their callers with
// CodeUnavailable, and all connections are closed within a second. Close waits for
// what hooks then still do.
//
// A hook may call Shutdown: sessions in which a hook is running are not waited for.
// A handler must not wait for it, as it waits for the handler: go srv.Shutdown(ctx).
func (s *Server) Shutdown(ctx context.Context) error {
	s.mustBeMade()
	if ctx == nil {
		panic("bsrpc: Shutdown: nil context; use context.Background()")
	}
	within := report.InHook()
	conns, closing := s.stop()
	for _, c := range conns {
		c.conn.Drain()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.awaitEntrances(closing)
		for _, v := range s.sessions.all() {
			if !within || v.runningHook() == "" {
				<-v.disconnected
				<-v.released
			}
		}
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	why := fault.New(fault.Unavailable, fault.OutcomeUnknown, "the server has shut down")
	for _, c := range conns {
		c.conn.Dismiss(why)
	}
	time.AfterFunc(2*netconn.CloseTime, func() { s.Close() })
	return ctx.Err()
}

// closeGrace is how long Close waits for handlers, whose contexts it has
// cancelled, to return.
const closeGrace = 500 * time.Millisecond

// Close stops the server at once: listeners and connections are closed, and the
// contexts of running handlers cancelled. It does not wait for handlers; it logs
// which ones run. Where sessions have receivers of
// their own, or there is an OnDisconnect, it waits until these are closed and that
// has returned, for all sessions whose handlers return within half a second. A hook
// that has not returned after ten seconds is logged, and not waited for. Close
// returns nil.
//
// A hook may call Close: sessions in which a hook is running are not waited for.
func (s *Server) Close() error {
	s.mustBeMade()
	within := report.InHook()
	conns, closing := s.stop()
	began := time.Now()
	for _, c := range conns {
		c.logRunning("bsrpc: closing while a handler runs")
	}
	failed := s.failAll(conns)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		failed.Wait()
		s.awaitEntrances(closing)
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
	return nil
}

// failAll ends connections, side by side: with TLS each may take its time.
func (s *Server) failAll(conns []*serverConn) *sync.WaitGroup {
	var failed sync.WaitGroup
	for _, c := range conns {
		failed.Go(func() { c.conn.Fail(serverClosed()) })
	}
	return &failed
}

// awaitLeaving waits for the sessions of a server that closes, each as long as its
// handlers, or its hooks, have.
func (s *Server) awaitLeaving(within bool, began time.Time) {
	for _, v := range s.sessions.all() {
		if within && v.runningHook() != "" {
			continue
		}
		if !awaitUntil(v.handlersDone, began.Add(closeGrace)) && v.runningHook() == "" {
			continue // a handler runs
		}
		if !awaitUntil(v.released, began.Add(stuckLog)) {
			s.log.Warn("bsrpc: Close returns while a hook runs", "session", v.id, "hook", v.runningHook())
		}
	}
}

// awaitEntrances waits until listeners are closed and handshakes have ended.
func (s *Server) awaitEntrances(closing []<-chan error) {
	for _, c := range closing {
		<-c
	}
	s.handshakes.Wait()
}

// awaitUntil waits for ch to be closed, and reports whether it is.
func awaitUntil(ch <-chan struct{}, until time.Time) bool {
	select {
	case <-ch:
		return true
	default:
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ch:
		return true
	case <-timer.C:
		return false
	}
}

// stop takes no new connections. It returns those that there are, and what has the
// results of closing listeners and unfinished handshakes.
func (s *Server) stop() (conns []*serverConn, closing []<-chan error) {
	s.mu.Lock()
	if !s.stopping {
		s.stopping = true
		close(s.sessions.draining)
	}
	s.sessions.queue.Close()
	conns = slices.Collect(maps.Keys(s.conns))
	listeners := slices.Collect(maps.Keys(s.listeners))
	shaking := slices.Clone(s.shaking)
	s.mu.Unlock()
	for _, l := range listeners {
		closing = append(closing, s.log.Start("Close of a listener", (*l).Close))
	}
	for _, nc := range shaking {
		closing = append(closing, s.closeConn(nc))
	}
	return conns, closing
}

// closeConn closes a connection whose Close may be the user's.
func (s *Server) closeConn(nc *net.Conn) <-chan error {
	return s.log.Start("Close of a connection", (*nc).Close)
}
