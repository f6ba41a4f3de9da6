package hello

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
)

// The texts of failed handshakes.

// An explained error replaces the text of its cause and keeps the cause for
// errors.Is and errors.As.
type explained struct {
	text  string
	cause error
}

// Explain returns an error with another text than its cause, err.
func Explain(text string, err error) error { return &explained{text, err} }

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.cause }

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
		return foreign(long.Head[:], long.Size, long.Most)
	}
	return err
}

// A Foreign is the error of a peer with another protocol.
type Foreign struct {
	Kind report.Kind
	text string
	err  error // the cause; nil for none
}

func (e *Foreign) Error() string { return e.text }
func (e *Foreign) Unwrap() error { return e.err }

// speaks returns the error of a peer that speaks another protocol, of a kind for the log.
func speaks(kind report.Kind, format string, args ...any) error {
	return &Foreign{kind, fmt.Sprintf(format, args...), nil}
}

// explain returns a helpful error if err means that the server has closed the
// connection during the handshake, and err itself otherwise. sent is true if INIT has
// been written.
func explain(nc net.Conn, sent bool, err error) error {
	cause, closed := closedBy(err)
	switch {
	case !closed && !sent && secure.IsTLS(nc):
		return &explained{err.Error(), err} // the TLS handshake has failed, before INIT
	case !closed:
		return err
	case !secure.IsTLS(nc):
		return &explained{"the server closed the connection before answering INIT; is it shutting down, or does it expect TLS?", cause}
	case !sent:
		return &explained{"the server closed the connection in the TLS handshake; does it speak TLS?", cause}
	}
	return &explained{"the server closed the connection before answering INIT", cause}
}

// closedBy reports whether err means that the peer has closed the connection, and returns its
// cause.
func closedBy(err error) (cause error, closed bool) {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF, true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return err, true
	}
	return err, false
}

// during adds the failed step to an error, unless the error explains itself.
func during(doing string, err error) error {
	var early *explained
	var foreign *Foreign
	if errors.As(err, &early) || errors.As(err, &foreign) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// foreign identifies the protocol of a peer by its first bytes. They announce a
// payload of n bytes.
func foreign(head []byte, n, longest int64) error {
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
		return speaks(report.TLS, "the peer speaks TLS, this end does not; set ClientOptions.TLS")
	}
	return speaks(report.Foreign, "the peer's first frame (%q) has a payload of %d bytes, want at most %d: it does not speak bsrpc", head, n, longest)
}
