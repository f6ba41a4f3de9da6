package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"syscall"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The handshake: the client sends INIT, the server answers, and both know the wire and
// the limits of the peer. internal/wire has the bytes.

// hello returns the INIT of an end with these settings.
func (s *settings) hello() *wire.Hello {
	h := &wire.Hello{
		Evolves:     true,
		Version:     wire.NativeVersion,
		MaxMessage:  uint64(s.MaxMessage),
		ConnBytes:   uint64(s.ConnBytes),
		MaxInflight: uint32(min(s.MaxInflight, transport.MostInflight)),
	}
	h.Streams = wire.StreamLimits{Window: uint32(s.StreamWindow), Most: uint32(min(s.MaxStreams, math.MaxInt32))}
	if s.PingAfter < transport.UnannouncedPing {
		h.PingAfter = uint32(s.PingAfter.Milliseconds())
	}
	return h
}

// clientHandshake returns the answer of a server to the INIT of a client. Version 0 is a
// server of the basic wire.
func clientHandshake(ctx context.Context, nc net.Conn, s *settings) (*wire.Hello, error) {
	h := s.hello()
	h.AcceptsCalls = true
	return exchangeInit(ctx, nc, s, wire.AppendClientInit(nil, h))
}

// exchangeInit sends an INIT and reads the answer. An error leaves the connection
// unusable.
func exchangeInit(ctx context.Context, nc net.Conn, s *settings, init []byte) (*wire.Hello, error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(netconn.LongAgo) })
	var peer *wire.Hello
	_, err := nc.Write(init)
	if err == nil {
		peer, err = readAnswer(nc, s)
	} else {
		err = unsentError(ctx, nc, s, err)
	}
	if !stop() {
		return nil, ctx.Err() // the deadline in the past may be set later
	}
	return peer, err
}

// unsentError returns the error of an INIT that could not be written. The server may
// have refused the client without reading INIT.
func unsentError(ctx context.Context, nc net.Conn, s *settings, failed error) error {
	nc.SetReadDeadline(time.Now().Add(netconn.CloseTime))
	if ctx.Err() != nil {
		nc.SetReadDeadline(netconn.LongAgo) // again: the line above may have removed it
	}
	_, err := readAnswer(nc, s)
	var refused *fault.Fault
	if errors.As(err, &refused) {
		return refused
	}
	return inHandshake("sending INIT", explainHandshake(nc, false, failed))
}

// readAnswer reads the answer of a server to INIT.
func readAnswer(nc net.Conn, s *settings) (*wire.Hello, error) {
	f, err := readFrame(nc, basic.MaxTraceback) // an EXCEPTION may contain a traceback
	if err != nil {
		return nil, inHandshake("waiting for the answer to INIT", explainHandshake(nc, true, err))
	}
	if f.Type == wire.Exception {
		refused, err := basic.InitRefusal(f.Payload, s.MaxErrorText)
		if err != nil {
			return nil, fmt.Errorf("answer to INIT: EXCEPTION: %w", err)
		}
		return nil, refused
	}
	if f.Type != wire.Init {
		return nil, fmt.Errorf("answer to INIT: %v", f.Type)
	}
	peer, err := wire.ReadServerInit(f.Payload)
	switch {
	case errors.Is(err, wire.ErrBasic) && s.basic:
		return peer, nil
	case errors.Is(err, wire.ErrBasic):
		return nil, errors.New("the server speaks only the basic wire, that of basic-socket-rpc; ClientOptions.Basic allows it")
	case err != nil:
		return nil, fmt.Errorf("answer to INIT: %w", err)
	case peer.RefusalCode != 0:
		return nil, &fault.Fault{Code: fault.Code(peer.RefusalCode), Message: peer.Refusal, Outcome: fault.NotRun, Remote: true}
	case peer.Version != wire.NativeVersion:
		return nil, versionError("server", peer.Version)
	}
	return peer, nil
}

// versionError is the error of a peer with another version of the native wire.
func versionError(who string, version uint8) error {
	return fmt.Errorf("the %s speaks version %d of the native wire, this end version %d", who, version, wire.NativeVersion)
}

// readFrame reads the first frame of a peer. On both wires it has the header of the basic
// wire.
func readFrame(nc net.Conn, longest int64) (basic.Frame, error) {
	f, err := basic.ReadFrame(nc, longest)
	return f, protocolOf(err)
}

// protocolOf replaces the error of a frame too long for INIT by the name of the protocol
// it seems to belong to.
func protocolOf(err error) error {
	if long, ok := err.(*basic.LongFrame); ok {
		return foreignError(long.Head[:], long.Size, long.Most)
	}
	return err
}

// A foreignPeer is the error of a peer with another protocol.
type foreignPeer struct {
	kind report.Kind
	text string
}

func (e *foreignPeer) Error() string { return e.text }

// speaks returns the error of a peer that speaks another protocol, of a kind for the log.
func speaks(kind report.Kind, format string, args ...any) error {
	return &foreignPeer{kind, fmt.Sprintf(format, args...)}
}

// explainHandshake returns a helpful error if err means that the server has closed the
// connection during the handshake, and err itself otherwise. sent is true if INIT has
// been written.
func explainHandshake(nc net.Conn, sent bool, err error) error {
	cause := err
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		cause = io.ErrUnexpectedEOF
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
	case !sent && speaksTLS(nc):
		return &explained{err.Error(), err} // the TLS handshake has failed, before INIT
	default:
		return err
	}
	switch {
	case !speaksTLS(nc):
		return &explained{"the server closed the connection before answering INIT; does it expect TLS?", cause}
	case !sent:
		return &explained{"the server closed the connection in the TLS handshake; does it speak TLS?", cause}
	}
	return &explained{"the server closed the connection before answering INIT", cause}
}

// speaksTLS reports whether nc is a *tls.Conn or has its HandshakeContext method.
func speaksTLS(nc net.Conn) bool {
	_, ok := netconn.Unwrap(nc).(interface{ HandshakeContext(context.Context) error })
	return ok
}

// inHandshake adds the failed step to an error, unless the error explains itself.
func inHandshake(doing string, err error) error {
	var early *explained
	var foreign *foreignPeer
	if errors.As(err, &early) || errors.As(err, &foreign) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// foreignError identifies the protocol of a peer by its first bytes. They announce a
// payload of n bytes.
func foreignError(head []byte, n, longest int64) error {
	switch s := string(head[:4]); {
	case s == "GET " || s == "POST" || s == "PUT " || s == "HEAD" || s == "PRI " || s == "OPTI" || s == "CONN":
		return speaks(report.HTTP, "the peer speaks HTTP (%q)", head)
	case s == "HTTP":
		return speaks(report.HTTP, "the peer is an HTTP server")
	case s == "SSH-":
		return speaks(report.SSH, "the peer speaks SSH")
	case head[0] == 0x16 && head[1] == 3:
		return speaks(report.TLS, "the peer speaks TLS, this end does not")
	case head[0] == 0x15 && head[1] == 3:
		return speaks(report.TLS, "the peer speaks TLS, this end does not; give NewClient a *tls.Conn")
	}
	return speaks(report.Foreign, "the peer's first frame (%q) has a payload of %d bytes, want at most %d: it does not speak bsrpc", head, n, longest)
}
