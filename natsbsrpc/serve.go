package natsbsrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"
)

// maxUploads limits the requests of an Instance that arrive in pieces at the same time.
const maxUploads = 16

// maxArrivals limits the messages of an Instance that wait to be handled. Only tests change it.
var maxArrivals = nats.DefaultMaxChanLen

// An Instance is a Server that serves its calls over NATS. Create one with Serve. All methods are
// safe for concurrent use.
type Instance struct {
	nc       *nats.Conn
	srv      *bsrpc.Server
	opts     ServeOptions
	id       string
	pieces   string // the beginning of the subjects for messages of running calls
	started  time.Time
	services []*service
	log      *slog.Logger

	// One channel keeps the order of all messages: a cancel does not overtake its request.
	arrivals chan *nats.Msg
	requests []*nats.Subscription // requests, PING, INFO and STATS
	others   []*nats.Subscription // messages of running calls
	handlers map[*nats.Subscription]func(*nats.Msg)

	ctx      context.Context // parent of all calls
	cancel   context.CancelFunc
	running  sync.WaitGroup // calls; Add is for the goroutine of receive
	work     chan *served   // to a worker that waits for a call
	waiting  atomic.Int32   // workers
	uploads  chan struct{}
	stopping sync.Once
	drained  chan struct{} // closed when the last request has been accepted
	stopped  chan struct{} // closed when nothing runs any more

	mu       sync.Mutex
	draining bool
	calls    map[string]*served // by the subject of the caller
}

// Serve serves the registered methods of srv over nc, without those of bsrpc.v1, as one
// instance of each service. All methods must be registered. It fails if the server refuses calls
// without connections, see Server.Handle.
//
// Serve does not own nc and srv. To stop, call Shutdown of the Instance, then that of srv, and then
// close nc. The instance goes on when nc has reconnected, and ends its calls when nc is closed.
func Serve(nc *nats.Conn, srv *bsrpc.Server, opts *ServeOptions) (*Instance, error) {
	i := &Instance{nc: nc, srv: srv, id: nuid.Next(), started: time.Now().UTC()}
	if opts != nil {
		i.opts = *opts
	}
	if err := i.resolve(); err != nil {
		return nil, err
	}
	i.arrivals = make(chan *nats.Msg, maxArrivals)
	i.handlers = make(map[*nats.Subscription]func(*nats.Msg))
	i.calls = make(map[string]*served)
	i.uploads = make(chan struct{}, maxUploads)
	i.work = make(chan *served)
	i.drained, i.stopped = make(chan struct{}), make(chan struct{})
	i.handlers[nil] = func(*nats.Msg) { i.endRequests() }
	i.ctx, i.cancel = context.WithCancel(context.Background())
	reply := srv.Handle(i.ctx, &bsrpc.Request{Method: bsrpc.BindMethod, Peer: bsrpc.Peer{Addr: callerAddr(i.id)}})
	if reply.Err != nil && reply.Err.Code != bsrpc.CodeUnauthenticated { // this request has no credentials
		return nil, reply.Err
	}
	err := i.subscribe()
	if err == nil {
		err = nc.Flush()
	}
	go i.receive()
	if err != nil {
		i.Close()
		return nil, fmt.Errorf("bsrpc: NATS: %w", err)
	}
	go i.watch()
	return i, nil
}

// resolve sets the defaults of the options.
func (i *Instance) resolve() (err error) {
	o := &i.opts
	o.Version, o.Queue = cmp.Or(o.Version, "0.0.0"), cmp.Or(o.Queue, micro.DefaultQueueGroup)
	o.MaxMessage = cmp.Or(o.MaxMessage, defaultMaxMessage)
	if i.log = o.Logger; i.log == nil {
		i.log = slog.Default()
	}
	switch o.Prefix, err = prefixOf(o.Prefix); {
	case err != nil:
		return err
	case i.nc == nil || i.srv == nil:
		return errors.New("bsrpc: NATS: Serve: nil connection or server")
	case o.MaxMessage < 0:
		return fmt.Errorf("bsrpc: NATS: ServeOptions.MaxMessage is %d, want at least 1", o.MaxMessage)
	case !semantic.MatchString(o.Version):
		return fmt.Errorf("bsrpc: NATS: ServeOptions.Version %q is not a semantic version, such as 1.2.0", o.Version)
	case o.Address != "" && !validAddress(o.Address):
		return fmt.Errorf("bsrpc: NATS: ServeOptions.Address %q is not a host and a port, such as 10.0.0.7:7341", o.Address)
	case strings.ContainsAny(o.Queue, " \t\r\n"):
		return fmt.Errorf("bsrpc: NATS: ServeOptions.Queue %q contains a space", o.Queue)
	}
	o.Metadata = maps.Clone(o.Metadata)
	if o.Address != "" {
		if o.Metadata == nil {
			o.Metadata = make(map[string]string)
		}
		o.Metadata[addressKey] = o.Address
	}
	for _, m := range i.srv.Methods() {
		i.add(m)
	}
	if len(i.services) == 0 {
		return errors.New("bsrpc: NATS: Serve: the server has no methods; register them first")
	}
	return nil
}

// ID returns the name of the instance, as in From.Instance and in PING.
func (i *Instance) ID() string { return i.id }

// subscribe subscribes to all subjects.
func (i *Instance) subscribe() error {
	var errs []error
	add := func(list *[]*nats.Subscription, subject, queue string, handle func(*nats.Msg)) *nats.Subscription {
		sub, err := i.nc.ChanQueueSubscribe(subject, queue, i.arrivals)
		if err != nil {
			errs = append(errs, fmt.Errorf("subscribe to %s: %w", subject, err))
			return nil
		}
		i.handlers[sub], *list = handle, append(*list, sub)
		return sub
	}
	for _, s := range i.services {
		for _, e := range s.endpoints {
			e.sub = add(&i.requests, e.Subject, e.QueueGroup, func(m *nats.Msg) { i.accept(e, m) })
		}
		add(&i.others, i.opts.Prefix+cancelTo+s.name, "", func(m *nats.Msg) { i.deliver(m.Reply, m) })
		for subject, answer := range s.verbs() {
			add(&i.requests, subject, "", func(m *nats.Msg) { i.monitor(m, answer) })
		}
	}
	own := i.opts.Prefix + instanceTo + i.id
	i.pieces = own + pieceTo
	add(&i.others, i.pieces+">", "", func(m *nats.Msg) { i.deliver(strings.TrimPrefix(m.Subject, i.pieces), m) })
	for _, to := range []string{callTo, bindTo} {
		add(&i.others, own+to+">", "", func(m *nats.Msg) { i.acceptDirect(strings.TrimPrefix(m.Subject, own), m) })
	}
	return errors.Join(errs...)
}

// receive handles all messages, in their order. It does not block.
func (i *Instance) receive() {
	for {
		select {
		case m := <-i.arrivals:
			i.handlers[m.Sub](m)
		case <-i.stopped:
			return
		}
	}
}

// deliver hands a message to its call. id is the subject of the caller.
func (i *Instance) deliver(id string, m *nats.Msg) {
	i.mu.Lock()
	c := i.calls[id]
	i.mu.Unlock()
	switch {
	case c == nil:
		if m.Header.Get(headerPing) != "" {
			i.nc.PublishMsg(&nats.Msg{Subject: id, Header: nats.Header{headerGone: {set}}})
		}
	case m.Header.Get(headerCancel) != "" || noResponders(m):
		c.cancel()
	default:
		c.deliver(m)
	}
}

// noResponders reports whether the broker says that a message of this end has had no receiver.
func noResponders(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header.Get("Status") == "503"
}

// acceptDirect begins a call that is meant for this instance.
func (i *Instance) acceptDirect(to string, m *nats.Msg) {
	for _, s := range i.services {
		for _, e := range s.endpoints {
			if e.direct == to {
				i.accept(e, m)
				return
			}
		}
	}
	i.refuse(m, &bsrpc.Error{Code: bsrpc.CodeUnimplemented, Outcome: bsrpc.OutcomeNotRun, Message: "bsrpc: NATS: the instance has no such method"})
}

// accept begins a call.
func (i *Instance) accept(e *endpoint, m *nats.Msg) {
	i.mu.Lock()
	draining := i.draining
	var c *served
	if !draining && m.Reply != "" && i.calls[m.Reply] == nil {
		c = &served{flow: flow{nc: i.nc, self: i.pieces, served: true, peer: m.Reply, credit: window}, callContext: callContext{parent: i.ctx}, endpoint: e, first: m}
		i.calls[m.Reply] = c
	}
	i.mu.Unlock()
	switch {
	case c != nil:
		i.running.Add(1)
		select {
		case i.work <- c:
		default:
			go i.serveCalls(c)
		}
	case draining:
		i.refuse(m, &bsrpc.Error{Code: bsrpc.CodeUnavailable, Outcome: bsrpc.OutcomeNotRun, Message: "bsrpc: NATS: the instance is shutting down"})
	default:
		e.count(time.Now(), errors.New("a request without a subject of its own for the answer"))
	}
}

// refuse answers a request that does not run.
func (i *Instance) refuse(m *nats.Msg, e *bsrpc.Error) {
	if m.Reply != "" {
		answer := replyOf(&bsrpc.Reply{Status: bsrpc.StatusError, Err: e})
		answer.Subject = m.Reply
		i.nc.PublishMsg(answer)
	}
}

// watch tells callers that their calls are here. It ends the calls of silent callers, and all calls when
// the connection is closed. It reports dropped messages.
func (i *Instance) watch() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	dropped := 0
	for {
		select {
		case <-tick.C:
		case <-i.stopped:
			return
		}
		if i.nc.IsClosed() {
			i.cancel()
		}
		i.here()
		if n := i.dropped(); n > dropped {
			i.log.Error("bsrpc: NATS: the instance is a slow consumer: messages have been dropped", "instance", i.id, "messages", n-dropped)
			dropped = n
		}
	}
}

// here tells the callers that this instance has their calls, and ends the calls of silent ones. A
// caller sends pings once it has heard of the instance, so it is heard from then on.
func (i *Instance) here() {
	i.mu.Lock()
	calls := slices.Collect(maps.Values(i.calls))
	i.mu.Unlock()
	for _, c := range calls {
		if c.pass() >= silentCaller {
			c.cancel()
		} else {
			c.post(&nats.Msg{Header: nats.Header{headerHere: {set}}})
		}
	}
}

// dropped returns the number of messages that have found the channel full.
func (i *Instance) dropped() int {
	sum := 0
	for _, sub := range slices.Concat(i.requests, i.others) {
		n, _ := sub.Dropped()
		sum += max(n, 0)
	}
	return sum
}

// Shutdown ends the instance without losing a call: it takes the subscriptions back, serves the requests
// that have arrived until then, and waits for all calls, streams included. When ctx ends first,
// Shutdown cancels the calls, and returns the error of ctx. Shutdown of the Server waits for their handlers.
func (i *Instance) Shutdown(ctx context.Context) error {
	i.stopping.Do(func() { go i.stop() })
	select {
	case <-i.stopped:
		return nil
	case <-ctx.Done():
	}
	i.cancel()
	<-i.stopped
	return ctx.Err()
}

// Close is Shutdown without waiting for the calls: they are cancelled. It always returns nil.
func (i *Instance) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	i.Shutdown(ctx)
	return nil
}

// stop stops everything in its order.
func (i *Instance) stop() {
	var ended []<-chan nats.SubStatus
	for _, sub := range i.requests {
		ended = append(ended, sub.StatusChanged(nats.SubscriptionClosed))
		sub.Drain()
	}
	for _, done := range ended {
		i.awaitClosed(done)
	}
	i.arrivals <- new(nats.Msg) // behind all requests
	<-i.drained
	i.running.Wait()
	for _, sub := range slices.Concat(i.requests, i.others) {
		sub.Unsubscribe()
	}
	i.cancel()
	if i.nc.IsConnected() {
		i.nc.FlushTimeout(5 * time.Second)
	}
	close(i.stopped)
}

// endRequests makes accept refuse what still comes, to this instance alone.
func (i *Instance) endRequests() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.draining = true
	close(i.drained)
}

// awaitClosed waits until a subscription is closed, or the connection is, or the time of Shutdown is
// over: without the broker a subscription does not end.
func (i *Instance) awaitClosed(done <-chan nats.SubStatus) {
	for !i.nc.IsClosed() {
		select {
		case <-done:
			return
		case <-i.ctx.Done():
			return
		case <-time.After(pingEvery):
		}
	}
}
