package secure

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// Names returns the names in a certificate: the host names, e-mail addresses, URIs and IP
// addresses of its subject alternative names, or without these its common name.
//
// The names of all kinds are in one list, so one without the form of its kind is left out: an
// authority that checks e-mail addresses might sign "shop.example" as one, and it would be
// taken for a host. The list is also for logs, and has printable names only.
func Names(c *x509.Certificate) []string {
	if c == nil {
		return nil
	}
	var names []string
	add := func(list []string, has func(string) bool) {
		for _, name := range list {
			if has(name) && isPrintable(name) {
				names = append(names, name)
			}
		}
	}
	add(c.DNSNames, isHost)
	add(c.EmailAddresses, isEmail)
	add(textsOf(c.URIs), isURI)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(c.DNSNames)+len(c.EmailAddresses)+len(c.URIs)+len(c.IPAddresses) == 0 {
		add([]string{c.Subject.CommonName}, func(name string) bool { return name != "" })
	}
	return names
}

// textsOf returns the texts of URIs.
func textsOf(uris []*url.URL) (texts []string) {
	for _, u := range uris {
		texts = append(texts, u.String())
	}
	return texts
}

// isHost reports whether name has the form of a host name, which has neither @ nor a colon.
func isHost(name string) bool {
	return name != "" && !isIP(name) && !strings.ContainsAny(name, "@:/ ")
}

// isEmail reports whether name has the form of an e-mail address, which has an @ and no
// scheme.
func isEmail(name string) bool {
	at := strings.LastIndexByte(name, '@')
	return at > 0 && at < len(name)-1 && !strings.ContainsAny(name, ":/ ")
}

// isURI reports whether name has the form of a URI, which has a scheme.
func isURI(name string) bool { return strings.IndexByte(name, ':') > 0 && !isIP(name) }

// isIP reports whether name is the text of an IP address. That of IPv6 looks like a URI.
func isIP(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// isPrintable reports whether name has printable characters only.
func isPrintable(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
