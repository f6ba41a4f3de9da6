package bsrpc

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/rebind"
	"github.com/bsrpc/bsrpc/internal/reconnect"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/waiting"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The steps of a client: connect, handshake, and wait for admission.

// dial implements Dial.
func dial(ctx context.Context, network, address string, opts *ClientOptions) (*Client, error) {
	if err := needContext(ctx, "dial"); err != nil {
		return nil, err
	}
	d, err := newDialer(opts)
	if err != nil {
		return nil, err
	}
	if d.opts.Endpoints != nil && network+address != "" {
		return nil, fault.Refusal(fault.InvalidArgument, "dial: ClientOptions.Endpoints is set; network and address must be empty")
	}
	return d.dial(ctx, Endpoint{Network: network, Address: address})
}

// A dialer makes the connections of a client.
type dialer struct {
	opts     *ClientOptions // a copy
	settings *settings
	log      *report.Log
	oneway   *atomic.Uint64 // counts failed oneway calls on all connections; set by the first
	tallies  *tally.Set     // count the calls on all connections

	open func(ctx context.Context, e Endpoint) (net.Conn, error)
}

// newDialer returns the dialer of a client. opts may be nil.
func newDialer(opts *ClientOptions) (*dialer, error) {
	var own ClientOptions
	if opts != nil {
		own = *opts
	}
	s, err := own.settings()
	d := &dialer{opts: &own, settings: s, log: report.New(own.logger()), tallies: new(tally.Set)}
	d.open = func(ctx context.Context, e Endpoint) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, e.Network, e.Address)
	}
	return d, err
}

// connect makes one attempt to connect to an endpoint. before is the connection to it that was
// lost, nil for none.
func (d *dialer) connect(ctx context.Context, e Endpoint, before *reconnect.Conn, onWait func()) (*reconnect.Conn, error) {
	c := reconnect.NewConn()
	at, stop := newDialState(ctx, "dial "+e.Network+" "+e.Address, d.settings.DialTimeout)
	defer stop()
	at.network, at.address, at.serverName, at.conn, at.onWait = e.Network, e.Address, e.ServerName, c, onWait
	if at.oneway, at.tallies = d.oneway, d.tallies; d.opts.Endpoints != nil {
		at.load = &c.Calls
	}
	c.AgainHeld = d.opts.OnReconnect != nil && !d.opts.NoReconnect
	c.Again = d.opts.Handlers == nil && !d.opts.NoReconnect // the server decides as well
	nc, err := d.open(at.Timed, e)
	if err == nil {
		if at.flight = new(rebind.Flight); before != nil && clientOf(before).native != nil {
			at.flight = clientOf(before).native.known.Ahead()
		}
		client, err := newClient(at, nc, d.settings, d.opts)
		if err != nil {
			return nil, err
		}
		if d.oneway == nil && at.oneway != nil { // the first
			d.oneway = at.oneway
		}
		client.fill(c)
		return c, nil
	}
	return nil, at.ConnectError(err)
}

// dialOver implements NewClient.
func dialOver(ctx context.Context, nc net.Conn, opts *ClientOptions) (*Client, error) {
	if nc == nil {
		return nil, fault.Refusal(fault.InvalidArgument, "new client: nil connection")
	}
	if err := needContext(ctx, "new client"); err != nil {
		nc.Close()
		return nil, err
	}
	d, err := newDialer(opts)
	if err != nil {
		nc.Close()
		return nil, err
	}
	at, stop := newDialState(ctx, "", d.settings.DialTimeout)
	defer stop()
	at.tallies = d.tallies
	return newClient(at, nc, d.settings, d.opts)
}

// connect makes a connection with the server at the other end of nc: TLS, INIT, AUTH,
// and the answer. If it fails, it closes nc.
func (d *dialState) connect(nc net.Conn, s *settings, r *report.Log) (net.Conn, *wire.Hello, error) {
	nc, err := secure.Client(nc, s.access.tls, cmp.Or(d.serverName, secure.HostOf(d.network, d.address)))
	if err == nil {
		err = hello.ConnectTLS(d.Timed, nc, r)
	}
	var peer *wire.Hello
	if err == nil {
		peer, err = clientHandshake(d.Timed, nc, s, r, d.flight)
	}
	if err != nil {
		return nil, nil, d.HandshakeError(nc, err)
	}
	return nc, peer, nil
}

// newClient makes a client of a connection: handshake and wait for admission. If it
// fails, it closes nc.
func newClient(d *dialState, nc net.Conn, s *settings, opts *ClientOptions) (*Client, error) {
	r := report.New(opts.logger())
	nc, peer, err := d.connect(nc, s, r)
	switch {
	case err != nil:
		return nil, err
	case peer.Version == 0:
		return newBasicClient(d, nc, s, peer, opts)
	}
	w := waiting.New(peer, d.conn)
	h := newClientHandler(nc, w.Control, opts.Handlers, s, r)
	if d.conn.Again = d.conn.Again && peer.Stateless; d.oneway == nil {
		d.oneway = &h.served.onewayErrors
	}
	link := &nativeLink{callerState: newCallerState(s, s.chain, r, d.oneway, d.tallies, d.remote(nc))}
	link.Conn = transport.New(transport.Config{
		NetConn: nc, Limits: &s.Conn, Peer: peer, Handler: h, Sent: d.flight.Calls(), SharesLease: true, Called: opts.Handlers != nil, Budget: &h.served.budget, Load: d.load, Lane: d.tallies.NewLane(),
		OnViolation: r.Violations(nc.RemoteAddr()), OnEnd: h.served.end, EndOf: h.served.endOf, OnRefused: h.refused, Leased: h.served.session.owner.Busy, OnClosed: func() {
			go func() {
				link.Wait()
				h.awaitHandlers()
				h.served.atClients.Delete(h.served)
				h.served.session.owner.Leave()
			}()
		},
	})
	link.remote.metadata, link.EndOf = true, h.served.endOf
	h.Conn, h.served.session.caller = link.Conn, link
	h.served.session.owner.OnBusy = link.Lease
	if opts.Handlers != nil {
		link.draining = h.served.session.draining
		h.served.atClients.Store(h.served, nil)
	}
	go link.Run()
	if link.known, err = d.flight.Await(d.Timed, link.Conn); err != nil {
		return nil, fault.About(d.What, err)
	}
	if peer.Waiting {
		d.onWait()
		if err := w.Await(d.Ctx, link.Conn, &waiting.Hook{OnWait: opts.OnWait, Log: r}); err != nil {
			return nil, fault.About(d.What, err)
		}
	}
	return &Client{conn: link, native: link}, nil
}

// settings returns the settings for o and its Handlers.
func (o *ClientOptions) settings() (*settings, error) {
	s, err := o.resolve()
	h := o.Handlers
	if err == nil {
		err = checkHandlers(h)
	}
	if err == nil && h != nil {
		s.MaxInflight, s.MaxStreams = h.settings.MaxInflight, h.settings.MaxStreams
		s.FitWindow(h.settings.ServerBytes)
	}
	return s, err
}

// logger returns the user's Logger or the default.
func (o *ClientOptions) logger() *slog.Logger { return cmp.Or(o.Logger, slog.Default()) }

// A dialState is the state of one attempt to connect, or of NewClient.
type dialState struct {
	hello.Attempt
	network, address string // "" for NewClient
	serverName       string // in the certificate; "" for the host of address

	conn    *reconnect.Conn
	flight  *rebind.Flight // nil for a connection that nothing follows
	load    *int32         // Calls of conn, if calls choose among several; nil otherwise
	oneway  *atomic.Uint64 // counts failed oneway calls; nil until a handler has made it
	tallies *tally.Set
	onWait  func() // called if the client is not admitted at once
}

// remote returns the other end of nc, which has no metadata on the basic wire.
func (d *dialState) remote(nc net.Conn) remoteEnd {
	return remoteEnd{addr: nc.RemoteAddr(), network: d.network, address: d.address}
}

// newDialState returns the state of a dial beginning now. The caller must call stop.
func newDialState(ctx context.Context, what string, limit time.Duration) (d *dialState, stop func()) {
	d = &dialState{conn: reconnect.NewConn(), onWait: func() {}}
	d.Attempt, stop = hello.Begin(ctx, what, limit)
	return d, stop
}
