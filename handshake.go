package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// INIT: the client speaks first, the server answers, and both know whom they
// talk to and what the other end takes. Bytes are in internal/wire; what each
// end concludes is here.

// hello is what an end says of itself.
func (b *bounds) hello() *wire.Hello {
	return &wire.Hello{
		Version:     wire.NativeVersion,
		MaxMessage:  uint64(b.maxMessage),
		ConnBytes:   uint64(b.connBytes),
		MaxInflight: uint32(min(b.maxInflight, 1<<slotBits)),
	}
}

// shakeClient does the client's part of INIT, within ctx.
func shakeClient(ctx context.Context, nc net.Conn, b *bounds) (*wire.Hello, error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(longAgo) })
	peer, err := exchangeInit(nc, b)
	if !stop() {
		return nil, ctx.Err() // the deadline in the past may come yet: the connection is of no use
	}
	return peer, err
}

func exchangeInit(nc net.Conn, b *bounds) (*wire.Hello, error) {
	if _, err := nc.Write(wire.AppendClientInit(nil, b.hello())); err != nil {
		return nil, fmt.Errorf("sending INIT: %w", err)
	}
	t, payload, err := readBasicFrame(nc)
	if err != nil {
		return nil, fmt.Errorf("waiting for the answer to INIT: %w", err)
	}
	if t == wire.Exception {
		name, text, err := wire.ReadException(payload)
		if err != nil {
			return nil, fmt.Errorf("answer to INIT: EXCEPTION: %w", err)
		}
		return nil, &Error{Code: CodeUnavailable, Name: name, Message: text, Outcome: OutcomeNotRun, Remote: true}
	}
	if t != wire.Init {
		return nil, fmt.Errorf("answer to INIT: %v", t)
	}
	peer, err := wire.ReadServerInit(payload)
	switch {
	case errors.Is(err, wire.ErrBasic):
		return nil, errors.New("the server speaks only the basic wire, which this version does not call")
	case err != nil:
		return nil, fmt.Errorf("answer to INIT: %w", err)
	case peer.RefusalCode != 0:
		return nil, &Error{Code: Code(peer.RefusalCode), Message: peer.Refusal, Outcome: OutcomeNotRun, Remote: true}
	case peer.Version != wire.NativeVersion:
		return nil, versionError("server", peer.Version)
	}
	return peer, nil
}

func versionError(who string, version uint8) error {
	return fmt.Errorf("the %s speaks version %d of the native wire, this end version %d", who, version, wire.NativeVersion)
}

// A refusal is why a server does not admit a client that has said hello.
type refusal struct {
	err   *Error
	basic bool // the client does not understand a native answer
}

func (r *refusal) Error() string { return r.err.Message }

// shakeServer does the server's part of INIT. receive lets the client in, or
// says why not; it may fill in what the client is told of its place.
func shakeServer(nc net.Conn, b *bounds, receive func(*wire.Hello) *Error) (*wire.Hello, error) {
	nc.SetDeadline(time.Now().Add(b.handshakeTimeout))
	defer nc.SetDeadline(time.Time{})
	peer, err := readInit(nc)
	answer := b.hello()
	var r *refusal
	switch {
	case errors.As(err, &r):
	case err != nil:
		return nil, err
	default:
		if refuse := receive(answer); refuse != nil {
			r = &refusal{err: refuse}
		}
	}
	if r != nil {
		refuseInit(nc, b, r)
		return nil, r
	}
	_, err = nc.Write(wire.AppendServerInit(nil, answer))
	return peer, err
}

// readInit reads a client's INIT.
func readInit(nc net.Conn) (*wire.Hello, error) {
	t, payload, err := readBasicFrame(nc)
	if err != nil {
		return nil, err
	}
	if t != wire.Init {
		return nil, &refusal{&Error{Name: "ProtocolError", Message: "Need to initialize connection first"}, true}
	}
	peer, err := wire.ReadClientInit(payload)
	switch {
	case errors.Is(err, wire.ErrBasic):
		return nil, &refusal{&Error{Name: "ProtocolError",
			Message: "this server does not speak the basic wire (ServerOptions.Basic)"}, true}
	case err != nil && peer == nil:
		return nil, &refusal{&Error{Name: "ValueError", Message: err.Error()}, true}
	case err != nil:
		return nil, &refusal{err: &Error{Code: CodeFailedPrecondition, Message: "INIT: " + err.Error()}}
	case peer.Version != wire.NativeVersion:
		return nil, &refusal{err: &Error{Code: CodeFailedPrecondition, Message: versionError("client", peer.Version).Error()}}
	}
	return peer, nil
}

// refuseInit answers INIT with a reason, and lets the peer read it before the
// connection is closed.
func refuseInit(nc net.Conn, b *bounds, r *refusal) {
	var frame []byte
	if r.basic {
		frame = wire.AppendException(nil, r.err.Name, r.err.Message)
	} else {
		h := b.hello()
		h.RefusalCode, h.Refusal = uint16(r.err.Code), cut(r.err.Message, min(b.maxErrorText, wire.MaxInit/2))
		frame = wire.AppendServerInit(nil, h)
	}
	if _, err := nc.Write(frame); err == nil {
		drainSocket(nc)
	}
}

// readBasicFrame reads a frame of the basic wire, no longer than an INIT may
// be, and not a byte more.
func readBasicFrame(nc net.Conn) (wire.Type, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return 0, nil, err
	}
	t, n := wire.ReadBasicHead(head[:])
	if n < 0 || n > wire.MaxInit {
		return 0, nil, foreignError(head[:], n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(nc, payload); err != nil {
		return 0, nil, err
	}
	return t, payload, nil
}

// foreignError says what a peer seems to speak whose first bytes are no INIT.
func foreignError(head []byte, n int64) error {
	switch s := string(head[:4]); {
	case s == "GET " || s == "POST" || s == "PUT " || s == "HEAD" || s == "PRI " || s == "OPTI" || s == "CONN":
		return fmt.Errorf("the peer speaks HTTP (%q)", head)
	case s == "HTTP":
		return errors.New("the peer is an HTTP server")
	case head[0] == 0x16 && head[1] == 3:
		return errors.New("the peer speaks TLS, this end does not")
	case head[0] == 0x15 && head[1] == 3:
		return errors.New("the peer speaks TLS and refused us")
	}
	return fmt.Errorf("the peer's first frame (%q) has a payload of %d bytes, want at most %d: it does not speak bsrpc", head, n, wire.MaxInit)
}
