package stress

// A world runs one program: a server, its clients, and what happens to their connections.

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

var quiet = slog.New(slog.DiscardHandler)

// reason is that of sessions closed by the server.
const reason = "closed on purpose"

// A world is one program and its run.
type world struct {
	seed       uint64
	bubble     bool
	ops        []*op // all, by id
	program    []*op // those that begin by themselves
	links      []*link
	shutdown   bool
	shutdownAt time.Duration
	leaves     int // who closes at the end

	maxInflight, maxStreams, maxConcurrent int
	fewStreams, intercepted                bool
	limits                                 bsrpc.Limits

	t                  testing.TB
	server             *bsrpc.Server
	intercepts, passed atomic.Int64 // calls seen by interceptors, and those that have ended
	connected, gone    atomic.Int64 // sessions
	served, later      sync.WaitGroup
	mu                 sync.Mutex // guards the rest
	ends               []func()
	faults             int
}

// A disturbance is what a program does to a connection.
type disturbance struct{ cut, close, session, dead, shutdown bool }

func (d *disturbance) lost() bool { return d.cut || d.close || d.session || d.dead }

// A link is one connection.
type link struct {
	n         int
	world     *world
	disturbed disturbance
	at        time.Duration // of the disturbance
	cut       int64         // after so many bytes; -1 for never
	chop      int           // bytes passed on at a time; 0 for no tube
	freeze    time.Duration // at the same time
	fresh     []*op

	client             *bsrpc.Client
	session            atomic.Pointer[bsrpc.Session]
	toServer, toClient *contract
	tube               *tube
}

// fault reports a difference from the model.
func (w *world) fault(o *op, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults++; w.faults > 20 {
		return
	}
	where := ""
	if o != nil {
		where = "\n\t" + o.String()
	}
	w.t.Errorf("seed %d: "+format+"%s", append(append([]any{w.seed}, args...), where)...)
}

// atEnd calls f at the end of the program.
func (w *world) atEnd(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, f)
}

// after calls f a little later, also after the end of the call that asks for it.
func (w *world) after(f func()) {
	w.later.Go(func() {
		time.Sleep(500 * time.Millisecond)
		f()
	})
}

// sleep waits for d, or for the end of ctx unless deaf is set.
func (w *world) sleep(ctx context.Context, d time.Duration, deaf bool) {
	if deaf || ctx == nil {
		time.Sleep(d)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (w *world) onConnect(context.Context, *bsrpc.Session) error { w.connected.Add(1); return nil }
func (w *world) onDisconnect(*bsrpc.Session)                     { w.gone.Add(1) }

// intercept counts calls and their ends.
func (w *world) intercept(next bsrpc.CallFunc) bsrpc.CallFunc {
	return func(ctx context.Context, call *bsrpc.Call) error {
		w.intercepts.Add(1)
		call.OnEnd(func(error) { w.passed.Add(1) })
		return next(ctx, call)
	}
}

func pass(next bsrpc.CallFunc) bsrpc.CallFunc {
	return func(ctx context.Context, call *bsrpc.Call) error {
		call.OnItem(func(bool, any) error { return nil })
		return next(ctx, call)
	}
}

func (l *link) proxy(toClient bool) *contract {
	if toClient {
		return l.toClient
	}
	return l.toServer
}

// register returns a server with the service of an end.
func (w *world) register(atClient bool) *bsrpc.Server {
	srv := bsrpc.NewServer(w.serverOptions(atClient))
	if err := bsrpc.RegisterAs[served](srv, "Stress", &service{world: w, atClient: atClient}); err != nil {
		w.t.Fatal(err)
	}
	return srv
}

// connect makes a connection in both directions.
func (l *link) connect() error {
	w := l.world
	near, far, err := l.conns()
	if err != nil {
		return err
	}
	w.served.Go(func() { w.server.ServeConn(far) })
	ctx := context.Background()
	if l.client, err = bsrpc.NewClient(ctx, near, w.clientOptions(w.register(true))); err != nil {
		return err
	}
	if l.toServer, err = bsrpc.Bind[contract](ctx, l.client, "Stress"); err != nil {
		return err
	}
	for _, v := range w.server.Sessions() {
		known := false
		for _, other := range w.links {
			known = known || other.session.Load() == v
		}
		if !known {
			l.session.Store(v)
		}
	}
	l.toClient, err = bsrpc.Bind[contract](ctx, l.session.Load(), "Stress")
	return err
}

// conns returns the two ends of a new connection, through a tube if anything happens to it.
func (l *link) conns() (near, far net.Conn, err error) {
	near, far, err = l.world.pair()
	if err != nil || l.chop == 0 && l.freeze == 0 && !l.disturbed.cut && !l.disturbed.dead {
		return near, far, err
	}
	inner, outer, err := l.world.pair()
	if err != nil {
		return nil, nil, err
	}
	l.tube = newTube(far, inner, max(l.chop, 16))
	return near, outer, nil
}

// pair returns a pipe, or two connected sockets.
func (w *world) pair() (near, far net.Conn, err error) {
	if w.bubble {
		near, far = net.Pipe()
		return near, far, nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		return nil, nil, err
	}
	far, err = ln.Accept()
	return near, far, err
}

// disturb does to a connection what the program says.
func (l *link) disturb() {
	if l.tube != nil && l.disturbed.cut {
		l.tube.left.Store(l.cut)
	}
	time.Sleep(l.at)
	switch d := &l.disturbed; {
	case d.close:
		l.client.Close()
	case d.session:
		l.session.Load().Close(reason)
	case d.dead:
		l.tube.freeze(time.Hour)
	case l.freeze > 0:
		l.tube.freeze(l.freeze)
	}
}

// run runs the program, and checks that nothing is left.
func (w *world) run(t testing.TB) {
	w.t = t
	before := runtime.NumGoroutine()
	w.server = w.register(false)
	for _, l := range w.links {
		if err := l.connect(); err != nil {
			t.Fatalf("seed %d: connection %d: %v", w.seed, l.n, err)
		}
	}
	var running sync.WaitGroup
	for _, l := range w.links {
		running.Go(l.disturb)
	}
	for _, o := range w.program {
		running.Go(o.run)
	}
	var down chan error
	if w.shutdown {
		down = make(chan error, 1)
		go func() {
			time.Sleep(w.shutdownAt)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
			defer cancel()
			down <- w.server.Shutdown(ctx)
		}()
	}
	w.await(&running)
	w.settle()
	w.await(&w.later)
	for _, l := range w.links {
		l.check()
	}
	if down != nil {
		if err := <-down; err != nil {
			w.fault(nil, "Shutdown: %v", err)
		}
	}
	w.close()
	if !w.bubble { // a bubble finds goroutines itself
		w.until("goroutines are left", func() bool { return runtime.NumGoroutine() <= before })
	}
}

// patience is how long a program may take, above all its own times.
const patience = 5 * time.Minute

// await waits for the calls of the program.
func (w *world) await(running *sync.WaitGroup) {
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		for _, o := range w.program {
			if !o.over.Load() {
				w.fault(o, "has not ended")
			}
		}
		buf := make([]byte, 1<<20)
		panic(fmt.Sprintf("seed %d: the program has not ended\n%s", w.seed, buf[:runtime.Stack(buf, true)]))
	}
}

// until waits until something is true.
func (w *world) until(what string, is func() bool) bool {
	for range 2000 {
		if is() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	w.fault(nil, "%s\n%s", what, buf[:runtime.Stack(buf, true)])
	return false
}
