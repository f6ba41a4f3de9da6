package reconnect

import (
	"context"
	"net"
)

// Resolve returns the addresses of a name with a port, and the name alone.
func Resolve(ctx context.Context, name string) (host string, addresses []string, err error) {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return "", nil, err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	for _, ip := range ips {
		addresses = append(addresses, net.JoinHostPort(ip, port))
	}
	return host, addresses, err
}
