// Package rebind is BIND at the end that calls: it asks a peer for the numbers of methods.
// What a client has asked on one connection it asks on the next one in the flight of the
// handshake, so that its first call after a loss needs no further round trip. The package
// knows neither contracts nor proxies.
package rebind

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

const (
	// MostAhead limits the bytes of the BINDs sent ahead on one connection, without headers.
	MostAhead = 128 << 10

	// mostKept limits the bytes of the answers kept, with their requests. What is above is asked again.
	mostKept = 1 << 20
)

// A request is one BIND frame without its id.
type request struct {
	flags wire.Flags
	body  string
}

// A Known is the BINDs of one connection: those to be asked again on the next one, and the
// answers, which are valid as long as the connection. It is safe for concurrent use. A nil
// Known asks, and keeps nothing.
type Known struct {
	mu      sync.Mutex // guards the rest
	answers map[request][]byte
	kept    int       // bytes of answers
	asked   []request // in order: hashes before the texts of those that differ
	has     map[request]bool
	size    int // of the bodies of asked
}

// Ask asks the peer of c for the methods of r, in as many BIND frames as necessary: a BIND is
// never chunked. A text too long for a frame differs. timeout is DefaultCallTimeout.
func (k *Known) Ask(ctx context.Context, c *transport.Conn, timeout time.Duration, r *wire.BindRequest) (answers []wire.BindResult, err error) {
	for from := 0; from < len(r.Names); {
		to, size := from, 4+len(r.Service)
		for to < len(r.Names) && size+r.NameSize(to) <= wire.MaxUnchunked {
			size += r.NameSize(to)
			to++
		}
		if to == from {
			answers = append(answers, wire.BindResult{Status: wire.BindDiffers})
			from++
			continue
		}
		part := &wire.BindRequest{Service: r.Service, Names: r.Names[from:to]}
		if r.Hashes != nil {
			part.Hashes = r.Hashes[from:to]
		}
		if r.Texts != nil {
			part.Texts = r.Texts[from:to]
		}
		body, err := k.ask(ctx, c, timeout, request{part.Flags(), string(part.Append(nil))})
		if err != nil {
			return nil, err
		}
		more, err := wire.ReadBindResponse(body, len(part.Names))
		if err != nil {
			return nil, fault.New(fault.Internal, fault.OutcomeUnknown, "answer to BIND: %w", err)
		}
		answers = append(answers, more...)
		from = to
	}
	return answers, nil
}

// ask returns the answer to one frame, which may be known.
func (k *Known) ask(ctx context.Context, c *transport.Conn, timeout time.Duration, r request) ([]byte, error) {
	if body, ok := k.note(r); ok && ctx.Err() == nil && c.Err() == nil { // otherwise Do has the error
		return body, nil
	}
	call := transport.NewCall()
	call.Head = wire.Frame{Type: wire.Bind, Flags: r.flags}
	call.Timeout.Begin(ctx, timeout, limits.ByDefault)
	if err := transport.Do(ctx, c, call, &wire.Body{Buf: []byte(r.body)}); err != nil {
		return nil, err
	}
	body, _ := call.Body()
	k.keep(r, body)
	return body, nil
}

// Expect notes a request for the next connection that is not necessary on this one.
func (k *Known) Expect(r *wire.BindRequest) { k.note(request{r.Flags(), string(r.Append(nil))}) }

// note notes a frame for the next connection, and returns its answer, if that is known.
func (k *Known) note(r request) (body []byte, ok bool) {
	if k == nil {
		return nil, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if size := len(r.body); !k.has[r] && k.size+size <= MostAhead {
		if k.has == nil {
			k.has = make(map[request]bool)
		}
		k.asked, k.has[r], k.size = append(k.asked, r), true, k.size+size
	}
	body, ok = k.answers[r]
	return body, ok
}

// keep keeps an answer.
func (k *Known) keep(r request, body []byte) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.answers[r]; !ok && k.kept+len(r.body)+len(body) <= mostKept {
		if k.answers == nil {
			k.answers = make(map[request][]byte)
		}
		k.answers[r], k.kept = body, k.kept+len(r.body)+len(body)
	}
}

// Ahead returns what was asked on a connection, to be sent on the next one. It can be taken
// once: after an attempt that has failed, the next one sends nothing ahead, so that a server
// that ends connections because of it is no obstacle.
func (k *Known) Ahead() *Flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := &Flight{requests: k.asked}
	k.asked, k.has, k.size = nil, nil, 0
	return f
}

// A Flight is BIND frames sent with INIT, perhaps none. A nil Flight is that of a connection
// without a next one.
type Flight struct {
	requests []request
	calls    []*transport.Call // of the requests
}

// Frames returns the bytes to send behind INIT and AUTH.
func (f *Flight) Frames() (b []byte) {
	if f == nil {
		return nil
	}
	for i, r := range f.requests {
		b = wire.AppendHeader(b, &wire.Frame{Type: wire.Bind, Flags: r.flags, ID: transport.SentID(i), BodySize: len(r.body)})
		b = append(b, r.body...)
		f.calls = append(f.calls, transport.NewCall())
	}
	return b
}

// Calls returns the calls for transport.Config.Sent.
func (f *Flight) Calls() []*transport.Call {
	if f == nil {
		return nil
	}
	return f.calls
}

// Await waits for the answers on the new connection, within ctx. A BIND that is refused is
// asked again where it is needed: a client that waits for admission is too early. If Await
// fails, the connection has ended. A nil Flight gives a nil Known.
func (f *Flight) Await(ctx context.Context, c *transport.Conn) (*Known, error) {
	if f == nil {
		return nil, nil
	}
	k := new(Known)
	for i, call := range f.calls {
		err := transport.Await(ctx, c, call)
		if why, ended := c.Err().(*fault.Fault); ended && err != nil {
			if why.Code == fault.Internal { // a violation: perhaps the flight, which is no reason to give up
				why = fault.New(fault.Unavailable, fault.NotRun, "binding with the handshake: %w", why)
			}
			return nil, why.WithOutcome(fault.NotRun)
		}
		if ctx.Err() != nil {
			late := fault.Missing("no answer to BIND", ctx.Err())
			c.Fail(late)
			c.Wait()
			return nil, late
		}
		if body, _ := call.Body(); err == nil {
			k.keep(f.requests[i], body)
		}
	}
	return k, nil
}
