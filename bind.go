package bsrpc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// BIND, at both ends: a client asks for the numbers of methods and sends the
// hashes of its contract, a server compares them with those of its own.

// bind sends one BIND frame and returns the answers, one for each name.
func (c *nativeLink) bind(ctx context.Context, r *wire.BindRequest, flags wire.Flags) ([]wire.BindResult, error) {
	k := transport.NewCall()
	k.Head = wire.Frame{Type: wire.Bind, Flags: flags}
	k.Timeout.Begin(ctx, c.bounds.defaultCallTimeout, limits.ByDefault)
	if err := c.Do(ctx, k, &wire.Body{Buf: r.Append(nil)}); err != nil {
		return nil, err
	}
	body, _ := k.Body()
	answers, err := wire.ReadBindResponse(body, len(r.Names))
	if err != nil {
		return nil, fault.New(fault.Internal, fault.OutcomeUnknown, "answer to BIND: %w", err)
	}
	return answers, nil
}

// agree asks for the numbers of a contract's methods, as far as the server means
// the same by them.
func (c *nativeLink) agree(ctx context.Context, service string, methods []*boundMethod) error {
	r := &wire.BindRequest{Service: service}
	for _, m := range methods {
		r.Names, r.Hashes = append(r.Names, m.Name[len(service)+1:]), append(r.Hashes, m.Hash)
	}
	answers, err := c.bindAll(ctx, r)
	if err != nil {
		return fault.About("bind "+service, err)
	}
	mismatch := &MismatchError{Service: service, Methods: len(methods)}
	for i, m := range methods {
		m.number = answers[i].Number
		if err := mismatch.add(m, &answers[i]); err != nil {
			return err
		}
	}
	if len(mismatch.Differences) > 0 {
		return mismatch
	}
	return nil
}

// bindAll sends as many BIND frames as the names take.
func (c *nativeLink) bindAll(ctx context.Context, r *wire.BindRequest) (answers []wire.BindResult, err error) {
	for len(r.Names) > 0 {
		n, size := 0, 4+len(r.Service)
		for n < len(r.Names) && (n == 0 || size+wire.BindNameSize(r.Names[n]) <= wire.MaxUnchunked) {
			size += wire.BindNameSize(r.Names[n])
			n++
		}
		part := &wire.BindRequest{Service: r.Service, Names: r.Names[:n], Hashes: r.Hashes[:n]}
		more, err := c.bind(ctx, part, 0)
		if err != nil {
			return nil, err
		}
		answers = append(answers, more...)
		r = &wire.BindRequest{Service: r.Service, Names: r.Names[n:], Hashes: r.Hashes[n:]}
	}
	return answers, nil
}

// Bind is transport.Handler.Bind: it tells a client the numbers of methods, or what differs.
func (c *nativeConn) Bind(m *transport.Message) error {
	v := c.served
	if err := c.CheckID(&m.Frame); err != nil {
		return err
	}
	r, err := wire.ReadBindRequest(m.Body, m.Flags)
	if err != nil {
		return fmt.Errorf("BIND: %w", err)
	}
	if !v.session.admitted.Load() {
		c.Refuse(m.ID, notAdmitted())
		return nil
	}
	answers, texts := v.bindAll(r)
	v.logBound(r, answers)
	size := wire.BindResponseSize(answers)
	if most := min(c.PeerMaxMessage(), uint64(c.served.bounds.MaxMessage)); texts > most && size > wire.MaxUnchunked {
		c.Refuse(m.ID, fault.Refusal(fault.ResourceExhausted, "answer to BIND with texts of %d bytes, MaxMessage is %d; ask for fewer methods", texts, most))
		return nil
	}
	c.Respond(&wire.Frame{Type: wire.Response, ID: m.ID}, &wire.Body{Buf: wire.AppendBindResponse(nil, answers)})
	return nil
}

// bindAll answers a BIND. Each text is in the answer once, however often its
// method is named: texts is how many bytes they have together.
func (v *serverConn) bindAll(r *wire.BindRequest) (answers []wire.BindResult, texts uint64) {
	answers = make([]wire.BindResult, len(r.Names))
	service := v.registry.service(r.Service)
	said := make(map[*servedMethod]bool)
	for i, name := range r.Names {
		m := service[name]
		answers[i] = v.bind(m, r, i)
		if said[m] {
			answers[i].Text = ""
		}
		if n := len(answers[i].Text); n > 0 {
			texts += uint64(n)
			said[m] = true
		}
	}
	return answers, texts + v.suggest(r, answers)
}

// bind gives m a number on this connection, if the client means the same by it.
func (v *serverConn) bind(m *servedMethod, r *wire.BindRequest, i int) wire.BindResult {
	switch {
	case m == nil:
		return wire.BindResult{Status: wire.BindUnknown}
	case r.Hashes == nil:
		return wire.BindResult{Number: v.number(m), Text: m.Layout}
	case r.Hashes[i] != m.Hash:
		return wire.BindResult{Status: wire.BindDiffers, Text: m.Layout}
	}
	return wire.BindResult{Number: v.number(m)}
}

func (v *serverConn) number(m *servedMethod) uint16 {
	n, ok := v.numbers[m]
	if !ok {
		if v.numbers == nil {
			v.numbers = make(map[*servedMethod]uint16)
		}
		n = uint16(len(v.bound))
		v.bound, v.numbers[m] = append(v.bound, m), n
	}
	return n
}

// boundLines is how many lines for debugging a connection's BINDs get.
const boundLines = 16

// logBound logs what a client has bound or asked about, or that its contract
// differs.
func (v *serverConn) logBound(r *wire.BindRequest, answers []wire.BindResult) {
	unknown, differ := 0, 0
	for i := range answers {
		switch answers[i].Status {
		case wire.BindUnknown, wire.BindNoService:
			unknown++
		case wire.BindDiffers:
			differ++
		}
	}
	text := "bsrpc: bound"
	args := []any{"session", v.session.id, "remote", v.session.remote, "service", fault.Cut(r.Service, 64), "methods", len(answers)}
	switch {
	case r.Hashes == nil: // Client.Call asks for a layout
		text, args = "bsrpc: described", append(args, "unknown", unknown)
	case unknown+differ > 0:
		v.report(report.Mismatch, slog.LevelInfo, "bsrpc: client and server disagree", append(args, "differ", differ, "unknown", unknown)...)
		return
	}
	if v.binds++; v.binds <= boundLines {
		v.log.Debug(text, args...)
	}
}
