package natsbsrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
)

// Dial returns a client of all services over nc. It does not own nc: Close of the client ends its
// calls and leaves nc open. The client goes on when nc has reconnected; of the calls under way when
// the connection is lost, the outcome is unknown.
func Dial(nc *nats.Conn, opts *DialOptions) (*bsrpc.Client, error) {
	var own DialOptions
	if opts != nil {
		own = *opts
	}
	prefix, err := prefixOf(own.Prefix)
	if err != nil {
		return nil, err
	}
	if nc == nil {
		return nil, errors.New("bsrpc: NATS: Dial: nil connection")
	}
	c := &conn{nc: nc, prefix: prefix, inbox: nc.NewInbox() + ".", max: defaultMaxMessage, calls: make(map[string]*flow), done: make(chan struct{})}
	if own.Client != nil {
		c.max = cmp.Or(own.Client.MaxMessage, c.max)
	}
	client := bsrpc.NewClientOver(c, own.Client)
	if err := client.Err(); err != nil {
		return nil, err
	}
	if c.sub, err = nc.Subscribe(c.inbox+"*", c.receive); err != nil {
		client.Close()
		return nil, fmt.Errorf("bsrpc: NATS: %w", err)
	}
	go c.watch()
	return client, nil
}

// A conn is the RoundTripper of a client.
type conn struct {
	nc     *nats.Conn
	prefix string
	inbox  string // begins the subjects of the calls
	max    int    // MaxMessage of the client
	sub    *nats.Subscription
	done   chan struct{} // closed by Close

	mu     sync.Mutex // guards the rest
	closed bool
	calls  map[string]*flow // by the subject of this end
	last   uint64
}

// Close implements io.Closer.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
	if c.sub != nil {
		c.sub.Unsubscribe()
	}
	return nil
}

// receive hands a message to its call. It does not block.
func (c *conn) receive(m *nats.Msg) {
	c.mu.Lock()
	f := c.calls[m.Subject]
	c.mu.Unlock()
	if f == nil {
		return
	}
	if !noResponders(m) {
		f.deliver(m)
	} else if f.known() != "" {
		f.fail(errGone)
	} else {
		f.fail(nats.ErrNoResponders)
	}
}

// watch fails the calls that may have lost messages, and those of silent instances. It sends pings.
func (c *conn) watch() {
	lost := c.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	slow := c.sub.StatusChanged(nats.SubscriptionSlowConsumer)
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	defer c.nc.RemoveStatusListener(lost)
	for {
		select {
		case <-c.done:
			return
		case _, ok := <-lost:
			c.failAll(errors.New("the connection to the broker is lost"))
			if !ok {
				lost = nil
			}
		case _, ok := <-slow:
			if ok {
				c.failAll(fmt.Errorf("messages to this client have been dropped, perhaps the answer: %w", nats.ErrSlowConsumer))
			} else {
				slow = nil
			}
		case <-tick.C:
			c.ping()
		}
	}
}

// ping sends a ping for each call whose instance is known, and fails the calls of silent ones.
func (c *conn) ping() {
	c.mu.Lock()
	calls := slices.Collect(maps.Values(c.calls))
	c.mu.Unlock()
	for _, f := range calls {
		if f.pass() >= silentInstance {
			f.fail(errSilent)
		} else if f.known() != "" {
			f.post(&nats.Msg{Header: nats.Header{headerPing: {set}}})
		}
	}
}

func (c *conn) failAll(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.calls {
		f.fail(err)
	}
}

// begin opens a call.
func (c *conn) begin() (*flow, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, notRun(bsrpc.CodeCanceled, "the client is closed", nil)
	}
	c.last++
	f := &flow{nc: c.nc, self: c.inbox + strconv.FormatUint(c.last, 36)}
	c.calls[f.self] = f
	return f, nil
}

// end closes a call. It reports whether the call was open.
func (c *conn) end(f *flow) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.calls[f.self]
	delete(c.calls, f.self)
	return open
}

// subjectOf returns the subject of a request.
func (c *conn) subjectOf(ctx context.Context, r *bsrpc.Request) string {
	verb, name := callTo, r.Method
	if r.Method == bsrpc.BindMethod {
		verb, name = bindTo, r.Service()
	}
	if id, ok := ctx.Value(instanceKey{}).(string); ok {
		return c.prefix + instanceTo + id + verb + name
	} else if verb == callTo {
		verb = "."
	}
	return c.prefix + verb + name
}

// notRun returns the error of a call that has not run.
func notRun(code bsrpc.Code, text string, cause error) *bsrpc.Error {
	return &bsrpc.Error{Code: code, Outcome: bsrpc.OutcomeNotRun, Message: "bsrpc: NATS: " + text, Err: cause}
}

// Prompt implements bsrpc.PromptRoundTripper.
func (c *conn) Prompt() {}

// RoundTrip implements bsrpc.RoundTripper.
func (c *conn) RoundTrip(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
	if f, ok := ctx.Value(finderKey{}).(*finder); ok {
		f.conn = c
		return nil, notRun(bsrpc.CodeUnavailable, "found", nil)
	}
	subject := c.subjectOf(ctx, r)
	f, err := c.begin()
	if err != nil {
		return nil, err
	}
	reply, stream, err := c.call(ctx, f, requestOf(subject, r))
	switch {
	case err != nil:
		if !errors.Is(err, errNotSent) && !errors.Is(err, nats.ErrNoResponders) {
			c.cancel(f, r)
		}
		c.end(f)
		return nil, c.failure(r.Method, subject, err)
	case stream:
		cancel := func() { c.cancel(f, r) }
		stop := context.AfterFunc(ctx, cancel) // perhaps nothing ranges over the items
		reply.Items = c.items(ctx, f, func() { stop(); c.end(f) }, cancel)
	default:
		c.end(f)
		f.release()
	}
	return reply, nil
}

// cancel ends a call, and tells its instance, or all that may have it.
func (c *conn) cancel(f *flow, r *bsrpc.Request) {
	if c.end(f) {
		f.post(&nats.Msg{Subject: cmp.Or(f.known(), c.prefix+cancelTo+r.Service()), Header: nats.Header{headerCancel: {set}}})
	}
}

// errNotSent is in the errors of requests that have not been sent.
var errNotSent = errors.New("the request was not sent")

// failure returns the error of a call without a reply.
func (c *conn) failure(method, subject string, err error) error {
	switch {
	case errors.Is(err, errNotSent):
		return notRun(bsrpc.CodeUnavailable, err.Error(), err)
	case errors.Is(err, nats.ErrNoResponders):
		return notRun(bsrpc.CodeUnavailable, fmt.Sprintf("no instance serves %s: nothing is subscribed to %s", method, subject), err)
	}
	if long := (*tooLong)(nil); errors.As(err, &long) {
		return &bsrpc.Error{Code: bsrpc.CodeResourceExhausted, Message: "bsrpc: NATS: " + err.Error() + ", this end's MaxMessage"}
	}
	return fmt.Errorf("NATS: %w", err)
}

// call sends a request and returns its reply. stream reports whether items follow.
func (c *conn) call(ctx context.Context, f *flow, m *nats.Msg) (reply *bsrpc.Reply, stream bool, err error) {
	if err := f.request(ctx, m); err != nil {
		return nil, false, err
	}
	first, err := f.next(ctx)
	if err != nil {
		return nil, false, err
	}
	body, err := f.body(ctx, first, replyFront+c.max)
	if err != nil {
		return nil, false, err
	}
	return readReply(first.Header, body)
}

// items returns the items of a stream. over is called at their end, cancel when the caller wants no more.
func (c *conn) items(ctx context.Context, f *flow, over, cancel func()) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		defer over()
		for {
			item, ended, err := c.item(ctx, f)
			if ended {
				if err != nil {
					yield(nil, err)
				}
				return
			}
			if err != nil {
				cancel()
				yield(nil, c.failure("", "", err))
				return
			}
			if !yield(item, nil) {
				cancel()
				return
			}
		}
	}
}

// item returns the next item, or the end of a stream with its error.
func (c *conn) item(ctx context.Context, f *flow) (item []byte, ended bool, err error) {
	m, err := f.nextPiece(ctx)
	if err != nil {
		return nil, false, err
	}
	if ended, err = readEnd(m); ended {
		return nil, true, err
	}
	item, err = f.body(ctx, m, c.max)
	return item, false, err
}
