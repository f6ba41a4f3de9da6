package bsrpc_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Values of types with methods of their own have at most 64 KiB at both ends; max= raises
// and lowers it. The method is not called for a longer one.
func TestOwnMax(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	type byDefault struct {
		V *big.Int `bsrpc:"text"`
	}
	type raised struct {
		V *big.Int `bsrpc:"text,max=70000"`
	}
	type lowered struct {
		V *big.Int `bsrpc:"text,max=10"`
	}
	number := func(digits int) *big.Int {
		n, _ := new(big.Int).SetString(strings.Repeat("7", digits), 10)
		return n
	}
	for _, tt := range []struct {
		from, to any
		text     string // of the error
	}{
		{byDefault{number(most)}, new(byDefault), ""},
		{raised{number(70000)}, new(raised), ""},
		{raised{number(70001)}, nil, "70001 bytes exceed max=70000"},
		{byDefault{number(most + 1)}, nil, "65537 bytes exceed max=65536, the default for types with methods of their own"},
		{raised{number(most + 1)}, new(byDefault), "65537 bytes exceed max=65536, the default for types with methods of their own"},
		{byDefault{number(11)}, new(lowered), "11 bytes exceed max=10"},
	} {
		enc, err := bsrpc.Marshal(tt.from)
		if err == nil && tt.to != nil {
			err = bsrpc.Unmarshal(enc, tt.to)
		}
		if tt.text == "" && err != nil || tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("%T to %T: got %v, want %q", tt.from, tt.to, err, tt.text)
		}
	}
}
