// Package secure does what package bsrpc adds to crypto/tls and to unix sockets: the
// defaults and errors of a tls.Config, the TLS handshake with a time limit, certificates
// read again from their files, and the permissions and peers of unix sockets. It has no
// cryptography of its own, and no notion of a frame or a session.
package secure

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
)

// Config returns a copy of the configuration of an end, with defaults. nil stays nil.
func Config(c *tls.Config, server bool) (*tls.Config, error) {
	switch {
	case c == nil:
		return nil, nil
	case server:
		return serverConfig(c)
	}
	return withDefaults(c)
}

// serverConfig is Config for a server. A config with ClientCAs verifies clients, because a list
// of authorities without a verification would be a mistake.
func serverConfig(c *tls.Config) (*tls.Config, error) {
	if len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		return nil, errors.New("a server needs Certificates, GetCertificate or GetConfigForClient")
	}
	c, err := withDefaults(c)
	if err != nil {
		return nil, err
	}
	if c.ClientCAs != nil && c.ClientAuth == tls.NoClientCert {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if choose := c.GetConfigForClient; choose != nil {
		// The config of one client has the same defaults and is subject to the same rules.
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			if chosen, err = serverConfig(chosen); err != nil {
				return nil, fmt.Errorf("GetConfigForClient: %w", err)
			}
			return chosen, nil
		}
	}
	return c, nil
}

// withDefaults returns a copy of c, and an error for a version or a cipher suite that is
// not secure.
func withDefaults(c *tls.Config) (*tls.Config, error) {
	c = c.Clone()
	// The records of crypto/tls are short at first, for browsers that show the beginning of a
	// page. A frame is used when it is complete.
	c.DynamicRecordSizingDisabled = true
	c.MinVersion = cmp.Or(c.MinVersion, tls.VersionTLS13)
	switch {
	case c.MinVersion < tls.VersionTLS12:
		return nil, fmt.Errorf("MinVersion is %s, which is not secure; want tls.VersionTLS12 or above, or 0 for TLS 1.3", tls.VersionName(c.MinVersion))
	case c.MaxVersion != 0 && c.MaxVersion < c.MinVersion:
		return nil, fmt.Errorf("MaxVersion is %s, below MinVersion, which is %s (TLS 1.3 by default)", tls.VersionName(c.MaxVersion), tls.VersionName(c.MinVersion))
	}
	for _, weak := range tls.InsecureCipherSuites() {
		if slices.Contains(c.CipherSuites, weak.ID) {
			return nil, fmt.Errorf("CipherSuites contains %s, which is not secure; leave CipherSuites nil", weak.Name)
		}
	}
	return c, nil
}
