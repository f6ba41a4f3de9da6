package bsrpc

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/reconnect"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Clients that stay connected. internal/reconnect decides when to connect and to which
// endpoint; this file binds contracts on new connections, and sends calls again.

// A State is the state of a client, for ClientOptions.OnState.
type State uint8

// The states of a client.
const (
	StateConnecting State = iota // an attempt to connect is under way
	StateWaiting                 // the client waits for admission: for its place, or for OnConnect
	StateReady                   // there is a connection
	StateLost                    // there is none, until the next attempt
	StateClosed                  // there will be none: the client has ended
)

// String returns the state in words, such as "ready".
func (s State) String() string { return reconnect.State(s).String() }

// An Endpoint is the address of a server, for ClientOptions.Endpoints.
type Endpoint struct {
	Network    string // as for Dial
	Address    string
	ServerName string // expected in the server's certificate; "" for the host of Address
}

// DNS returns a func for ClientOptions.Endpoints. A name with a port, such as
// "shop.internal:7341", stands for its addresses, of IPv4 and IPv6. The name of SRV records, such
// as "_shop._tcp.shop.internal", stands for the servers in them, with their ports and in the order of
// their priorities. Certificates are checked for the name, without _shop._tcp.
func DNS(name string) func(ctx context.Context) ([]Endpoint, error) {
	return func(ctx context.Context) (list []Endpoint, err error) {
		host, addresses, err := reconnect.Resolve(ctx, name)
		for _, a := range addresses {
			list = append(list, Endpoint{"tcp", a, host})
		}
		return list, err
	}
}

// WithWaitForReady returns a context whose calls wait for a connection, as with
// ClientOptions.WaitForReady.
func WithWaitForReady(ctx context.Context) context.Context {
	mustContext(ctx, "WithWaitForReady")
	return callctx.WaitForReady(ctx)
}

// dial makes a client that stays connected, as far as its options and the server allow.
func (d *dialer) dial(ctx context.Context, e Endpoint) (*Client, error) {
	l := &steadyLink{dialer: d}
	cfg := reconnect.Config[Endpoint]{
		Connect: d.connect, Most: d.settings.MaxEndpoints, AskTime: d.settings.DialTimeout, Patient: d.opts.WaitForReady, Rand: rand.Float64, Log: d.log, Endpoints: d.opts.Endpoints,
	}
	if f := d.opts.OnReconnect; f != nil {
		cfg.Prepare = func(ctx context.Context, c *reconnect.Conn) error { return f(ctx, clientOf(c)) }
	}
	if f := d.opts.OnState; f != nil {
		cfg.OnState = func(s reconnect.State) { f(State(s)) }
	}
	l.Group = reconnect.New[Endpoint, binding](cfg)
	c, err := l.Begin(ctx, e)
	if err != nil {
		return nil, err
	}
	l.first = clientOf(c)
	if cfg.OnState == nil && cfg.Endpoints == nil && !c.Replaceable() {
		return l.first, nil
	}
	l.Keep()
	return &Client{conn: l}, nil
}

// fill describes c, the client of one connection, to its group.
func (c *Client) fill(conn *reconnect.Conn) {
	conn.Value, conn.Done, conn.Close = c, c.conn.ended(), c.conn.close
	conn.Why = func() *fault.Fault { f, _ := c.conn.Err().(*fault.Fault); return f }
	if c.native != nil {
		conn.Open = func() int { return transport.OpenCalls(c.native.Conn) }
		conn.Made = func() int { return transport.Requests(c.native.Conn) }
	} else {
		conn.Open, conn.Made = c.conn.(*basicLink).Open, func() int { return 0 }
	}
}

// clientOf returns the client of one connection.
func clientOf(c *reconnect.Conn) *Client { return c.Value.(*Client) }

// clients returns the client of each connection.
func (l *steadyLink) clients() (list []*Client) {
	for _, c := range l.Conns() {
		list = append(list, clientOf(c))
	}
	return list
}

// A steadyLink is the link of a client that connects again. Its methods are bound to the
// connections directly, and come back to it only when a call has failed.
type steadyLink struct {
	*reconnect.Group[Endpoint, binding]
	dialer *dialer
	first  *Client // on the first connection
}

// A steadyContract is the methods of a contract bound by a steadyLink, which keep it alive.
type steadyContract struct {
	reconnect.Contract[binding]
	link    *steadyLink
	service string
	methods []*boundMethod
}

// newContract returns a contract without bindings.
func (l *steadyLink) newContract(service string, methods []*boundMethod) *steadyContract {
	k := &steadyContract{link: l, service: service, methods: methods}
	k.Contract = reconnect.Contract[binding]{Bind: k.bindOn, Fits: func(b *binding) bool { return b.err == nil }, Store: k.store, Refuse: k.refuse}
	for _, m := range methods {
		m.home = k
	}
	return k
}

// bindMethods implements link. A mismatch is an error only if no connection fits.
func (l *steadyLink) bindMethods(ctx context.Context, service string, methods []*boundMethod) error {
	for _, m := range methods {
		m.bind(l, 0)
	}
	return fault.About("bind "+service, l.Bind(l.waitIn(ctx), &l.newContract(service, methods).Contract))
}

// waitIn returns how a call or a Bind without a proxy waits.
func (l *steadyLink) waitIn(ctx context.Context) *reconnect.Wait {
	w := &reconnect.Wait{Ctx: ctx, Time: new(limits.Timeout), Patient: callctx.WaitsForReady(ctx)}
	w.Time.Begin(ctx, l.dialer.settings.DefaultCallTimeout, limits.ByDefault)
	w.Time.Start(limits.Monotonic())
	return w
}

// bindOn is Contract.Bind.
func (k *steadyContract) bindOn(ctx context.Context, c *reconnect.Conn) ([]*binding, error) {
	shadows := make([]*boundMethod, len(k.methods))
	for i, m := range k.methods {
		shadows[i] = &boundMethod{Method: m.Method}
	}
	err := clientOf(c).conn.bindMethods(ctx, k.service, shadows)
	if _, differs := err.(*MismatchError); err != nil && !differs {
		return nil, err
	}
	bound := make([]*binding, len(shadows))
	for i, m := range shadows {
		bound[i] = m.binding.Load()
		bound[i].conn = c
	}
	return bound, err
}

// refuse is Contract.Refuse.
func (k *steadyContract) refuse(err error, c *reconnect.Conn) []*binding {
	why, ok := err.(*fault.Fault)
	if !ok {
		why = fault.Refusal(fault.FailedPrecondition, "%w", err)
	}
	return slices.Repeat([]*binding{{err: why, conn: c}}, len(k.methods))
}

// store is Contract.Store.
func (k *steadyContract) store(i int, list []*binding) {
	b := *list[0]
	if len(list) > 1 {
		b.all = list
	}
	k.methods[i].binding.Store(&b)
}

// again implements repeater.
func (k *steadyContract) again(ctx context.Context, m *boundMethod, b *binding, v *method.Values, err error) error {
	if v.Sent {
		return err // a stream among the arguments has been read
	}
	if f, ok := err.(*fault.Fault); ok && b.gone() && !f.Remote && f.Outcome == fault.NotRun && (f.Code == fault.InvalidArgument || f.Code == fault.FailedPrecondition) {
		err = reconnect.ErrNotConnected // what the last server did not know, the next one may
	}
	call := &steadyCall{m, b, v}
	return k.link.Again(ctx, call, b.conn, m.Idempotent && b.funcs == nil, err)
}

// A steadyCall is a call that may be sent again.
type steadyCall struct {
	m *boundMethod
	b *binding
	v *method.Values
}

// Wait implements reconnect.Call.
func (k *steadyCall) Wait(ctx context.Context) *reconnect.Wait {
	w := &reconnect.Wait{Time: new(limits.Timeout), Bytes: k.v.ArgsSize, Patient: callctx.WaitsForReady(ctx)}
	w.Ctx = caller.BeginTimeout(&k.m.Method, ctx, w.Time, k.v)
	w.Time.Start(limits.Monotonic())
	k.v.Until = w.Time.End()
	return w
}

// Choose implements reconnect.Call.
func (k *steadyCall) Choose(except ...*reconnect.Conn) bool {
	now := k.m.binding.Load()
	list := now.all
	if list == nil {
		list = []*binding{now}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(b *binding) bool { return b.conn == nil || slices.Contains(except, b.conn) || !b.conn.Usable() })
	if len(list) > 0 {
		k.b = least(list)
	}
	return len(list) > 0
}

// Send implements reconnect.Call.
func (k *steadyCall) Send(ctx context.Context) (*reconnect.Conn, error) {
	if k.b.err != nil {
		return k.b.conn, k.b.err
	}
	method.ZeroResults(k.v)
	k.v.ResetEncoder()
	k.v.ArgsSize, k.v.ResultsSize = 0, 0
	return k.b.conn, k.b.link.call(ctx, k.m, k.b, k.v)
}

// callByName is Client.callByName. Of the connections whose server knows the method it takes that with
// fewest open calls. The method is bound like a contract of its own, so that the call can be sent again.
func (l *steadyLink) callByName(ctx context.Context, n *namedCall) error {
	w := l.waitIn(ctx)
	for {
		ready, why := l.Await(w, nil)
		if why != nil {
			return fault.About(n.name, why)
		}
		var failed error
		for _, c := range byLoad(ready) {
			m, err := clientOf(c).describe(ctx, n.name)
			if err == nil {
				return clientOf(c).callDescribed(ctx, m, n, func(p *boundMethod) { l.adopt(p, c) })
			}
			left, limited := w.Time.Remaining()
			late := limited && left <= 0 // a frozen server has taken all the time
			if failed == nil && (late || c.Usable()) {
				failed = err
			}
			if late {
				break
			}
		}
		if failed != nil {
			return failed
		}
	}
}

// byLoad orders connections by their open calls, equals at random.
func byLoad(list []*reconnect.Conn) []*reconnect.Conn {
	if len(list) > 1 {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		slices.SortStableFunc(list, func(a, b *reconnect.Conn) int { return cmp.Compare(a.Load(), b.Load()) })
	}
	return list
}

// adopt makes a method bound on one connection a contract of its own.
func (l *steadyLink) adopt(m *boundMethod, c *reconnect.Conn) {
	service, name, _ := method.SplitName(m.Name)
	clientOf(c).native.known.Expect(&wire.BindRequest{Service: service, Names: []string{name}, Hashes: [][wire.HashSize]byte{m.Hash}})
	b := *m.binding.Load()
	b.conn = c
	m.binding.Store(&b)
	l.Adopt(&l.newContract(service, []*boundMethod{m}).Contract, c, []*binding{&b})
}

// call implements link, for a contract without a connection.
func (l *steadyLink) call(context.Context, *boundMethod, *binding, *method.Values) error {
	return reconnect.ErrNotConnected
}

func (l *steadyLink) state() *callerState { return l.first.conn.state() }

func (l *steadyLink) close(why *fault.Fault) { l.End(why) }
func (l *steadyLink) ended() <-chan struct{} { return l.Done() }

// Err implements link.
func (l *steadyLink) Err() error {
	if why := l.Group.Err(); why != nil {
		return why
	}
	return nil
}
