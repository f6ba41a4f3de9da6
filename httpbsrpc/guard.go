package httpbsrpc

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// isHost reports whether the Host of a request is one of the handler. A page of another site
// whose name points to this machine has the Host of that site.
func (h *handler) isHost(r *http.Request) bool {
	host := hostname(r.Host)
	if slices.ContainsFunc(h.Hosts, func(own string) bool { return hostname(own) == host }) {
		return host != ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsLoopback() {
			return true
		}
		listener, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		return listener != nil && listener.AddrPort().Addr().Unmap() == ip.Unmap()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// hostname returns the name or address in a Host without its port, in the form to compare.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// isForeign reports whether a page of another origin has made the request. The scheme is not
// compared, as a proxy may have ended TLS.
func isForeign(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return false
	}
	u, err := url.Parse(origins[0])
	return len(origins) > 1 || err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}
