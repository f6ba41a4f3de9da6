package otelbsrpc

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// system is an attribute of every span and measurement.
var system = semconv.RPCSystemNameKey.String("bsrpc")

// An observer records the calls of one end. It never changes.
type observer struct {
	Options
	kind       trace.SpanKind
	tracer     trace.Tracer
	meter      metric.Meter
	propagator propagation.TextMapPropagator
	duration   metric.Float64Histogram
	failed     func(bsrpc.Code) bool // whether a code is an error at this end
}

// A record is one call, or one attempt of a client's call.
type record struct {
	*observer
	ctx   context.Context // with the span
	span  trace.Span
	began time.Time
	attrs []attribute.KeyValue // of the measurement
	over  atomic.Bool
}

// begin begins the record of a call, which ends with the call at the latest.
func (o *observer) begin(ctx context.Context, call *bsrpc.Call, began time.Time, start ...trace.SpanStartOption) *record {
	name := call.Method().Name
	r := &record{observer: o, began: began, attrs: []attribute.KeyValue{system, semconv.RPCMethod(name)}}
	if o.kind == trace.SpanKindClient {
		r.attrs = append(r.attrs, o.serverAddress(call)...)
	}
	start = append(start, trace.WithSpanKind(o.kind), trace.WithTimestamp(began), trace.WithAttributes(r.attrs...))
	r.ctx, r.span = o.tracer.Start(ctx, name, start...)
	if r.span.IsRecording() {
		r.span.SetAttributes(peerAddress(call.RemoteAddr())...)
		if o.Items {
			call.OnItem(r.item)
		}
	}
	call.OnEnd(r.end)
	return r
}

// item adds an event for an item of a stream.
func (r *record) item(in bool, _ any) error {
	direction := "sent"
	if in {
		direction = "received"
	}
	r.span.AddEvent("bsrpc.item", trace.WithAttributes(attribute.String("bsrpc.item.direction", direction)))
	return nil
}

// end ends the record. Only the first end counts.
func (r *record) end(err error) {
	if r.over.Swap(true) {
		return
	}
	now := time.Now()
	result, failed := r.result(err)
	if r.span.IsRecording() {
		r.span.SetAttributes(result...)
		if failed {
			r.span.SetStatus(codes.Error, strings.ToValidUTF8(err.Error(), "\uFFFD"))
		}
		var e *bsrpc.Error
		if r.kind == trace.SpanKindClient && errors.As(err, &e) {
			r.span.SetAttributes(attribute.String("bsrpc.outcome", e.Outcome.String()))
		}
	}
	r.span.End(trace.WithTimestamp(now))
	r.duration.Record(r.ctx, now.Sub(r.began).Seconds(), metric.WithAttributes(append(r.attrs, result...)...))
}

// result returns the attributes for the end of a call, and whether it is an error at this end.
func (o *observer) result(err error) (attrs []attribute.KeyValue, failed bool) {
	code := bsrpc.CodeOf(err)
	text := codeNames[bsrpc.CodeUnknown]
	if int(code) < len(codeNames) {
		text = codeNames[code]
	}
	attrs = append(attrs, semconv.RPCResponseStatusCode(text))
	if failed = o.failed(code); failed {
		attrs = append(attrs, semconv.ErrorTypeKey.String(text))
	}
	return attrs, failed
}

// codeNames are the names of codes in gRPC, whose numbers bsrpc uses. A handler may choose
// other numbers: they must not become values of attributes.
var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED",
}

// blamesServer reports whether a code is an error of the server, and not of its caller.
func blamesServer(code bsrpc.Code) bool {
	switch code {
	case bsrpc.CodeUnknown, bsrpc.CodeDeadlineExceeded, bsrpc.CodeUnimplemented, bsrpc.CodeInternal, bsrpc.CodeUnavailable, bsrpc.CodeDataLoss:
		return true
	}
	return int(code) >= len(codeNames)
}

// serverAddress returns the attributes for the address of the server that a client calls.
func (o *observer) serverAddress(call *bsrpc.Call) []attribute.KeyValue {
	network, address := "", o.ServerAddress
	if address == "" {
		network, address = call.Dialed()
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case address == "":
		return nil
	case err != nil || strings.HasPrefix(network, "unix") || strings.HasPrefix(address, "/"):
		return []attribute.KeyValue{semconv.ServerAddress(address)}
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(cmp.Or(host, "localhost"))}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		attrs = append(attrs, semconv.ServerPort(int(n)))
	}
	return attrs
}

// peerAddress returns the attributes for the other end of a connection. One in memory has
// none.
func peerAddress(addr net.Addr) []attribute.KeyValue {
	if addr == nil {
		return nil
	}
	text := addr.String()
	if at, err := netip.ParseAddrPort(text); err == nil {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(at.Addr().String()), semconv.NetworkPeerPort(int(at.Port()))}
	}
	if addr.Network() == "unix" && text != "" && text != "@" {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(text)}
	}
	return nil
}
