package bsrpc_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// withChain returns a certificate with as many copies of itself behind it as make the chain at
// least n bytes long.
func withChain(cert tls.Certificate, n int) tls.Certificate {
	cert.Certificate = slices.Clone(cert.Certificate)
	for length := 0; length < n; length += len(cert.Certificate[0]) {
		cert.Certificate = append(cert.Certificate, cert.Certificate[0])
	}
	return cert
}

// A wide connection takes all writes at once, as a socket does.
type wide struct {
	net.Conn
	written chan []byte
}

func newWide(nc net.Conn) *wide {
	w := &wide{nc, make(chan []byte, 16)}
	go func() {
		for b := range w.written {
			w.Conn.Write(b)
		}
	}()
	return w
}

func (w *wide) Write(b []byte) (int, error) {
	w.written <- slices.Clone(b)
	return len(b), nil
}

// A chain of certificates costs its verifier memory and time, so either end takes 32 KiB in the
// TLS handshake. crypto/tls takes 256.
func TestLongCertificateChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ca := bsrpctest.NewCA(t)
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil)), TLS: ca.Server()})
		client := func(n int) error {
			c := ca.Client("ann")
			c.Certificates[0] = withChain(c.Certificates[0], n)
			_, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: c})
			return err
		}
		if err := client(28_000); err != nil {
			t.Errorf("a client with 28,000 bytes: %v", err)
		}
		if err := client(40_000); err == nil {
			t.Error("a client with 40,000 bytes has connected")
		}
		const want = "the peer's part of the TLS handshake, with its certificates, has more than 32768 bytes"
		if synctest.Wait(); strings.Count(log.String(), want) != 1 {
			t.Errorf("log:\n%s", &log)
		}

		server := func(n int) error {
			near, far := net.Pipe()
			config := ca.Server()
			config.Certificates[0] = withChain(config.Certificates[0], n)
			go func() {
				// Accepted, and not answered.
				defer far.Close()
				nc := newWide(far)
				defer close(nc.written)
				tls.Server(nc, config).Read(make([]byte, 1))
			}()
			_, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{TLS: ca.Client()})
			return err
		}
		wantError(t, server(28_000), bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "the server closed the connection before answering INIT")
		wantError(t, server(40_000), bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, want)
	})
}

// inVerification reports whether its caller is called by the verification of a client's
// certificate.
func inVerification() bool {
	stack := make([]byte, 8<<10)
	return bytes.Contains(stack[:runtime.Stack(stack, false)], []byte("processCertsFromClient"))
}

// Half of the processors verify certificates, so the calls of others have the rest. What hangs
// on the way has a second.
func TestVerifyingLeavesProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := bsrpctest.NewCA(t)
		most := max(runtime.GOMAXPROCS(0)/2, 1)
		var mu sync.Mutex
		begun := 0
		hang := make(chan struct{})
		config := ca.Server()
		config.Time = func() time.Time {
			if inVerification() {
				mu.Lock()
				begun++
				mu.Unlock()
				<-hang
			}
			return time.Now()
		}
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, TLS: config})
		count := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return begun
		}
		var dialed sync.WaitGroup
		for range 3*most + 1 {
			dialed.Go(func() {
				if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client("ann")}); err != nil {
					t.Error(err)
				}
			})
		}
		if n := count(); n != most {
			t.Errorf("%d verifications at a time, want %d", n, most)
		}
		time.Sleep(1001 * time.Millisecond)
		if n := count(); n != 2*most {
			t.Errorf("%d verifications have begun after a second, want %d", n, 2*most)
		}
		close(hang)
		dialed.Wait()
		if n := count(); n < 3*most+1 {
			t.Errorf("%d verifications in all", n)
		}
	})
}

// A handshake that waits for its verification ends with its time.
func TestWaitForVerificationEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := bsrpctest.NewCA(t)
		hang := make(chan struct{})
		config := ca.Server()
		config.Time = func() time.Time {
			if inVerification() {
				<-hang
			}
			return time.Now()
		}
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, TLS: config, HandshakeTimeout: 500 * time.Millisecond})
		for range runtime.GOMAXPROCS(0) + 1 {
			go bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client("ann")})
		}
		synctest.Wait()
		began := time.Now()
		if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client("ann")}); err == nil {
			t.Error("connected")
		}
		if d := time.Since(began); d > 600*time.Millisecond {
			t.Errorf("took %v", d)
		}
		began = time.Now()
		if srv.Close(); time.Since(began) > 2*time.Second {
			t.Errorf("Close took %v", time.Since(began))
		}
		close(hang)
	})
}
