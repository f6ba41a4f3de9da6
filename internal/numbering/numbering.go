// Package numbering is BIND. At the end with the methods it gives them numbers on one
// connection, finds the versions of them for a peer with other types, and suggests similar
// names. At the end with the contract it finds the numbers, or the differences. It knows
// neither connections nor sessions.
package numbering

import (
	"iter"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/similar"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// MaxName is the length of the longest full name of a method in one BIND frame.
const MaxName = wire.MaxUnchunked - 5

// A Registry has the methods of an end, of its type M. It is safe for concurrent use.
type Registry[M comparable] interface {
	// Service returns the methods of a service by name, or nil if it is not registered.
	// The map does not change any more.
	Service(name string) map[string]M

	// Describe returns what peers learn of a method.
	Describe(m M) *method.Description

	// Version returns m for a peer with another text of it, of which this is the hash, or
	// the zero M if the two do not fit. The error is for a text that is not a layout.
	Version(m M, text string, hash [32]byte) (M, error)

	// Access reports whether m is hidden from the peer, and whether the peer may not even
	// call it: then standIn stands for m.
	Access(m M) (standIn M, hidden, denied bool)

	// Similar returns the names of services similar to a name.
	Similar(service string) []string

	// Len returns the number of methods.
	Len() int
}

const (
	// MaxTexts limits the bytes of texts in the BINDs of one connection.
	MaxTexts = 1 << 20

	maxNumbers = 1 << 16 // of one connection
)

// A Table has the numbers of one connection. Only the holder of the read lease uses it.
// The zero value is an empty table.
type Table[M comparable] struct {
	Bound []M // by number

	numbers   map[M]uint16     // the inverse of Bound
	versions  map[version[M]]M // bound by texts; the zero M if they do not fit
	textBytes int              // of these
}

// A version is a method for peers with another text, of which this is the hash. This end
// computes the hash: a peer must not choose the key of what others use.
type version[M comparable] struct {
	method M
	hash   [32]byte
}

// Answer returns the answers to a BIND, and the total size of their texts. A request may
// repeat a name; the layout is sent only once, so that a short request cannot cause a
// long answer.
func (t *Table[M]) Answer(reg Registry[M], r *wire.BindRequest) (answers []wire.BindResult, texts uint64, refuse *fault.Fault) {
	service := reg.Service(r.Service)
	if r.Hashes == nil && r.Texts == nil && !described(reg, service) {
		service = nil // to who does not know the contract, a hidden service is a missing one
	}
	if refuse = t.addVersions(reg, service, r); refuse != nil {
		return nil, 0, refuse
	}
	answers = make([]wire.BindResult, len(r.Names))
	sent := make(map[M]bool) // the layout is in the answer already
	for i, name := range r.Names {
		m, ok := service[name]
		if !ok {
			answers[i].Status = wire.BindUnknown
			continue
		}
		answers[i] = t.bind(reg, m, r, i)
		if sent[m] {
			answers[i].Text = ""
		}
		if n := len(answers[i].Text); n > 0 {
			texts += uint64(n)
			sent[m] = true
		}
	}
	return answers, texts + suggest(reg, service, r, answers), nil
}

// bind returns the answer for m, the i-th method of the request. If the hashes are equal, m
// gets a number on this connection.
func (t *Table[M]) bind(reg Registry[M], m M, r *wire.BindRequest, i int) wire.BindResult {
	var none M
	d := reg.Describe(m)
	standIn, hidden, denied := reg.Access(m)
	switch {
	case hidden && r.Hashes == nil:
		return wire.BindResult{Status: wire.BindUnknown}
	case denied:
		// A contract may contain more than one client may call, so the method can be
		// bound. Its calls are refused whatever the hash: the peer gets no layout.
		return wire.BindResult{Number: t.number(standIn)}
	case r.Hashes == nil:
		return wire.BindResult{Number: t.number(m), Text: d.Layout}
	case r.Hashes[i] != d.Hash:
		// A BIND with hashes alone has no versions, also if an earlier one had the text: its
		// answer would say that the layouts are equal, and the peer would not translate.
		made := t.versions[version[M]{m, r.Hashes[i]}]
		if r.Texts == nil || made == none || len(t.Bound) >= maxNumbers {
			return wire.BindResult{Status: wire.BindDiffers, Text: d.Layout}
		}
		m = made
	}
	return wire.BindResult{Number: t.number(m)}
}

// number returns the number of m on this connection, assigning it at the first use.
func (t *Table[M]) number(m M) uint16 {
	n, ok := t.numbers[m]
	if !ok {
		if t.numbers == nil {
			t.numbers = make(map[M]uint16)
		}
		n = uint16(len(t.Bound))
		t.Bound, t.numbers[m] = append(t.Bound, m), n
	}
	return n
}

// addVersions finds the versions of the methods in a BIND with texts, and sets their hashes:
// the rest of the BIND is then like one with hashes. Texts of earlier BINDs do not count
// again.
func (t *Table[M]) addVersions(reg Registry[M], service map[string]M, r *wire.BindRequest) *fault.Fault {
	for i, text := range r.Texts {
		r.Hashes = append(r.Hashes, method.DescriptionOf("", text).Hash)
		m, ok := service[r.Names[i]]
		if !ok {
			continue
		}
		if _, _, denied := reg.Access(m); denied {
			continue
		}
		k, d := version[M]{m, r.Hashes[i]}, reg.Describe(m)
		if _, ok := t.versions[k]; ok || k.hash == d.Hash {
			continue
		}
		if t.textBytes += len(text); len(t.versions) >= reg.Len() || t.textBytes > MaxTexts {
			return fault.Refusal(fault.ResourceExhausted, "BIND with more than %s of %d bytes on one connection", plural.Of(reg.Len(), "text"), MaxTexts)
		}
		made, err := reg.Version(m, text, k.hash)
		if err != nil {
			return fault.Refusal(fault.InvalidArgument, "BIND: the layout of %s: %w", d.Name, err)
		}
		if t.versions == nil {
			t.versions = make(map[version[M]]M)
		}
		t.versions[k] = made
	}
	return nil
}

// An unknown name may be misspelt, so the answer to BIND contains similar names. Any
// client may send unknown names, so the work is limited.
const (
	// MaxSuggestions limits the similar names for an unknown one.
	MaxSuggestions = 3

	// Separator is between them.
	Separator = ", "

	maxSuggestFor = 3    // unknown names in one BIND with suggestions
	maxCompared   = 1024 // names compared with each
)

// Similar returns the names similar to an unknown one.
func Similar(name string, among func(yield func(string) bool)) []string {
	return similar.Similar(name, among, MaxSuggestions, maxCompared)
}

// Described returns the services with a method that is not hidden from the peer.
func Described[M comparable](reg Registry[M], services iter.Seq[string]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range services {
			if described(reg, reg.Service(name)) && !yield(name) {
				return
			}
		}
	}
}

// described reports whether a service has a method that is not hidden from the peer.
func described[M comparable](reg Registry[M], service map[string]M) bool {
	for _, m := range service {
		if _, hidden, _ := reg.Access(m); !hidden {
			return true
		}
	}
	return false
}

// suggest adds similar names to the answers for unknown names, and marks all answers if
// the service is unknown. It returns the total size of the added texts.
func suggest[M comparable](reg Registry[M], service map[string]M, r *wire.BindRequest, answers []wire.BindResult) (texts uint64) {
	if service == nil {
		for i := range answers {
			answers[i].Status = wire.BindNoService
		}
		if len(answers) > 0 {
			answers[0].Text = strings.Join(reg.Similar(r.Service), Separator)
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
		names := Similar(r.Names[i], func(yield func(string) bool) {
			for name, m := range service {
				if _, hidden, _ := reg.Access(m); !hidden && !yield(name) {
					return
				}
			}
		})
		for j := range names {
			names[j] = r.Service + "." + names[j]
		}
		answers[i].Text = strings.Join(names, Separator)
		texts += uint64(len(answers[i].Text))
	}
	return texts
}
