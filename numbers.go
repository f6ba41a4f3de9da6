package bsrpc

import (
	"fmt"
	"log/slog"
	"maps"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/strictmap"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The numbers by which a client calls methods on one connection. BIND asks for them,
// with the hashes of a contract.

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
	if most := min(c.PeerMaxMessage(), uint64(c.served.settings.MaxMessage)); texts > most && size > wire.MaxUnchunked {
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

// An unknown name may be misspelt, so the answer to BIND contains similar names. Any
// client may ask, so the work is bounded.
const (
	maxSuggestFor = 3    // unknown names of one BIND with suggestions
	maxCompared   = 1024 // names compared with each
)

// suggest completes the answers for what the server has not got. It returns how
// many bytes its texts have.
func (v *serverConn) suggest(r *wire.BindRequest, answers []wire.BindResult) (texts uint64) {
	service := v.registry.service(r.Service)
	if service == nil {
		for i := range answers {
			answers[i].Status = wire.BindNoService
		}
		if len(answers) > 0 {
			answers[0].Text = strings.Join(v.registry.servicesLike(r.Service), suggestionSep)
			texts = uint64(len(answers[0].Text))
		}
		return texts
	}
	asked := 0
	for i := range answers {
		if answers[i].Status != wire.BindUnknown {
			continue
		}
		if asked++; asked > maxSuggestFor {
			break
		}
		names := strictmap.Similar(r.Names[i], maps.Keys(service), maxSuggestions, maxCompared)
		for j := range names {
			names[j] = r.Service + "." + names[j]
		}
		answers[i].Text = strings.Join(names, suggestionSep)
		texts += uint64(len(answers[i].Text))
	}
	return texts
}

// servicesLike returns the names of services that are like one.
func (r *registry) servicesLike(name string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return strictmap.Similar(name, r.table.Services(), maxSuggestions, maxCompared)
}
