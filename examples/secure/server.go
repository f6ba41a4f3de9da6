package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc"
)

// socket is the name of the unix socket in the folder.
const socket = "supply.sock"

// tokens are the tokens of users without a certificate. A real server reads them from a file, or
// asks another service.
var tokens = map[string]string{"bob": "correct horse battery staple"}

// newServer returns a server with the certificates in dir.
func newServer(dir string) (*bsrpc.Server, error) {
	config, err := serverTLS(dir)
	if err != nil {
		return nil, err
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		TLS:          config,
		Authenticate: authenticate,
		// The messages of this service are short, and its users few. One of them must not take
		// all connections, or make the server keep thousands of streams, those of bsrpc.v1.
		MaxMessage:       64 << 10,
		MaxInflight:      16,
		MaxStreams:       16,
		HandshakeTimeout: 5 * time.Second,
		Limits: bsrpc.Limits{
			MaxConns: 100, PeerConns: 20, MaxHandshakes: 64, MaxHandlers: 1000,
			DecodeBudget: 1 << 20, OutQueue: 256 << 10, PingAfter: 10 * time.Second,
		},
	})
	return srv, bsrpc.RegisterAs[Supply](srv, "Supply", new(supply))
}

// serverTLS accepts the certificates of the authority in dir, and clients without one.
func serverTLS(dir string) (*tls.Config, error) {
	cert, err := bsrpc.ReloadingCertificate(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return nil, err
	}
	clients, err := authorities(dir)
	if err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: cert.GetCertificate, ClientCAs: clients, ClientAuth: tls.VerifyClientCertIfGiven}, nil
}

// authorities returns the authority in dir.
func authorities(dir string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s contains no certificate", filepath.Join(dir, "ca.crt"))
	}
	return pool, nil
}

// authenticate decides who a client is: by its certificate, by its user at the unix socket, or by a
// token.
func authenticate(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
	switch {
	case slices.Contains(p.CertificateNames, "ann.example"):
		p.Name, p.Roles = "ann", []string{"admin"}
	case p.Unix != nil && int(p.Unix.UID) == os.Getuid():
		p.Name, p.Roles = "local", []string{"reader"}
	case c.HasToken(tokens[c.User()]):
		p.Name, p.Roles = c.User(), []string{"operator"}
	default:
		return errors.New("neither a known certificate, nor a user of this machine, nor a token")
	}
	return nil
}

// listen serves on an address and on the unix socket in dir. It returns the first listener.
func listen(srv *bsrpc.Server, dir, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	go srv.Serve(l)
	go srv.ListenAndServe("unix", filepath.Join(dir, socket))
	return l, nil
}
