// Bare has the parts of the standard library that any server with methods, a
// log and TLS has: net, log/slog, crypto/tls, and a method called by reflection.
package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"reflect"
)

type peer struct{ net.Conn }

func (p peer) TLS() *tls.ConnectionState {
	if c, ok := p.Conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := c.ConnectionState()
		return &state
	}
	return nil
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		slog.Error("listen", "err", err)
		os.Exit(1)
	}
	nc, err := l.Accept()
	slog.Info("accepted", "err", err, "result", reflect.ValueOf(peer{nc}).MethodByName(os.Args[1]).Call(nil))
}
