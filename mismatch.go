package bsrpc

import (
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A MismatchError says what a client's contract and a server's methods do not
// agree on. Bind returns it, together with the proxy. A method that only the
// server has is no difference.
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
}

// String returns the difference as one line:
// "Shop.PlaceOrder, parameter 1, Order.Price: client int.le4, server uint.le8".
func (d Difference) String() string {
	line := d.Method
	if d.Place != "" {
		line += ", " + d.Place
	}
	if words := (layout.Difference{Client: d.Client, Server: d.Server}).Words(); words != "" {
		line += ": " + words
	}
	return line
}

// Error returns all differences, a line each.
func (e *MismatchError) Error() string {
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

// add takes the server's answer for one method: if it disagrees, the method
// gets an error and e the differences. The error it returns is the server's
// breach of the protocol.
func (e *MismatchError) add(m *proxyMethod, answer *wire.BoundMethod) error {
	var found []Difference
	switch {
	case answer.Status == wire.Bound:
		return nil
	case answer.Status == wire.Unknown:
		found = []Difference{{Method: m.Name, Client: m.Layout}}
	case answer.Text == m.Layout:
		found = []Difference{{Method: m.Name, Place: "the layouts are equal, but the hash does not belong to the layout"}}
	default:
		var err error
		if found, err = differences(m, m.Layout, answer.Text); err != nil {
			return err
		}
	}
	e.Differences = append(e.Differences, found...)
	one := &MismatchError{Service: e.Service, Methods: 1, Differences: found}
	m.err = &Error{Code: CodeFailedPrecondition, Message: one.Error(), Outcome: OutcomeNotRun, Err: one}
	return nil
}

func differences(m *proxyMethod, own, text string) ([]Difference, error) {
	server, err := layout.ParseMethod(text)
	if err != nil {
		return nil, errorf(CodeInternal, OutcomeNotRun, "the server's layout of %s: %w", m.Name, err)
	}
	var found []Difference
	service, name, _ := cutLast(m.Name)
	for _, d := range layout.Diff(m.sig.layout(service, name), server) {
		found = append(found, Difference{m.Name, d.Place, d.Client, d.Server})
	}
	return found, nil
}
