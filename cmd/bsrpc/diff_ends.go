package main

import (
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// Which end may be deployed first, by the rules of docs/evolution.md.

// A first is the end to deploy first.
type first string

const (
	firstEither  first = "either"
	firstServers first = "servers"
	firstClients first = "clients"
	firstNeither first = "neither"
)

// and returns the end to deploy first for two changes together.
func (f first) and(g first) first {
	switch {
	case f == g || g == firstEither:
		return f
	case f == firstEither:
		return g
	}
	return firstNeither
}

// A compatibility is how the programs of two versions of a method work together. It is one of a new
// client with an old server, or of an old client with a new server.
type compatibility struct {
	breaks []layout.Difference // what makes Bind fail
	loses  []layout.Difference // what a program must not set, or reads as none
}

// compareEnds returns the compatibility of a client and a server.
func compareEnds(client, server *layout.Method) (v compatibility) {
	if v.breaks = layout.Compare(client, server); len(v.breaks) == 0 {
		// Without the word optional at its writer, what the reader lacks is a difference.
		v.loses = layout.Compare(required(client, true), required(server, false))
	}
	return v
}

// without returns v with another fix for changes at a released end: it is too late for them.
func (v compatibility) without(end string) compatibility {
	for i, d := range v.breaks {
		if strings.Contains(d.Fix, end) {
			v.breaks[i].Fix = "keep it as released"
		}
	}
	return v
}

// deployment returns the end to deploy first. A change that only loses values in one order has
// the other one, if that loses none.
func deployment(newClient, newServer compatibility) first {
	switch {
	case len(newClient.breaks) > 0 && len(newServer.breaks) > 0:
		return firstNeither
	case len(newClient.breaks) > 0:
		return firstServers
	case len(newServer.breaks) > 0:
		return firstClients
	case len(newClient.loses) > 0 && len(newServer.loses) > 0:
		return firstNeither
	case len(newClient.loses) > 0:
		return firstServers
	case len(newServer.loses) > 0:
		return firstClients
	}
	return firstEither
}

// required returns m without the word optional where this end writes: arguments of calls for a
// client, results and arguments of callbacks for a server.
func required(m *layout.Method, client bool) *layout.Method {
	own := *m
	own.Params = requiredParams(m.Params, client)
	if client {
		own.OptionalParams = 0
	} else {
		own.OptionalResults = 0
		own.Results = requiredTypes(m.Results)
	}
	return &own
}

// requiredParams is required for parameters. Those of funcs go the other way.
func requiredParams(list []*layout.Type, client bool) []*layout.Type {
	list = slices.Clone(list)
	for i, l := range list {
		switch {
		case l.Func != nil:
			own, f := *l, *l.Func
			if client {
				f.Results = requiredTypes(f.Results)
			} else {
				f.Params = requiredTypes(f.Params)
			}
			own.Func = &f
			list[i] = &own
		case client:
			list[i] = requiredType(l)
		}
	}
	return list
}

// requiredTypes returns copies of types without optional fields.
func requiredTypes(list []*layout.Type) []*layout.Type {
	list = slices.Clone(list)
	for i, l := range list {
		list[i] = requiredType(l)
	}
	return list
}

// requiredType returns a copy of l without optional fields, nil for nil.
func requiredType(l *layout.Type) *layout.Type {
	if l == nil {
		return nil
	}
	own := *l
	own.Elem, own.Fields = requiredType(l.Elem), slices.Clone(l.Fields)
	for i, f := range own.Fields {
		own.Fields[i] = layout.Field{Name: f.Name, Type: requiredType(f.Type)}
	}
	return &own
}

// A methodChange is a method that differs between two sides.
type methodChange struct {
	name     string
	kind     string // "new", "gone" or "changed"
	released string // the dates of the old versions with this change, for a file
	first    first
	found    []layout.Difference // what changed: the old version as the client, the new one as the server

	newClient, newServer compatibility // a new client with an old server; an old client with a new one
}

// compareSides returns what differs between the releases of a and the newest ones of b, and
// the number of methods that are the same. A file names the services to compare.
func compareSides(a, b *side) (changes []methodChange, same int) {
	for _, name := range a.order {
		if !concerns(a, b, name) {
			continue
		}
		now, ok := b.newest(name)
		before := len(changes)
		if !ok {
			changes = append(changes, gone(a, name))
		} else {
			changes = appendChanged(changes, a.methods[name], now, name)
		}
		if len(changes) == before {
			same++
		}
	}
	for _, name := range b.order {
		if _, ok := a.newest(name); ok || !concerns(a, b, name) {
			continue
		}
		now, _ := b.newest(name)
		c := methodChange{name: name, kind: "new", first: firstServers}
		if now.optional {
			c.first = firstEither
		} else {
			c.newClient.breaks = []layout.Difference{{Place: "the method is new", Fix: "a client that goes on without it tags it optional"}}
		}
		changes = append(changes, c)
	}
	return changes, same
}

// concerns reports whether the service of a method is in the files among a and b.
func concerns(a, b *side, name string) bool {
	if !a.file && !b.file {
		return true
	}
	service := name[:strings.LastIndexByte(name, '.')]
	return slices.Contains(a.services, service) || slices.Contains(b.services, service)
}

// gone returns the change of a method that the new side lacks.
func gone(a *side, name string) methodChange {
	old, _ := a.newest(name)
	c := methodChange{name: name, kind: "gone", first: firstClients, released: old.date}
	if old.optional {
		c.first = firstEither
	} else {
		c.newServer.breaks = []layout.Difference{{Place: "the method is gone", Fix: "keep it until no client calls it"}}
	}
	return c
}

// appendChanged appends the changes since each release of a method. Releases with the same
// effect are one change.
func appendChanged(changes []methodChange, releases []release, now release, name string) []methodChange {
	from := len(changes)
	for _, old := range releases {
		if old.text == now.text {
			continue
		}
		c := methodChange{name: name, kind: "changed", released: old.date, found: layout.Diff(old.layout, now.layout)}
		c.newServer = compareEnds(old.layout, now.layout).without("at the client")
		if !old.clients {
			c.newClient = compareEnds(now.layout, old.layout).without("at the server")
		}
		c.first = deployment(c.newClient, c.newServer)
		if i := slices.IndexFunc(changes[from:], c.equal); i >= 0 {
			changes[from+i].released += ", " + c.released
			continue
		}
		changes = append(changes, c)
	}
	return changes
}

// equal reports whether c is the same change as d, apart from the release.
func (c *methodChange) equal(d methodChange) bool {
	return slices.Equal(c.found, d.found) && slices.Equal(c.newClient.breaks, d.newClient.breaks) && slices.Equal(c.newClient.loses, d.newClient.loses) &&
		slices.Equal(c.newServer.breaks, d.newServer.breaks) && slices.Equal(c.newServer.loses, d.newServer.loses)
}
