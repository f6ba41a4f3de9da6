// Hello is the least server. CI compares its size with that of bare.
package main

import (
	"log"
	"net"

	"github.com/bsrpc/bsrpc"
)

type Greeter struct{}

func (Greeter) Hello(name string) string { return "hello " + name }

func main() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", Greeter{}); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(srv.Serve(l))
}
