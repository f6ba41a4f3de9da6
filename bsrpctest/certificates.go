package bsrpctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A CA is a certificate authority of one test. Its certificates are made in memory, and are
// valid for a day. The methods are safe for concurrent use.
type CA struct {
	tb     testing.TB
	signer tls.Certificate
	pool   *x509.CertPool
}

// NewCA returns a new authority. It and its methods call tb.Fatal on errors.
func NewCA(tb testing.TB) *CA {
	tb.Helper()
	ca := &CA{tb: tb, pool: x509.NewCertPool()}
	ca.signer = ca.issue(nil, "test CA")
	ca.pool.AddCert(ca.signer.Leaf)
	return ca
}

// Pool returns a pool with the authority alone. The caller owns it.
func (ca *CA) Pool() *x509.CertPool { return ca.pool.Clone() }

// Server returns the configuration of a server with a certificate for names, host names or
// IP addresses. Without names it is for localhost, 127.0.0.1 and ::1. Certificates of
// clients, if they have one, are verified; set ClientAuth to require them. The caller owns
// the Config.
func (ca *CA) Server(names ...string) *tls.Config {
	ca.tb.Helper()
	if len(names) == 0 {
		names = []string{"localhost", "127.0.0.1", "::1"}
	}
	return &tls.Config{
		Certificates: []tls.Certificate{ca.Certificate(names...)},
		ClientCAs:    ca.Pool(),
		ClientAuth:   tls.VerifyClientCertIfGiven,
	}
}

// Client returns the configuration of a client that trusts the authority. With names it has
// a certificate for them, otherwise none. ServerName is localhost, a name of every Server
// without names. The caller owns the Config.
func (ca *CA) Client(names ...string) *tls.Config {
	ca.tb.Helper()
	c := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
	if len(names) > 0 {
		c.Certificates = []tls.Certificate{ca.Certificate(names...)}
	}
	return c
}

// Certificate returns a certificate for names, host names or IP addresses. The first one is
// its common name too.
func (ca *CA) Certificate(names ...string) tls.Certificate {
	ca.tb.Helper()
	return ca.issue(&ca.signer, names...)
}

// Files writes a certificate for names, and its key, to files in a directory of the test. It
// replaces files of an earlier call with the same base name.
func (ca *CA) Files(base string, names ...string) (certFile, keyFile string) {
	ca.tb.Helper()
	return WriteFiles(ca.tb, filepath.Join(ca.tb.TempDir(), base), ca.Certificate(names...))
}

// WriteFiles writes a certificate to base.crt and its key to base.key, and returns these
// names. A file is replaced as a whole.
func WriteFiles(tb testing.TB, base string, cert tls.Certificate) (certFile, keyFile string) {
	tb.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		tb.Fatal("bsrpctest:", err)
	}
	certFile, keyFile = base+".crt", base+".key"
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal("bsrpctest:", err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			tb.Fatal("bsrpctest:", err)
		}
	}
	return certFile, keyFile
}

// issue returns a certificate signed by another one, nil for an authority signed by itself.
func (ca *CA) issue(signer *tls.Certificate, names ...string) tls.Certificate {
	ca.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.tb.Fatal("bsrpctest:", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		ca.tb.Fatal("bsrpctest:", err)
	}
	now := time.Now()
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if signer == nil {
		leaf.IsCA, leaf.KeyUsage = true, x509.KeyUsageCertSign
		signer = &tls.Certificate{Leaf: leaf, PrivateKey: key}
	} else {
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				leaf.IPAddresses = append(leaf.IPAddresses, ip)
			} else {
				leaf.DNSNames = append(leaf.DNSNames, name)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, signer.Leaf, &key.PublicKey, signer.PrivateKey)
	if err != nil {
		ca.tb.Fatal("bsrpctest:", err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		ca.tb.Fatal("bsrpctest:", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
