package bsrpc

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/transport"
)

// tlsConfigs returns the configurations of a server and of a client that trusts it.
func tlsConfigs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"probe"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(nil, cert, cert, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}}},
		&tls.Config{RootCAs: roots, ServerName: "probe"}
}

// While the peer does not read, and 16 MiB wait for it, other calls over TLS end with their
// deadlines, and WriteStall ends the connection.
func TestTLSPeerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v valve
		s, c := tlsConfigs(t)
		srv := testeeServer(t, newTestee(), &ServerOptions{TLS: s})
		near, far := net.Pipe()
		go srv.ServeConn(&pipeSocket{Conn: far, t: t, pause: v.wait})
		client, proxy := testeeClientOn(t, &pipeSocket{Conn: near, t: t}, &ClientOptions{TLS: c, Logger: quiet, Limits: Limits{WriteStall: 3 * time.Second}})
		if !transport.IsDirect(client.native.Conn) {
			t.Fatal("callers do not write to the socket below TLS")
		}
		v.shut()
		var calls sync.WaitGroup
		calls.Go(func() {
			start := time.Now()
			_, err := proxy.Echo(context.Background(), make([]byte, 15<<20))
			wantCall(t, err, CodeUnavailable, OutcomeUnknown, "connection lost: writing: the peer accepted no bytes for the client's Limits.WriteStall (3s)")
			if took := time.Since(start); took < 3*time.Second || took > 3*time.Second+2*transport.WatchdogPeriod {
				t.Errorf("the connection ended after %v", took)
			}
		})
		synctest.Wait()
		for range 3 {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			if _, err := proxy.Add(ctx, 1, 2); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
			if took := time.Since(start); took != 700*time.Millisecond {
				t.Errorf("a call with 700 ms ended after %v", took)
			}
		}
		calls.Wait()
		v.open()
		client.Close()
		srv.Close()
	})
}

// Close over TLS does not wait for a peer that does not read: the CLOSE frame and the last
// alert of TLS have CloseTime each.
func TestTLSCloseUnread(t *testing.T) {
	for _, waiting := range []int{0, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			var v valve
			srv, client, proxy := pipeSocketClient(t, true, v.wait)
			v.shut()
			proxy.Add(canceled(t), 1, 2) // the last bytes that are read
			go proxy.Echo(t.Context(), make([]byte, waiting))
			synctest.Wait()
			start := time.Now()
			client.Close()
			if took := time.Since(start); took > 2*netconn.CloseTime {
				t.Errorf("%d bytes: closed after %v", waiting, took)
			}
			v.open()
			srv.Close()
		})
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Long messages in both directions at once pass over TLS as they are.
func TestTLSBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, client, proxy := pipeSocketClient(t, true, nil)
		var calls sync.WaitGroup
		for i := range 8 {
			calls.Go(func() {
				body := bytes.Repeat([]byte{byte(i), 1, 2}, 1<<(10+i))
				for range 4 {
					if got, err := proxy.Echo(t.Context(), body); err != nil || !bytes.Equal(got, body) {
						t.Errorf("%d bytes: got %d, %v", len(body), len(got), err)
					}
				}
			})
		}
		calls.Wait()
		checkEmpty(t, client.native.Conn)
		client.Close()
		srv.Close()
	})
}
