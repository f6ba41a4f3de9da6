package bsrpc

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"

	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
)

// Who is at the other end, and what it may do.

// A Peer is the other end of a connection, as far as it has proved who it is.
type Peer struct {
	// Addr is the address of the peer, which proves nothing.
	Addr net.Addr

	// Certificate is the verified TLS certificate of the peer, and CertificateNames are
	// its host names, e-mail addresses, URIs and IP addresses, or without these its common
	// name. Both are nil without TLS, and if the certificate was not verified.
	Certificate      *x509.Certificate
	CertificateNames []string
}

// peerOf returns the peer of a connection after the TLS handshake, with the state of that.
func peerOf(nc net.Conn, l *report.Log) (Peer, *tls.ConnectionState) {
	state := secure.StateOf(nc, l)
	cert := secure.Verified(state)
	return Peer{Addr: nc.RemoteAddr(), Certificate: cert, CertificateNames: secure.Names(cert)}, state
}

// A Certificate is a TLS certificate in files. Create one with ReloadingCertificate.
// Its methods are safe for concurrent use.
type Certificate struct{ files *secure.Certificate }

// ReloadingCertificate reads a certificate and its key from PEM files, for the TLS option of
// either end. The files are read again after a change, at most once a second, and only by
// new connections. If that fails, the last good certificate remains in use, and
// slog.Default() gets one line. The error is that of the first reading.
func ReloadingCertificate(certFile, keyFile string) (*Certificate, error) {
	files, err := secure.LoadCertificate(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("bsrpc: certificate: %w", err)
	}
	return &Certificate{files}, nil
}

// GetCertificate is for the field of the same name of a server's tls.Config.
func (c *Certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.files.Current()
}

// GetClientCertificate is for the field of the same name of a client's tls.Config.
func (c *Certificate) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.files.Current()
}

// access is the part of the options of an end that decides who may connect, and call.
type access struct {
	tls *tls.Config // nil for none
}

// resolve replaces the values of the user by those used, and adds their problems to c.
func (a *access) resolve(c *option.Check, server bool) {
	config := secure.ClientConfig
	if server {
		config = secure.ServerConfig
	}
	var err error
	if a.tls, err = config(a.tls); err != nil {
		c.Add("TLS: %v", err)
	}
}
