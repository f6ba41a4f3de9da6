//go:build !bsrpc_safe

package codec

import "testing"

func TestFastAgrees(t *testing.T) {
	if !agree() {
		t.Fatal("the fast executor is not in use")
	}
}
