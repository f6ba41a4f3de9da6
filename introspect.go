package bsrpc

import (
	"context"
	"fmt"

	"github.com/bsrpc/bsrpc/internal/describe"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/introspect"
)

// What a server says about itself in the service bsrpc.v1. Package introspect has its contract,
// internal/describe its methods.

// An introspection describes a server.
type introspection struct{ server *Server }

// funcs returns the methods of bsrpc.v1.
func (i introspection) funcs() []*method.Func {
	s := i.server
	return describe.Funcs(&describe.Source{
		Methods: i.methods, Health: &s.health, Draining: s.sessions.draining, Hides: s.settings.access.hides,
		Sessions: i.sessions, Groups: i.groups, Counters: i.counters,
	}, operators)
}

// methods returns the methods that a caller may call.
func (i introspection) methods(ctx context.Context) (list []describe.Entry) {
	s := i.server
	roles := s.settings.access.rolesOf(&SessionFrom(ctx).peer)
	for _, m := range s.registry.all() {
		if m.Allows(roles) {
			list = append(list, describe.Entry{Func: m.Func, Kind: m.kind.String()})
		}
	}
	return list
}

// sessions returns the admitted sessions.
func (i introspection) sessions() (list []introspect.Session) {
	for _, v := range i.server.Sessions() {
		list = append(list, introspect.Session{ID: v.id, Name: v.peer.Name, Addr: fmt.Sprint(v.peer.Addr), Since: v.since, Calls: v.Calls()})
	}
	return list
}

// groups returns the exclusive groups.
func (i introspection) groups() (list []introspect.Group) {
	for _, g := range i.server.Groups() {
		group := introspect.Group{Name: g.Name, Acquired: g.Acquired, Since: g.Since}
		if g.Holder != nil {
			group.Holder = g.Holder.id
		}
		for _, v := range g.Waiting {
			group.Waiting = append(group.Waiting, v.id)
		}
		list = append(list, group)
	}
	return list
}

// counters returns the numbers of the server.
func (i introspection) counters() introspect.Counters {
	s := i.server
	return introspect.Counters{
		Started: s.started, Sessions: uint64(len(s.Sessions())), Connections: uint64(len(s.sessions.all())),
		Handlers: uint64(max(0, s.handlers.Load())), Panics: s.Panics(), OnewayErrors: s.OnewayErrors(),
	}
}
