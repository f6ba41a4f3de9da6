package hello

import (
	"cmp"
	"errors"
	"net"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The first frames at a server.

// A Refusal is the reason of a server for closing a connection in the handshake. The
// client can read it.
type Refusal struct {
	Err   *fault.Fault
	Basic bool // sent as an exception of the basic wire
	Full  bool // by a limit of the server's connections
	Hurry bool // the client gets no time to read it: others wait for the place

	on net.Conn // the connection below an unfinished TLS handshake; nil for the given one
}

// IsFailure reports whether err, of a handshake, is the client's doing: it is not nil, and not a
// refusal because the server has no place, or is closing.
func IsFailure(err error) bool {
	var r *Refusal
	return err != nil && (!errors.As(err, &r) || r.Err.Code != fault.ResourceExhausted && r.Err.Code != fault.Unavailable)
}

// IsPlain reports whether the refusal is sent without TLS, to a client without TLS.
func (r *Refusal) IsPlain() bool { return r.on != nil }

func (r *Refusal) Error() string { return r.Err.Plain() }

// Read reads the first frame of a client. For a client of the basic wire peer is nil,
// and init is its INIT.
func Read(nc net.Conn, bothWires bool) (peer *wire.Hello, init basic.Frame, err error) {
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
			err = &Refusal{Err: e, Basic: true}
		}
		return nil, init, protocolOf(err)
	case !native:
		return nil, f, nativeOnly(&f)
	case err != nil:
		err = &Refusal{Err: fault.Refusal(fault.FailedPrecondition, "INIT: %v", err)}
	case peer.Version != wire.NativeVersion:
		err = &Refusal{Err: fault.Refusal(fault.FailedPrecondition, "%v", versionError("client", peer.Version))}
	}
	return peer, f, err
}

// nativeOnly returns the error of a first frame not of the native wire, at a server
// without the basic wire.
func nativeOnly(f *basic.Frame) error {
	if f.Refused != nil {
		return f.Refused
	}
	return &Refusal{Err: basic.Unsupported(f), Basic: true}
}

// Send answers INIT by the refusal, and gives the client time to read it. The text has at most
// maxText bytes. The limits of this end are not sent: the client may be a stranger.
func (r *Refusal) Send(nc net.Conn, maxText int) {
	if r.on != nil {
		nc = r.on
	}
	var frame []byte
	if r.Basic {
		frame = wire.AppendException(nil, cmp.Or(r.Err.Name, "ConnectionError"), r.Err.Plain())
	} else {
		text := fault.Cut(r.Err.Message, min(maxText, wire.MaxInit/2))
		frame = wire.AppendServerInit(nil, &wire.Hello{Version: wire.NativeVersion, RefusalCode: uint16(r.Err.Code), Refusal: text})
	}
	if _, err := nc.Write(frame); err == nil && !r.Hurry {
		netconn.Drain(nc)
	}
}
