package bsrpc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/bsrpc/bsrpc/internal/describe"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/stats"
)

// What a server says about itself: about its methods in the answers to BIND, and in the service
// bsrpc.v1, whose contract is in package introspect and whose methods are in internal/describe; and
// in its figures. Those of a client.

// An introspection describes a server.
type introspection struct{ server *Server }

// funcs returns the methods of bsrpc.v1.
func (i introspection) funcs() []*method.Func {
	s := i.server
	return describe.Funcs(&describe.Source{
		Methods: i.methods, Health: &s.health, Draining: s.sessions.draining, Hides: s.settings.access.hides,
		Sessions: i.sessions, Groups: i.groups, Counters: s.Stats,
	}, operators)
}

// methods returns the methods that a caller may call.
func (i introspection) methods(ctx context.Context) (list []describe.Entry) {
	s := i.server
	roles := s.settings.access.rolesOf(SessionFrom(ctx))
	for _, m := range s.registry.all() {
		if m.Allows(roles) {
			list = append(list, describe.Entry{Func: m.Func, Kind: m.kind.String()})
		}
	}
	return list
}

// sessions returns the admitted sessions, and behind them those that wait for admission.
func (i introspection) sessions() (list []introspect.Session) {
	describe := func(v *Session) introspect.Session {
		return introspect.Session{ID: v.id, Name: v.peer.Name, Addr: fmt.Sprint(v.peer.Addr), Calls: v.Calls()}
	}
	for _, v := range i.server.Sessions() {
		d := describe(v)
		d.Since = v.since
		list = append(list, d)
	}
	for n, v := range i.server.sessions.queue.Line() {
		d := describe(v.(*Session))
		d.Position = uint64(n + 1)
		list = append(list, d)
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

// Stats returns the figures of the server: connections, calls by method and code, latencies,
// bytes. It counts always, at about 20 ns a call. The caller owns the slices.
//
//	expvar.Publish("bsrpc", expvar.Func(func() any { return srv.Stats() }))
//
// publishes it in /debug/vars. docs/guide/measuring.md explains the figures.
func (s *Server) Stats() stats.Server {
	s.mustBeInitialized()
	f := stats.Server{
		Started: s.started, Sessions: uint64(len(s.Sessions())), Connections: uint64(len(s.sessions.all())), Waiting: uint64(len(s.sessions.queue.Line())),
		Handlers: uint64(max(0, s.handlers.Load())), Panics: s.Panics(), OnewayErrors: s.OnewayErrors(), RefusedConns: s.sessions.turnedAway.Load(),
		Methods: s.registry.tallies.Methods(), ToClients: s.registry.made.Methods(),
	}
	f.Received, f.Sent = s.registry.tallies.Bytes()
	for _, g := range s.registry.groups.Status() {
		f.InLine += uint64(len(g.Waiting))
	}
	for _, c := range s.connections() {
		if c.session.isApart() { // of Handle: one call, which is open
			f.Open++
			continue
		}
		switch c := c.conn.(type) {
		case *nativeConn:
			g := transport.GaugesOf(c.Conn)
			f.Open, f.Streams, f.Unsent = f.Open+uint64(g.Served), f.Streams+uint64(g.Streams), f.Unsent+g.Unsent
		case *basicConn:
			f.Open += uint64(c.Open())
		}
	}
	return f
}

// Stats returns the figures of the client, over all its connections so far: calls by method
// and code, latencies, bytes. It counts always. The caller owns the slices. After the end of the
// client the counters stay. A nil or zero Client has none.
func (c *Client) Stats() (f stats.Client) {
	if c == nil || c.conn == nil {
		return f
	}
	tallies := c.conn.state().Tallies
	f.Connected, f.Methods, f.OnewayErrors = uint64(tallies.Connections()), tallies.Methods(), c.OnewayErrors()
	f.Received, f.Sent = tallies.Bytes()
	list := []*Client{c}
	if l, ok := c.conn.(*steadyLink); ok {
		list = l.clients()
	}
	for _, c := range list {
		if c.conn.Err() != nil {
			continue
		}
		switch l := c.conn.(type) {
		case interface{ openApart() int }: // without a connection
			f.Open = uint64(l.openApart())
			continue
		case *basicLink:
			f.Open += uint64(l.Open())
			f.Connections++
			continue
		}
		f.Connections++
		g := transport.GaugesOf(c.native.Conn)
		f.Open, f.Queued, f.Streams, f.Unsent = f.Open+uint64(g.Calls), f.Queued+uint64(g.Queued), f.Streams+uint64(g.Streams), f.Unsent+g.Unsent
	}
	return f
}

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
	answers, texts, refuse := v.numbers.Answer(v.registryFor(), r)
	if refuse != nil {
		c.Refuse(m.ID, refuse)
		return nil
	}
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

// A registryFor is the methods of an end as numbered for one peer, named for errors.
type registryFor struct {
	*registry
	peer  string
	roles []string // of the peer
	hides bool     // HideDescription
	self  bool     // it has bsrpc.v1 too
}

// registryFor returns the methods as numbered on this connection.
func (v *serverConn) registryFor() registryFor {
	a := &v.settings.access
	return registryFor{v.registry, v.limits.Peer(), a.rolesOf(v.session), a.hides, !v.atClient}
}

// Service implements numbering.Registry.
func (r registryFor) Service(name string) map[string]*servedMethod {
	if r.self && name == introspect.Service {
		return r.own().Service(name)
	}
	return r.registry.Service(name)
}

// Len implements numbering.Registry.
func (r registryFor) Len() int {
	if r.self {
		return r.registry.Len() + describe.Most
	}
	return r.registry.Len()
}

// streams reports whether a method has a stream.
func (r *registry) streams(name string) bool {
	service, name, _ := method.SplitName(name)
	m := registryFor{registry: r, self: true}.Service(service)[name]
	return m != nil && m.streams != nil
}

// Describe implements numbering.Registry.
func (r registryFor) Describe(m *servedMethod) *method.Description { return &m.Description }

// Version implements numbering.Registry.
func (r registryFor) Version(m *servedMethod, text string, hash [32]byte) (*servedMethod, error) {
	return r.versionOf(m, text, hash, r.peer)
}

// Known implements apart.Registry.
func (r registryFor) Known(m *servedMethod, hash [32]byte) *servedMethod {
	return r.versions.Get(version{m, hash})
}

// Access implements numbering.Registry.
func (r registryFor) Access(m *servedMethod) (standIn *servedMethod, hidden, denied bool) {
	denied = !m.Allows(r.roles)
	return m.forbidden, denied || r.hides, denied
}

// Similar implements numbering.Registry. The methods do not change any more.
func (r registryFor) Similar(service string) []string {
	return numbering.Similar(service, numbering.Described(r, r.table.Services()))
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
	args := []any{"session", v.session.id, "remote", v.session.peer.Addr, "service", report.Text(r.Service, 64), "methods", len(answers)}
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
		v.log.Debug(text, args...)
	}
}
