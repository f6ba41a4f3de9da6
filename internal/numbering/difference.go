package numbering

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A Difference is the Difference of the root package.
type Difference struct {
	Method string
	Place  string
	Client string
	Server string
	Note   string
	Fix    string
	Near   string
}

// String returns the difference in one line.
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
	return WithSuggestion(line, d.lacking()+" has", d.Near)
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

// swap swaps the ends of differences found with the contract of a server.
func swap(found []Difference) {
	for i := range found {
		found[i].Client, found[i].Server = found[i].Server, found[i].Client
		found[i].Fix = swapEnds.Replace(found[i].Fix)
	}
}

// Text returns all differences between a service of a number of methods and its peer, one a
// line.
func Text(service string, methods int, list []Difference) string {
	if len(list) == 1 && list[0].Method == service { // the peer lacks all of it
		return WithSuggestion(fault.Prefix+list[0].lacking()+" has no service "+service, "it has", list[0].Near)
	}
	var b strings.Builder
	differ, last := 0, ""
	for _, d := range list {
		if d.Method != last {
			differ, last = differ+1, d.Method
		}
	}
	fmt.Fprintf(&b, "bsrpc: client and server disagree on %d of %d methods of %s", differ, methods, service)
	for _, d := range list {
		b.WriteString("\n    " + d.String())
	}
	return b.String()
}

// Suggested returns the similar names in the peer's answer about an unknown name.
// It drops everything without the syntax of a name: a peer must not be able to put
// other text into errors.
func Suggested(answer *wire.BindResult) string {
	names := strings.Split(fault.Cut(answer.Text, 4<<10), Separator)
	names = slices.DeleteFunc(names, func(name string) bool { return method.ValidService(name) != nil })
	return strings.Join(names[:min(len(names), MaxSuggestions)], Separator)
}

// WithSuggestion appends similar names to a text, if there are any: "text; it has Near".
func WithSuggestion(text, has, names string) string {
	if names == "" {
		return text
	}
	return text + "; " + has + " " + names
}

// Unknown returns the refusal of a method that the server, which has answered with a, does not
// have, with similar names. full contains the service.
func Unknown(full, service string, a *wire.BindResult) *fault.Fault {
	what := "method " + full
	if a.Status == wire.BindNoService {
		what = "service " + service
	}
	return fault.Refusal(fault.Unimplemented, "%s", WithSuggestion("the server has no "+what, "it has", Suggested(a)))
}
