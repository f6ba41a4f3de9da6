package bsrpc

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"slices"
	"testing"

	"github.com/bsrpc/bsrpc/internal/secure"
)

// A name of one kind is not taken for one of another kind, and none can forge a line of a log.
func TestNames(t *testing.T) {
	uri := func(text string) []*url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return []*url.URL{u}
	}
	common := func(name string) pkix.Name { return pkix.Name{CommonName: name} }
	for name, test := range map[string]struct {
		cert x509.Certificate
		want []string
	}{
		"all kinds": {
			x509.Certificate{Subject: common("x"), DNSNames: []string{"ann.example", "*.ann.example"}, EmailAddresses: []string{"ann@example.org"}, URIs: uri("spiffe://lab/ann"), IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1), net.ParseIP("fe80::1")}},
			[]string{"ann.example", "*.ann.example", "ann@example.org", "spiffe://lab/ann", "10.0.0.1", "fe80::1"},
		},
		"a common name":                   {x509.Certificate{Subject: common("Änn Example")}, []string{"Änn Example"}},
		"no name":                         {x509.Certificate{}, nil},
		"a common name beside a bad name": {x509.Certificate{Subject: common("ann.example"), EmailAddresses: []string{"x"}}, nil},
		"a host as an e-mail address":     {x509.Certificate{EmailAddresses: []string{"ann.example", "@ann.example", "ann@"}}, nil},
		"a host as a URI":                 {x509.Certificate{URIs: uri("ann.example")}, nil},
		"an IP address as a URI":          {x509.Certificate{URIs: uri("fe80::1")}, nil},
		"others as a host":                {x509.Certificate{DNSNames: []string{"ann@example.org", "spiffe://lab/ann", "10.0.0.1", "fe80::1", ""}}, nil},
		"a URI as an e-mail address":      {x509.Certificate{EmailAddresses: []string{"spiffe://x@lab"}}, nil},
		"control characters":              {x509.Certificate{DNSNames: []string{"ann.example\x00.eve", "ann\nexample", "a\x1b[2J"}, EmailAddresses: []string{"a\n@b"}}, nil},
		"a common name with an escape":    {x509.Certificate{Subject: common("\x1b[2Jann")}, nil},
		"a common name with a line":       {x509.Certificate{Subject: common("ann\nlevel=ERROR")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := secure.Names(&test.cert); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if secure.Names(nil) != nil {
		t.Error("names without a certificate")
	}
}
