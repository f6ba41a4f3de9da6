package bsrpctest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"slices"
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

// Sensor is a contract with a stream in each direction.
type Sensor struct {
	Watch func(ctx context.Context, channel int) iter.Seq2[float64, error]
	Load  func(ctx context.Context, samples iter.Seq[float64]) (int, error)
}

// highest is a caller of the sensor.
func highest(ctx context.Context, sensor *Sensor) (most float64, err error) {
	for sample, err := range sensor.Watch(ctx, 1) {
		if err != nil {
			return most, err
		}
		most = max(most, sample)
	}
	return most, nil
}

// A fake with streams is a struct literal, too: two samples and a failure, and the number
// of samples received.
func Example_fake() {
	fake := &Sensor{
		Watch: func(context.Context, int) iter.Seq2[float64, error] {
			return func(yield func(float64, error) bool) {
				_ = yield(0.5, nil) && yield(2, nil) && yield(0, errors.New("sensor lost"))
			}
		},
		Load: func(_ context.Context, samples iter.Seq[float64]) (int, error) {
			return len(slices.Collect(samples)), nil
		},
	}
	fmt.Println(highest(context.Background(), fake))
	fmt.Println(fake.Load(context.Background(), slices.Values([]float64{1, 2, 3})))
	// Output:
	// 2 sensor lost
	// 3 <nil>
}

type counter struct{}

func (counter) Count(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

type Counter struct {
	Count func(ctx context.Context, n int) iter.Seq2[int, error]
}

// A test of a stream of a service.
func ExampleCollect() {
	testCount := func(t testing.TB) {
		srv := bsrpc.NewServer(nil)
		if err := bsrpc.RegisterAs[Counter](srv, "Counter", counter{}); err != nil {
			t.Fatal(err)
		}
		p := bsrpctest.Bind[Counter](t, srv, "Counter")
		got, err := bsrpctest.Collect(p.Count(context.Background(), 4))
		fmt.Println(got, err)
	}

	t := new(tester) // go test passes a *testing.T
	testCount(t)
	t.done()
	// Output: [0 1 2 3] <nil>
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
