package hello

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The first frames at a client.

// Limits are what a client accepts of a server.
type Limits struct {
	Basic        bool // the basic wire
	MaxErrorText int  // bytes of a refusal
}

// Exchange sends an INIT and reads the answer. more is sent behind INIT, and may be nil: what the
// server reads after its answer only. An error leaves the connection unusable.
func Exchange(ctx context.Context, nc net.Conn, l *Limits, init, more []byte) (*wire.Hello, error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(netconn.LongAgo) })
	var peer *wire.Hello
	var err error
	if secure.IsTLS(nc) || more != nil {
		peer, err = exchangeBeside(nc, l, append(init, more...))
	} else if _, err = nc.Write(init); err == nil {
		peer, err = readAnswer(nc, l)
	} else {
		err = unsentError(ctx, nc, l, err)
	}
	if !stop() {
		return nil, ctx.Err() // the deadline in the past may be set later
	}
	return peer, err
}

// exchangeBeside writes and reads at the same time. Without buffers between the two ends
// neither write would return where a server writes before it has read all: the answer to INIT,
// or instead of it an alert, because it rejects the client's certificate.
func exchangeBeside(nc net.Conn, l *Limits, init []byte) (*wire.Hello, error) {
	written := make(chan error, 1)
	go func() {
		_, err := nc.Write(init)
		written <- err
	}()
	peer, err := readAnswer(nc, l)
	if err == nil {
		err = <-written
	}
	return peer, err
}

// unsentError returns the error of an INIT that could not be written. The server may
// have refused the client without reading INIT.
func unsentError(ctx context.Context, nc net.Conn, l *Limits, failed error) error {
	nc.SetReadDeadline(time.Now().Add(netconn.CloseTime))
	if ctx.Err() != nil {
		nc.SetReadDeadline(netconn.LongAgo) // again: the line above may have removed it
	}
	_, err := readAnswer(nc, l)
	var refused *fault.Fault
	if errors.As(err, &refused) {
		return refused
	}
	return during("sending INIT", explain(nc, false, failed))
}

// readAnswer reads the answer of a server to INIT.
func readAnswer(nc net.Conn, l *Limits) (*wire.Hello, error) {
	f, err := readFrame(nc, basic.MaxTraceback) // an EXCEPTION may contain a traceback
	if err != nil {
		return nil, during("waiting for the answer to INIT", explain(nc, true, err))
	}
	if f.Type == wire.Exception {
		refused, err := basic.InitRefusal(f.Payload, l.MaxErrorText)
		if err != nil {
			return nil, fmt.Errorf("answer to INIT: EXCEPTION: %w", err)
		}
		return nil, refused
	}
	if f.Type != wire.Init {
		return nil, fmt.Errorf("answer to INIT: %v", f.Type)
	}
	peer, err := wire.ReadServerInit(f.Payload)
	switch {
	case errors.Is(err, wire.ErrBasic) && l.Basic:
		return peer, nil
	case errors.Is(err, wire.ErrBasic):
		return nil, errors.New("the server speaks only the basic wire, that of basic-socket-rpc; ClientOptions.Basic allows it")
	case err != nil:
		return nil, fmt.Errorf("answer to INIT: %w", err)
	case peer.RefusalCode != 0:
		return nil, &fault.Fault{Code: fault.Code(peer.RefusalCode), Message: peer.Refusal, Outcome: fault.NotRun, Remote: true}
	case peer.Version != wire.NativeVersion:
		return nil, versionError("server", peer.Version)
	}
	return peer, nil
}

// versionError is the error of a peer with another version of the native wire.
func versionError(who string, version uint8) error {
	return Explain(fmt.Sprintf("the %s speaks version %d of the native wire, this end version %d", who, version, wire.NativeVersion), fault.ErrVersion)
}
