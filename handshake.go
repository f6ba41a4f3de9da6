package bsrpc

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A handshake is the beginning of one connection of a server. Its steps, in this order:
//
//	hello         the client's INIT is read, and decides the wire
//	authenticate  the client proves its identity; this version has no authentication
//	seek          the session is opened and, on the native wire, enters the admission queue
//	welcome       INIT is answered, with the position in the queue
//
// A step that fails ends the connection, with a refusal where the client can read one.
type handshake struct {
	server  *Server
	nc      net.Conn
	peer    *wire.Hello // of the client; nil on the basic wire
	init    basic.Frame // of a basic client
	answer  *wire.Hello // to a native client
	session *Session
}

// runHandshake does the handshake, and makes a connection of it.
func (s *Server) runHandshake(nc net.Conn) (*serverConn, error) {
	h := &handshake{server: s, nc: nc}
	if err := s.enter(&h.nc); err != nil {
		return nil, err
	}
	defer s.handshakes.Done()
	nc.SetDeadline(netconn.DeadlineIn(s.settings.handshakeTimeout))
	var err error
	for _, step := range [...]func() error{h.hello, h.authenticate, h.seek, h.welcome} {
		if err = step(); err != nil {
			break
		}
	}
	if err != nil {
		h.refuse(err)
	}
	nc.SetDeadline(time.Time{})
	s.leave(&h.nc)
	if err != nil {
		return nil, err
	}
	if h.peer == nil {
		return s.openBasic(nc, h.session, h.init), nil
	}
	return s.open(nc, h.session, h.peer, h.answer.Waiting), nil
}

// hello is the first step: INIT, and the choice of the wire.
func (h *handshake) hello() (err error) {
	h.peer, h.init, err = readHello(h.nc, h.server.settings.basic)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &explained{fmt.Sprintf("no INIT in %v (HandshakeTimeout)", h.server.settings.handshakeTimeout), err}
	}
	return err
}

// authenticate is the second step, empty so far.
func (h *handshake) authenticate() error { return nil }

// seek enters the session of a native client into the admission queue. A basic client
// polls for admission after the handshake.
func (h *handshake) seek() error {
	sessions := &h.server.sessions
	session, refuse := sessions.open(h.nc)
	if refuse != nil {
		return &refusal{err: refuse, basic: h.peer == nil, full: true}
	}
	h.session = session
	if h.peer == nil {
		return nil
	}
	position, refuse := sessions.enter(session)
	if refuse != nil {
		return &refusal{err: refuse}
	}
	h.answer = h.server.settings.hello()
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
// opened.
func (h *handshake) refuse(err error) {
	var r *refusal
	if errors.As(err, &r) {
		refuseInit(h.nc, h.server.settings, r)
	}
	if h.session != nil {
		close(h.session.disconnected)
		h.server.sessions.end(h.session)
	}
}

// A refusal is the reason of a server for closing a connection in the handshake. The
// client can read it.
type refusal struct {
	err   *fault.Fault
	basic bool // sent as an exception of the basic wire
	full  bool // by Limits.MaxConns
}

func (r *refusal) Error() string { return r.err.Plain() }

// readHello reads the first frame of a client. For a client of the basic wire peer is nil,
// and init is its INIT.
func readHello(nc net.Conn, bothWires bool) (peer *wire.Hello, init basic.Frame, err error) {
	f, err := readFrame(nc, wire.MaxInit)
	if err != nil {
		return nil, f, err
	}
	peer, err = wire.ReadClientInit(f.Payload)
	native := f.Refused == nil && f.Type == wire.Init && peer != nil
	switch {
	case !native && bothWires:
		init, e, err := basic.AwaitInit(nc, f)
		if e != nil {
			err = &refusal{err: e, basic: true}
		}
		return nil, init, protocolOf(err)
	case !native:
		return nil, f, nativeOnly(&f)
	case err != nil:
		err = &refusal{err: fault.Refusal(fault.FailedPrecondition, "INIT: %v", err)}
	case peer.Version != wire.NativeVersion:
		err = &refusal{err: fault.Refusal(fault.FailedPrecondition, "%v", versionError("client", peer.Version))}
	}
	return peer, f, err
}

// nativeOnly returns the error of a first frame not of the native wire, at a server
// without the basic wire.
func nativeOnly(f *basic.Frame) error {
	if f.Refused != nil {
		return f.Refused
	}
	return &refusal{err: basic.Unsupported(f), basic: true}
}

// refuseInit answers INIT by a refusal, and gives the client time to read it.
func refuseInit(nc net.Conn, s *settings, r *refusal) {
	var frame []byte
	if r.basic {
		frame = wire.AppendException(nil, cmp.Or(r.err.Name, "ConnectionError"), r.err.Plain())
	} else {
		h := s.hello()
		h.RefusalCode, h.Refusal = uint16(r.err.Code), fault.Cut(r.err.Message, min(s.MaxErrorText, wire.MaxInit/2))
		frame = wire.AppendServerInit(nil, h)
	}
	if _, err := nc.Write(frame); err == nil {
		netconn.Drain(nc)
	}
}
