package bsrpctest

// What Golden reports. "Old" is a released end in these texts, "new" one with the contract.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// A verdict is what a comparison of a contract with all releases found.
type verdict struct {
	misfits    []misfit   // in the order of methods in the file, then of dates
	unrecorded []*current // their texts are not in the file
}

// A misfit is a text that does not work together with the contract.
type misfit struct {
	*record
	found     []difference
	deploy    string // the end to deploy first
	supported string // from this date on, later texts fit
}

// A difference is one reason of a misfit.
type difference struct {
	oldServer bool // between a new client and an old server, or else the reverse
	layout.Difference
}

// String describes d with a fix for the contract: one at the released end comes too late.
func (d difference) String() string {
	ends, released := "old client, new server: ", "at the client"
	if d.oldServer {
		ends, released = "new client, old server: ", "at the server"
	}
	if strings.Contains(d.Fix, released) {
		d.Fix = "keep it as released"
	}
	return ends + d.Difference.String()
}

// compareAll compares a contract with every text of a file. The texts of a method are next to
// each other in the result, so that those with equal differences are listed together.
func compareAll(d *described, f *records) *verdict {
	v := new(verdict)
	for i := range d.methods {
		if m := &d.methods[i]; !slices.ContainsFunc(f.of(m.name()), func(r *record) bool { return r.text == m.text }) {
			v.unrecorded = append(v.unrecorded, m)
		}
	}
	seen := make(map[string]bool)
	for _, first := range f.all() {
		if seen[first.name()] {
			continue
		}
		seen[first.name()] = true
		for _, r := range f.of(first.name()) {
			if found, deploy := r.compare(d.find(r.name())); len(found) > 0 {
				v.misfits = append(v.misfits, misfit{r, found, deploy, f.until(r)})
			}
		}
	}
	return v
}

// compare returns what keeps the programs of r from working together with programs of m,
// and how to deploy the change nevertheless. m is nil if the method is gone.
func (r *record) compare(m *current) (found []difference, deploy string) {
	if m == nil {
		return []difference{{Difference: layout.Difference{Place: "the method is gone", Fix: "keep it"}}},
			"first clients that do not call it; servers once no other client is in use"
	}
	if m.text == r.text {
		return nil, ""
	}
	// Places have the names of Go types at the client, and the text has none.
	old := withGoTypes(r.layout, m.layout)
	oldClient := layout.Compare(old, m.layout)
	var oldServer []layout.Difference
	if !r.clients {
		oldServer = layout.Compare(m.layout, old)
	}
	for _, d := range oldServer {
		found = append(found, difference{true, d})
	}
	for _, d := range oldClient {
		found = append(found, difference{false, d})
	}
	switch {
	case len(oldClient) == 0: // new servers serve everybody
		deploy = "servers first; clients once no server of that release is in use"
	case len(oldServer) == 0:
		deploy = "clients first; servers once no client of that release is in use"
	default:
		deploy = "neither end can be first"
	}
	return found, deploy
}

// misfitText explains the misfits, and how to go on: change the contract, correct the file,
// or give up the programs. The command has the first date with an effect on all of them.
func (v *verdict) misfitText(f *records, d *described) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s does not fit %d of %d texts released, in %s", d.name, len(v.misfits), len(f.all()), f.path)
	supported, ofServers := "", true
	for i, m := range v.misfits {
		supported = max(supported, m.supported)
		ofServers = ofServers && m.found[len(m.found)-1].oldServer
		if i > 0 && v.misfits[i-1].name() == m.name() && slices.Equal(v.misfits[i-1].found, m.found) {
			continue // listed with the one before
		}
		dates := []string{m.date}
		for _, same := range v.misfits[i+1:] {
			if same.name() != m.name() || !slices.Equal(same.found, m.found) {
				break
			}
			dates = append(dates, same.date)
		}
		fmt.Fprintf(&b, "\n    %s, released %s", m.name(), strings.Join(dates, ", "))
		for _, d := range m.found {
			b.WriteString("\n        " + d.String())
		}
		b.WriteString("\n        to deploy: " + m.deploy)
	}
	b.WriteString("\nfollow the advice above, or leave the method as it is and add another; bsrpc's docs/evolution.md lists all changes" +
		"\nif a text was never released: delete its line from the file" +
		"\nif its programs are no longer in use: " + goldenVariable + "=retire:" + supported + " go test")
	if ofServers {
		b.WriteString("\nif its servers are no longer in use, but its clients are: " + goldenVariable + "=retire-servers:" + supported + " go test")
	}
	return b.String()
}

// changeText explains a change that fits all releases. Its first words suit an error, too.
func (v *verdict) changeText(f *records, d *described) string {
	var b strings.Builder
	last := f.last()
	if last == "" {
		return fmt.Sprintf("%s is not yet in %s\n", d.name, f.path)
	}
	fmt.Fprintf(&b, "%s has changed since %s and fits every text in %s\n", d.name, last, f.path)
	both := bothWays(d)
	for _, m := range v.unrecorded {
		b.WriteString("    " + m.name() + "\n")
		for _, line := range m.notes(f, both) {
			b.WriteString("        " + line + "\n")
		}
	}
	return b.String()
}

// notes explains what changed in a method since its latest release, and the order of
// deployment. Older releases differ from the latest by what was explained then.
//
// Changes of formats and of the order of fields need no explanation: if they fit,
// no call is different. Both has the structs that clients send and receive.
func (m *current) notes(f *records, both map[string]bool) []string {
	list := f.of(m.name())
	if len(list) == 0 && m.optional {
		return []string{"is new and optional: a client without it gets CodeUnimplemented", "to deploy: either end first"}
	}
	if len(list) == 0 {
		return []string{"is new: Bind of a new client at an old server returns a mismatch for it; a client that goes on without it tags it optional",
			"to deploy: servers first"}
	}
	old := list[len(list)-1].layout
	var lines []string
	servers, clients := false, false // which end is first, if calls must not fail meanwhile
	for _, c := range changesOf(old, m.layout) {
		lines = append(lines, c.String())
		if c.arg || c.member {
			// The reader goes first where something is new, the writer where it is gone.
			servers = servers || c.byClient == c.added
			clients = clients || c.byClient != c.added
		}
		// A program that reads a value, changes it and sends it back is the usual way to
		// lose data by a compatible change.
		if c.added && both[c.of] && !c.member {
			lines = append(lines, fmt.Sprintf("%s is a parameter and a result: old clients that read it and write it back lose %s", c.of, c.field))
		}
	}
	// Both ends are first only if one release adds an argument and drops another.
	switch {
	case servers && clients:
		return append(lines, "to deploy: neither end first, if nothing must fail or be lost meanwhile")
	case servers:
		return append(lines, "to deploy: servers first, if nothing must fail or be lost meanwhile")
	case clients:
		return append(lines, "to deploy: clients first, if nothing must fail or be lost meanwhile")
	}
	return append(lines, "to deploy: either end first")
}

// String explains what happens between old and new programs.
func (c change) String() string {
	writer, reader, calls := "server", "client", "callbacks"
	if c.byClient {
		writer, reader, calls = "client", "server", "calls"
	}
	switch {
	case c.member && c.added:
		return fmt.Sprintf("%s is new: old %ss read a union without a member", c.place, reader)
	case c.member:
		return fmt.Sprintf("%s is gone: from old %ss, new %ss read a union without a member", c.place, writer, reader)
	case c.arg && c.added:
		return fmt.Sprintf("%s is new: %s that set it fail at old %ss, not run, unless it is ignorable", c.place, calls, reader)
	case c.arg:
		return fmt.Sprintf("%s is gone: %s of old %ss that set it fail at new %ss, not run, unless it is ignorable there", c.place, calls, writer, reader)
	case c.added:
		return fmt.Sprintf("%s is new: old %ss drop it, and from old %ss it is zero", c.place, reader, writer)
	}
	return fmt.Sprintf("%s is gone: old %ss read zero", c.place, reader)
}

// retirementText lists what a contract no longer supports. A text may still fit: then its
// programs go on working until a later change.
func retirementText(f *records, d *described, retired []retirement, servers bool) string {
	if len(retired) == 0 {
		return ""
	}
	var b strings.Builder
	ends, total := "programs", len(retired)+len(f.all())
	if servers {
		ends, total = "servers", len(f.all())
	}
	fmt.Fprintf(&b, "%s: retired %s of %d of %d texts\n", f.path, ends, len(retired), total)
	for _, r := range retired {
		fmt.Fprintf(&b, "    %s, in %s from %s until %s\n", r.name(), ends, r.date, r.until)
		found, _ := r.compare(d.find(r.name()))
		for _, one := range found {
			one.Fix = "" // it is too late
			b.WriteString("        parted: " + one.String() + "\n")
		}
		if len(found) == 0 {
			b.WriteString("        still fits; later changes may part these " + ends + "\n")
		}
	}
	return b.String()
}
