package bsrpctest_test

import (
	"context"
	"fmt"
	"log"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

type Greeter struct {
	Hello func(ctx context.Context, name string) (string, error)
}

type service struct{}

func (service) Hello(name string) string { return "hello " + name }

// A test of a service over an in-memory connection.
func ExampleBind() {
	testHello := func(t testing.TB) {
		srv := bsrpc.NewServer(nil)
		if err := srv.RegisterName("Greeter", service{}); err != nil {
			t.Fatal(err)
		}
		greeter := bsrpctest.Bind[Greeter](t, srv, "Greeter")
		got, err := greeter.Hello(context.Background(), "Bob")
		fmt.Println(got, err)
	}

	t := new(tester) // go test passes a *testing.T
	testHello(t)
	t.done()
	// Output: hello Bob <nil>
}

// A tester stands in for the *testing.T, which examples lack.
type tester struct {
	testing.TB
	cleanup []func()
}

func (*tester) Helper()            {}
func (*tester) Fatal(args ...any)  { log.Fatal(args...) }
func (t *tester) Cleanup(f func()) { t.cleanup = append(t.cleanup, f) }
func (t *tester) done() {
	for _, f := range t.cleanup {
		f()
	}
}
