package bsrpc

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// newBasicClient makes a client of a connection whose server has answered as a
// basic one does, and waits for its place within ctx.
func newBasicClient(ctx context.Context, nc net.Conn, b *bounds, peer *wire.Hello, opts *ClientOptions) (*Client, error) {
	keepAlive(nc, b)
	if peer.Waits {
		opts.onWait()(0) // the server does not say
	}
	for peer.Waits {
		select {
		case <-time.After(b.pollInterval):
		case <-ctx.Done():
			nc.Close()
			return nil, contextError(ctx.Err(), OutcomeNotRun)
		}
		var err error
		if peer, err = pollBasic(ctx, nc, b); err != nil {
			return nil, handshakeError(nc, err)
		}
	}
	l := &basicLink{nc: nc, bounds: b, done: make(chan struct{}), more: make(chan struct{}, 1)}
	whenBroken(nc, func(why error) { l.fail(lost("using it", why)) })
	l.running.Add(2)
	go l.read()
	go l.write()
	return &Client{via: l}, nil
}

// pollBasic asks once whether there is a place now.
func pollBasic(ctx context.Context, nc net.Conn, b *bounds) (*wire.Hello, error) {
	attempt, cancel := context.WithTimeout(ctx, b.dialTimeout)
	defer cancel()
	peer, err := exchangeInit(attempt, nc, b, wire.AppendBasicVersion(nil))
	switch {
	case ctx.Err() != nil:
		return nil, contextError(ctx.Err(), OutcomeNotRun)
	case err == nil && peer.Version != 0:
		return nil, errors.New("the server has changed from the basic wire to the native one")
	}
	return peer, err
}
