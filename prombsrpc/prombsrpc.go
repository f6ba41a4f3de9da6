// Package prombsrpc exports the figures of bsrpc servers and clients to Prometheus.
//
//	prometheus.MustRegister(prombsrpc.NewServerCollector(srv))
//
// A scrape reads Server.Stats or Client.Stats; calls cost nothing more. Several servers or
// clients of a program need a label that tells them apart:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"client": "stock"}, registry).
//		MustRegister(prombsrpc.NewClientCollector(c))
//
// The names begin with bsrpc_server_ or bsrpc_client_. Both ends have:
//
//	calls_total{method, code}           calls that have ended
//	refused_calls_total{method, code}   calls that did not run
//	call_duration_seconds{method}       histogram of the former
//	open_calls, open_streams            under way
//	connections
//	unsent_bytes                        wait to be written
//	received_bytes_total, sent_bytes_total
//	oneway_errors_total
//
// A server also has sessions, waiting_clients, waiting_calls, handlers, panics_total and
// refused_connections_total, and outgoing_calls_total, outgoing_refused_calls_total and
// outgoing_call_duration_seconds of its calls to clients. A client also has queued_calls and
// connects_total.
//
// A code is "ok" or that of an error, such as "deadline_exceeded". A method has no time series
// before its first call. Package stats says what each figure means.
package prombsrpc

import (
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/stats"
)

// NewServerCollector returns a collector of the figures of a server. It is safe for concurrent
// use, as srv is.
func NewServerCollector(srv *bsrpc.Server) prometheus.Collector {
	const from = "bsrpc_server_"
	return &collector{
		plain: []plain{
			gauge(from+"sessions", "Admitted sessions."),
			gauge(from+"connections", "Connections, also those that wait for admission."),
			gauge(from+"waiting_clients", "Clients that wait for admission."),
			gauge(from+"waiting_calls", "Calls that wait for an exclusive group."),
			gauge(from+"handlers", "Running handlers."),
			gauge(from+"open_calls", "Calls without a complete answer."),
			gauge(from+"open_streams", "Open streams, in both directions."),
			gauge(from+"unsent_bytes", "Bytes that wait to be written."),
			counter(from+"received_bytes_total", "Bytes received after the handshakes, without TLS."),
			counter(from+"sent_bytes_total", "Bytes sent after the handshakes, without TLS."),
			counter(from+"panics_total", "Panics in handlers and interceptors."),
			counter(from+"oneway_errors_total", "Failed oneway calls."),
			counter(from+"refused_connections_total", "Connections that became no session."),
		},
		calls: []callDescs{newCallDescs(from, "of clients"), newCallDescs(from+"outgoing_", "to clients")},
		read: func() ([]uint64, [][]stats.Method) {
			f := srv.Stats()
			return []uint64{
				f.Sessions, f.Connections, f.Waiting, f.InLine, f.Handlers, f.Open, f.Streams, f.Unsent,
				f.Received, f.Sent, f.Panics, f.OnewayErrors, f.RefusedConns,
			}, [][]stats.Method{f.Methods, f.ToClients}
		},
	}
}

// NewClientCollector returns a collector of the figures of a client. It is safe for concurrent
// use, as c is.
func NewClientCollector(c *bsrpc.Client) prometheus.Collector {
	const from = "bsrpc_client_"
	return &collector{
		plain: []plain{
			gauge(from+"connections", "Open connections."),
			counter(from+"connects_total", "Connections so far."),
			gauge(from+"open_calls", "Calls without a complete answer."),
			gauge(from+"queued_calls", "Calls that wait because the server has enough."),
			gauge(from+"open_streams", "Open streams, in both directions."),
			gauge(from+"unsent_bytes", "Bytes that wait to be written."),
			counter(from+"received_bytes_total", "Bytes received after the handshakes, without TLS."),
			counter(from+"sent_bytes_total", "Bytes sent after the handshakes, without TLS."),
			counter(from+"oneway_errors_total", "Failed oneway calls."),
		},
		calls: []callDescs{newCallDescs(from, "of the client")},
		read: func() ([]uint64, [][]stats.Method) {
			f := c.Stats()
			return []uint64{
				f.Connections, f.Connected, f.Open, f.Queued, f.Streams, f.Unsent, f.Received, f.Sent, f.OnewayErrors,
			}, [][]stats.Method{f.Methods}
		},
	}
}

// A collector is a prometheus.Collector.
type collector struct {
	plain []plain
	calls []callDescs
	read  func() (values []uint64, methods [][]stats.Method) // of plain, and of calls
}

// A plain is a metric without labels.
type plain struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string) plain {
	return plain{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue}
}

func counter(name, help string) plain {
	return plain{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue}
}

// callDescs are the metrics of methods.
type callDescs struct{ calls, refused, duration *prometheus.Desc }

// newCallDescs returns the metrics of the calls of some peers.
func newCallDescs(from, whose string) callDescs {
	byCode := []string{"method", "code"}
	return callDescs{
		prometheus.NewDesc(from+"calls_total", "Calls "+whose+" that have ended.", byCode, nil),
		prometheus.NewDesc(from+"refused_calls_total", "Calls "+whose+" that did not run.", byCode, nil),
		prometheus.NewDesc(from+"call_duration_seconds", "Duration of calls "+whose+", result streams included.", byCode[:1], nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, p := range c.plain {
		descs <- p.desc
	}
	for _, d := range c.calls {
		descs <- d.calls
		descs <- d.refused
		descs <- d.duration
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	values, methods := c.read()
	for i, p := range c.plain {
		metrics <- prometheus.MustNewConstMetric(p.desc, p.kind, float64(values[i]))
	}
	for i, d := range c.calls {
		for _, m := range methods[i] {
			d.collect(metrics, &m)
		}
	}
}

// collect sends the metrics of a method.
func (d *callDescs) collect(metrics chan<- prometheus.Metric, m *stats.Method) {
	for _, c := range m.Calls {
		metrics <- prometheus.MustNewConstMetric(d.calls, prometheus.CounterValue, float64(c.Calls), m.Name, label(c.Code))
	}
	for _, c := range m.Refused {
		metrics <- prometheus.MustNewConstMetric(d.refused, prometheus.CounterValue, float64(c.Calls), m.Name, label(c.Code))
	}
	if h := &m.Latency; h.Count > 0 {
		metrics <- prometheus.MustNewConstHistogram(d.duration, h.Count, h.Sum.Seconds(), cumulated(h), m.Name)
	}
}

// label returns a code as the value of a label.
func label(code string) string { return strings.ReplaceAll(code, " ", "_") }

// The bounds of the exported buckets are powers of two nanoseconds, as are some of those of a
// stats.Histogram: from 4 µs to 69 s.
const (
	least = 1 << 12 * time.Nanosecond
	most  = 1 << 36 * time.Nanosecond
)

// cumulated returns the calls of a histogram below each exported bound.
func cumulated(h *stats.Histogram) map[float64]uint64 {
	buckets := make(map[float64]uint64)
	list, below := h.Buckets, uint64(0)
	for bound := least; bound <= most; bound *= 2 {
		for len(list) > 0 && list[0].High <= bound && list[0].High < math.MaxInt64 {
			below += list[0].Count
			list = list[1:]
		}
		buckets[bound.Seconds()] = below
	}
	return buckets
}
