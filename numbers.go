package bsrpc

import (
	"fmt"
	"log/slog"
	"maps"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/strictmap"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// BIND at a server. Requests contain the number of a method instead of its name. A
// client gets the numbers by sending the names and hashes of a contract; they are
// valid on one connection.

// Bind implements transport.Handler. It answers with the number of each method, or with
// the server's layout if the hashes differ.
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
	if err := v.bindTexts(r); err != nil {
		c.Refuse(m.ID, err)
		return nil
	}
	answers, texts := v.bindAll(r)
	v.logBound(r, answers, c.Evolves())
	size := wire.BindResponseSize(answers)
	most, owner := uint64(v.limits.MaxMessage), v.limits.Owner
	if peer := c.PeerMaxMessage(); peer < most {
		most, owner = peer, v.limits.PeerName()
	}
	if texts > most && size > wire.MaxUnchunked {
		c.Refuse(m.ID, fault.Refusal(fault.ResourceExhausted, "the answer to BIND contains %d bytes of layouts, but %s MaxMessage is %d; bind fewer methods", texts, owner, most))
		return nil
	}
	c.Respond(&wire.Frame{Type: wire.Response, ID: m.ID}, &wire.Body{Buf: wire.AppendBindResponse(nil, answers)})
	return nil
}

// bindAll returns the answers to a BIND, and the total size of their texts. A request may
// repeat a name; the layout is sent only once, so that a short request cannot cause a
// long answer.
func (v *serverConn) bindAll(r *wire.BindRequest) (answers []wire.BindResult, texts uint64) {
	answers = make([]wire.BindResult, len(r.Names))
	service := v.registry.service(r.Service)
	sent := make(map[*servedMethod]bool) // the layout is in the answer already
	for i, name := range r.Names {
		m := service[name]
		answers[i] = v.bind(m, r, i)
		if sent[m] {
			answers[i].Text = ""
		}
		if n := len(answers[i].Text); n > 0 {
			texts += uint64(n)
			sent[m] = true
		}
	}
	return answers, texts + v.suggest(r, answers)
}

// bind returns the answer for m, the i-th method of the request, or nil if unknown. If
// the hashes are equal, m gets a number on this connection.
func (v *serverConn) bind(m *servedMethod, r *wire.BindRequest, i int) wire.BindResult {
	switch {
	case m == nil:
		return wire.BindResult{Status: wire.BindUnknown}
	case r.Hashes == nil:
		return wire.BindResult{Number: v.number(m), Text: m.Layout}
	case r.Hashes[i] != m.Hash:
		made := v.versions[version{m, r.Hashes[i]}]
		if made == nil || len(v.bound) >= maxNumbers {
			return wire.BindResult{Status: wire.BindDiffers, Text: m.Layout}
		}
		m = made
	}
	return wire.BindResult{Number: v.number(m)}
}

// number returns the number of m on this connection, assigning it at the first use.
// Only the holder of the read lease calls it, so it needs no lock.
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

// maxTexts limits the bytes of texts in the BINDs of one connection.
const maxTexts = 1 << 20

// maxNumbers is the number of numbers on one connection.
const maxNumbers = 1 << 16

// bindTexts is the first half of a BIND with texts; bindAll then answers as for hashes. It
// finds the versions of the methods in a BIND with texts, and sets their hashes.
// Texts of earlier BINDs do not count again.
func (v *serverConn) bindTexts(r *wire.BindRequest) *fault.Fault {
	service := v.registry.service(r.Service)
	for i, text := range r.Texts {
		r.Hashes = append(r.Hashes, method.DescriptionOf("", text).Hash)
		m := service[r.Names[i]]
		if m == nil {
			continue
		}
		k := version{m, r.Hashes[i]}
		if _, ok := v.versions[k]; ok || k.hash == m.Hash {
			continue
		}
		if v.textBytes += len(text); len(v.versions) >= v.registry.size() || v.textBytes > maxTexts {
			return fault.Refusal(fault.ResourceExhausted, "BIND with more than %s of %d bytes on one connection", plural(v.registry.size(), "text"), maxTexts)
		}
		made, err := v.registry.versionOf(m, text, k.hash, v.limits.Peer())
		if err != nil {
			return fault.Refusal(fault.InvalidArgument, "BIND: the layout of %s: %w", m.Name, err)
		}
		if v.versions == nil {
			v.versions = make(map[version]*servedMethod)
		}
		v.versions[k] = made
	}
	return nil
}

// maxBindLines limits the lines at Debug about the BINDs of one connection.
const maxBindLines = 16

// logBound logs a BIND: at Info if the contract differs, else at Debug.
func (v *serverConn) logBound(r *wire.BindRequest, answers []wire.BindResult, evolves bool) {
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
	args := []any{"session", v.session.id, "remote", v.session.peer.Addr, "service", fault.Cut(r.Service, 64), "methods", len(answers)}
	switch {
	case r.Hashes == nil: // from Client.Call, for the layout
		text, args = "bsrpc: described", append(args, "unknown", unknown)
	case unknown+differ > 0:
		text = "bsrpc: client and server disagree"
		if unknown == 0 && r.Texts == nil && evolves {
			// The client compares them, and may bind by texts next.
			text = "bsrpc: client and server have different versions"
		}
		v.report(report.Mismatch, slog.LevelInfo, text, append(args, "differ", differ, "unknown", unknown)...)
		return
	}
	if v.binds++; v.binds <= maxBindLines {
		report.Unlimited(v.log).Debug(text, args...)
	}
}

// An unknown name may be misspelt, so the answer to BIND contains similar names. Any
// client may send unknown names, so the work is limited.
const (
	maxSuggestFor = 3    // unknown names in one BIND with suggestions
	maxCompared   = 1024 // names compared with each
)

// suggest adds similar names to the answers for unknown names, and marks all answers if
// the service is unknown. It returns the total size of the added texts.
func (v *serverConn) suggest(r *wire.BindRequest, answers []wire.BindResult) (texts uint64) {
	service := v.registry.service(r.Service)
	if service == nil {
		for i := range answers {
			answers[i].Status = wire.BindNoService
		}
		if len(answers) > 0 {
			answers[0].Text = strings.Join(v.registry.similarServices(r.Service), suggestionSep)
			texts = uint64(len(answers[0].Text))
		}
		return texts
	}
	unknown := 0
	for i := range answers {
		if answers[i].Status != wire.BindUnknown {
			continue
		}
		if unknown++; unknown > maxSuggestFor {
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

// similarServices returns the names of services similar to name.
func (r *registry) similarServices(name string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return strictmap.Similar(name, r.table.Services(), maxSuggestions, maxCompared)
}
