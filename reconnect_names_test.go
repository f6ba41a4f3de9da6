package bsrpc_test

// Clients that stay connected over real sockets: certificates, and names with several addresses.

import (
	"context"
	"net"
	"runtime"
	"slices"
	"strconv"
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
	t.Parallel() // it waits for attempts
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
	for range bsrpc.Rounds(1, 2) {
		wantLab(t, p)
		srv.Close()
		srv, _ = serveLab(t, address, server)
	}
	wantLab(t, p)
}

// A record is one answer of DNS: its type and data.
type record struct {
	kind byte // 1 for A, 28 for AAAA, 33 for SRV
	data []byte
}

// address returns the record of an address.
func address(ip string) record {
	parsed := net.ParseIP(ip)
	if four := parsed.To4(); four != nil {
		return record{1, four}
	}
	return record{28, parsed}
}

// service returns an SRV record.
func service(priority, port int, target string) record {
	data := []byte{0, byte(priority), 0, 0, byte(port >> 8), byte(port)}
	for label := range strings.SplitSeq(target, ".") {
		data = append(append(data, byte(len(label))), label...)
	}
	return record{33, append(data, 0)}
}

// resolve makes the names of this process those of zone, until the end of the test. They are
// answered over UDP; names that are not in the zone do not exist.
func resolve(t *testing.T, zone map[string][]record) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := net.DefaultResolver
	t.Cleanup(func() {
		server.Close()
		net.DefaultResolver = before
	})
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	go func() {
		for q := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(q)
			if err != nil {
				return
			}
			server.WriteTo(answerName(q[:n], zone), from)
		}
	}()
}

// answerName returns the answer to a question of DNS.
func answerName(q []byte, zone map[string][]record) []byte {
	end, name := 12, "" // the name, its type and class
	for q[end] != 0 {
		name += string(q[end+1:end+1+int(q[end])]) + "."
		end += 1 + int(q[end])
	}
	end += 5
	a := append([]byte(nil), q[:end]...)
	copy(a[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // an answer, with one question
	records, exists := zone[strings.ToLower(strings.TrimSuffix(name, "."))]
	if !exists {
		a[3] |= 3
	}
	for _, r := range records {
		if r.kind == q[end-3] {
			a[7]++
			a = append(a, 0xc0, 12, 0, r.kind, 0, 1, 0, 0, 0, 0, 0, byte(len(r.data)))
			a = append(a, r.data...)
		}
	}
	return a
}

// DNS returns the addresses of a name, and the servers in SRV records by their priority.
func TestDNS(t *testing.T) {
	resolve(t, map[string][]record{
		"shop.internal":           {address("10.0.0.1"), address("2001:db8::1")},
		"_shop._tcp.lab.internal": {service(2, 7343, "c.lab.internal"), service(1, 7341, "a.lab.internal"), service(3, 7344, "")},
		"_none._tcp.lab.internal": {service(0, 0, "")},
	})
	for name, want := range map[string]string{
		"shop.internal:7341":       "tcp 10.0.0.1:7341 shop.internal, tcp [2001:db8::1]:7341 shop.internal",
		"_shop._tcp.lab.internal":  "tcp a.lab.internal.:7341 lab.internal, tcp c.lab.internal.:7343 lab.internal",
		"_shop._tcp.lab.internal.": "tcp a.lab.internal.:7341 lab.internal, tcp c.lab.internal.:7343 lab.internal",
		"_none._tcp.lab.internal":  "",
		"far.internal:7341":        "no such host",
		"_far._tcp.lab.internal":   "no such host",
		"shop.internal":            "such as _shop._tcp.shop.internal",
		"_shop._udp.lab.internal":  "such as _shop._tcp.shop.internal",
		"_._tcp.lab.internal":      "such as _shop._tcp.shop.internal",
		"_shop._tcp":               "such as _shop._tcp.shop.internal",
	} {
		list, err := bsrpc.DNS(name)(t.Context())
		var got []string
		for _, e := range list {
			got = append(got, e.Network+" "+e.Address+" "+e.ServerName)
		}
		if strings.HasPrefix(name, "shop") {
			slices.Sort(got) // the order is that of the machine
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if text := strings.Join(got, ", "); text != want && (err == nil || !strings.Contains(text, want)) {
			t.Errorf("%s: got %s", name, text)
		}
	}
}

// The certificates of servers in SRV records are checked for the domain of the records.
func TestDNSServers(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	var ports []int
	for range 2 {
		_, address := serveLab(t, "", &bsrpc.ServerOptions{Logger: quiet, TLS: ca.Server("lab.internal")})
		_, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		ports = append(ports, n)
	}
	resolve(t, map[string][]record{
		"_lab._tcp.lab.internal": {service(0, ports[0], "a.lab.internal"), service(0, ports[1], "b.lab.internal")},
		"_lab._tcp.evil.example": {service(0, ports[0], "a.lab.internal")},
		"a.lab.internal":         {address("127.0.0.1")},
		"b.lab.internal":         {address("127.0.0.1")},
	})
	dial := func(name string) (*bsrpc.Client, error) {
		own := ca.Client()
		own.ServerName = "" // that of the endpoint
		return bsrpc.Dial(t.Context(), "", "", &bsrpc.ClientOptions{Logger: quiet, TLS: own, Endpoints: bsrpc.DNS(name)})
	}
	if _, err := dial("_lab._tcp.evil.example"); err == nil || !strings.Contains(err.Error(), "lab.internal, not evil.example") {
		t.Error(err)
	}
	c, err := dial("_lab._tcp.lab.internal")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := bsrpc.Bind[adder](t.Context(), c, "Lab")
	if err != nil {
		t.Fatal(err)
	}
	wantLab(t, p)
	for c.Stats().Connections < 2 { // one to each server
		time.Sleep(time.Millisecond)
	}
}

// Of several addresses of a name the first may be dead: Dial goes to the next one, each time it
// connects, and DNS makes an endpoint of each.
func TestReconnectAddresses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is no address of the machine")
	}
	srv, at := serveLab(t, "", &bsrpc.ServerOptions{Logger: quiet})
	_, port, _ := net.SplitHostPort(at)
	resolve(t, map[string][]record{"shop.internal": {address("127.0.0.2"), address("127.0.0.1")}}) // nothing listens at the first
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
	for range bsrpc.Rounds(1, 2) {
		for _, p := range proxies {
			wantLab(t, p)
		}
		srv.Close()
		srv, _ = serveLab(t, at, &bsrpc.ServerOptions{Logger: quiet})
	}
	for _, p := range proxies {
		wantLab(t, p)
	}
}
