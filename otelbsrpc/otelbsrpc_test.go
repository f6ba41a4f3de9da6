package otelbsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Each end of a unary call is recorded at both ends, in spans and metrics.
func TestUnary(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		proxy.Add(t.Context(), 1, 2)
		wantChain(t, r.wantSpans(t, "client Lab.Add 0s status_code=OK", "server Lab.Add 0s status_code=OK"), "client Lab.Add", "server Lab.Add")
		proxy.Fail(t.Context(), "not found")
		r.wantSpans(t,
			"client Lab.Fail 0s bsrpc.outcome=answered error.type=NOT_FOUND status_code=NOT_FOUND Error: wrapped: no such thing",
			"server Lab.Fail 0s status_code=NOT_FOUND")
		proxy.Fail(t.Context(), "plain")
		r.wantSpans(t,
			"client Lab.Fail 0s bsrpc.outcome=answered error.type=UNKNOWN status_code=UNKNOWN Error: on purpose",
			"server Lab.Fail 0s error.type=UNKNOWN status_code=UNKNOWN Error: on purpose")
		proxy.Fail(t.Context(), "code 99")
		r.wantSpans(t,
			"client Lab.Fail 0s bsrpc.outcome=answered error.type=UNKNOWN status_code=UNKNOWN Error: odd",
			"server Lab.Fail 0s error.type=UNKNOWN status_code=UNKNOWN Error: odd")
		proxy.Fail(t.Context(), "bytes")
		for _, s := range r.take() {
			if s.Status.Description != "a\uFFFDb" {
				t.Errorf("%v: got %q", s.SpanKind, s.Status.Description)
			}
		}
		r.wantMetrics(t,
			"rpc.client.call.duration Lab.Add 1 0 status_code=OK",
			"rpc.client.call.duration Lab.Fail 1 0 error.type=NOT_FOUND status_code=NOT_FOUND",
			"rpc.client.call.duration Lab.Fail 3 0 error.type=UNKNOWN status_code=UNKNOWN",
			"rpc.server.call.duration Lab.Add 1 0 status_code=OK",
			"rpc.server.call.duration Lab.Fail 1 0 status_code=NOT_FOUND",
			"rpc.server.call.duration Lab.Fail 3 0 error.type=UNKNOWN status_code=UNKNOWN")
	})
}

// A panic in the handler has the id of its line in the log at both ends.
func TestPanic(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		err := proxy.Fail(t.Context(), "now")
		var e *bsrpc.Error
		if !errors.As(err, &e) || e.ID == "" {
			t.Fatal(err)
		}
		for _, s := range r.take() {
			if d := s.Status.Description; !strings.HasPrefix(d, "bsrpc: Lab.Fail: panic in the handler (id "+e.ID) {
				t.Errorf("%v: got %q", s.SpanKind, d)
			}
		}
		r.wantMetrics(t,
			"rpc.client.call.duration Lab.Fail 1 0 error.type=INTERNAL status_code=INTERNAL",
			"rpc.server.call.duration Lab.Fail 1 0 error.type=INTERNAL status_code=INTERNAL")
	})
}

// A panic and runtime.Goexit in an interceptor within end the span.
func TestPanicWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		_, srv := newLab(t, r.server())
		proxy := dialLab(t, srv, r.client(func(bsrpc.CallFunc) bsrpc.CallFunc {
			return func(context.Context, *bsrpc.Call) error { panic("now") }
		}))
		proxy.Add(t.Context(), 1, 2)
		spans := r.take()
		if len(spans) != 1 || !strings.Contains(spans[0].Status.Description, "panic in the interceptor") {
			t.Errorf("got %v", spans)
		}
	})
}

// Spans last as long as their calls, also if the caller leaves or does not wait.
func TestDurations(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		proxy.Sleep(t.Context(), 2*time.Second)
		r.wantSpans(t, "client Lab.Sleep 2s status_code=OK", "server Lab.Sleep 2s status_code=OK")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		proxy.Sleep(ctx, time.Minute)
		r.wantSpans(t,
			"client Lab.Sleep 3s bsrpc.outcome=unknown error.type=CANCELLED status_code=CANCELLED Error: bsrpc: Lab.Sleep: context canceled",
			"server Lab.Sleep 3s status_code=CANCELLED")
		if err := proxy.Note(t.Context(), 4*time.Second); err != nil {
			t.Error(err)
		}
		if spans := r.take(); len(spans) > 0 {
			t.Errorf("before the end of a oneway call: %v", spans)
		}
		time.Sleep(4 * time.Second)
		r.wantSpans(t, "client Lab.Note 4s status_code=OK", "server Lab.Note 4s status_code=OK")
		future := proxy.Later(t.Context(), 5*time.Second)
		time.Sleep(10 * time.Second)
		r.wantSpans(t, "client Lab.Later 5s status_code=OK", "server Lab.Later 5s status_code=OK")
		if n, err := future.Wait(t.Context()); n != 7 || err != nil {
			t.Error(n, err)
		}
		r.wantMetrics(t,
			"rpc.client.call.duration Lab.Later 1 5 status_code=OK",
			"rpc.client.call.duration Lab.Note 1 4 status_code=OK",
			"rpc.client.call.duration Lab.Sleep 1 2 status_code=OK",
			"rpc.client.call.duration Lab.Sleep 1 3 error.type=CANCELLED status_code=CANCELLED",
			"rpc.server.call.duration Lab.Later 1 5 status_code=OK",
			"rpc.server.call.duration Lab.Note 1 4 status_code=OK",
			"rpc.server.call.duration Lab.Sleep 1 2 status_code=OK",
			"rpc.server.call.duration Lab.Sleep 1 3 status_code=CANCELLED")
	})
}

// The span of a server begins with the wait for an exclusive group.
func TestWaits(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		go proxy.Alone(t.Context(), 2*time.Second)
		synctest.Wait()
		if err := proxy.Alone(t.Context(), time.Second); err != nil {
			t.Error(err)
		}
		spans := r.take()
		got := []string{}
		for _, s := range spans {
			for _, a := range s.Attributes {
				if a.Key == "bsrpc.wait.duration" {
					got = append(got, fmt.Sprint(s.SpanKind, " ", s.EndTime.Sub(s.StartTime), " ", a.Value.AsFloat64()))
				}
			}
		}
		if !slices.Equal(got, []string{"server 3s 2"}) {
			t.Errorf("got %q in %v", got, spans)
		}
	})
}

// numbers yields n numbers, one a second.
func numbers(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if time.Sleep(time.Second); !yield(i, nil) {
				return
			}
		}
	}
}

// Spans of calls with streams last until the end of these.
func TestStreams(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		bsrpctest.Collect(proxy.Count(t.Context(), 3))
		wantChain(t, r.wantSpans(t, "client Lab.Count 3s status_code=OK", "server Lab.Count 3s status_code=OK"), "client Lab.Count", "server Lab.Count")
		bsrpctest.Collect(proxy.Count(t.Context(), -3))
		r.wantSpans(t,
			"client Lab.Count 2s bsrpc.outcome=answered error.type=UNKNOWN status_code=UNKNOWN Error: broken off",
			"server Lab.Count 2s error.type=UNKNOWN status_code=UNKNOWN Error: broken off")
		sum, err := proxy.Sum(t.Context(), func(yield func(int) bool) { numbers(4)(func(i int, _ error) bool { return yield(i) }) })
		if sum != 6 || err != nil {
			t.Error(sum, err)
		}
		r.wantSpans(t, "client Lab.Sum 4s status_code=OK", "server Lab.Sum 4s status_code=OK")
		bsrpctest.Collect(proxy.Double(t.Context(), numbers(5)))
		r.wantSpans(t, "client Lab.Double 5s status_code=OK", "server Lab.Double 5s status_code=OK")
	})
}

// Leaving a stream cancels its call.
func TestLeaveStream(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		for range proxy.Count(t.Context(), 10) {
			break
		}
		time.Sleep(time.Minute)
		spans := r.take()
		if len(spans) != 2 {
			t.Fatalf("got %v", spans)
		}
		for _, s := range spans {
			if took := s.EndTime.Sub(s.StartTime); took > 2*time.Second {
				t.Errorf("%v took %v", s.SpanKind, took)
			}
		}
		for _, s := range spans {
			if want := "CANCELLED"; !strings.Contains(describe(s), "status_code="+want) {
				t.Errorf("got %s, want %s", describe(s), want)
			}
		}
	})
}

// Events for items are an option. They have no items.
func TestItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.Items = true
		_, srv := newLab(t, r.server())
		proxy := dialLab(t, srv, r.client())
		in, out := " [bsrpc.item bsrpc.item.direction=received]", " [bsrpc.item bsrpc.item.direction=sent]"
		proxy.Sum(t.Context(), slices.Values([]int{1, 2}))
		r.wantSpans(t, "client Lab.Sum 0s"+out+out+" status_code=OK", "server Lab.Sum 0s"+in+in+" status_code=OK")
		bsrpctest.Collect(proxy.Count(t.Context(), 2))
		for _, s := range r.take() {
			wants := []string{"client Lab.Count 2s" + in + " status_code=OK", "client Lab.Count 2s" + in + in + " status_code=OK"} // the last item and the end arrive together
			if s.SpanKind == trace.SpanKindServer {
				wants = []string{"server Lab.Count 2s" + out + out + " status_code=OK"}
			}
			if got := describe(s); !slices.Contains(wants, got) {
				t.Errorf("got %s, want %q", got, wants)
			}
		}
	})
}

// The trace goes on to a further server, and to the client of a server.
func TestHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		_, far := newLab(t, r.server())
		l, near := newLab(t, r.server())
		l.next = dialLab(t, far, r.client())
		handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Interceptors: []bsrpc.Interceptor{NewServerInterceptor(&r.Options)}})
		if err := bsrpc.RegisterAs[Bell](handlers, "Bell", bell{}); err != nil {
			t.Fatal(err)
		}
		o := r.client()
		o.Handlers = handlers
		proxy := dialLab(t, near, o)
		if sum, err := proxy.Far(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Error(sum, err)
		}
		wantChain(t, r.take(), "client Lab.Far", "server Lab.Far", "client Lab.Add", "server Lab.Add")
		if sound, err := proxy.Back(t.Context()); sound != "ding" || err != nil {
			t.Error(sound, err)
		}
		wantChain(t, r.take(), "client Lab.Back", "server Lab.Back", "client Bell.Ring", "server Bell.Ring")
		if n, err := proxy.Ask(t.Context(), func(_ context.Context, n int) (int, error) { return n + 1, nil }); n != 8 || err != nil {
			t.Error(n, err)
		}
		wantChain(t, r.take(), "client Lab.Ask", "server Lab.Ask", "client Lab.Ask, parameter 1", "server Lab.Ask, parameter 1")
	})
}

// retry calls next again, once.
func retry(next bsrpc.CallFunc) bsrpc.CallFunc {
	return func(ctx context.Context, call *bsrpc.Call) error {
		if next(ctx, call) == nil {
			return nil
		}
		*call.Args()[0].(*string) = "plain"
		time.Sleep(time.Second)
		return next(ctx, call)
	}
}

// A retry within the interceptor has one span, for all attempts. Around it, each attempt
// has a span of its own.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		_, srv := newLab(t, r.server())
		one := dialLab(t, srv, r.client(retry))
		one.Fail(t.Context(), "not found")
		spans := r.wantSpans(t,
			"client Lab.Fail 1s bsrpc.outcome=answered error.type=UNKNOWN status_code=UNKNOWN Error: on purpose",
			"server Lab.Fail 0s status_code=NOT_FOUND",
			"server Lab.Fail 0s error.type=UNKNOWN status_code=UNKNOWN Error: on purpose")
		for _, s := range spans {
			if s.SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
				t.Error("several traces")
			}
		}
		o := r.client()
		o.Interceptors = []bsrpc.Interceptor{retry, o.Interceptors[0]}
		each := dialLab(t, srv, o)
		each.Fail(t.Context(), "not found")
		r.wantSpans(t,
			"client Lab.Fail 0s bsrpc.outcome=answered error.type=NOT_FOUND status_code=NOT_FOUND Error: wrapped: no such thing",
			"client Lab.Fail 0s bsrpc.outcome=answered error.type=UNKNOWN status_code=UNKNOWN Error: on purpose",
			"server Lab.Fail 0s status_code=NOT_FOUND",
			"server Lab.Fail 0s error.type=UNKNOWN status_code=UNKNOWN Error: on purpose")
	})
}

// Refused calls are counted at the server, unknown methods under one name, without a span.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := r.server()
		o.Basic = true
		_, srv := newLab(t, o)
		proxy := dialLab(t, srv, nil)
		go proxy.Alone(t.Context(), 10*time.Second)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		proxy.Alone(ctx, time.Second)
		near, far := net.Pipe()
		go srv.ServeConn(far)
		go io.Copy(io.Discard, near)
		for _, frame := range []string{"\x08\x00\x00\x00\x00\x00\x00\x01", "\x07\x00\x00\x00\x01\x63\x00", "\x07\x00\x00\x00\x01\x01\x00"} {
			near.Write([]byte(frame)) // INIT, the unknown command 99, Lab.Add without arguments
		}
		if spans := r.take(); len(spans) > 0 {
			t.Errorf("got %v", spans)
		}
		r.wantMetrics(t,
			"rpc.server.call.duration Lab.Alone 1 0 error.type=DEADLINE_EXCEEDED status_code=DEADLINE_EXCEEDED",
			"rpc.server.call.duration Lab.Add 1 0 status_code=INVALID_ARGUMENT",
			"rpc.server.call.duration _OTHER 1 0 error.type=UNIMPLEMENTED status_code=UNIMPLEMENTED")
		near.Close()
	})
}

// A call over the basic wire is recorded at both ends, in two traces: no metadata is sent,
// which would make it fail.
func TestBasicWire(t *testing.T) {
	type basicLab struct {
		Add func(ctx context.Context, a, b uint32) (uint32, error) `bsrpc:"id=1"`
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := r.server()
		o.Basic = true
		_, srv := newLab(t, o)
		near, far := net.Pipe()
		go srv.ServeConn(far)
		co := r.client()
		co.Basic = true
		client, err := bsrpc.NewClient(t.Context(), &basicNet{Conn: near}, co)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		proxy, err := bsrpc.Bind[basicLab](t.Context(), client, "Lab")
		if err != nil {
			t.Fatal(err)
		}
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
		spans := r.wantSpans(t, "client Lab.Add 0s status_code=OK", "server Lab.Add 0s status_code=OK")
		if spans[0].SpanContext.TraceID() == spans[1].SpanContext.TraceID() || spans[0].Parent.IsValid() || spans[1].Parent.IsValid() {
			t.Error("the wire carries no trace")
		}
	})
}

// A trace that exceeds the limits of metadata is cut, and never makes a call fail.
func TestMetadataLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.Propagator = propagation.NewCompositeTextMapPropagator(propagation.Baggage{}, propagation.TraceContext{})
		l, srv := newLab(t, r.server())
		proxy := dialLab(t, srv, r.client())
		call := func(user, bag int) string {
			t.Helper()
			member, err := baggage.NewMember("bag", strings.Repeat("b", bag))
			if err != nil {
				t.Fatal(err)
			}
			all, err := baggage.New(member)
			if err != nil {
				t.Fatal(err)
			}
			ctx := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"user": strings.Repeat("u", user)})
			if _, err := proxy.Add(baggage.ContextWithBaggage(ctx, all), 1, 2); err != nil {
				t.Error(err)
			}
			r.take()
			return fmt.Sprint(slices.Sorted(slices.Values(carrier(l.seen).Keys())))
		}
		for _, tt := range []struct {
			user, bag int
			want      string
		}{
			{1, 1, "[baggage traceparent user]"},
			{1, 7000, "[baggage traceparent user]"},
			{1000, 7000, "[traceparent user]"},
			{7100, 1, "[baggage user]"},
			{7160, 1, "[user]"},
		} {
			if got := call(tt.user, tt.bag); got != tt.want {
				t.Errorf("%d bytes of the user, %d of baggage: got %s, want %s", tt.user, tt.bag, got, tt.want)
			}
		}
	})
}

// upper is a propagator whose keys are not valid as they are.
type upper struct{ propagation.TraceContext }

func (u upper) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	m := propagation.MapCarrier{}
	u.TraceContext.Inject(ctx, m)
	c.Set("X-Trace", m["traceparent"])
	c.Set("not valid", "x")
}

func (u upper) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	if !slices.Contains(c.Keys(), "x-trace") {
		return ctx
	}
	return u.TraceContext.Extract(ctx, propagation.MapCarrier{"traceparent": c.Get("X-Trace")})
}

// The propagator of a user may have keys that metadata does not allow.
func TestPropagator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.Propagator = upper{}
		_, srv := newLab(t, r.server())
		dialLab(t, srv, r.client()).Add(t.Context(), 1, 2)
		wantChain(t, r.take(), "client Lab.Add", "server Lab.Add")
	})
}

// A server may begin traces of its own, linked to those of its callers.
func TestNewTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.NewTraces = true
		_, srv := newLab(t, r.server())
		dialLab(t, srv, nil).Add(t.Context(), 1, 2)
		if spans := r.take(); len(spans) != 1 || len(spans[0].Links) != 0 {
			t.Errorf("without a caller's trace: %v", spans)
		}
		dialLab(t, srv, r.client()).Add(t.Context(), 1, 2)
		spans := r.take()
		for _, s := range spans {
			if s.SpanKind == trace.SpanKindServer {
				other := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.SpanKind == trace.SpanKindClient })
				if s.Parent.IsValid() || len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != spans[other].SpanContext.SpanID() {
					t.Errorf("parent %v, links %v", s.Parent, s.Links)
				}
			}
		}
	})
}

// The metrics are those of the conventions.
func TestInstruments(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		proxy.Add(t.Context(), 1, 2)
		all := r.wantMetrics(t, "rpc.client.call.duration Lab.Add 1 0 status_code=OK", "rpc.server.call.duration Lab.Add 1 0 status_code=OK")
		for _, s := range all.ScopeMetrics {
			if s.Scope.Name != "github.com/bsrpc/bsrpc/otelbsrpc" || s.Scope.SchemaURL != semconv.SchemaURL {
				t.Errorf("got %v", s.Scope)
			}
			for _, m := range s.Metrics {
				p := m.Data.(metricdata.Histogram[float64]).DataPoints[0]
				if system, _ := p.Attributes.Value("rpc.system.name"); m.Unit != "s" || system.AsString() != "bsrpc" || m.Description == "" {
					t.Errorf("got %v", m)
				}
				if want := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}; !slices.Equal(p.Bounds, want) {
					t.Errorf("got bounds %v, want %v", p.Bounds, want)
				}
			}
		}
	})
}

// A client's spans name the address given to Dial, and both ends that of the connection.
func TestAddresses(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "lab")
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		r := newRecorder()
		_, srv := newLab(t, r.server())
		go srv.Serve(l)
		client, err := bsrpc.Dial(t.Context(), network, l.Addr().String(), r.client())
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Call(t.Context(), "Lab.Add", []any{1, 2}, new(int)); err != nil {
			t.Fatal(err)
		}
		client.Close()
		srv.Shutdown(t.Context())
		for _, s := range r.spans.GetSpans() {
			got := attribute.NewSet(s.Attributes...)
			peer, peerPort := got.HasValue(semconv.NetworkPeerAddressKey), got.HasValue(semconv.NetworkPeerPortKey)
			server, _ := got.Value(semconv.ServerAddressKey)
			port, _ := got.Value(semconv.ServerPortKey)
			at := server.AsString()
			if port.AsInt64() > 0 {
				at = net.JoinHostPort(at, fmt.Sprint(port.AsInt64()))
			}
			if s.SpanKind == trace.SpanKindServer {
				if at != "" || peer != (network == "tcp") || peerPort != peer {
					t.Errorf("%s, server: got %v", network, s.Attributes)
				}
			} else if at != l.Addr().String() || !peer || peerPort != (network == "tcp") {
				t.Errorf("%s, client: got %v", network, s.Attributes)
			}
		}
	}
}

// An address is a host with a port, or a name.
func TestServerAddress(t *testing.T) {
	for address, want := range map[string]string{
		"":                      "",
		"shop.example.com:7341": " server.address=shop.example.com server.port=7341",
		"[::1]:80":              " server.address=::1 server.port=80",
		":80":                   " server.address=localhost server.port=80",
		"shop:http":             " server.address=shop",
		"shop":                  " server.address=shop",
		"/tmp/shop:80":          " server.address=/tmp/shop:80",
	} {
		o := newObserver(&Options{ServerAddress: address}, trace.SpanKindClient)
		if got := attributes(o.serverAddress(new(bsrpc.Call))); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}

// The address of an option takes the place of the one dialed, and is part of the metrics.
func TestServerAddressOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.ServerAddress = "lab:7"
		_, srv := newLab(t, r.server())
		dialLab(t, srv, r.client()).Add(t.Context(), 1, 2)
		r.wantSpans(t, "client Lab.Add 0s status_code=OK server.address=lab server.port=7", "server Lab.Add 0s status_code=OK")
		r.wantMetrics(t, "rpc.client.call.duration Lab.Add 1 0 status_code=OK server.address=lab server.port=7", "rpc.server.call.duration Lab.Add 1 0 status_code=OK")
	})
}

// Without options and providers nothing is recorded, and calls work.
func TestNoOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, srv := newLab(t, &bsrpc.ServerOptions{Interceptors: []bsrpc.Interceptor{NewServerInterceptor(nil)}, OnRefused: NewOnRefused(nil)})
		proxy := dialLab(t, srv, &bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{NewClientInterceptor(nil)}})
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Error(sum, err)
		}
		if _, err := bsrpctest.Collect(proxy.Count(t.Context(), 3)); err != nil {
			t.Error(err)
		}
	})
}

// Many calls at a time keep their spans apart.
func TestConcurrently(t *testing.T) {
	inLab(t, func(t *testing.T, r *recorder, proxy *labContract) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20 {
					proxy.Add(t.Context(), 1, 2)
					bsrpctest.Collect(proxy.Double(t.Context(), numbers(3)))
				}
			})
		}
		all.Wait()
		spans := r.take()
		traces := map[trace.TraceID]int{}
		for _, s := range spans {
			traces[s.SpanContext.TraceID()]++
		}
		for id, n := range traces {
			if n != 2 {
				t.Errorf("trace %v has %d spans", id, n)
			}
		}
		if len(traces) != 8*20*2 {
			t.Errorf("%d traces", len(traces))
		}
	})
}
