// Package stats contains what Server.Stats and Client.Stats return: figures of one moment, for
// expvar, for a monitoring system, and for the service bsrpc.v1.
//
// Counters only grow, from the creation of the server or client on. The figures are read one
// after another while calls go on, so they may differ by calls of this time.
package stats

import (
	"math"
	"time"
)

// A Server is the figures of a server.
type Server struct {
	Started      time.Time // when it was created
	Sessions     uint64    // admitted ones
	Connections  uint64    // also those that wait for admission, or are leaving
	Handlers     uint64    // running ones
	Panics       uint64    // so far, of handlers and interceptors
	OnewayErrors uint64    // so far, see Server.OnewayErrors

	Waiting  uint64 `bsrpc:"optional"` // clients that wait for admission
	InLine   uint64 `bsrpc:"optional"` // calls, and Acquires of sessions, that wait for an exclusive group
	Open     uint64 `bsrpc:"optional"` // calls of clients without a complete answer, result streams included
	Streams  uint64 `bsrpc:"optional"` // open streams, in both directions
	Unsent   uint64 `bsrpc:"optional"` // bytes that wait to be written
	Received uint64 `bsrpc:"optional"` // bytes so far, after the handshakes and without TLS
	Sent     uint64 `bsrpc:"optional"` // the same of the other direction

	RefusedConns uint64 `bsrpc:"optional"` // connections so far that became no session: a failed handshake, or a refused client

	Methods   []Method `bsrpc:"optional"` // with calls so far, in the order of their names; "unknown" for calls of no method
	ToClients []Method `bsrpc:"optional"` // the same of calls from the server to its clients
}

// A Client is the figures of a client, over all its connections.
type Client struct {
	Connections  uint64 // open ones
	Connected    uint64 // connections so far
	Open         uint64 // calls without a complete answer, result streams included
	Queued       uint64 // of these, calls that wait because the server has enough (its Limits.MaxInflight)
	Streams      uint64 // open streams, in both directions
	Unsent       uint64 // bytes that wait to be written
	Received     uint64 // bytes so far, after the handshakes and without TLS
	Sent         uint64 // the same of the other direction
	OnewayErrors uint64 // so far, see Client.OnewayErrors

	Methods []Method // with calls so far, in the order of their names
}

// A Method is the figures of the calls of one method. Callbacks belong to the call that has
// brought their func, and are not counted.
type Method struct {
	Name    string
	Calls   []Count // calls that have ended, by code, "ok" first
	Refused []Count // calls that did not run: refused by the server, or not sent by the client
	Latency Histogram
}

// A Count is the number of calls with a code.
type Count struct {
	Code  string // "ok", or the text of another Code, such as "deadline exceeded"
	Calls uint64
}

// A Histogram is how long the calls have taken. At a server that is the time from the arrival
// of a request until its answer is ready to be written. At a client it is the time until the
// arrival of the answer. Both include result streams.
//
// Requests that arrive together are answered together, with one time for all of them.
type Histogram struct {
	Count         uint64
	Sum           time.Duration
	P50, P90, P99 time.Duration // percentiles, as by Quantile
	Buckets       []Bucket      // those with calls, in ascending order
}

// A Bucket is the number of calls that have taken Low or longer, and less than High. The
// bounds of buckets never change, and High is at most a quarter above Low, except in the first
// bucket and the last.
type Bucket struct {
	Low, High time.Duration
	Count     uint64
}

// MakeHistogram returns a histogram of buckets in ascending order. It keeps the slice.
func MakeHistogram(buckets []Bucket, sum time.Duration) Histogram {
	h := Histogram{Sum: sum, Buckets: buckets}
	for _, b := range buckets {
		h.Count += b.Count
	}
	for i, p := range [...]*time.Duration{&h.P50, &h.P90, &h.P99} {
		*p = h.Quantile([...]float64{0.5, 0.9, 0.99}[i])
	}
	return h
}

// Since returns the histogram of the calls that have ended between two moments, of which h and
// earlier are the histograms.
func Since(h, earlier Histogram) Histogram {
	var list []Bucket
	before := earlier.Buckets
	for _, b := range h.Buckets {
		for len(before) > 0 && before[0].Low < b.Low {
			before = before[1:]
		}
		if len(before) > 0 && before[0].Low == b.Low {
			b.Count -= min(b.Count, before[0].Count)
		}
		if b.Count > 0 {
			list = append(list, b)
		}
	}
	return MakeHistogram(list, max(0, h.Sum-earlier.Sum))
}

// Quantile returns the time within which a part of the calls has ended, 0.99 for the 99th
// percentile. It assumes that calls are spread evenly within a bucket. Without calls it is 0.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Count)
	for _, b := range h.Buckets {
		if n := float64(b.Count); rank > n {
			rank -= n
			continue
		}
		if b.High == math.MaxInt64 {
			return b.Low
		}
		return b.Low + time.Duration(float64(b.High-b.Low)*max(0, rank)/float64(b.Count))
	}
	if n := len(h.Buckets); n > 0 {
		return h.Buckets[n-1].Low
	}
	return 0
}
