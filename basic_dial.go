package bsrpc

import (
	"errors"
	"net"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// newBasicClient makes a client of a connection whose server has answered as a
// basic one does, and waits for its place.
func newBasicClient(d *dialState, nc net.Conn, s *settings, peer *wire.Hello, opts *ClientOptions) (*Client, error) {
	netconn.KeepAlive(nc, s.PingAfter, s.PingTimeout)
	log := report.New(opts.logger())
	h := opts.waitHook(log)
	if peer.Waiting {
		h.call(0) // the server does not say
	}
	for peer.Waiting {
		err := h.pause(d.ctx, s.pollInterval)
		if err != nil {
			nc.Close()
			return nil, fault.About(d.what, err)
		}
		if peer, err = d.pollBasic(nc, s); err != nil {
			return nil, err
		}
	}
	if err := h.settle(); err != nil {
		nc.Close()
		return nil, fault.About(d.what, err)
	}
	l := &basicLink{nc: nc, settings: s, log: log, done: make(chan struct{}), more: make(chan struct{}, 1)}
	netconn.WhenBroken(nc, func(why error) { l.fail(fault.Lost("using it", why)) })
	l.running.Add(2)
	go l.read()
	go l.write()
	return &Client{via: l}, nil
}

// pollBasic asks once whether there is a place now, which may take DialTimeout.
func (d *dialState) pollBasic(nc net.Conn, s *settings) (*wire.Hello, error) {
	poll, stop := newDialState(d.ctx, d.what, d.limit)
	defer stop()
	peer, err := exchangeInit(poll.timed, nc, s, wire.AppendBasicClientInit(nil))
	if err == nil && peer.Version != 0 {
		err = errors.New("the server has changed from the basic wire to the native one")
	}
	if err != nil {
		return nil, poll.handshakeError(nc, err)
	}
	return peer, nil
}
