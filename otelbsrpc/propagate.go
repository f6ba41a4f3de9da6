package otelbsrpc

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc"
)

// A carrier is metadata as propagators see it. Keys are in lower case.
type carrier bsrpc.Metadata

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string { return c[strings.ToLower(key)] }

// Set implements propagation.TextMapCarrier.
func (c carrier) Set(key, value string) { c[strings.ToLower(key)] = value }

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string { return slices.Collect(maps.Keys(c)) }

// inject returns a context for next that sends the trace context of ctx, as far as the call
// can carry it: a trace must not make calls fail.
func (o *observer) inject(ctx context.Context, call *bsrpc.Call) context.Context {
	entries := make(carrier)
	o.propagator.Inject(ctx, entries)
	if all := bsrpc.WithMetadata(ctx, bsrpc.Metadata(entries)); call.CarriesMetadata(all) {
		return all
	}
	for _, k := range slices.SortedFunc(maps.Keys(entries), entries.shorter) {
		if with := bsrpc.WithMetadata(ctx, bsrpc.Metadata{k: entries[k]}); call.CarriesMetadata(with) {
			ctx = with
		}
	}
	return ctx
}

// shorter orders keys by the length of their entries.
func (c carrier) shorter(a, b string) int {
	return cmp.Or(cmp.Compare(len(a)+len(c[a]), len(b)+len(c[b])), cmp.Compare(a, b))
}
