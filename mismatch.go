package bsrpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A MismatchError lists the differences between a client's contract and a server's
// methods. Bind returns it together with a proxy. Methods known only to the server are
// not a difference. If the server lacks the whole service, there is one Difference
// with the service as its Method. If a server binds over a Session, the contract is its own
// and the methods are the client's.
type MismatchError struct {
	Service     string
	Methods     int          // number of methods in the contract
	Differences []Difference // not empty; in the order of the contract
}

// A Difference is one disagreement between client and server. Client and Server are
// texts for people, and may be cut.
type Difference struct {
	Method string // "Shop.PlaceOrder"
	Place  string // "parameter 1, Order.Price", with the client's type names; "" for the method itself
	Client string // the client's layout or field names at Place; "" if it has none
	Server string // the same for the server
	Note   string // a possible cause, such as a misspelt tag key at the client
	Fix    string // a change at one end that would make them fit, by the rules of docs/evolution.md; "" if there is none
	Near   string // for a name unknown to the end with the methods: at most three similar names it has
}

// String returns the difference in one line:
// "Shop.PlaceOrder, parameter 1, Order.Price: client int.le4, server uint.le8".
func (d Difference) String() string {
	line := d.Method
	if d.Place != "" {
		line += ", " + d.Place
	}
	if words := (layout.Difference{Client: d.Client, Server: d.Server}).Detail(); words != "" {
		line += ": " + words
	}
	for _, more := range []string{d.Note, d.Fix} {
		if more != "" {
			line += "; " + more
		}
	}
	return withSuggestion(line, d.lacking()+" has", d.Near)
}

// lacking returns the end without the method or service, for an unknown name.
func (d Difference) lacking() string {
	if d.Client == "" {
		return "the client"
	}
	return "the server"
}

// swapEnds exchanges the names of the ends in a text.
var swapEnds = strings.NewReplacer("client", "server", "server", "client")

// ofServer swaps the ends of differences found with the contract of a server.
func ofServer(found []Difference) {
	for i := range found {
		found[i].Client, found[i].Server = found[i].Server, found[i].Client
		found[i].Fix = swapEnds.Replace(found[i].Fix)
	}
}

// Error returns all differences, one a line.
func (e *MismatchError) Error() string {
	if e.lacksService() {
		return withSuggestion(fault.Prefix+e.Differences[0].lacking()+" has no service "+e.Service, "it has", e.Differences[0].Near)
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

// lacksService reports whether the server lacks the whole service.
func (e *MismatchError) lacksService() bool {
	return len(e.Differences) == 1 && e.Differences[0].Method == e.Service
}

// add evaluates the peer's answer for m. If the ends disagree, it adds the differences
// to e and makes calls of m fail. It returns an error only if the answer
// violates the protocol. peer is "the server's", or "the client's" if a server binds. known
// has the differences that a comparison has found already, without what fits; nil for none.
func (e *MismatchError) add(m *boundMethod, answer *wire.BindResult, peer string, known []layout.Difference) error {
	var found []Difference
	atServer := peer == "the client's"
	switch {
	case answer.Status == wire.BindOK:
		return nil
	case answer.Status == wire.BindNoService:
		if e.Differences == nil {
			e.Differences = []Difference{{Method: e.Service, Client: numbering.Plural(e.Methods, "method"), Near: suggestionsOf(answer)}}
			if atServer {
				ofServer(e.Differences)
			}
		}
		m.refuse(e.refusal(m, e.Differences[:1]))
		return nil
	case answer.Status == wire.BindUnknown && m.optional:
		m.refuse(fault.About(m.Name, fault.Refusal(fault.Unimplemented, "%s does not have this optional method", strings.TrimSuffix(peer, "'s"))).(*fault.Fault))
		return nil
	case answer.Status == wire.BindUnknown:
		found = []Difference{{Method: m.Name, Client: m.Layout, Near: suggestionsOf(answer)}}
	case answer.Text == m.Layout:
		found = []Difference{{Method: m.Name, Place: "the layouts are equal, but the hash does not belong to the layout"}}
	default:
		var err error
		if found, err = differences(m, answer.Text, peer, known); err != nil {
			return err
		}
	}
	m.explain(found)
	if atServer {
		ofServer(found)
	}
	e.Differences = append(e.Differences, found...)
	m.refuse(e.refusal(m, found))
	return nil
}

// explain adds notes about misspelt tag keys to the differences of m. Such a tag has no
// effect, and is the probable cause of a difference at its field.
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
	for _, k := range method.MisspeltKeys(m.sig) {
		name := k.Field[strings.LastIndexByte(k.Field, '.'):]
		at := slices.IndexFunc(found, func(d Difference) bool { return strings.HasSuffix(d.Place, name) })
		if at < 0 {
			at = len(found) - 1
		}
		add(&found[at], k.Field, k.Key)
	}
}

// refusal returns the error of every call of m, with the differences found.
func (e *MismatchError) refusal(m *boundMethod, found []Difference) *fault.Fault {
	one := &MismatchError{Service: e.Service, Methods: 1, Differences: found}
	err := &fault.Fault{Code: fault.FailedPrecondition, Message: one.Error(), Outcome: fault.NotRun, Err: one}
	return fault.About(m.Name, err).(*fault.Fault)
}

// differences describes list, or if it is empty everything that differs between the layout
// of m and text, the peer's layout. The error is for
// a text without the syntax of a layout.
func differences(m *boundMethod, text, peer string, list []layout.Difference) ([]Difference, error) {
	server, err := layout.ParseMethod(text)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.NotRun, "%s layout of %s: %w", peer, m.Name, err)
	}
	if len(list) == 0 {
		list = layout.Diff(m.layout(), server)
	}
	found := make([]Difference, len(list))
	for i, d := range list {
		found[i] = Difference{Method: m.Name, Place: d.Place, Client: d.Client, Server: d.Server, Fix: d.Fix}
	}
	return found, nil
}

// suggestionsOf returns the similar names in the server's answer about an unknown name.
// It drops everything without the syntax of a name: a peer must not be able to put
// other text into errors.
func suggestionsOf(answer *wire.BindResult) string {
	names := strings.Split(fault.Cut(answer.Text, 4<<10), numbering.Separator)
	names = slices.DeleteFunc(names, func(name string) bool { return method.ValidService(name) != nil })
	return strings.Join(names[:min(len(names), numbering.MaxSuggestions)], numbering.Separator)
}

// withSuggestion appends similar names to a text, if there are any: "text; it has Near".
func withSuggestion(text, has, names string) string {
	if names == "" {
		return text
	}
	return text + "; " + has + " " + names
}
