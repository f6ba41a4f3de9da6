package otelbsrpc

// The service of the tests, and the spans and metrics they make, as text.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// A lab is the service of these tests. Handlers take whole seconds.
type lab struct {
	next *labContract // of another server
	seen bsrpc.Metadata
}

// labContract is that of a client, servedLab that of a server: only the former has futures.
type labContract struct {
	LabCalls
	Later func(ctx context.Context, d time.Duration) *bsrpc.Future[int]
}

type servedLab struct {
	LabCalls
	Later func(ctx context.Context, d time.Duration) (int, error)
}

// LabCalls are the calls of both.
type LabCalls struct {
	Add    func(ctx context.Context, a, b uint32) (uint32, error) `bsrpc:"id=1"`
	Fail   func(ctx context.Context, how string) error            `bsrpc:"id=2"`
	Sleep  func(ctx context.Context, d time.Duration) error
	Alone  func(ctx context.Context, d time.Duration) error `bsrpc:"exclusive=lab"`
	Note   func(ctx context.Context, d time.Duration) error `bsrpc:"oneway"`
	Count  func(ctx context.Context, n int) iter.Seq2[int, error]
	Sum    func(ctx context.Context, items iter.Seq[int]) (int, error)
	Double func(ctx context.Context, items iter.Seq2[int, error]) iter.Seq2[int, error]
	Far    func(ctx context.Context, a, b uint32) (uint32, error)
	Back   func(ctx context.Context) (string, error)
	Ask    func(ctx context.Context, f func(context.Context, int) (int, error)) (int, error)
}

func (l *lab) Add(ctx context.Context, a, b uint32) uint32 {
	l.seen = bsrpc.MetadataFrom(ctx)
	return a + b
}

func (*lab) Fail(_ context.Context, how string) error {
	switch how {
	case "plain":
		return errors.New("on purpose")
	case "not found":
		return fmt.Errorf("wrapped: %w", &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no such thing"})
	case "code 99":
		return &bsrpc.Error{Code: 99, Message: "odd"}
	case "bytes":
		return errors.New("a\xffb")
	}
	panic(how)
}

func (*lab) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (l *lab) Alone(ctx context.Context, d time.Duration) error        { return l.Sleep(ctx, d) }
func (l *lab) Note(ctx context.Context, d time.Duration) error         { return l.Sleep(ctx, d) }
func (l *lab) Later(ctx context.Context, d time.Duration) (int, error) { return 7, l.Sleep(ctx, d) }

// Count sends an item a second. Below zero it fails at the second item.
func (*lab) Count(_ context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range max(n, -n) {
			var err error
			if time.Sleep(time.Second); n < 0 && i == 1 {
				err = errors.New("broken off")
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

func (*lab) Sum(items iter.Seq2[int, error]) (sum int, _ error) {
	for i, err := range items {
		if err != nil {
			return 0, err
		}
		sum += i
	}
	return sum, nil
}

func (*lab) Double(items iter.Seq2[int, error]) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i, err := range items {
			if !yield(2*i, err) {
				return
			}
		}
	}
}

// Far calls the next server.
func (l *lab) Far(ctx context.Context, a, b uint32) (uint32, error) { return l.next.Add(ctx, a, b) }

// Bell is the contract of a client.
type Bell struct {
	Ring func(ctx context.Context) (string, error)
}

type bell struct{}

func (bell) Ring(context.Context) string { return "ding" }

// Back calls the client.
func (*lab) Back(ctx context.Context) (string, error) {
	b, err := bsrpc.Bind[Bell](ctx, bsrpc.SessionFrom(ctx), "Bell")
	if err != nil {
		return "", err
	}
	return b.Ring(ctx)
}

// Ask calls a func of the client.
func (*lab) Ask(ctx context.Context, f func(context.Context, int) (int, error)) (int, error) {
	return f(ctx, 7)
}

// A recorder has the spans and metrics of all ends of a test.
type recorder struct {
	Options // for the interceptors of a test
	spans   *tracetest.InMemoryExporter
	reader  *sdkmetric.ManualReader
}

func newRecorder() *recorder {
	r := &recorder{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	r.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	r.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	return r
}

var quiet = slog.New(slog.DiscardHandler)

// server returns the options of a server that records all of its calls.
func (r *recorder) server() *bsrpc.ServerOptions {
	return &bsrpc.ServerOptions{
		Interceptors:         []bsrpc.Interceptor{NewServerInterceptor(&r.Options)},
		OutgoingInterceptors: []bsrpc.Interceptor{NewClientInterceptor(&r.Options)},
		OnRefused:            NewOnRefused(&r.Options), Logger: quiet,
	}
}

// client returns the options of a client that records its calls. Further interceptors are
// within that of the recorder.
func (r *recorder) client(within ...bsrpc.Interceptor) *bsrpc.ClientOptions {
	return &bsrpc.ClientOptions{Interceptors: append([]bsrpc.Interceptor{NewClientInterceptor(&r.Options)}, within...), Logger: quiet}
}

func newLab(t *testing.T, o *bsrpc.ServerOptions) (*lab, *bsrpc.Server) {
	t.Helper()
	l, srv := new(lab), bsrpc.NewServer(o)
	if err := bsrpc.RegisterAs[servedLab](srv, "Lab", l); err != nil {
		t.Fatal(err)
	}
	return l, srv
}

func dialLab(t *testing.T, srv *bsrpc.Server, o *bsrpc.ClientOptions) *labContract {
	t.Helper()
	client, err := bsrpctest.Dial(t, srv, o)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[labContract](t.Context(), client, "Lab")
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

// inLab runs a test with a recorder, and a server and a client that it records.
func inLab(t *testing.T, f func(t *testing.T, r *recorder, proxy *labContract)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		_, srv := newLab(t, r.server())
		f(t, r, dialLab(t, srv, r.client()))
	})
}

// take returns the spans since the last take, in the order of their ends, once all
// goroutines wait.
func (r *recorder) take() tracetest.SpanStubs {
	synctest.Wait()
	defer r.spans.Reset()
	return r.spans.GetSpans()
}

// wantSpans compares the spans since the last one, sorted as text.
func (r *recorder) wantSpans(t *testing.T, want ...string) tracetest.SpanStubs {
	t.Helper()
	spans := r.take()
	var got []string
	for _, s := range spans {
		got = append(got, describe(s))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return spans
}

// describe returns a span as text: kind, name, duration, events, attributes and status.
func describe(s tracetest.SpanStub) string {
	text := fmt.Sprintf("%v %s %v", s.SpanKind, s.Name, s.EndTime.Sub(s.StartTime))
	for _, e := range s.Events {
		text += fmt.Sprintf(" [%s%s]", e.Name, attributes(e.Attributes))
	}
	text += attributes(s.Attributes)
	if s.Status.Code != codes.Unset {
		text += fmt.Sprintf(" %v: %s", s.Status.Code, s.Status.Description)
	}
	return text
}

// attributes returns attributes in order, without those that every span has.
func attributes(list []attribute.KeyValue) string {
	set := attribute.NewSet(list...)
	text := ""
	for _, a := range set.ToSlice() {
		if a.Key == "rpc.system.name" && a.Value.AsString() == "bsrpc" || a.Key == "rpc.method" {
			continue
		}
		text += " " + strings.TrimPrefix(string(a.Key), "rpc.response.") + "=" + strings.ReplaceAll(a.Value.String(), " ", "_")
	}
	return text
}

// wantMetrics compares all measurements so far, sorted as text: name, count, seconds,
// attributes.
func (r *recorder) wantMetrics(t *testing.T, want ...string) metricdata.ResourceMetrics {
	t.Helper()
	synctest.Wait()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				name, _ := p.Attributes.Value("rpc.method")
				got = append(got, fmt.Sprintf("%s %s %d %v%s", m.Name, name.AsString(), p.Count, p.Sum, attributes(p.Attributes.ToSlice())))
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return all
}

// wantChain checks that the spans form one trace: each is the child of the one before.
func wantChain(t *testing.T, spans tracetest.SpanStubs, kindsAndNames ...string) {
	t.Helper()
	var parent trace.SpanContext
	for _, want := range kindsAndNames {
		i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool {
			return fmt.Sprint(s.SpanKind, " ", s.Name) == want && s.Parent.SpanID() == parent.SpanID()
		})
		if i < 0 {
			t.Fatalf("no span %q below %v", want, parent.SpanID())
		}
		s := spans[i]
		if parent.IsValid() && s.SpanContext.TraceID() != parent.TraceID() || s.Parent.IsRemote() != (s.SpanKind == trace.SpanKindServer && parent.IsValid()) {
			t.Errorf("%q: trace %v, parent %v", want, s.SpanContext.TraceID(), s.Parent)
		}
		parent = s.SpanContext
	}
}

// basicNet makes a client's INIT that of one speaking the basic wire only.
type basicNet struct {
	net.Conn
	said bool
}

func (c *basicNet) Write(b []byte) (int, error) {
	if c.said {
		return c.Conn.Write(b)
	}
	c.said = true
	_, err := c.Conn.Write([]byte("\x08\x00\x00\x00\x00\x00\x00\x01"))
	return len(b), err
}
