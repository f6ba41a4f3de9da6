package layout

import (
	"strings"
	"unicode/utf8"
)

// A Difference is one difference between the client's and the server's layout
// of a method.
type Difference struct {
	Place  string // "parameter 1, Order.Price"; "" for the method itself
	Client string // the client's side; "" if absent
	Server string // the server's side; "" if absent
	Fix    string // by Compare: a change that would make the ends fit; "" if there is none
}

// Detail describes the difference without its place.
func (d Difference) Detail() string {
	switch {
	case d.Client == "" && d.Server == "":
		return ""
	case d.Client == "":
		return "only on the server"
	case d.Server == "":
		return "only on the client"
	case strings.Contains(d.Client+d.Server, ", "):
		return "client " + d.Client + "; server " + d.Server
	}
	return "client " + d.Client + ", server " + d.Server
}

// String describes the difference with its place and fix: "parameter 1, Order.Price:
// client int.le4, server uint.le8".
func (d Difference) String() string {
	text := d.Place + d.Detail()
	if d.Place != "" && d.Detail() != "" {
		text = d.Place + ": " + d.Detail()
	}
	if d.Fix != "" {
		text += "; " + d.Fix
	}
	return text
}

// optionalText describes the property optional.
func optionalText(optional bool) string {
	if optional {
		return "optional"
	}
	return "not optional"
}

// onewayText describes the property oneway.
func onewayText(oneway bool) string {
	if oneway {
		return "oneway"
	}
	return "not oneway"
}

// fieldOrders describes the order of the fields at both ends. A long list
// starts with the last field before the first difference.
func fieldOrders(client, server []Field) (string, string) {
	c, s := fieldNames(client), fieldNames(server)
	if len(c) > maxQuoted || len(s) > maxQuoted {
		same := 0
		for client[same].Name == server[same].Name { // the orders differ before either ends
			same++
		}
		same = max(same-1, 0)
		c, s = truncate(fieldNames(client[same:])), truncate(fieldNames(server[same:]))
		if same > 0 {
			c, s = "..., "+c, "..., "+s
		}
	}
	return "order " + c, "order " + s
}

// fieldNames returns the names of fields, separated by commas.
func fieldNames(fields []Field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.Name
	}
	return strings.Join(list, ", ")
}

// truncatePair shortens two texts for a message, to an excerpt around their
// first difference.
func truncatePair(a, b string) (string, string) {
	const lead = 40
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	from := same - lead
	for from > 0 && !utf8.RuneStart(a[from]) {
		from--
	}
	if from <= 0 || max(len(a), len(b)) <= maxQuoted {
		return truncate(a), truncate(b)
	}
	return "..." + truncate(a[from:]), "..." + truncate(b[from:])
}
