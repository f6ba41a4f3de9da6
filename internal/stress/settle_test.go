package stress

// What must be true after a program: nothing is left, and the connections work.

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc"
)

// settle waits for the end of all handlers and iterators, and checks their records.
func (w *world) settle() {
	for _, o := range w.ops {
		if o.dropped && o.kind.returns() && !o.ended() {
			w.collect()
			break
		}
	}
	for _, end := range w.ends {
		end()
	}
	if w.bubble {
		time.Sleep(time.Minute)
	}
	for _, o := range w.ops {
		if !w.until("calls are left", o.ended) {
			w.fault(o, "left: handler begun %d, left %d, results used %d, iterators %d, of the caller %d", o.begun.Load(), o.left.Load(), o.ranged.Load(), o.ranging.Load(), o.sending.Load())
			return
		}
		if o.over.Load() {
			o.checkEnd()
		}
	}
	w.until("interceptors: calls without an end", func() bool { return w.intercepts.Load() == w.passed.Load() })
}

// ended reports whether nothing of a call is running.
func (o *op) ended() bool {
	if o.kind.returns() && !o.early && o.ranged.Load() != o.begun.Load() {
		return false // not ranged over yet, or not closed
	}
	return o.begun.Load() == o.left.Load() && o.ranging.Load() == 0 && o.sending.Load() == 0
}

// checkEnd checks the record of a call.
func (o *op) checkEnd() {
	w := o.link.world
	if !o.unused() {
		o.checkRuns(o.err)
	}
	if n := o.closed.Load(); o.kind == upload && n != 1 {
		w.fault(o, "the caller's reader is closed %d times", n)
	}
	// A dropped stream may be canceled before its handler begins.
	undisturbed := !o.link.disturbed.lost() && !w.shutdown && !w.fewStreams && o.cancel == 0 && o.timeout == 0 && !o.nested
	if (o.kind == oneway || o.kind == future) && undisturbed {
		w.until("a call without a waiting caller has not run", func() bool { return o.begun.Load() == 1 && o.ended() })
	}
}

// collect runs the garbage collector until dropped streams are canceled.
func (w *world) collect() {
	for range 300 {
		running := false
		for _, o := range w.ops {
			running = running || o.dropped && o.kind.returns() && !o.ended()
		}
		if !running {
			return
		}
		runtime.GC()
		runtime.Gosched()
		for _, l := range w.links {
			if l.client.Err() == nil {
				l.client.Call(context.Background(), "Stress.None", nil) // makes the connection read
			}
			if v := l.session.Load(); v.Context().Err() == nil {
				bsrpc.Bind[struct{ None func() error }](context.Background(), v, "Stress")
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// check checks that a connection works as on its first day, and that a disturbed one has
// ended.
func (l *link) check() {
	w := l.world
	if l.disturbed.shutdown || l.disturbed.cut {
		return
	}
	if l.disturbed.lost() { // the other end has just closed it, perhaps
		w.until(fmt.Sprintf("connection %d: still open", l.n), func() bool { return l.client.Err() != nil })
		return
	}
	if err := l.client.Err(); err != nil {
		w.fault(nil, "connection %d: %v", l.n, err)
		return
	}
	for _, streams := range []bool{true, false} {
		var running sync.WaitGroup
		for _, o := range l.fresh {
			if (o.kind.returns() || o.kind.sends()) == streams {
				running.Go(func() { o.call(context.Background()) })
			}
		}
		w.await(&running)
	}
}

// close ends all connections.
func (w *world) close() {
	clients := func() {
		for _, l := range w.links {
			l.client.Close()
		}
	}
	switch w.leaves {
	case 0:
		clients()
	case 1:
		w.server.Close()
	case 2:
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := w.server.Shutdown(ctx); err != nil {
			w.fault(nil, "Shutdown of idle connections: %v", err)
		}
		cancel()
	}
	clients()
	for _, l := range w.links {
		if l.tube != nil {
			l.tube.close()
		}
	}
	w.served.Wait()
	w.server.Close()
	if n, m := w.connected.Load(), w.gone.Load(); n != m || n != int64(len(w.links)) {
		w.fault(nil, "%d sessions, %d have ended", n, m)
	}
}

// A tube carries bytes between two connections, in small pieces, until it is frozen or cut.
type tube struct {
	a, b net.Conn
	left atomic.Int64 // bytes until it is cut; below zero for never
	done chan struct{}
	once sync.Once

	mu   sync.Mutex
	warm time.Time // frozen until then
}

func newTube(a, b net.Conn, chop int) *tube {
	t := &tube{a: a, b: b, done: make(chan struct{})}
	t.left.Store(-1)
	go t.copy(a, b, chop)
	go t.copy(b, a, chop)
	return t
}

func (t *tube) freeze(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.warm = time.Now().Add(d)
}

func (t *tube) close() {
	t.once.Do(func() { close(t.done) })
	t.a.Close()
	t.b.Close()
}

// thaw waits while the tube is frozen.
func (t *tube) thaw() {
	t.mu.Lock()
	d := time.Until(t.warm)
	t.mu.Unlock()
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.done:
	}
}

func (t *tube) copy(to, from net.Conn, chop int) {
	buf := make([]byte, chop)
	for {
		n, err := from.Read(buf)
		t.thaw()
		if left := t.left.Load(); left >= 0 {
			if rest := t.left.Add(int64(-n)); rest <= 0 {
				to.Write(buf[:max(0, min(n, int(left)))])
				t.close()
				return
			}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			t.close()
			return
		}
		if err == io.EOF {
			if c, ok := to.(interface{ CloseWrite() error }); ok {
				c.CloseWrite()
				return
			}
		}
		if err != nil {
			t.close()
			return
		}
	}
}
