package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// check runs the command, and compares its exit code and a part of what it prints.
func check(t *testing.T, exit int, want string, args ...string) {
	t.Helper()
	got, out, failed := bsrpcCommand(t, "", args...)
	if got != exit || !strings.Contains(out+failed, want) {
		t.Errorf("bsrpc %s: exit %d, %q, want %d and %q", strings.Join(args, " "), got, out+failed, exit, want)
	}
}

func TestTLS(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Files("ann", "ann")
	server := ca.Server()
	address := serve(t, newDesk(t, &bsrpc.ServerOptions{
		TLS: server,
		Authenticate: func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
			if c.User() == "bob" && c.HasToken("open sesame") || p.Certificate != nil {
				return nil
			}
			return errors.New("a stranger")
		},
	}))
	// The certificate of the server is an authority too, to a client that trusts it alone.
	authority, _ := bsrpctest.WriteFiles(t, filepath.Join(t.TempDir(), "server"), server.Certificates[0])
	check(t, 0, "Desk\n", "list", address, "--ca", authority, "--token-file", token, "--user", "bob")
	check(t, 0, "Desk\n", "list", address, "--ca", authority, "--cert", cert, "--key", key)
	check(t, 3, "--token-file", "list", address, "--ca", authority)
	check(t, 3, "this token of eve: has it expired?\n", "list", address, "--ca", authority, "--token-file", token, "--user", "eve")
	check(t, 3, "or does it need a name with --user?\n", "list", address, "--ca", authority, "--token-file", token)
	check(t, 3, "authority with --ca\n", "list", address, "--tls")
	check(t, 3, "a name that its certificate has, with --server-name\n", "list", address, "--ca", authority, "--server-name", "elsewhere")
	check(t, 3, "; add --tls, or --ca for", "list", address)
	check(t, 3, "; add --tls, or --ca for", "health", address, "--wait") // at once
	check(t, 2, "no such file", "list", address, "--tls", "--token-file", "missing")
}

func TestToken(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, 2, "--insecure-credentials", "list", address, "--token-file", token)
	check(t, 0, "Desk\n", "list", address, "--token-file", token, "--insecure-credentials")
	check(t, 3, "Without TLS leave out --tls,", "list", address, "--tls")
	if err := os.Truncate(token, maxTokenFile+1); err != nil {
		t.Fatal(err)
	}
	check(t, 2, "more than 65536 bytes", "list", address, "--token-file", token, "--insecure-credentials")
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Skip(err)
	}
	serveOn(t, newDesk(t, nil), l)
	check(t, 0, `"3"`, "call", "unix:"+filepath.Join(dir, "s"), "Desk.Add", "1", "2")
	check(t, 3, "there is no such socket", "list", "unix:"+filepath.Join(dir, "other"))
	check(t, 3, "give --server-name, a name in the server's certificate\n", "list", "unix:"+filepath.Join(dir, "s"), "--tls")
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	check(t, 3, "nothing listens on "+l.Addr().String()+": is the server running", "list", l.Addr().String())
	check(t, 3, `"exit":3`, "call", l.Addr().String(), "Desk.Add", "1", "2", "--json")
	check(t, 3, "connect: connection refused\nbsrpc: still not ready", "health", l.Addr().String(), "--wait", "--timeout", "300ms")
	check(t, 2, "want SERVICE.METHOD", "call", serve(t, newDesk(t, nil)), "Add")
}

func TestHiddenDescription(t *testing.T) {
	address := serve(t, newDesk(t, &bsrpc.ServerOptions{HideDescription: true}))
	check(t, 4, "HideDescription", "list", address)
	check(t, 4, "HideDescription", "call", address, "Desk.Add", "1", "2")
	check(t, 0, "ready", "health", address)
}

// health --wait waits for a server that is not there yet, and then for its readiness.
func TestHealthWait(t *testing.T) {
	srv := newDesk(t, nil)
	srv.SetHealth("Desk", false)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(t, 0, "ready\n", "health", address, "Desk", "--wait", "--timeout", "30s")
	}()
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	serveOn(t, srv, l)
	check(t, 1, "not ready", "health", address, "Desk")
	check(t, 1, "waiting: the service is not ready\nbsrpc: still not ready", "health", address, "Desk", "--wait", "--timeout", "400ms")
	check(t, 0, "ready", "health", address, "bsrpc.v1")
	select {
	case <-done:
		t.Error("health --wait has returned before the service is ready")
	default:
	}
	srv.SetHealth("Desk", true)
	<-done
}

// A certificate that the server refuses, and one of it that has expired.
func TestCertificates(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	config := ca.Server()
	config.ClientAuth = tls.RequireAndVerifyClientCert
	authority, _ := bsrpctest.WriteFiles(t, filepath.Join(t.TempDir(), "server"), config.Certificates[0])
	address := serve(t, newDesk(t, &bsrpc.ServerOptions{TLS: config}))
	cert, key := bsrpctest.NewCA(t).Files("ann", "ann")
	check(t, 3, "the server does not accept the certificate in --cert\n", "health", address, "--wait", "--ca", authority, "--cert", cert, "--key", key)
	check(t, 3, "the server may want a certificate: give --cert and --key\n", "health", address, "--wait", "--ca", authority)
	text, flags := new(target).remedy(x509.CertificateInvalidError{Reason: x509.Expired}, new(failure), true)
	if want := "the server needs a new certificate, unless the clock of this machine is wrong"; text != want || flags {
		t.Errorf("got %q, %v", text, flags)
	}
	text, _ = (&target{address: "lab:1"}).remedy(&net.DNSError{IsNotFound: true}, new(failure), true)
	if want := "this name has no address: is it spelt right?"; text != want {
		t.Errorf("got %q", text)
	}
}

// An interrupt is told apart from trouble of the network.
func TestInterrupted(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	ctx, cancel := context.WithCancel(t.Context())
	var failed strings.Builder
	time.AfterFunc(100*time.Millisecond, cancel)
	exit := run(ctx, []string{"call", address, "Desk.Hang"}, strings.NewReader(""), io.Discard, &failed)
	if want := "bsrpc: Desk.Hang: interrupted\n    the call may have run, or not\n"; exit != 130 || failed.String() != want {
		t.Errorf("exit %d, %s", exit, failed.String())
	}
	failed.Reset()
	if exit := run(ctx, []string{"list", address}, strings.NewReader(""), io.Discard, &failed); exit != 130 || strings.Contains(failed.String(), "\n    ") {
		t.Errorf("exit %d, %s", exit, failed.String())
	}
}

// Who waits for admission is told so, and not to look for the server.
func TestQueue(t *testing.T) {
	address := serve(t, newDesk(t, &bsrpc.ServerOptions{MaxSessions: 1}))
	client, err := bsrpc.Dial(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	exit, _, failed := bsrpcCommand(t, "", "list", address, "--timeout", "100ms")
	lines := strings.Split(failed, "\n")
	if exit != exitNetwork || len(lines) != 4 || lines[0] != "waiting: the server is full; this command is at position 1 of its queue" || !strings.HasSuffix(lines[1], ": out of time") || lines[2] != "    allow more time with --timeout" {
		t.Errorf("exit %d, %s", exit, failed)
	}
	full := serve(t, newDesk(t, &bsrpc.ServerOptions{Limits: bsrpc.Limits{MaxConns: 1}}))
	other, err := bsrpc.Dial(t.Context(), "tcp", full, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if exit, _, failed := bsrpcCommand(t, "", "list", full); exit != exitNetwork || strings.Count(failed, "\n") != 1 || !strings.Contains(failed, "Limits.MaxConns (1)") {
		t.Errorf("exit %d, %s", exit, failed)
	}
}
