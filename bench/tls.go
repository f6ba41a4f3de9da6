package main

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"time"
)

// Peers over TLS. The ends may be in different processes, so the certificate follows from a
// fixed seed: it is the same in all of them.

// tlsName is the name in the certificate.
const tlsName = "bench"

// tlsCertificate makes the certificate, its own authority.
var tlsCertificate = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: tlsName}, DNSNames: []string{tlsName},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(nil, cert, cert, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{tlsCertificate()}, MinVersion: tls.VersionTLS13}
}

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(tlsCertificate().Leaf)
	return &tls.Config{RootCAs: roots, ServerName: tlsName, MinVersion: tls.VersionTLS13}
}

// A plainTLS is plain over TLS.
type plainTLS struct{ plain }

func (plainTLS) name() string { return "plain-tls" }

func (plainTLS) serve(l net.Listener) (stop func()) {
	return serveConns(tls.NewListener(l, serverTLS()), servePlain)
}

func (p plainTLS) dial(d dialer) (client, error) {
	d.tls = clientTLS()
	return p.plain.dial(d)
}
