package bsrpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// certificate returns a certificate valid for its name and as an authority.
func certificate(t *testing.T, name string, authority *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: authority == nil, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent, signer := template, any(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// OnConnect and handlers see the certificate of a client. A wrapper with a
// ConnectionState method is asked; without TLS there is none.
func TestClientCertificates(t *testing.T) {
	authority := certificate(t, "lab", nil)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet,
		OnConnect: func(_ context.Context, s *bsrpc.Session) error {
			if state := s.TLS(); state != nil && state.PeerCertificates[0].Subject.CommonName == "mallory" {
				return errors.New("mallory may not")
			}
			return nil
		}})
	if err := srv.RegisterFunc("Who.Am", func(ctx context.Context) string {
		s := bsrpc.SessionFrom(ctx)
		state := s.TLS()
		if state == nil {
			return ""
		}
		state.PeerCertificates, state.ServerName = state.PeerCertificates[:1:1], "changed" // a copy
		if s.TLS().ServerName == "changed" {
			t.Error("the state is shared")
		}
		return state.PeerCertificates[0].Subject.CommonName
	}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{certificate(t, "server", &authority)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})
	go srv.Serve(wrappingListener{secure})
	dial := func(name string) (*bsrpc.Client, error) {
		nc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{
			ServerName: "server", RootCAs: pool, Certificates: []tls.Certificate{certificate(t, name, &authority)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return bsrpc.NewClient(t.Context(), nc, nil)
	}
	ask := func(client *bsrpc.Client, want string) {
		t.Helper()
		var got string
		if err := client.Call(t.Context(), "Who.Am", nil, &got); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		client.Close()
	}
	alice, err := dial("alice")
	if err != nil {
		t.Fatal(err)
	}
	ask(alice, "alice")
	if _, err := dial("mallory"); err == nil || err.Error() != "mallory may not" {
		t.Errorf("mallory: %v", err)
	}
	near, far := net.Pipe()
	go srv.ServeConn(far)
	plain, err := bsrpc.NewClient(t.Context(), near, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask(plain, "")
	srv.Close()
}

// A wrappingListener counts bytes, say.
type wrappingListener struct{ net.Listener }

func (l wrappingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wrappedTLS{nc.(*tls.Conn)}, nil
}

type wrappedTLS struct{ *tls.Conn }
