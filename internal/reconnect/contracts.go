package reconnect

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"weak"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Contract is methods bound on each connection of a group. B is the binding of a method on
// one connection. The group refers to a Contract weakly: whoever uses the methods keeps it.
type Contract[B any] struct {
	// Bind binds the methods on a connection, and returns a binding for each. With an error
	// there may be bindings too: then some of them do not fit. Without, the error is that of
	// all methods, and Refuse returns their bindings.
	Bind   func(ctx context.Context, c *Conn) ([]*B, error)
	Refuse func(err error, c *Conn) []*B

	Fits func(b *B) bool // b leads to the method

	// Store sets the bindings of method i: those on usable connections that fit, or else one
	// that does not.
	Store func(i int, list []*B)

	bound map[*Conn][]*B // contracts.mu
}

// contracts are the contracts of a group.
type contracts[B any] struct {
	mu    sync.Mutex // guards the rest, and Contract.bound
	list  []weak.Pointer[Contract[B]]
	ready []*Conn
}

// add adds a contract, to be bound on all later connections.
func (t *contracts[B]) add(k *Contract[B]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k.bound = make(map[*Conn][]*B)
	if t.list = append(t.list, weak.Make(k)); len(t.list) == cap(t.list) {
		t.list = slices.DeleteFunc(t.list, func(p weak.Pointer[Contract[B]]) bool { return p.Value() == nil })
	}
}

// live returns the contracts in use.
func (t *contracts[B]) live() (list []*Contract[B]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, func(p weak.Pointer[Contract[B]]) bool { return p.Value() == nil })
	for _, p := range t.list {
		if k := p.Value(); k != nil {
			list = append(list, k)
		}
	}
	return list
}

// rebind binds all contracts on a new connection, before it is ready, all at once.
func (t *contracts[B]) rebind(ctx context.Context, c *Conn) {
	var all sync.WaitGroup
	for _, k := range t.live() {
		all.Go(func() { t.bind(ctx, k, c, true) })
	}
	all.Wait()
}

// bind binds a contract on a connection. If it fails altogether, refuse makes the methods
// return the error there.
func (t *contracts[B]) bind(ctx context.Context, k *Contract[B], c *Conn, refuse bool) error {
	bound, err := k.Bind(ctx, c)
	if bound == nil && refuse {
		bound = k.Refuse(err, c)
	}
	if bound != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		k.bound[c] = bound
		t.storeLocked(k)
	}
	return err
}

// publish makes the connections ready, and no others. A contract that is new to a connection
// is bound on it meanwhile.
func (t *contracts[B]) publish(ready []*Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ready = ready
	for _, p := range t.list {
		k := p.Value()
		if k == nil {
			continue
		}
		for c := range k.bound {
			if c.Ended() {
				delete(k.bound, c)
			}
		}
		for _, c := range ready {
			if k.bound[c] == nil && !c.Ended() {
				go t.bind(context.Background(), k, c, false)
			}
		}
		t.storeLocked(k)
	}
}

// storeLocked gives the methods of a contract their bindings on the ready connections. Without
// one they keep the old bindings: calls fail there, and are sent again.
func (t *contracts[B]) storeLocked(k *Contract[B]) {
	var ready [][]*B
	for _, c := range t.ready {
		if bound := k.bound[c]; bound != nil {
			ready = append(ready, bound)
		}
	}
	if ready == nil {
		return
	}
	for i := range ready[0] {
		var fits []*B
		for _, bound := range ready {
			if k.Fits(bound[i]) {
				fits = append(fits, bound[i])
			}
		}
		if fits == nil {
			fits = append(fits, ready[0][i])
		}
		k.Store(i, fits)
	}
}

// usable returns the ready connections that are usable, other than except.
func (t *contracts[B]) usable(except *Conn) (list []*Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.ready {
		if c != except && c.Usable() {
			list = append(list, c)
		}
	}
	return list
}

// fitsAll reports whether each method of a contract fits on some connection.
func (t *contracts[B]) fitsAll(k *Contract[B]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	fits := make(map[int]bool)
	n := 0
	for _, c := range t.ready {
		n = max(n, len(k.bound[c]))
		for i, b := range k.bound[c] {
			fits[i] = fits[i] || k.Fits(b)
		}
	}
	for i := range n {
		if !fits[i] {
			return false
		}
	}
	return true
}

// Bind binds a new contract on all connections, and waits for one like a call. It returns once the
// contract fits on one of them: the others may be slow, or frozen, and are bound meanwhile. An error
// with bindings counts only if they do not fit together.
func (g *Group[E, B]) Bind(w *Wait, k *Contract[B]) error {
	t := &g.contracts
	t.add(k)
	for {
		ready, why := g.Await(w, nil)
		if why != nil {
			return why
		}
		if err := w.Ctx.Err(); err != nil { // bindAll does not stop for it, and may know all answers
			return w.Time.ContextFault(err, fault.NotRun)
		}
		if done, err := t.bindAll(w, k, ready); done {
			return err
		}
	}
}

// bindAll binds a contract on connections. It reports false if all of them have ended meanwhile, or
// take no more calls.
func (t *contracts[B]) bindAll(w *Wait, k *Contract[B], ready []*Conn) (done bool, err error) {
	type result struct {
		c   *Conn
		err error
	}
	results := make(chan result, len(ready))
	for _, c := range ready {
		go func() { results <- result{c, t.bind(context.WithoutCancel(w.Ctx), k, c, false)} }()
	}
	expired := w.Time.Expired()
	defer w.Time.Stop()
	var failed error
	for range ready {
		select {
		case r := <-results:
			if r.err == nil {
				return true, nil
			}
			if failed == nil && r.c.Usable() {
				failed = r.err
			}
		case <-w.Ctx.Done():
			return true, cmp.Or(failed, error(w.Time.ContextFault(w.Ctx.Err(), fault.NotRun)))
		case <-expired:
			return true, cmp.Or(failed, error(w.Time.Fault(fault.NotRun)))
		}
	}
	if _, own := failed.(*fault.Fault); failed != nil && !own && t.fitsAll(k) {
		return true, nil
	}
	return failed != nil, failed
}

// Adopt adds a contract that is bound on one connection already.
func (g *Group[E, B]) Adopt(k *Contract[B], c *Conn, bound []*B) {
	t := &g.contracts
	t.add(k)
	t.mu.Lock()
	defer t.mu.Unlock()
	k.bound[c] = bound
}

// Await waits for usable connections other than except.
func (g *Group[E, B]) Await(w *Wait, except *Conn) (ready []*Conn, why *fault.Fault) {
	why = g.wait(w, func() bool { ready = g.contracts.usable(except); return ready != nil })
	return ready, why
}

// Contracts returns the number of contracts in use, for tests.
func Contracts[E comparable, B any](g *Group[E, B]) int { return len(g.contracts.live()) }
