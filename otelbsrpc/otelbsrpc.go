// Package otelbsrpc makes OpenTelemetry traces and metrics of bsrpc calls.
//
// NewServerInterceptor goes into ServerOptions.Interceptors, NewClientInterceptor into
// ClientOptions.Interceptors and, for calls from a server to its clients, into
// ServerOptions.OutgoingInterceptors. NewOnRefused counts the calls that a server refuses
// earlier. The trace context travels in the metadata of calls. Calls over the basic wire,
// which has no metadata, begin a new trace at their server.
//
// # Names
//
// Names follow the semantic conventions for RPC, version 1.43, a release candidate:
//
//	metric rpc.server.call.duration  seconds, of calls to a server
//	metric rpc.client.call.duration  seconds, of calls from a client
//	rpc.system.name                  "bsrpc"
//	rpc.method                       such as "Shop.Search", also the name of the span; "_OTHER" for unknown methods
//	rpc.response.status_code         the code, spelt as in gRPC: OK, NOT_FOUND, DEADLINE_EXCEEDED
//	error.type                       the code, for errors only
//	server.address, server.port      at a client: the address given to Dial, or Options.ServerAddress
//	network.peer.address and .port   the other end of the connection; spans only
//
// At a client all codes except OK are errors. At a server UNKNOWN, DEADLINE_EXCEEDED,
// UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS are; others blame the caller. A
// code without a name in bsrpc counts as UNKNOWN.
//
// Three attributes of spans are particular to bsrpc: bsrpc.outcome, whether a failed call of
// a client ran; bsrpc.wait.duration, the seconds a call has waited at a server for its
// exclusive group and MaxConcurrentCalls; and bsrpc.item.direction of events.
//
// # Spans
//
// A span lasts as long as its call, streams, waits and encoding included, and the metric has
// the same duration. Its status contains the text of the error. Arguments, results and
// metadata are never recorded.
//
// Of several interceptors, put these first: what runs within them is part of the
// span, such as all attempts of a retry. Behind a retry each attempt has its own span.
package otelbsrpc

import (
	"context"
	"time"

	"github.com/bsrpc/bsrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the instrumentation.
const scope = "github.com/bsrpc/bsrpc/otelbsrpc"

// Options are the options of the funcs in this package. The zero value, and nil, have the
// defaults. The options are copied.
type Options struct {
	// TracerProvider makes the tracer. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider

	// MeterProvider makes the meter. Nil means otel.GetMeterProvider().
	MeterProvider metric.MeterProvider

	// Propagator writes the trace context to the metadata of calls, and reads it. Keys are
	// changed to lower case. What exceeds the limits of bsrpc.Metadata is left out, the
	// longest values first. Nil means the trace context of the W3C, without baggage:
	// propagation.TraceContext{}.
	Propagator propagation.TextMapPropagator

	// ServerAddress is the address of the server for calls of a client, such as
	// "shop.example.com:7341" or the path of a socket. "" means that given to Dial; a client
	// of NewClient has none.
	ServerAddress string

	// NewTraces makes each span of a server the root of a new trace, with a link to the span
	// of its caller. Use it if callers may not choose the ids and the sampling of traces.
	NewTraces bool

	// Items adds an event bsrpc.item to a span for each item of the streams of its call,
	// without the item. Readers have none. At a client, items read after the end of the
	// call has arrived have none either.
	Items bool
}

// NewServerInterceptor returns an interceptor that records the calls to a server, also
// to that of ClientOptions.Handlers. o may be nil.
func NewServerInterceptor(o *Options) bsrpc.Interceptor {
	s := newServer(o)
	return func(next bsrpc.CallFunc) bsrpc.CallFunc {
		return func(ctx context.Context, call *bsrpc.Call) error {
			var start []trace.SpanStartOption
			ctx = s.propagator.Extract(ctx, carrier(call.Metadata()))
			if s.NewTraces {
				start = append(start, trace.WithNewRoot())
				if trace.SpanContextFromContext(ctx).IsValid() {
					start = append(start, trace.WithLinks(trace.LinkFromContext(ctx)))
				}
			}
			waited := call.Waited()
			r := s.begin(ctx, call, time.Now().Add(-waited), start...)
			if waited > 0 {
				r.span.SetAttributes(attribute.Float64("bsrpc.wait.duration", waited.Seconds()))
			}
			return next(r.ctx, call)
		}
	}
}

// NewClientInterceptor returns an interceptor that records the calls of a client, or those
// from a server to its clients. o may be nil.
func NewClientInterceptor(o *Options) bsrpc.Interceptor {
	c := newObserver(o, trace.SpanKindClient)
	duration, err := rpcconv.NewClientCallDuration(c.meter)
	if err != nil {
		otel.Handle(err)
	}
	c.duration, c.failed = duration.Inst(), func(code bsrpc.Code) bool { return code != bsrpc.CodeOK }
	return func(next bsrpc.CallFunc) bsrpc.CallFunc {
		return func(ctx context.Context, call *bsrpc.Call) error {
			r := c.begin(ctx, call, time.Now())
			err := next(c.inject(r.ctx, call), call)
			if err != nil {
				r.end(err) // not later: an interceptor around this one may try again
			}
			return err
		}
	}
}

// NewOnRefused returns a func for ServerOptions.OnRefused. It adds the refused calls to
// rpc.server.call.duration, with a duration of 0, so that the count and the errors there are
// those of all calls. A refused call has no span at the server, only one at its client. All
// unknown methods have the name "_OTHER". o may be nil.
func NewOnRefused(o *Options) func(context.Context, *bsrpc.Session, bsrpc.Method, *bsrpc.Error) {
	s := newServer(o)
	return func(ctx context.Context, _ *bsrpc.Session, m bsrpc.Method, err *bsrpc.Error) {
		name := m.Name
		if name == "unknown" { // registered names have a dot
			name = "_OTHER"
		}
		attrs, _ := s.result(err)
		s.duration.Record(ctx, 0, metric.WithAttributes(append(attrs, system, semconv.RPCMethod(name))...))
	}
}

// newServer returns the observer of a server.
func newServer(o *Options) *observer {
	s := newObserver(o, trace.SpanKindServer)
	duration, err := rpcconv.NewServerCallDuration(s.meter)
	if err != nil {
		otel.Handle(err)
	}
	s.duration, s.failed = duration.Inst(), blamesServer
	return s
}

// newObserver returns an observer without its metric.
func newObserver(o *Options, kind trace.SpanKind) *observer {
	v := &observer{kind: kind}
	if o != nil {
		v.Options = *o
	}
	tracers, meters := v.TracerProvider, v.MeterProvider
	if tracers == nil {
		tracers = otel.GetTracerProvider()
	}
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	v.propagator = v.Propagator
	if v.propagator == nil {
		v.propagator = propagation.TraceContext{}
	}
	v.tracer = tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	v.meter = meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	return v
}
