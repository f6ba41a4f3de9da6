package stress

// Programs: what follows from a seed.

import (
	"math/rand/v2"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A generator makes one program.
type generator struct {
	*rand.Rand
	world *world
}

// newWorld returns the program of a seed. In a bubble time is virtual, elsewhere the
// connections are sockets.
func newWorld(seed uint64, bubble bool) *world {
	g := generator{rand.New(rand.NewPCG(seed, 15)), &world{seed: seed, bubble: bubble}}
	w := g.world
	g.options()
	for n := range 1 + g.IntN(3) {
		w.links = append(w.links, g.link(n))
	}
	if w.shutdown = g.chance(0.1); w.shutdown {
		w.shutdownAt = g.upTo(100 * time.Millisecond)
		for _, l := range w.links {
			l.disturbed.shutdown = true
		}
	}
	for range 10 + g.IntN(50) {
		o := g.op(w.links[g.IntN(len(w.links))], g.chance(0.3), 0)
		w.program = append(w.program, o)
	}
	for _, l := range w.links {
		l.fresh = g.fresh(l)
	}
	return w
}

func (g generator) chance(p float64) bool { return g.Float64() < p }

// upTo returns a time of at least one nanosecond.
func (g generator) upTo(d time.Duration) time.Duration {
	if g.chance(0.1) {
		return 1
	}
	return time.Duration(1+g.Int64N(int64(d/time.Millisecond))) * time.Millisecond
}

// options chooses the limits of all ends.
func (g generator) options() {
	w := g.world
	if g.chance(0.3) {
		w.maxInflight = 2 + g.IntN(4)
	}
	if g.chance(0.2) {
		w.maxStreams, w.fewStreams = 3+g.IntN(4), true
	}
	if g.chance(0.15) {
		w.maxConcurrent = 1 + g.IntN(3)
	}
	if g.chance(0.5) {
		w.limits.StreamWindow = 1024 << g.IntN(4)
	}
	if g.chance(0.3) {
		w.limits.ConnWindow = 1 + g.IntN(20_000)
	}
	w.intercepted = g.chance(0.4)
	w.leaves = g.IntN(3)
}

// link plans one connection.
func (g generator) link(n int) *link {
	l := &link{n: n, world: g.world, at: g.upTo(100 * time.Millisecond), cut: -1}
	if g.chance(0.4) {
		l.chop = 1 << g.IntN(17)
	}
	if g.chance(0.1) {
		l.freeze = g.upTo(5 * time.Second)
		if !g.world.bubble {
			l.freeze /= 50
		}
	}
	d := &l.disturbed
	switch g.IntN(12) {
	case 0:
		d.cut, l.cut = true, int64(500+g.IntN(10_000)*(1+g.IntN(20)))
	case 1:
		d.close = true
	case 2:
		d.session = true
	case 3:
		d.dead = g.world.bubble
	}
	return l
}

// add gives an op its id.
func (g generator) add(o *op) *op {
	o.id = int64(len(g.world.ops))
	g.world.ops = append(g.world.ops, o)
	return o
}

// few returns a count, mostly a small one.
func (g generator) few(small, large int) int {
	if g.chance(0.1) {
		return g.IntN(large)
	}
	return g.IntN(small)
}

// end returns how user code ends.
func (g generator) end() ending {
	if g.chance(0.65) {
		return fine
	}
	return ending(g.IntN(int(endings)))
}

// op plans one call.
func (g generator) op(l *link, toClient bool, depth int) *op {
	w := g.world
	o := g.add(&op{kind: kind(g.IntN(int(kinds))), link: l, toClient: toClient, nested: depth > 0, takes: -1, handles: -1, size: g.few(80, 5000)})
	for o.kind == byName && toClient || (o.kind == relay || o.kind == callback) && g.noRelay(toClient, depth) {
		o.kind = kind(g.IntN(int(kinds)))
	}
	if depth == 0 && g.chance(0.6) {
		o.start = g.upTo(100 * time.Millisecond)
	}
	if o.kind == bulk {
		o.size = g.few(10_000, 300_000)
	}
	o.ends = g.end()
	o.metadata = g.chance(0.3) && o.kind != quick && o.kind != byName
	o.deaf, o.twice = g.chance(0.2), g.chance(0.2)
	if g.chance(0.4) && o.kind != quick && o.kind != byName {
		o.pause = g.upTo(30 * time.Millisecond)
	}
	if g.chance(0.12) {
		o.cancel = g.upTo(100 * time.Millisecond)
	}
	if g.chance(0.12) {
		o.timeout = g.upTo(100 * time.Millisecond)
	}
	g.streams(o)
	o.dropped = (o.kind.returns() && !o.nested && g.chance(0.08) || o.kind == future && g.chance(0.2)) && w.maxConcurrent == 0
	g.hang(o)
	if o.kind == relay {
		o.inner = g.op(l, !toClient, depth+1)
	}
	return o
}

// noRelay reports whether a call with calls back might wait for one that waits for it.
func (g generator) noRelay(toClient bool, depth int) bool {
	limited := g.world.maxInflight > 0 || g.world.maxConcurrent > 0
	return depth > 2 || limited && (toClient || depth > 0)
}

// streams plans the streams of a call.
func (g generator) streams(o *op) {
	small, large := 30, 2000
	if o.kind.reads() {
		small, large = 50_000, 500_000
	}
	if o.size > 500 {
		large /= 20
	}
	if g.chance(0.3) {
		o.step, large = g.upTo(4*time.Millisecond), small
	}
	if g.chance(0.3) {
		o.slow, large = g.upTo(4*time.Millisecond), small
	}
	if o.kind.sends() {
		o.sent, o.sentEnds = g.few(small, large), g.end()
		if o.kind == loadValues && o.sentEnds != panics && o.sentEnds != goexits {
			o.sentEnds = fine
		}
		if g.chance(0.25) {
			o.handles = g.IntN(o.sent + 2)
		}
	}
	if o.kind == callback {
		o.items = g.few(20, 200)
		if o.sentEnds = g.end(); o.items == 0 {
			o.sentEnds = fine
		}
	}
	if o.kind.returns() {
		o.items = g.few(small, large)
		if g.chance(0.25) {
			o.takes = 1 + g.IntN(o.items+1)
		}
		o.early = o.ends != fine && g.chance(0.3)
	}
}

// hang lets some handlers wait for their context, if that ends.
func (g generator) hang(o *op) {
	if o.kind == quick || o.kind == byName || o.kind == relay || o.kind == oneway || o.early || !g.chance(0.1) {
		return
	}
	leaves := o.dropped && o.kind != future || o.kind.returns() && o.takes > 0 && o.takes <= o.want().returned
	if !leaves && o.cancel == 0 && o.timeout == 0 {
		o.cancel = g.upTo(100 * time.Millisecond)
	}
	o.hangs = true
}

// fresh returns the calls made at the end, which no disturbance excuses. They use up the
// limits of the connection.
func (g generator) fresh(l *link) (all []*op) {
	w := g.world
	add := func(k kind, toClient bool, items int) {
		all = append(all, g.add(&op{kind: k, link: l, toClient: toClient, takes: -1, handles: -1, items: items, sent: items, size: 20, strict: true, pause: time.Millisecond}))
	}
	for _, toClient := range []bool{false, true} {
		n := 3
		if w.maxStreams > 0 {
			n = w.maxStreams
		}
		for i := range n {
			k := [...]kind{watch, load, opened, loadValues, watchValues}[i%5]
			add(k, toClient, 300)
		}
		for range max(w.maxInflight, 3) {
			add(unary, toClient, 0)
		}
		add(bulk, toClient, 0)
		all[len(all)-1].size = 200_000
	}
	return all
}

// serverOptions returns the options of the server, or of the handlers of a client.
func (w *world) serverOptions(atClient bool) *bsrpc.ServerOptions {
	opts := &bsrpc.ServerOptions{
		MaxInflight: w.maxInflight, MaxStreams: w.maxStreams, DefaultCallTimeout: 5 * time.Minute,
		Errors: identities, Limits: w.limits, Logger: quiet,
	}
	if w.intercepted {
		opts.Interceptors = []bsrpc.Interceptor{w.intercept, pass}
	}
	if !atClient {
		opts.MaxConcurrentCalls = w.maxConcurrent
		opts.OnConnect, opts.OnDisconnect = w.onConnect, w.onDisconnect
		if w.intercepted {
			opts.OutgoingInterceptors = []bsrpc.Interceptor{w.intercept}
		}
	}
	return opts
}

func (w *world) clientOptions(handlers *bsrpc.Server) *bsrpc.ClientOptions {
	opts := &bsrpc.ClientOptions{
		Handlers: handlers, DefaultCallTimeout: 5 * time.Minute, Errors: identities, Limits: w.limits, Logger: quiet,
	}
	if w.intercepted {
		opts.Interceptors = []bsrpc.Interceptor{w.intercept, pass}
	}
	return opts
}
