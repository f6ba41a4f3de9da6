package introspect_test

import (
	"testing"

	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/introspect"
)

// Tools and servers of all releases work together.
func TestContract(t *testing.T) {
	bsrpctest.Golden(t, "testdata/introspect.contract", introspect.Contract{})
}
