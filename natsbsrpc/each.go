package natsbsrpc

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// A From is the result of one instance.
type From[R any] struct {
	Instance string // Instance.ID
	Result   R
}

// gather is the time that instances have to answer PING: from the PING, or from the last answer.
const gather = 250 * time.Millisecond

// Each calls a method of all instances of its service at once, by Client.Call, and returns the
// results as they come. method is the full name, such as "Greeter.Hello". R is the type of
// its result, struct{} without one.
//
// The instances are those that answer a PING of NATS, until none has answered for 250 ms. The
// range ends when all of them have answered, and with ctx: then the calls that are left end, too.
// An instance that fails is an error beside its Instance, and the others go on. Without an instance there is
// one error, with OutcomeNotRun. Breaking out of the range cancels the calls that are left.
//
// The client must be from Dial.
func Each[R any](ctx context.Context, client *bsrpc.Client, method string, args ...any) iter.Seq2[From[R], error] {
	return func(yield func(From[R], error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		over := make(chan struct{})
		defer close(over)
		type answer struct {
			from From[R]
			err  error
		}
		answers := make(chan answer)
		call := func(instance string) {
			a := answer{from: From[R]{Instance: instance}}
			var results []any
			if _, none := any(a.from.Result).(struct{}); !none {
				results = []any{&a.from.Result}
			}
			a.err = client.Call(context.WithValue(ctx, instanceKey{}, instance), method, args, results...)
			select {
			case answers <- a:
			case <-over:
			}
		}
		found, failed := instances(ctx, client, method)
		calls, left := 0, 0
		for found != nil || left > 0 {
			select {
			case id, ok := <-found:
				if !ok {
					found = nil
					continue
				}
				calls, left = calls+1, left+1
				go call(id)
			case a := <-answers:
				if left--; !yield(a.from, a.err) {
					return
				}
			}
		}
		if calls == 0 {
			yield(From[R]{}, failed())
		}
	}
}

// instanceKey is the key of the instance that a call is meant for, in its context.
type instanceKey struct{}

// finderKey is the key of a *finder, which RoundTrip sets: the way from a client to its conn.
type finderKey struct{}

type finder struct{ conn *conn }

// connOf returns the conn of a client; nil for a client of another kind.
func connOf(ctx context.Context, client *bsrpc.Client) *conn {
	type contract struct {
		Find func() error `bsrpc:"optional"`
	}
	var f finder
	bsrpc.Bind[contract](context.WithValue(ctx, finderKey{}, &f), client, "natsbsrpc")
	return f.conn
}

// instances sends a PING, and returns the instances that answer. When the channel is closed,
// failed returns why there is none.
func instances(ctx context.Context, client *bsrpc.Client, method string) (found <-chan string, failed func() error) {
	ids := make(chan string)
	var why error
	go func() {
		defer close(ids)
		why = ping(ctx, client, method, ids)
	}()
	return ids, func() error { return why }
}

func ping(ctx context.Context, client *bsrpc.Client, method string, ids chan<- string) error {
	c := connOf(ctx, client)
	if err := ctx.Err(); err != nil {
		return err
	} else if c == nil {
		return notRun(bsrpc.CodeInvalidArgument, "Each: the client is closed, or is not from natsbsrpc.Dial", client.Err())
	}
	dot := strings.LastIndexByte(method, '.')
	if dot <= 0 {
		return notRun(bsrpc.CodeInvalidArgument, "Each: want a service and a method, such as Greeter.Hello", nil)
	}
	return pingAll(ctx, c.nc, method[:dot], func(p *micro.Ping) error {
		select {
		case ids <- p.ID:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// pingAll sends a PING to the instances of a service, and hands each answer to found. It returns the
// error of found, or why there are no more.
func pingAll(ctx context.Context, nc *nats.Conn, service string, found func(*micro.Ping) error) error {
	subject, err := micro.ControlSubject(micro.PingVerb, serviceName(service), "")
	if err != nil {
		return err
	}
	answers := make(chan *nats.Msg, 1024)
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return notRun(bsrpc.CodeUnavailable, "PING: "+err.Error(), err)
	}
	defer sub.Unsubscribe()
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return notRun(bsrpc.CodeUnavailable, "PING: "+err.Error(), err)
	}
	none := notRun(bsrpc.CodeUnavailable, "no instance of "+service+" has answered PING", nats.ErrNoResponders)
	seen := make(map[string]bool)
	quiet := time.NewTimer(gather)
	defer quiet.Stop()
	for {
		select {
		case m := <-answers:
			if noResponders(m) {
				return none
			}
			var p micro.Ping
			if json.Unmarshal(m.Data, &p) != nil || p.ID == "" || strings.ContainsAny(p.ID, " \t\r\n.*>") || seen[p.ID] {
				continue
			}
			seen[p.ID] = true
			quiet.Reset(gather)
			if err := found(&p); err != nil {
				return err
			}
		case <-quiet.C:
			if n, _ := sub.Dropped(); n > 0 {
				return errors.Join(none, nats.ErrSlowConsumer)
			}
			return none
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
