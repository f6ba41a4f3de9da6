package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basicLink is the link to a server of the basic wire.
type basicLink struct {
	*basic.Client
	settings *settings
	log      *report.Log
	remote   remoteEnd
}

func (l *basicLink) callOptions() callOptions {
	return callOptions{l.settings.defaultCallTimeout, l.settings.chain, l.log, &l.remote}
}
func (l *basicLink) ended() <-chan struct{} { return l.Done() }
func (l *basicLink) close(why *fault.Fault) { l.Close(why) }

// bindMethods is link.bindMethods: the ids in the tags of the contract are the numbers. Each method
// needs one.
func (l *basicLink) bindMethods(_ context.Context, service string, methods []*boundMethod) error {
	var problems []method.Problem
	names := make(map[int]string)
	for _, m := range methods {
		m.bind(l, uint16(m.id))
		switch other, taken := names[m.id]; {
		case m.id < 0:
			problems = append(problems, method.Problem{Path: m.Name, Text: "has no id= in its tag, by which a server that speaks the basic wire knows its methods"})
		case m.eager:
			problems = append(problems, method.Problem{Path: m.Name, Text: "a server that speaks the basic wire answers each call in turn; leave out oneway, and return a result and an error in place of a future"})
		case taken:
			problems = append(problems, method.Problem{Path: m.Name, Text: fmt.Sprintf("id=%d is %s's", m.id, other)})
		}
		names[m.id] = m.Name
	}
	return method.ServiceError("bind", service, problems)
}

// call is link.call.
func (l *basicLink) call(ctx context.Context, m *boundMethod, b *binding, v *method.Values) error {
	if err := ctx.Err(); err != nil {
		return fault.FromContext(err, fault.NotRun)
	}
	if out := outgoingOf(ctx); out != nil {
		if err := out.beginBasic(); err != nil {
			return err
		}
	}
	s := l.settings
	enc := codec.Encoder{Body: wire.Body{Buf: wire.AppendCommand(nil, b.number, 0)}, Max: s.MaxMessage, Depth: s.maxDepth, Lenient: true}
	if err := m.appendArgs(l.log, b.sig, &enc, v); err != nil {
		return m.encodeError(err, "this end's MaxMessage", uint64(s.MaxMessage))
	}
	wire.SetBasicSize(enc.Buf, len(enc.Buf))
	v.ArgsSize = len(enc.Buf) - wire.BasicHeaderSize
	var timeout limits.Timeout
	ctx = m.beginTimeout(ctx, &timeout, v)
	timeout.Start(limits.Monotonic())
	results, err := l.Do(ctx, enc.Buf, &timeout)
	if err != nil {
		return s.identified(err, l.log, m.Name)
	}
	s.decode(&v.Dec, results, true)
	v.Dec.Lenient, v.ResultsSize = true, len(results)
	return m.readResults(l.log, b.sig, v)
}

// newBasicClient returns a client over a connection after peer, the first answer of a
// server of the basic wire. It waits for admission.
func newBasicClient(d *dialState, nc net.Conn, s *settings, peer *wire.Hello, opts *ClientOptions) (*Client, error) {
	netconn.KeepAlive(nc, s.PingAfter, s.PingTimeout)
	log := report.New(opts.logger())
	h := opts.waitHook(log)
	if peer.Waiting {
		h.call(0) // the wire carries no position
	}
	for peer.Waiting {
		err := h.pause(d.ctx, s.pollInterval)
		if err != nil {
			nc.Close()
			return nil, fault.About(d.what, err)
		}
		if peer, err = d.pollBasic(nc, s); err != nil {
			return nil, err
		}
	}
	if err := h.settle(); err != nil {
		nc.Close()
		return nil, fault.About(d.what, err)
	}
	return &Client{conn: &basicLink{Client: basic.NewClient(nc, &s.Conn), settings: s, log: log, remote: d.remote(nc)}}, nil
}

// pollBasic asks once for admission, within DialTimeout.
func (d *dialState) pollBasic(nc net.Conn, s *settings) (*wire.Hello, error) {
	poll, stop := newDialState(d.ctx, d.what, d.limit)
	defer stop()
	peer, err := exchangeInit(poll.timed, nc, s, wire.AppendBasicClientInit(nil))
	if err == nil && peer.Version != 0 {
		err = errors.New("the server has changed from the basic wire to the native one")
	}
	if err != nil {
		return nil, poll.handshakeError(nc, err)
	}
	return peer, nil
}
