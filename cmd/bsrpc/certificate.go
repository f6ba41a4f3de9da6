package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// maxCommonName limits the bytes of the name of a certificate, as RFC 5280 does.
const maxCommonName = 64

// clockSkew is how far the clock of another machine may be behind.
const clockSkew = time.Hour

// A certificate is one to be made.
type certificate struct {
	kind  string // "authority", "server" or "client"
	name  string
	hosts []string
	ips   []net.IP
	days  int
	until time.Time // set by sign
}

// A signer is an authority with its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// names returns the names in c.
func (c *certificate) names() []string {
	names := append([]string(nil), c.hosts...)
	for _, ip := range c.ips {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{c.name}
	}
	return names
}

// template returns what is signed. A server has its names as alternative ones; a client has a
// common name alone, which is a name of its peer then.
func (c *certificate) template() (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: c.name},
		NotBefore: now.Add(-clockSkew), NotAfter: now.AddDate(0, 0, c.days),
		DNSNames: c.hosts, IPAddresses: c.ips,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	switch c.kind {
	case "server":
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case "client":
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	default:
		t.IsCA, t.MaxPathLenZero, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	}
	return t, nil
}

// sign returns the certificate and its new key in PEM. It ends with its authority at the latest.
// Nil as the signer means an authority, which signs itself.
func (c *certificate) sign(by *signer) (crt, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t, err := c.template()
	if err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = &signer{t, own}
	} else if by.cert.NotAfter.Before(t.NotAfter) {
		t.NotAfter = by.cert.NotAfter
	}
	c.until = t.NotAfter
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, &own.PublicKey, by.key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, err
	}
	crt = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return crt, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}
