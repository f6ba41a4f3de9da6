//go:build !race

package bsrpctest_test

import (
	"testing"
	"testing/synctest"
)

// A transport that keeps items for longer than they are valid. It races with the handler, which is
// its mistake.
func TestKeptItems(t *testing.T) {
	synctest.Test(t, (&wrongTransport{"keeps items", "stream_memory", streams(func(items seq) seq {
		return ahead(items, 64, func(b []byte) []byte { return b })
	})}).test)
}
