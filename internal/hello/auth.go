package hello

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Authentication, between INIT and its answer.

// ReadAuth reads the AUTH frame of a client, and not a byte more.
func ReadAuth(nc net.Conn) (secure.Secret, error) {
	f, err := basic.ReadFrame(nc, wire.MaxAuth-wire.BasicHeaderSize)
	switch {
	case err != nil:
		return nil, fmt.Errorf("waiting for AUTH: %w", err)
	case f.Refused != nil || f.Type != wire.Auth:
		return nil, fmt.Errorf("waiting for AUTH: got %v", f.Type)
	}
	user, token, err := wire.ReadAuth(f.Payload)
	return secure.NewSecret(user, token), err
}

// Prove calls the user's Authenticate for a client at peer, within ctx and a limit.
func Prove(ctx context.Context, l *report.Log, limit *report.HookLimit, peer string, authenticate func() error) error {
	return limit.Await(ctx, l, "Authenticate", peer, func() error {
		if err := authenticate(); err != nil {
			return errors.New(err.Error()) // here, where a panic in the method Error is recovered
		}
		return nil
	})
}

// Unauthenticated logs why a client is not authenticated, and returns the refusal: a client
// that has not proved anything learns nothing but the id of the line. One that was not asked,
// because of others, may try again.
func Unauthenticated(l *report.Log, remote net.Addr, why error) *Refusal {
	if why == report.ErrTooMany {
		return &Refusal{Err: fault.Refusal(fault.ResourceExhausted, "too many calls of Authenticate are under way (Limits.MaxHandshakes, half of it for one address)"), Full: true}
	}
	text := "unauthenticated"
	if id := l.AddWithID(report.Auth, slog.LevelWarn, "bsrpc: client not authenticated", "remote", remote, "err", report.Text(why.Error(), 256)); id != "" {
		text += " (id " + id + " in the server's log)"
	}
	return &Refusal{Err: fault.Refusal(fault.Unauthenticated, "%s", text)}
}

// AppendAuth appends the AUTH frame of a client for the connection nc. It calls the user's
// Credentials, ask, if the server may have tokens, or if insecure allows every server.
func AppendAuth(ctx context.Context, init []byte, nc net.Conn, l *report.Log, insecure bool, ask func() (secure.Secret, error)) ([]byte, error) {
	if err := secure.MayHaveTokens(nc, l); err != nil && !insecure {
		return nil, fault.Refusal(fault.FailedPrecondition, "Credentials are not sent: %w; set TLS, or InsecureCredentials to send them all the same", err)
	}
	s, err := Credentials(ctx, l, ask)
	if err != nil {
		return nil, err
	}
	user, token := s.Fields()
	init, err = wire.AppendAuth(init, user, token)
	if err != nil {
		return nil, fault.Refusal(fault.InvalidArgument, "Credentials: %w", err)
	}
	return init, nil
}

// Credentials calls the user's Credentials, ask, within ctx.
func Credentials(ctx context.Context, l *report.Log, ask func() (secure.Secret, error)) (s secure.Secret, err error) {
	var given secure.Secret
	err = l.Await(ctx, "Credentials", func() (err error) { given, err = ask(); return err })
	panicked, ok := err.(*fault.Fault)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case ok:
		return nil, panicked
	case err != nil:
		return nil, fault.New(fault.Unavailable, fault.NotRun, "Credentials: %w", fault.WithoutContextErrors(err))
	}
	return given, nil
}
