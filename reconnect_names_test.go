package bsrpc_test

// Clients that stay connected over real sockets: certificates, and names with several addresses.

import (
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// An adder may make its call twice.
type adder struct {
	Add func(ctx context.Context, a, b uint32) (uint32, error) `bsrpc:"idempotent"`
}

// serveLab serves a lab at an address, "" for a new one, which it returns.
func serveLab(t *testing.T, address string, opts *bsrpc.ServerOptions) (*bsrpc.Server, string) {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	srv := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[labContract](srv, "Lab", lab{}); err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return srv, l.Addr().String()
}

// wantLab makes a call, which waits for a connection.
func wantLab(t *testing.T, p *adder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bsrpc.WithWaitForReady(t.Context()), time.Minute)
	defer cancel()
	if sum, err := p.Add(ctx, 1, 2); sum != 3 || err != nil {
		t.Fatal(sum, err)
	}
}

// The certificate of an endpoint is checked for its ServerName, at the first connection and at
// those after a loss. One for another name is refused.
func TestReconnectServerName(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	server := &bsrpc.ServerOptions{Logger: quiet, TLS: ca.Server("lab-1.example")}
	srv, address := serveLab(t, "", server)
	client := func(name string) (*bsrpc.Client, error) {
		own := ca.Client()
		own.ServerName = "" // that of the endpoint
		return bsrpc.Dial(t.Context(), "", "", &bsrpc.ClientOptions{Logger: quiet, TLS: own, Endpoints: func(context.Context) ([]bsrpc.Endpoint, error) {
			return []bsrpc.Endpoint{{Network: "tcp", Address: address, ServerName: name}}, nil
		}})
	}
	if _, err := client("lab-2.example"); err == nil || !strings.Contains(err.Error(), "lab-1.example, not lab-2.example") {
		t.Error(err)
	}
	if _, err := client(""); err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Error("the host of the address:", err)
	}
	c, err := client("lab-1.example")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := bsrpc.Bind[adder](t.Context(), c, "Lab")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantLab(t, p)
		srv.Close()
		srv, _ = serveLab(t, address, server)
	}
	wantLab(t, p)
}

// resolve makes the names of this process have addresses, until the end of the test.
func resolve(t *testing.T, addresses ...string) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go answerNames(far, addresses)
		return near, nil
	}}
}

// answerNames answers questions for the addresses of any name, as DNS does over TCP.
func answerNames(nc net.Conn, addresses []string) {
	defer nc.Close()
	for {
		var size [2]byte
		if n, err := nc.Read(size[:]); n < 2 || err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		for got := 0; got < len(q); {
			n, err := nc.Read(q[got:])
			if err != nil {
				return
			}
			got += n
		}
		end := 12 // the name, its type and class
		for q[end] != 0 {
			end += 1 + int(q[end])
		}
		end += 5
		a := append([]byte{0, 0}, q[:end]...)
		copy(a[4:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // an answer, with one question
		if q[end-3] == 1 {                                      // type A
			a[2+7] = byte(len(addresses))
			for _, ip := range addresses {
				a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				a = append(a, net.ParseIP(ip).To4()...)
			}
		}
		binary.BigEndian.PutUint16(a, uint16(len(a)-2))
		if _, err := nc.Write(a); err != nil {
			return
		}
	}
}

// Of several addresses of a name the first may be dead: Dial goes to the next one, each time it
// connects, and DNS makes an endpoint of each.
func TestReconnectAddresses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is no address of the machine")
	}
	srv, address := serveLab(t, "", &bsrpc.ServerOptions{Logger: quiet})
	_, port, _ := net.SplitHostPort(address)
	resolve(t, "127.0.0.2", "127.0.0.1") // nothing listens at the first
	name := net.JoinHostPort("shop.internal", port)
	endpoints, err := bsrpc.DNS(name)(t.Context())
	if err != nil || len(endpoints) != 2 || endpoints[0].ServerName != "shop.internal" {
		t.Fatal(endpoints, err)
	}
	var proxies []*adder
	for _, opts := range []*bsrpc.ClientOptions{{Logger: quiet}, {Logger: quiet, Endpoints: bsrpc.DNS(name)}} {
		network, to := "tcp", name
		if opts.Endpoints != nil {
			network, to = "", ""
		}
		c, err := bsrpc.Dial(t.Context(), network, to, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p, err := bsrpc.Bind[adder](t.Context(), c, "Lab")
		if err != nil {
			t.Fatal(err)
		}
		proxies = append(proxies, p)
	}
	for range 2 {
		for _, p := range proxies {
			wantLab(t, p)
		}
		srv.Close()
		srv, _ = serveLab(t, address, &bsrpc.ServerOptions{Logger: quiet})
	}
	for _, p := range proxies {
		wantLab(t, p)
	}
}
