package hello

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The TLS handshake, before INIT.

// AcceptTLS completes the TLS handshake of a server within ctx. A connection without TLS
// needs none.
func AcceptTLS(ctx context.Context, nc net.Conn, l *report.Log) error {
	err := secure.Handshake(ctx, nc, l)
	var record tls.RecordHeaderError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &record) && record.Conn != nil:
		return plainClient(&record)
	case errors.Is(err, io.EOF), IsTimeout(err):
		return fmt.Errorf("TLS handshake: %w", err)
	}
	kind := report.TLS
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) || errors.Is(err, secure.ErrLong) {
		kind = report.Auth // a client of this server, whose line must not wait for those of scanners
	}
	return &Foreign{kind, "TLS handshake: " + err.Error(), err}
}

// plainClient returns the error of a client without TLS. One of the native wire can read the
// refusal: it is sent without TLS, and has nothing of the server.
func plainClient(e *tls.RecordHeaderError) error {
	head := e.RecordHeader[:]
	n := wire.ReadBasicSize(head) - wire.BasicHeaderSize
	if wire.Type(head[4]) == wire.Init && n > 0 && n <= wire.MaxInit {
		return &Refusal{Err: fault.Refusal(fault.FailedPrecondition, "the server requires TLS; set ClientOptions.TLS"), on: e.Conn}
	}
	if n > wire.MaxInit {
		return foreign(head, n, wire.MaxInit)
	}
	return speaks(report.Foreign, "the peer's first bytes (%q) are neither TLS nor INIT: it does not speak bsrpc", head)
}

// ConnectTLS completes the TLS handshake of a client like AcceptTLS.
func ConnectTLS(ctx context.Context, nc net.Conn, l *report.Log) error {
	err := secure.Handshake(ctx, nc, l)
	var record tls.RecordHeaderError
	var panicked *fault.Fault
	switch {
	case err == nil, errors.As(err, &panicked):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &record):
		return Explain(fmt.Sprintf("TLS handshake: the server does not speak TLS; its first bytes are %q", record.RecordHeader[:]), err)
	}
	if cause, closed := closedBy(err); closed {
		if state := secure.StateOf(nc, l); state != nil && state.Version != 0 {
			return Explain("the server closed the connection within the TLS handshake, after its first answer: it stops, or has too many unfinished handshakes (Limits.MaxHandshakes), or this one took longer than its HandshakeTimeout", cause)
		}
	}
	return during("TLS handshake", explain(nc, false, err))
}

// IsTimeout reports whether a handshake has run out of time, by its context or by the
// deadline of the connection, whichever was first.
func IsTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
