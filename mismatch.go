package bsrpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A MismatchError says what a client's contract and a server's methods do not
// agree on. Bind returns it, together with the proxy. A method that only the
// server has is no difference. A service that the server has not got is one
// Difference, whose Method is the service.
type MismatchError struct {
	Service     string
	Methods     int          // how many the contract names
	Differences []Difference // at least one, in the contract's order
}

// A Difference is one thing that the two ends have differently. Client and
// Server are for people: layouts may be cut.
type Difference struct {
	Method string // "Shop.PlaceOrder"
	Place  string // "parameter 1, Order.Price", with the client's type names; "" for the method itself
	Client string // what the client has there: a layout, or names of fields; "" for nothing
	Server string // what the server has there
	Note   string // what may explain it, as a key of the client's tags that is misspelt
	Near   string // where the server has nothing: names of its own that are alike, at most three
}

// String returns the difference as one line:
// "Shop.PlaceOrder, parameter 1, Order.Price: client int.le4, server uint.le8".
func (d Difference) String() string {
	line := d.Method
	if d.Place != "" {
		line += ", " + d.Place
	}
	if words := (layout.Difference{Client: d.Client, Server: d.Server}).Detail(); words != "" {
		line += ": " + words
	}
	if d.Note != "" {
		line += "; " + d.Note
	}
	return withSuggestion(line, "the server has", d.Near)
}

// Error returns all differences, a line each.
func (e *MismatchError) Error() string {
	if e.lacksService() {
		return withSuggestion(fault.Prefix+"the server has no service "+e.Service, "it has", e.Differences[0].Near)
	}
	var b strings.Builder
	differ, last := 0, ""
	for _, d := range e.Differences {
		if d.Method != last {
			differ, last = differ+1, d.Method
		}
	}
	fmt.Fprintf(&b, "bsrpc: client and server disagree on %d of %d methods of %s", differ, e.Methods, e.Service)
	for _, d := range e.Differences {
		b.WriteString("\n    " + d.String())
	}
	return b.String()
}

func (e *MismatchError) lacksService() bool {
	return len(e.Differences) == 1 && e.Differences[0].Method == e.Service
}

// add takes the server's answer for one method: if it disagrees, the method
// gets an error and e the differences. The error it returns is the server's
// breach of the protocol.
func (e *MismatchError) add(m *boundMethod, answer *wire.BindResult) error {
	var found []Difference
	switch {
	case answer.Status == wire.BindOK:
		return nil
	case answer.Status == wire.BindNoService:
		if e.Differences == nil {
			e.Differences = []Difference{{Method: e.Service, Client: plural(e.Methods, "method"), Near: suggestionsOf(answer)}}
		}
		m.err = e.refusal(m, e.Differences[:1])
		return nil
	case answer.Status == wire.BindUnknown:
		found = []Difference{{Method: m.Name, Client: m.Layout, Near: suggestionsOf(answer)}}
	case answer.Text == m.Layout:
		found = []Difference{{Method: m.Name, Place: "the layouts are equal, but the hash does not belong to the layout"}}
	default:
		var err error
		if found, err = differences(m, m.Layout, answer.Text); err != nil {
			return err
		}
	}
	m.explain(found)
	e.Differences = append(e.Differences, found...)
	m.err = e.refusal(m, found)
	return nil
}

// explain notes, with differences of m, the keys of tags that are misspelt: they
// are silent, and what they would say is what differs.
func (m *boundMethod) explain(found []Difference) {
	add := func(d *Difference, what, key string) {
		note := what + " has the tag key " + key + ", not bsrpc"
		if d.Note != "" {
			note = d.Note + "; " + note
		}
		d.Note = note
	}
	if m.key != "" {
		add(&found[0], "its func", m.key)
	}
	for _, k := range m.sig.MisspeltKeys() {
		name := k.Field[strings.LastIndexByte(k.Field, '.'):]
		at := slices.IndexFunc(found, func(d Difference) bool { return strings.HasSuffix(d.Place, name) })
		if at < 0 {
			at = len(found) - 1
		}
		add(&found[at], k.Field, k.Key)
	}
}

// refusal is the error of a method that cannot be called.
func (e *MismatchError) refusal(m *boundMethod, found []Difference) *fault.Fault {
	one := &MismatchError{Service: e.Service, Methods: 1, Differences: found}
	err := &fault.Fault{Code: fault.FailedPrecondition, Message: one.Error(), Outcome: fault.NotRun, Err: one}
	return fault.About(m.Name, err).(*fault.Fault)
}

func differences(m *boundMethod, own, text string) ([]Difference, error) {
	server, err := layout.ParseMethod(text)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.NotRun, "the server's layout of %s: %w", m.Name, err)
	}
	var found []Difference
	service, name, _ := method.SplitName(m.Name)
	for _, d := range layout.Diff(m.sig.Layout(service, name), server) {
		found = append(found, Difference{Method: m.Name, Place: d.Place, Client: d.Client, Server: d.Server})
	}
	return found, nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

const (
	maxSuggestions = 3    // names suggested for an unknown one
	suggestionSep  = ", " // between them
)

// suggestionsOf returns the names in the server's answer for one that it has not got.
// What is no name does not reach a text.
func suggestionsOf(answer *wire.BindResult) string {
	names := strings.Split(fault.Cut(answer.Text, 4<<10), suggestionSep)
	names = slices.DeleteFunc(names, func(name string) bool { return method.ValidService(name) != nil })
	return strings.Join(names[:min(len(names), maxSuggestions)], suggestionSep)
}

// withSuggestion appends to a text what the server has instead.
func withSuggestion(text, have, near string) string {
	if near == "" {
		return text
	}
	return text + "; " + have + " " + near
}
