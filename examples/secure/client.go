package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bsrpc/bsrpc"
)

// dial connects as one of the clients: ann has a certificate, bob a token, mallory a wrong one. eve
// speaks no TLS, and local uses the unix socket.
func dial(ctx context.Context, name, dir, address string) (*bsrpc.Client, error) {
	roots, err := authorities(dir)
	if err != nil {
		return nil, err
	}
	opts := &bsrpc.ClientOptions{TLS: &tls.Config{RootCAs: roots}}
	switch name {
	case "ann":
		cert, err := bsrpc.ReloadingCertificate(filepath.Join(dir, "ann.crt"), filepath.Join(dir, "ann.key"))
		if err != nil {
			return nil, err
		}
		opts.TLS.GetClientCertificate = cert.GetClientCertificate
	case "bob":
		opts.Credentials = withToken(name, "correct horse battery staple")
	case "mallory":
		opts.Credentials = withToken("bob", "let me in")
	case "eve":
		opts.TLS = nil
	case "local":
		opts.TLS.ServerName = "supply.example" // a socket has no host name
		return dialLocal(ctx, filepath.Join(dir, socket), opts)
	default:
		return nil, fmt.Errorf("unknown client %q", name)
	}
	return bsrpc.Dial(ctx, "tcp", address, opts)
}

// withToken returns the option for a token. A func can also ask for a new one each time.
func withToken(user, token string) func(context.Context) (bsrpc.Credentials, error) {
	return func(context.Context) (bsrpc.Credentials, error) {
		return bsrpc.NewCredentials(user, token), nil
	}
}

// dialLocal waits until the server has made its socket.
func dialLocal(ctx context.Context, path string, opts *bsrpc.ClientOptions) (*bsrpc.Client, error) {
	for end := time.Now().Add(5 * time.Second); ; {
		client, err := bsrpc.Dial(ctx, "unix", path, opts)
		starting := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		if !starting || time.Now().After(end) {
			return client, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// plain returns the text of an error, without the address and the id of the line in the log.
func plain(err error) string {
	text, _, _ := strings.Cut(err.Error(), " (id ")
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}
