package bsrpc

// The errors of Dial and NewClient: their texts, and the errors matched by errors.Is.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// silent is a server that reads everything and sends nothing.
func silent(p *rawPeer) { io.Copy(io.Discard, p.nc) }

// queued is a server whose client waits at a position of the queue.
func queued(p *rawPeer) {
	p.readBasic()
	p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, Waiting: true, Position: 3}))
	silent(p)
}

// unasking is a basic server that never admits its client.
func unasking(p *rawPeer) {
	for {
		if _, err := io.ReadFull(p.nc, make([]byte, 4)); err != nil {
			return
		}
		p.nc.Read(make([]byte, 256))
		p.nc.Write([]byte(basicNotYet))
	}
}

// Each step of Dial can be ended by the caller, by the deadline of the caller and by
// DialTimeout.
func TestDialErrors(t *testing.T) {
	canceled := func(text string) callError {
		return callError{text, CodeCanceled, OutcomeNotRun, false, context.Canceled}
	}
	late := func(text string) callError {
		return callError{text, CodeDeadlineExceeded, OutcomeNotRun, false, context.DeadlineExceeded}
	}
	for _, tt := range []struct {
		name                 string
		server               func(p *rawPeer)
		cancel, over, option callError // option is without text where DialTimeout bounds nothing
	}{
		{
			"no answer", silent, canceled("bsrpc: no answer to INIT: context canceled"),
			late("bsrpc: no answer to INIT: context deadline exceeded"), late("bsrpc: no answer to INIT in 5s (DialTimeout)"),
		}, {
			"in the queue", queued, canceled("bsrpc: not admitted yet, at position 3 of the queue: context canceled"),
			late("bsrpc: not admitted yet, at position 3 of the queue: context deadline exceeded"), callError{},
		}, {
			"in a basic server's queue", unasking, canceled("bsrpc: not admitted yet: context canceled"),
			late("bsrpc: not admitted yet: context deadline exceeded"), callError{},
		},
	} {
		attempt := func(how string, want callError, begin func() (context.Context, context.CancelFunc)) {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					near, far := net.Pipe()
					go tt.server(&rawPeer{t: t, nc: far})
					ctx, cancel := begin()
					defer cancel()
					_, err := NewClient(ctx, near, &ClientOptions{DialTimeout: 5 * time.Second, Logger: quiet, Basic: true, Limits: Limits{PingAfter: NoLimit}})
					want.check(t, err)
					far.Close()
				})
			})
		}
		attempt("cancelled", tt.cancel, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(2100*time.Millisecond, cancel)
			return ctx, cancel
		})
		attempt("time over", tt.over, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 2100*time.Millisecond)
		})
		if tt.option.text != "" {
			attempt("DialTimeout", tt.option, func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), time.Minute)
			})
		}
	}
}

// If the server does not listen, the cause is the error of the system. If the caller
// ends Dial, the code is not Unavailable.
func TestDialNamesTheCause(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = Dial(t.Context(), "tcp", l.Addr().String(), nil)
	callError{"bsrpc: dial tcp " + l.Addr().String() + ": *", CodeUnavailable, OutcomeNotRun, false, nil}.check(t, err)
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("%v does not wrap its cause", err)
	}
	what := "bsrpc: dial tcp " + l.Addr().String() + ": no connection: "
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Dial(ctx, "tcp", l.Addr().String(), nil)
	callError{what + "context canceled", CodeCanceled, OutcomeNotRun, false, context.Canceled}.check(t, err)
	ctx, cancel = context.WithTimeout(t.Context(), -1)
	defer cancel()
	_, err = Dial(ctx, "tcp", l.Addr().String(), nil)
	callError{what + "context deadline exceeded", CodeDeadlineExceeded, OutcomeNotRun, false, context.DeadlineExceeded}.check(t, err)
}

// A refusal by a hook keeps its text. A refusal by the library names the operation.
func TestRefusalTexts(t *testing.T) {
	for _, tt := range []struct {
		refusal, want string
	}{
		{"not on Sundays", "not on Sundays"},
		{"bsrpc: queue full", "bsrpc: dial tcp lab:7: queue full"},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			p := &rawPeer{t: t, nc: far}
			go func() {
				p.readBasic()
				p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, RefusalCode: 8, Refusal: tt.refusal}))
				far.Close()
			}()
			b, _ := new(ClientOptions).resolve()
			d, stop := newDialState(t.Context(), "dial tcp lab:7", b.DialTimeout)
			defer stop()
			_, err := newClient(d, near, b, new(ClientOptions))
			callError{tt.want, CodeResourceExhausted, OutcomeNotRun, true, nil}.check(t, publicError(err))
		})
	}
}

// Only one end uses TLS, client or server.
func TestDialWithTLSAtOneEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() { // like crypto/tls, which answers only TLS
			io.ReadFull(far, make([]byte, 5))
			far.Close()
		}()
		_, err := NewClient(t.Context(), near, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "bsrpc: handshake: ") {
			t.Errorf("a plain client at a TLS server: %v", err)
		}
		srv := testeeServer(t, newTestee(), nil)
		near, far = net.Pipe()
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		_, err = NewClient(t.Context(), tls.Client(near, &tls.Config{InsecureSkipVerify: true}), nil)
		callError{"bsrpc: handshake: the server closed the connection in the TLS handshake; does it speak TLS?", CodeUnavailable, OutcomeNotRun, false, nil}.check(t, err)
		if err := <-served; err == nil || err.Error() != "bsrpc: handshake: the peer speaks TLS, this end does not" {
			t.Errorf("the plain server: %v", err)
		}
		srv.Close()
	})
}

// If a net.Conn returns an error of package context, errors.Is does not match it in
// the error of a call.
func TestContextErrorsOfConns(t *testing.T) {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			d := newErrorScene(t, false, untilDone)
			defer d.close()
			d.client.conn.close(fault.Lost("reading", cause))
			callError{"bsrpc: Desk.End: connection lost: reading: " + cause.Error(), CodeUnavailable, OutcomeNotRun, false, nil}.check(t, d.proxy.End(t.Context()))
		})
	}
}

// A Dial whose time ends says what its address had said before.
func TestDialRefusedWithDeadline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = Dial(ctx, "tcp", l.Addr().String(), nil)
	if CodeOf(err) != CodeUnavailable || err.Error() != fmt.Sprintf("bsrpc: dial tcp %s: connect: connection refused", l.Addr()) {
		t.Fatal(err)
	}
}
