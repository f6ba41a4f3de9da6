package bsrpc

import (
	"context"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/rebind"
	"github.com/bsrpc/bsrpc/internal/reconnect"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Bind creates a proxy for a service: a *C with every func set to call the method of
// its name.
//
// C is a contract: a struct of exported func fields and embedded contracts only. It may
// describe a part of the service. Each func returns an error last, or a stream or a
// *Future alone, and may have a context.Context as its first parameter; without one, calls
// use context.Background.
// Tags choose formats, names and time limits, see docs/tags.md. An interface cannot be
// bound, because Go cannot create its methods at run time.
//
// Bind compares the contract with the server's methods before the first call. If they
// disagree, it returns the proxy together with a *MismatchError, found by errors.As.
// Methods without a difference can be called, the others return their part of that
// error. For any other error the proxy is nil.
//
// The funcs of the proxy are safe for concurrent use, and work until the caller ends. On
// each new connection of a client they are bound again, before its first call. If the
// methods of the server have changed, those concerned return their *MismatchError. With
// several endpoints, a method is called where it fits, and a mismatch is an error only if it
// fits nowhere. You may reuse arguments once the func returns, except readers,
// iterators and funcs: a step of a reader or an iterator, such as Read, may outlast a call
// that has ended early. The library never touches results afterwards.
func Bind[C any](ctx context.Context, caller Caller, service string) (*C, error) {
	proxy := new(C)
	err := needContext(ctx, "bind "+fault.Cut(service, 64))
	if err == nil {
		if value := reflect.ValueOf(proxy).Elem(); caller == nil {
			err = bindContract(ctx, noLink{}, service, value)
		} else {
			err = caller.bind(ctx, service, value)
		}
	}
	if _, ok := err.(*MismatchError); err != nil && !ok {
		return nil, publicError(err)
	}
	return proxy, err
}

// A Caller makes calls for the proxies from Bind: a *Client calls its server, a *Session
// the client of the session. No other types implement it.
type Caller interface {
	bind(ctx context.Context, service string, proxy reflect.Value) error
}

// A link carries the calls of proxies. It is a connection on either wire. Proxies know
// a link only by this interface, so it needs neither a wire nor a connection.
type link interface {
	// bindMethods sets the binding of each method of a contract. With a *MismatchError
	// the methods that agree can be called, and the others return their error.
	bindMethods(ctx context.Context, service string, methods []*boundMethod) error

	// call calls m as it is bound by b, with the arguments in v, and leaves the results in v.
	call(ctx context.Context, m *boundMethod, b *binding, v *method.Values) error

	state() *callerState    // of its calls
	close(why *fault.Fault) // ends the link at once, and waits for its goroutines
	ended() <-chan struct{} // closed when the link has ended
	Err() error             // why it has ended; nil before
}

// A remoteEnd is the other end of a link, for interceptors. It never changes.
type remoteEnd struct {
	addr             net.Addr
	network, address string // given to Dial; "" without
	metadata         bool   // calls may have metadata
}

// A callEnd is what the calls of one end share.
type callEnd struct {
	log    *report.Log
	panics *atomic.Uint64 // the counter of a server; nil at a client
	remote *remoteEnd     // at a client; nil at a server

	// carryOut runs the handler or sends the call. again is true for a call sent before.
	carryOut func(ctx context.Context, c *Call, again bool) error
}

// A nativeLink is a connection on the native wire.
type nativeLink struct {
	*transport.Conn
	callerState
	known    *rebind.Known   // nil where no connection follows
	draining <-chan struct{} // closed by Shutdown of ClientOptions.Handlers; nil without them
}

// A callerState is what the calls of a link share. It never changes.
type callerState struct {
	caller.End
	chain  CallFunc // the interceptors; nil for none
	remote remoteEnd
}

// newCallerState returns what the calls of an end share. chain are its interceptors.
func newCallerState(s *settings, chain CallFunc, log *report.Log, oneway *atomic.Uint64, tallies *tally.Set, remote remoteEnd) callerState {
	return callerState{caller.End{Settings: &s.Settings, Log: log, OnewayErrors: oneway, Tallies: tallies}, chain, remote}
}

// state implements link.
func (s *callerState) state() *callerState { return s }

func (l *nativeLink) ended() <-chan struct{} { return l.Done() }

// close implements link.
func (l *nativeLink) close(why *fault.Fault) {
	drained := false
	select {
	case <-l.draining: // the server must get the last answers
		drained = true
	default:
	}
	if drained || l.AnyHandedOver() {
		l.Conn.Close(why)
		netconn.AwaitEnd(l.Done())
	}
	l.Fail(why)
	l.Wait()
}

// A noLink is the link of a nil or zero Client, such as the result of a failed Dial. It
// has ended, and every call fails.
type noLink struct{}

// errNoLink is shared by all calls, and must not be changed.
var errNoLink = fault.New(fault.FailedPrecondition, fault.NotRun, "nil or zero Client; use Dial or NewClient, and check the error")

// ended is a closed channel.
var ended = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// The methods of noLink fail like calls without a connection; its end has come already, and
// closing it has no effect.

func (noLink) bindMethods(context.Context, string, []*boundMethod) error          { return errNoLink }
func (noLink) call(context.Context, *boundMethod, *binding, *method.Values) error { return errNoLink }

// noCalls has no limits, and counts nothing.
var noCalls = callerState{End: caller.End{Settings: &option.Settings{DefaultCallTimeout: math.MaxInt64}}}

func (noLink) state() *callerState { return &noCalls }

func (noLink) close(*fault.Fault)     {}
func (noLink) ended() <-chan struct{} { return ended }
func (noLink) Err() error             { return errNoLink }

// A boundMethod is a method bound by a client. It implements method.Caller for one func
// of a proxy. Only its binding changes.
type boundMethod struct {
	caller.Method
	kind   Kind
	callOf uint64   // the func is an argument of this call of the peer; 0 for a method
	home   repeater // nil on a link of one connection

	binding atomic.Pointer[binding] // replaced as a whole, so that calls need no lock
}

// A binding is the destination of the calls of a method. It never changes. Its signature
// has the Go types of the method's own, so that values of one serve the other.
type binding struct {
	link    link
	number  uint16            // on the connection of the link; on the basic wire the id
	sig     *method.Signature // the method's own, or that for a peer with another version
	streams *streams.Plan     // of sig; nil without streams
	funcs   []*method.FuncParam
	err     *fault.Fault    // returned by every call; nil if the ends agree
	conn    *reconnect.Conn // the connection of link; nil if it is never replaced
	all     []*binding      // of several connections, this one among them; nil for one
}

// gone reports whether the connection of a binding has ended, so that what its server knew of
// the method counts no more.
func (b *binding) gone() bool { return b.conn != nil && b.conn.Ended() }

// A repeater sends a call again that has failed with err as bound by b, where that is safe.
type repeater interface {
	again(ctx context.Context, m *boundMethod, b *binding, v *method.Values, err error) error
}

// least returns the binding for the connection with fewest open calls; of equals any one, so
// that many clients spread. The order of the rest is fixed: a branch that is guessed wrong costs
// more than looking at several connections.
func least(list []*binding) *binding {
	best := list[uint64(rand.Uint32())*uint64(len(list))>>32]
	load := best.conn.Load()
	for _, b := range list {
		if other := b.conn.Load(); other < load {
			best, load = b, other
		}
	}
	return best
}

// bind makes calls go to a link, by a number there.
func (m *boundMethod) bind(l link, number uint16) {
	m.binding.Store(&binding{link: l, number: number, sig: m.Sig, streams: m.Streams, funcs: m.Sig.ParamFuncs()})
}

// bindAs is bind for a peer with another version of the method.
func (m *boundMethod) bindAs(l link, number uint16, sig *method.Signature) {
	m.binding.Store(&binding{link: l, number: number, sig: sig, streams: streams.PlanOf(sig), funcs: sig.ParamFuncs()})
}

// refuse makes every call return err.
func (m *boundMethod) refuse(err *fault.Fault) { m.binding.Store(&binding{err: err}) }

// bindContract binds a contract and sets the funcs of proxy, a struct. It sets them even
// if it returns a *MismatchError.
func bindContract(ctx context.Context, l link, service string, proxy reflect.Value) error {
	stubs, err := method.StubsOf(service, proxy.Type())
	if err != nil {
		return err
	}
	o := l.state()
	methods := make([]*boundMethod, len(stubs))
	for i, s := range stubs {
		methods[i] = &boundMethod{Method: caller.New(s, o.Settings.DefaultCallTimeout, o.Tallies), kind: kindOf(s.Sig)}
	}
	err = l.bindMethods(ctx, service, methods)
	if _, ok := err.(*MismatchError); err != nil && !ok {
		return err
	}
	for i, s := range stubs {
		s.Fill(proxy, methods[i].caller(o))
	}
	return err
}

// caller returns the Caller of m for a link with this state.
func (m *boundMethod) caller(o *callerState) method.Caller {
	if o.chain == nil {
		return m
	}
	i := &interceptedMethod{m, o.chain, callEnd{log: o.Log, remote: &o.remote}}
	i.end.carryOut = i.next
	return i
}

// bindMethods implements link. It asks the server for the numbers of the methods.
func (c *nativeLink) bindMethods(ctx context.Context, service string, methods []*boundMethod) error {
	b := &numbering.Binding{Service: service, Peer: c.Settings.Peer(), Evolves: c.Evolves(), Ask: c.ask}
	for _, m := range methods {
		if m.Streams != nil && !c.SupportsStreams() {
			return fault.Refusal(fault.Unimplemented, "bind %s: %s has streams, and %s does not support them", service, m.Name, c.Settings.Peer())
		}
		b.Methods = append(b.Methods, caller.Wanted(&m.Method))
	}
	found, err := numbering.Bind(ctx, b)
	if err != nil {
		return err
	}
	return bindFound(service, methods, found, func(m *boundMethod, f *numbering.Found) {
		if f.Sig != nil {
			m.bindAs(c, f.Number, f.Sig)
		} else {
			m.bind(c, f.Number)
		}
	})
}

// bindFound binds the methods that the ends agree on, and refuses the others. It returns a
// *MismatchError if there are any.
func bindFound(service string, methods []*boundMethod, found []numbering.Found, bind func(*boundMethod, *numbering.Found)) error {
	mismatch := &MismatchError{Service: service, Methods: len(methods)}
	for i, m := range methods {
		switch f := &found[i]; {
		case f.Missing != nil:
			m.refuse(f.Missing)
		case f.Differences != nil:
			mismatch.add(m, f.Differences)
		default:
			bind(m, f)
		}
	}
	if len(mismatch.Differences) > 0 {
		return mismatch
	}
	return nil
}

// add adds the differences of a method, and makes its calls fail. Those of a service that
// the peer lacks are the same for each method.
func (e *MismatchError) add(m *boundMethod, found []numbering.Difference) {
	why, one := mismatchOf(e.Service, found)
	if found[0].Method != e.Service || e.Differences == nil {
		e.Differences = append(e.Differences, one.Differences...)
	}
	m.refuse(fault.About(m.Name, why).(*fault.Fault))
}

// mismatchOf returns the fault of a call of one method that differs, and the error in it.
func mismatchOf(service string, found []numbering.Difference) (*fault.Fault, *MismatchError) {
	e := &MismatchError{Service: service, Methods: 1}
	for _, d := range found {
		e.Differences = append(e.Differences, Difference(d))
	}
	return &fault.Fault{Code: fault.FailedPrecondition, Message: e.Error(), Outcome: fault.NotRun, Err: e}, e
}

// bindDescribed implements describer.
func (c *nativeLink) bindDescribed(m *boundMethod, number uint16) { m.bind(c, number) }

// ask implements describer.
func (c *nativeLink) ask(ctx context.Context, r *wire.BindRequest) ([]wire.BindResult, error) {
	return c.known.Ask(ctx, c.Conn, c.Settings.DefaultCallTimeout, r)
}
