package otelbsrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"slices"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/otelbsrpc"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Both ends record their calls, in one trace.
func Example() {
	spans := tracetest.NewInMemoryExporter() // in a program, an exporter such as otlptracegrpc
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	opts := &otelbsrpc.Options{TracerProvider: tracers}

	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		Interceptors: []bsrpc.Interceptor{otelbsrpc.NewServerInterceptor(opts)},
		OnRefused:    otelbsrpc.NewOnRefused(opts),
	})
	if err := srv.RegisterFunc("Greeter.Hello", func(name string) string { return "hello " + name }); err != nil {
		log.Fatal(err)
	}
	near, far := net.Pipe()
	go srv.ServeConn(far)
	ctx := context.Background()
	client, err := bsrpc.NewClient(ctx, near, &bsrpc.ClientOptions{
		Interceptors: []bsrpc.Interceptor{otelbsrpc.NewClientInterceptor(opts)},
	})
	if err != nil {
		log.Fatal(err)
	}
	var greeting string
	fmt.Println(client.Call(ctx, "Greeter.Hello", []any{"Bob"}, &greeting), greeting)
	client.Close()
	srv.Shutdown(ctx)

	traces := make(map[string]bool)
	var lines []string
	for _, s := range spans.GetSpans() {
		traces[s.SpanContext.TraceID().String()] = true
		lines = append(lines, fmt.Sprint(s.SpanKind, " ", s.Name))
	}
	slices.Sort(lines)
	fmt.Println(len(traces), "trace:", lines)
	// Output:
	// <nil> hello Bob
	// 1 trace: [client Greeter.Hello server Greeter.Hello]
}

// With the providers of package otel. docs/guide/middleware.md has the same code.
func ExampleNewServerInterceptor() {
	ctx := context.Background()

	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		Interceptors: []bsrpc.Interceptor{otelbsrpc.NewServerInterceptor(nil)},
		OnRefused:    otelbsrpc.NewOnRefused(nil),
	})
	client, err := bsrpc.Dial(ctx, "tcp", "127.0.0.1:7341", &bsrpc.ClientOptions{
		Interceptors: []bsrpc.Interceptor{otelbsrpc.NewClientInterceptor(nil)},
	})

	fmt.Println(srv.Sessions(), client, err)
}

// A server for callers that must not choose the ids and the sampling of traces. It records
// its calls to clients too, and accepts baggage.
func ExampleOptions() {
	opts := &otelbsrpc.Options{
		Propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
		NewTraces:  true,
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		Interceptors:         []bsrpc.Interceptor{otelbsrpc.NewServerInterceptor(opts)},
		OutgoingInterceptors: []bsrpc.Interceptor{otelbsrpc.NewClientInterceptor(opts)},
		OnRefused:            otelbsrpc.NewOnRefused(opts),
	})
	log.Fatal(srv.ListenAndServe("tcp", "127.0.0.1:7341"))
}
