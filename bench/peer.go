package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
)

// maxMessage and maxCallers are what peers with limits are set to take.
const (
	maxMessage = 64<<20 + 1<<10
	maxCallers = 4096
)

// A peer is one library, used through its natural API with its own codec.
type peer interface {
	name() string
	cannot(w workload) string           // why it cannot run a workload, or ""
	serve(l net.Listener) (stop func()) // serves in the background
	dial(d dialer) (client, error)      // one connection
}

// A client is one connection. Each of its methods prepares a call for one
// caller, which may run beside other callers' calls.
type client interface {
	small(v Small) call
	bulk(b []byte) call
	items(items []Item) call
	hold(v Small) call // small, but the handler waits at held
	close()
}

// A call echoes its value with seq written into it, and checks the reply.
type call func(seq int64) error

// A dialer says where a server is.
type dialer struct {
	network, address string
	callers          int         // how many there will be: a plain echo with one needs no reader
	tls              *tls.Config // nil without TLS
}

func (d dialer) dial() (net.Conn, error) {
	nc, err := net.Dial(d.network, d.address)
	if err != nil || d.tls == nil {
		return nc, err
	}
	return tls.Client(nc, d.tls), nil
}

// peers are all of them, in the order of the tables, except for variants.
var peers = []peer{plain{}, typed{}, bsrpcPeer{}, netRPC{}, drpcPeer{}, ttrpcPeer{}, grpcPeer{}, connectPeer{}}

// variants are measured if they are named.
var variants = []peer{bsrpcPeer{intercepted: true}, plainTLS{}, bsrpcPeer{tls: true}}

// universal is embedded by peers that run every workload of calls.
type universal struct{}

func (universal) cannot(w workload) string {
	if w.isStream() {
		return "no streams measured"
	}
	return streaming{}.cannot(w)
}

// streaming is embedded by peers that run streams, too.
type streaming struct{}

func (streaming) cannot(w workload) string {
	switch w.kind {
	case "each", "idlestreams":
		return "measured of bsrpc only"
	}
	return ""
}

func findPeer(name string) (peer, error) {
	var names []string
	for _, p := range slices.Concat(peers, variants) {
		if p.name() == name {
			return p, nil
		}
		names = append(names, p.name())
	}
	return nil, fmt.Errorf("no peer %q; there are %s", name, strings.Join(names, ", "))
}

// serveConns hands the connections of a listener to serve until the stop
// function, which closes both.
func serveConns(l net.Listener, serve func(net.Conn)) (stop func()) {
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				serve(nc)
			}()
		}
	}()
	return func() { l.Close() }
}
