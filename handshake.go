package bsrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/rebind"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A handshake is the beginning of one connection of a server. Its steps, in this order:
//
//	pause         the connections of an address with many failed ones wait
//	hello         after the TLS handshake the client's INIT is read, and decides the wire
//	authenticate  the client proves its identity, to ServerOptions.Authenticate; AUTH is read
//	seek          the session is opened and, on the native wire, enters the admission queue
//	settle        the handshake can no longer be dropped for another one
//	welcome       INIT is answered, with the position in the queue
//
// A step that fails ends the connection, with a refusal where the client can read one.
type handshake struct {
	server  *Server
	ctx     context.Context // of all steps together, for HandshakeTimeout
	nc      net.Conn
	peer    *wire.Hello // of the client; nil on the basic wire
	init    basic.Frame // of a basic client
	answer  *wire.Hello // to a native client
	who     Peer
	tls     *tls.ConnectionState // nil without TLS
	session *Session
	entered *admission.Handshake[net.Conn]
	secured bool // the TLS handshake is complete, or there is none
	late    bool // no whole INIT has come in time, or the handshake was dropped
}

// runHandshake does the handshake, and makes a connection of it.
func (s *Server) runHandshake(nc net.Conn) (*serverConn, error) {
	deadline := netconn.DeadlineIn(s.settings.HandshakeTimeout)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	h := &handshake{server: s, ctx: ctx, nc: nc}
	// Set before enter: the handshake may be dropped from then on, by a deadline in the past.
	nc.SetDeadline(deadline)
	var err error
	if h.entered, err = s.enter(nc); err != nil {
		why := h.dropped()
		ctx, cancel := context.WithTimeout(ctx, dropTime)
		defer cancel()
		h.secured = hello.AcceptTLS(ctx, nc, s.log) == nil
		h.refuse(why)
		return nil, err
	}
	defer s.handshakes.Done()
	settle := func() error { return s.handshaking.Settle(h.entered) }
	for _, step := range [...]func() error{h.pause, h.hello, h.authenticate, h.seek, settle, h.welcome} {
		if err = step(); err != nil {
			break
		}
	}
	if s.handshaking.Leave(h.entered) {
		err = h.dropped()
	} else if h.late {
		h.refuseLate()
	}
	if hello.IsFailure(err) {
		s.handshaking.Failed(h.entered.Peer)
	}
	if err != nil {
		h.refuse(err)
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	if h.peer == nil {
		return s.openBasic(nc, h.session, h.init), nil
	}
	return s.open(h), nil
}

// pause is the first step. A peer must not make the server do one handshake after another for
// connections that fail.
func (h *handshake) pause() error {
	s := h.server
	s.handshaking.Pause(h.entered, s.settings.HandshakeTimeout/2, s.sessions.draining)
	return nil
}

// hello is the second step: TLS, INIT, and the choice of the wire.
func (h *handshake) hello() (err error) {
	if err = hello.AcceptTLS(h.ctx, h.nc, h.server.log); err == nil {
		h.secured = true
		h.peer, h.init, err = hello.Read(h.nc, h.server.settings.Basic)
		h.late = hello.IsTimeout(err)
	}
	if err == nil && h.peer == nil && (h.server.settings.access.authenticate != nil || h.server.registry.restricted()) {
		// A client of the basic wire cannot prove who it is.
		err = &hello.Refusal{Basic: true, Err: fault.Refusal(fault.Unauthenticated, "the server authenticates its clients or restricts their calls, and the basic wire cannot prove an identity")}
	}
	if hello.IsTimeout(err) {
		err = hello.Explain(fmt.Sprintf("no INIT in %v (HandshakeTimeout)", h.server.settings.HandshakeTimeout), err)
	}
	return err
}

// refuseLate tells a client without a whole INIT why the connection ends, if it reads at once: most
// such peers read nothing.
func (h *handshake) refuseLate() {
	why := fault.Refusal(fault.Unavailable, "no whole INIT in %v (the server's HandshakeTimeout)", h.server.settings.HandshakeTimeout)
	h.nc.SetDeadline(time.Now().Add(dropTime))
	r := hello.Refusal{Err: why, Basic: h.server.settings.Basic, Hurry: true}
	r.Send(h.nc, h.server.settings.MaxErrorText)
}

// dropped returns the refusal of a client whose server stops, or whose place another one needs.
func (h *handshake) dropped() error {
	h.nc.SetDeadline(time.Now().Add(dropTime))
	r := &hello.Refusal{Basic: h.server.settings.Basic, Full: !h.server.isStopping(), Hurry: true}
	if r.Err = fault.Refusal(fault.Unavailable, "the server is shutting down"); r.Full {
		r.Err = fault.Refusal(fault.ResourceExhausted, "the server has Limits.MaxHandshakes (%d) unfinished handshakes", h.server.settings.MaxHandshakes)
	}
	return r
}

// dropTime is how long the refusal of a dropped handshake may take to be written.
const dropTime = 10 * time.Millisecond

// authenticate is the third step: AUTH is read, and Authenticate called, which sets the name and
// the roles.
func (h *handshake) authenticate() (err error) {
	s := h.server
	h.who, h.tls = peerOf(h.nc, s.log)
	var sent secure.Secret
	if h.peer != nil && h.peer.Auth {
		sent, err = hello.ReadAuth(h.nc)
	}
	if err == nil {
		err = s.prove(h.ctx, &h.who, h.entered.Peer, Credentials{sent})
	}
	if err != nil {
		if h.ctx.Err() != nil { // HandshakeTimeout is over, and the refusal needs time of its own
			h.nc.SetDeadline(time.Now().Add(dropTime))
		}
		return hello.Unauthenticated(s.log, h.who.Addr, err)
	}
	return nil
}

// prove asks Authenticate, if there is one, and gives p the name and the roles. Authenticate gets
// a copy: it may keep that, and still write there after its time. key limits the calls under way.
func (s *Server) prove(ctx context.Context, p *Peer, key string, creds Credentials) error {
	check := s.settings.access.authenticate
	if check == nil {
		return nil
	}
	given := *p
	err := hello.Prove(ctx, s.log, &s.proving, key, func() error { return check(ctx, &given, creds) })
	if err == nil {
		p.Name, p.Roles = given.Name, slices.Clone(given.Roles)
	}
	return err
}

// seek enters the session of a native client into the admission queue. A basic client
// polls for admission after the handshake.
func (h *handshake) seek() error {
	sessions := &h.server.sessions
	session, refuse := sessions.open(h.who, h.tls)
	if refuse != nil {
		return &hello.Refusal{Err: refuse, Basic: h.peer == nil, Full: true}
	}
	h.session = session
	if h.peer == nil {
		return nil
	}
	position, refuse := sessions.enter(session)
	if refuse != nil {
		return &hello.Refusal{Err: refuse}
	}
	h.answer = transport.Hello(&h.server.settings.Conn)
	h.answer.Stateless = sessions.areStateless()
	h.answer.Waiting, h.answer.Position = position > 0 || sessions.runsHooksFirst(), uint32(position)
	return nil
}

// welcome answers the INIT of a native client. That of a basic client is answered by its
// connection.
func (h *handshake) welcome() error {
	if h.peer == nil {
		return nil
	}
	_, err := h.nc.Write(wire.AppendServerInit(nil, h.answer))
	return err
}

// refuse sends the client the reason of a refusal, and ends the session, if it was
// opened. A write within the TLS handshake would wait for that, and so for what hangs there.
func (h *handshake) refuse(err error) {
	var r *hello.Refusal
	if errors.As(err, &r) && (h.secured || r.IsPlain()) {
		r.Send(h.nc, h.server.settings.MaxErrorText)
	}
	if h.session != nil {
		close(h.session.disconnected)
		h.server.sessions.end(h.session)
	}
}

// clientHandshake returns the answer of a server to the INIT of a client, and to its AUTH
// frame if it has one. The frames of ahead follow in the same flight. Version 0 is a server of
// the basic wire.
func clientHandshake(ctx context.Context, nc net.Conn, s *settings, r *report.Log, ahead *rebind.Flight) (*wire.Hello, error) {
	h := transport.Hello(&s.Conn)
	h.AcceptsCalls, h.Reconnects = true, true
	h.Auth = s.access.credentials != nil
	init := wire.AppendClientInit(nil, h)
	if h.Auth {
		var err error
		init, err = hello.AppendAuth(ctx, init, nc, r, s.access.insecure, func() (secure.Secret, error) {
			c, err := s.access.credentials(ctx)
			return c.secret, err
		})
		if err != nil {
			return nil, err
		}
	}
	return hello.Exchange(ctx, nc, s.accepted(), init, ahead.Frames())
}

// accepted returns what a client with these settings accepts in the handshake.
func (s *settings) accepted() *hello.Limits {
	return &hello.Limits{Basic: s.Basic, MaxErrorText: s.MaxErrorText}
}
