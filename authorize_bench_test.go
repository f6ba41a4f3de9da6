package bsrpc

import (
	"context"
	"testing"

	"github.com/bsrpc/bsrpc/internal/method"
)

// What Authorize costs a call, beside its own time.
func BenchmarkAuthorize(b *testing.B) {
	m := &servedMethod{Func: &method.Func{}, authorize: func(context.Context, *Session, Method) error { return nil }}
	inv := &invocation{Values: &method.Values{Ctx: b.Context()}, method: m, served: &serverConn{session: new(Session)}}
	b.ReportAllocs()
	for b.Loop() {
		if !inv.permitted() {
			b.Fatal("denied")
		}
	}
}
