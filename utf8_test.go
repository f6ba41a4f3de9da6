package bsrpc

import (
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/fault"
)

func TestValidUTF8(t *testing.T) {
	for _, s := range []string{"", "né 世", "a\xffb", "\xff\xfe\xfdx", "é\xc3", "\xe4\xb8é\xff", "\uFFFD\xff\uFFFD", "\xed\xa0\x80"} {
		if got, want := fault.ValidUTF8(s), strings.ToValidUTF8(s, "\uFFFD"); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}
