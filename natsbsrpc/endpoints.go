package natsbsrpc

import (
	"context"
	"net"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// addressKey is the key of ServeOptions.Address in the metadata of a service.
const addressKey = "bsrpc-address"

// Endpoints returns a func for ClientOptions.Endpoints of bsrpc.Dial: the addresses that the
// instances of a service announce, see ServeOptions.Address. So clients find servers over NATS, and
// call them over connections, with sessions, callbacks and all kinds of streams.
//
// The func asks with a PING of NATS, and waits until no instance has answered for 250 ms. Instances without an
// address are left out. Without any it returns an error, and a client keeps the servers it has.
// It is safe for concurrent use, and does not own nc.
//
// Who may answer PINGs on the broker decides where clients connect to. With ClientOptions.TLS, certificates are
// checked for the host of each address.
func Endpoints(nc *nats.Conn, service string) func(ctx context.Context) ([]bsrpc.Endpoint, error) {
	return func(ctx context.Context) ([]bsrpc.Endpoint, error) {
		var list []bsrpc.Endpoint
		instances := 0
		why := pingAll(ctx, nc, service, func(p *micro.Ping) error {
			instances++
			if address := p.Metadata[addressKey]; validAddress(address) {
				list = append(list, bsrpc.Endpoint{Network: "tcp", Address: address})
			}
			return nil
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		} else if instances > 0 && len(list) == 0 {
			return nil, notRun(bsrpc.CodeUnavailable, "no instance of "+service+" has an address; set ServeOptions.Address", nil)
		} else if len(list) == 0 {
			return nil, why
		}
		slices.SortFunc(list, func(a, b bsrpc.Endpoint) int { return strings.Compare(a.Address, b.Address) })
		return slices.Compact(list), nil
	}
}

// validAddress reports whether an address has a host and a port.
func validAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return err == nil && host != "" && port != ""
}
