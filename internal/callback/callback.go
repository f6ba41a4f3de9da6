// Package callback runs the funcs among the arguments of a call, at the caller.
//
// The peer calls them until the call is over. Those without an answer run in order, one
// after another. Each of the others starts when all before it have started, and runs on a
// goroutine of its own, so that a func may make calls which call funcs again.
package callback

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/method"
)

// Funcs are the funcs among the arguments of one call. They are safe for concurrent use.
type Funcs struct {
	ctx    context.Context
	cancel context.CancelFunc
	params []*method.FuncParam
	funcs  []*method.Func // nil for a nil func
	ended  chan struct{}  // closed when End returns

	mu      sync.Mutex    // guards the rest
	waiting []start       // the first one is oneway
	running bool          // a goroutine runs loop
	over    bool          // nothing starts any more
	idle    chan struct{} // if not nil, closed when loop returns
}

// A start is a func to start, or to drop if the call is over.
type start struct {
	oneway bool // the next one of these waits for its end
	run    func(drop bool)
}

// New returns the funcs among the arguments v of a call. Their context is ctx, until End.
func New(ctx context.Context, params []*method.FuncParam, v *method.Values) *Funcs {
	f := &Funcs{params: params, ended: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(ctx)
	for _, p := range params {
		f.funcs = append(f.funcs, p.Func(v))
	}
	return f
}

// Context returns the parent of the contexts of the funcs.
func (f *Funcs) Context() context.Context { return f.ctx }

// Find returns the func with a number, 1 and above. It returns nil if the func is nil, or
// if there is none.
func (f *Funcs) Find(number uint16) (*method.FuncParam, *method.Func) {
	i := int(number) - 1
	if i < 0 || i >= len(f.funcs) || f.funcs[i] == nil {
		return nil, nil
	}
	return f.params[i], f.funcs[i]
}

// Start calls run later, once, on another goroutine: with true if the call is over by then.
// If oneway is true, the next oneway run starts after it has returned. Start reports false if
// the call is over already, and does not wait.
func (f *Funcs) Start(oneway bool, run func(drop bool)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch s := (start{oneway, run}); {
	case f.over:
		return false
	case len(f.waiting) > 0 || oneway && f.running:
		f.waiting = append(f.waiting, s)
	case oneway:
		f.running = true
		go f.loop(s)
	default:
		go run(false)
	}
	return true
}

// loop runs s and then the waiting funcs, until there are none.
func (f *Funcs) loop(s start) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if next, ok := f.next(); ok { // runtime.Goexit in a func
			go f.loop(next)
		}
	}()
	for ok := true; ok; s, ok = f.next() {
		s.run(false)
	}
	returned = true
}

// next returns the next func to run, and starts those behind it that have an answer. Without
// one, it ends the loop.
func (f *Funcs) next() (s start, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) > 0 {
		s = f.shiftLocked()
		for len(f.waiting) > 0 && !f.waiting[0].oneway {
			go f.shiftLocked().run(false)
		}
		return s, true
	}
	if f.waiting, f.running = nil, false; f.idle != nil {
		close(f.idle)
	}
	return s, false
}

// shiftLocked removes the first waiting func.
func (f *Funcs) shiftLocked() start {
	s := f.waiting[0]
	f.waiting[0] = start{}
	f.waiting = f.waiting[1:]
	return s
}

// End ends the funcs with their call. Those without an answer that have arrived still run,
// and End waits for them while the context, and the time left if it is limited, permit. The
// others are canceled. End is called once.
func (f *Funcs) End(left time.Duration, limited bool) {
	defer close(f.ended)
	defer f.cancel()
	idle := f.stop()
	if idle == nil {
		return
	}
	var expired <-chan time.Time
	if limited {
		timer := time.NewTimer(left)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-idle:
	case <-f.ctx.Done():
		f.drop()
	case <-expired:
		f.drop()
	}
}

// AwaitEnd waits until End has returned.
func (f *Funcs) AwaitEnd() { <-f.ended }

// stop stops further starts. It returns a channel closed after the last one, nil if nothing
// waits.
func (f *Funcs) stop() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.running {
		f.idle = make(chan struct{})
	}
	return f.idle
}

// drop drops the waiting funcs.
func (f *Funcs) drop() {
	f.mu.Lock()
	dropped := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	for _, s := range dropped {
		go s.run(true)
	}
}
