//go:build bsrpc_long

// Linking it takes longer than the test, so it runs in CI.

package main

import (
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	if err := makeCertificates(dir); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := demo(t.Context(), &out, dir); err != nil {
		t.Fatal(err)
	}
	const want = `ann:
    Voltage: 0.0: done
    SetVoltage: done
    Reset: done
bob:
    Voltage: 0.0: done
    SetVoltage: done
    Reset: permission denied
local:
    Voltage: 5.0: done
    SetVoltage: permission denied
    Reset: permission denied
mallory:
    refused, unauthenticated: "unauthenticated"
eve:
    refused, failed precondition: "the server requires TLS; set ClientOptions.TLS"
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestUsage(t *testing.T) {
	if err := run(t.Context(), []string{"serve"}); err == nil || !strings.HasPrefix(err.Error(), "usage: ") {
		t.Errorf("got %v", err)
	}
}
