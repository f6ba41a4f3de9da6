package netconn

import (
	"net"
	"net/netip"
)

// PeerKey returns the key of the peer at an address: the IP without the port. Of IPv6 it is
// the network of 64 bits, because a peer can usually choose among all addresses there. All
// peers without an IP, such as those of unix sockets, have one key for each network. The
// methods of addr may be the user's, and panic.
func PeerKey(addr net.Addr) (key string) {
	defer func() {
		if recover() != nil {
			key = ""
		}
	}()
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.Network()
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return addr.Network()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		network, _ := ip.Prefix(64)
		return network.String()
	}
	return ip.String()
}
