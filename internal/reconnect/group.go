package reconnect

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
)

// A Config is what a Group needs to know. E identifies an endpoint.
type Config[E comparable] struct {
	// Connect makes a connection. It returns soon after the end of ctx. It calls waiting when
	// the connection waits for admission. before is the connection to e that was lost, or nil.
	Connect func(ctx context.Context, e E, before *Conn, waiting func()) (*Conn, error)

	Most    int            // endpoints used at a time
	AskTime time.Duration  // of Endpoints, within its period; DialTimeout
	Patient bool           // calls wait also while no attempt is under way
	Rand    func() float64 // from 0 to below 1
	Log     *report.Log

	// User code, which may hang or panic. Nil means none.
	Endpoints func(ctx context.Context) ([]E, error)   // nil: there is only that of Begin
	Prepare   func(ctx context.Context, c *Conn) error // of connections after the first
	OnState   func(State)                              // its calls do not overlap
}

// endpointsPeriod is the time between two questions for endpoints.
const endpointsPeriod = 30 * time.Second

// A Group is the connections of one client. Create it with New. All methods are safe for
// concurrent use.
type Group[E comparable, B any] struct {
	cfg    Config[E]
	ctx    context.Context // ends with the group
	cancel context.CancelFunc
	lost   chan struct{} // capacity 1: a connection is lost, so ask for endpoints
	states *states

	list  []E // of Begin, for Keep
	at    E
	first *Conn

	contracts contracts[B] // its mutex is taken after mu

	mu      sync.Mutex // guards the rest
	keepers []*keeper[E, B]
	refused []E // endpoints that have ended their connection for good, as long as they are listed
	all     []*Conn
	changed chan struct{} // closed at the next change that may end a wait
	cause   *fault.Fault  // why the newest attempt failed, or the newest connection ended
	waiters int
	bytes   int // of their arguments
	budget  budget
	why     *fault.Fault // the end of the group
	done    chan struct{}
	running sync.WaitGroup
}

// New returns a group without connections. Begin must follow.
func New[E comparable, B any](cfg Config[E]) *Group[E, B] {
	g := &Group[E, B]{cfg: cfg, lost: make(chan struct{}, 1), changed: make(chan struct{}), done: make(chan struct{}), states: newStates(cfg.OnState, cfg.Log)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Done returns a channel closed at the end of the group.
func (g *Group[E, B]) Done() <-chan struct{} { return g.done }

// Err returns the reason for the end, nil before.
func (g *Group[E, B]) Err() *fault.Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.why
}

// Conns returns the connections. The caller owns the slice.
func (g *Group[E, B]) Conns() []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.all)
}

// Begin makes the first connection, to the first endpoint that can be reached, within ctx.
// Keep must follow, or the group is without effect. After an error it has ended.
func (g *Group[E, B]) Begin(ctx context.Context, first E) (*Conn, error) {
	g.states.set(Connecting)
	list, err := []E{first}, error(nil)
	if g.cfg.Endpoints != nil {
		list, err = g.endpoints(ctx)
	}
	for i := 0; i < len(list) && (i == 0 && err == nil || i > 0 && ctx.Err() == nil); i++ {
		var c *Conn
		if c, err = g.cfg.Connect(ctx, list[i], nil, func() { g.states.set(Waiting) }); err == nil {
			g.list, g.at, g.first = list, list[i], c
			return c, nil
		}
	}
	g.End(faultOf(err))
	return nil, err
}

// Keep starts the keepers after Begin.
func (g *Group[E, B]) Keep() {
	g.mu.Lock()
	g.startLocked(g.at, g.first)
	g.mu.Unlock()
	g.publish()
	if g.cfg.Endpoints != nil {
		g.follow(g.list)
		g.running.Add(1)
		go g.ask()
	}
}

// endpoints asks for the endpoints to use.
func (g *Group[E, B]) endpoints(ctx context.Context) (list []E, err error) {
	most := min(g.cfg.AskTime, endpointsPeriod)
	ctx, stop := context.WithTimeoutCause(ctx, most, fault.New(fault.DeadlineExceeded, fault.NotRun, "Endpoints has not returned in %v (DialTimeout)", most))
	defer stop()
	var found []E
	err = g.guard(ctx, "Endpoints", func() (err error) {
		found, err = g.cfg.Endpoints(ctx)
		return err
	})
	if late, ok := context.Cause(ctx).(*fault.Fault); ok && err != nil {
		return nil, late
	}
	if err == nil {
		list = g.cut(found)
	}
	if err == nil && len(list) == 0 {
		err = fault.New(fault.Unavailable, fault.NotRun, "Endpoints: no endpoints")
	}
	return list, err
}

// guard calls user code, which may hang: guard does not, after the end of ctx.
func (g *Group[E, B]) guard(ctx context.Context, name string, f func() error) error {
	select {
	case err := <-g.cfg.Log.Start(name, f):
		if err == nil {
			return nil
		}
		if p, ok := err.(*fault.Fault); ok { // a panic, whose text has the name
			own := p.WithOutcome(fault.NotRun)
			own.Code = fault.Unavailable
			return own
		}
		return fault.New(fault.Unavailable, fault.NotRun, "%s: %w", name, fault.WithoutContextErrors(err))
	case <-ctx.Done():
		return fault.New(fault.Unavailable, fault.NotRun, "%s has not returned", name)
	}
}

// connect makes a connection that is ready for calls, of a keeper.
func (g *Group[E, B]) connect(ctx context.Context, e E, before *Conn, waiting func()) (*Conn, error) {
	c, err := g.cfg.Connect(ctx, e, before, waiting)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.Done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if g.cfg.Prepare != nil {
		err = g.guard(ctx, "OnReconnect", func() error { return g.cfg.Prepare(ctx, c) })
	}
	if err == nil {
		g.contracts.rebind(ctx, c)
	}
	if c.Ended() {
		return nil, c.Why().WithOutcome(fault.NotRun)
	}
	if err != nil || ctx.Err() != nil {
		c.Close(fault.New(fault.Unavailable, fault.OutcomeUnknown, "the connection was not used"))
		return nil, cmp.Or(err, ctx.Err())
	}
	return c, nil
}

// cut returns the endpoints of list to use: each once, not too many, and none that has refused. Those
// with a connection come first: DNS returns the addresses of a name in another order each time.
func (g *Group[E, B]) cut(list []E) (used []E) {
	g.mu.Lock()
	connected := make(map[E]bool)
	if len(list) > 0 {
		g.refused = slices.DeleteFunc(g.refused, func(e E) bool { return !slices.Contains(list, e) })
		list = slices.DeleteFunc(slices.Clone(list), func(e E) bool { return slices.Contains(g.refused, e) })
	}
	for _, k := range g.keepers {
		connected[k.at] = k.conn != nil
	}
	g.mu.Unlock()
	for _, first := range []bool{true, false} {
		for _, e := range list {
			if connected[e] == first && len(used) < g.cfg.Most && !slices.Contains(used, e) {
				used = append(used, e)
			}
		}
	}
	return used
}

// ask asks for endpoints when a connection is lost, and from time to time.
func (g *Group[E, B]) ask() {
	defer g.running.Done()
	timer := time.NewTimer(endpointsPeriod)
	defer timer.Stop()
	for {
		select {
		case <-g.lost:
		case <-timer.C:
		case <-g.ctx.Done():
			return
		}
		if list, err := g.endpoints(g.ctx); err == nil { // otherwise the old ones stay
			g.follow(list)
		}
		timer.Reset(endpointsPeriod)
	}
}

// askSoon makes ask ask without waiting for its timer.
func (g *Group[E, B]) askSoon() {
	select {
	case g.lost <- struct{}{}:
	default:
	}
}

// follow starts keepers for the endpoints of list, and stops all others.
func (g *Group[E, B]) follow(list []E) {
	g.mu.Lock()
	if g.why != nil || g.pinnedLocked() {
		g.mu.Unlock()
		return
	}
	var old []*keeper[E, B]
	for _, k := range g.keepers {
		if i := slices.Index(list, k.at); i >= 0 {
			list = slices.Delete(slices.Clone(list), i, i+1)
		} else {
			old = append(old, k)
		}
	}
	for _, e := range list {
		g.startLocked(e, nil)
	}
	for _, k := range old {
		g.stopLocked(k)
	}
	g.mu.Unlock()
	g.publish()
}

// startLocked starts a keeper. c is its first connection, nil for none.
func (g *Group[E, B]) startLocked(at E, c *Conn) {
	if g.why != nil {
		return
	}
	k := &keeper[E, B]{g: g, at: at, conn: c, stop: make(chan struct{}), backoff: backoff{rand: g.cfg.Rand}}
	k.state = Connecting
	if c != nil {
		k.state = Ready
		g.all = append(g.all, c)
	}
	g.keepers = append(g.keepers, k)
	g.running.Add(1)
	go k.run(c)
}

// stopLocked stops a keeper. Its connection goes once its calls have ended.
func (g *Group[E, B]) stopLocked(k *keeper[E, B]) {
	g.keepers = slices.DeleteFunc(g.keepers, func(other *keeper[E, B]) bool { return other == k })
	if k.conn != nil {
		k.conn.leave()
		k.conn = nil
	}
	close(k.stop)
}

// pinnedLocked reports whether a session holds state. Then the group uses its connection
// alone.
func (g *Group[E, B]) pinnedLocked() bool {
	return slices.ContainsFunc(g.keepers, func(k *keeper[E, B]) bool { return k.conn != nil && k.conn.holding.isSet() })
}

// pin stops all keepers but one, whose session holds state.
func (g *Group[E, B]) pin(to *keeper[E, B]) {
	g.mu.Lock()
	for _, k := range slices.Clone(g.keepers) {
		if k != to && slices.Contains(g.keepers, to) {
			g.stopLocked(k)
		}
	}
	g.mu.Unlock()
	g.publish()
}

// publish gives the methods the usable connections, and wakes the calls that wait.
func (g *Group[E, B]) publish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ready []*Conn
	for _, k := range g.keepers {
		if k.conn != nil {
			ready = append(ready, k.conn)
		}
	}
	g.contracts.publish(ready)
	g.changedLocked()
}

// changedLocked wakes the calls that wait, and notes the state.
func (g *Group[E, B]) changedLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
	state := Lost
	for _, k := range g.keepers {
		state = better(state, k.state)
	}
	if g.why != nil {
		state = Closed
	}
	g.states.set(state)
}

// over notes that a keeper will not connect again because of why, and ends the group with
// its last keeper. Another endpoint may take the place of its own.
func (g *Group[E, B]) over(k *keeper[E, B], why *fault.Fault) {
	g.mu.Lock()
	if i := slices.Index(g.keepers, k); i >= 0 {
		g.keepers = slices.Delete(g.keepers, i, i+1)
		g.refused = append(g.refused, k.at)
		k.conn = nil
	}
	last := len(g.keepers) == 0
	g.mu.Unlock()
	if last {
		g.end(why)
	} else {
		g.publish()
		g.askSoon()
	}
}

// End ends the group and its connections because of why. It waits for their goroutines.
func (g *Group[E, B]) End(why *fault.Fault) {
	g.end(why)
	g.running.Wait()
}

// end is End without waiting for keepers.
func (g *Group[E, B]) end(why *fault.Fault) {
	g.mu.Lock()
	if g.why != nil {
		g.why = g.why.Then(why)
		g.mu.Unlock()
		return
	}
	g.why = why
	all := slices.Clone(g.all)
	g.changedLocked()
	g.mu.Unlock()
	close(g.done)
	g.cancel()
	var closing sync.WaitGroup
	for _, c := range all {
		closing.Go(func() { c.Close(why) })
	}
	closing.Wait()
}

// faultOf returns err as a fault.
func faultOf(err error) *fault.Fault {
	if f, ok := err.(*fault.Fault); ok {
		return f
	}
	return fault.New(fault.Unavailable, fault.NotRun, "%w", err)
}
