package reconnect

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
)

var errName = errors.New("want a name with a port, such as shop.internal:7341, or the name of SRV records, such as _shop._tcp.shop.internal")

// Resolve returns the addresses of a name with a port, or of the servers in the SRV records of a
// name, by their priority. host is the name for certificates. That of SRV records is the domain
// they belong to, not a server in them: answers of DNS may be forged.
func Resolve(ctx context.Context, name string) (host string, addresses []string, err error) {
	if strings.HasPrefix(name, "_") {
		return resolveSRV(ctx, name)
	}
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return "", nil, errName
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	for _, ip := range ips {
		addresses = append(addresses, net.JoinHostPort(ip, port))
	}
	return host, addresses, err
}

// resolveSRV is Resolve for SRV records. Their servers are names, resolved at each attempt to connect.
func resolveSRV(ctx context.Context, name string) (host string, addresses []string, err error) {
	service, rest, _ := strings.Cut(name, ".")
	protocol, host, _ := strings.Cut(rest, ".")
	if len(service) < 2 || protocol != "_tcp" || host == "" {
		return "", nil, errName
	}
	_, records, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
	for _, r := range records {
		if r.Target != "." { // a service that is not offered
			// The last dot stays: without it the domains of resolv.conf would be searched first.
			addresses = append(addresses, net.JoinHostPort(r.Target, strconv.Itoa(int(r.Port))))
		}
	}
	if len(addresses) > 0 {
		err = nil // of records with invalid names among the others
	}
	return strings.TrimSuffix(host, "."), addresses, err
}
