package bsrpctest

import (
	"testing"

	"github.com/bsrpc/bsrpc"
)

// A Check is a check of TestRoundTripper.
type Check struct {
	Name, Rule string
	Test       func(tb testing.TB, connect func(testing.TB, *bsrpc.Server, *bsrpc.ClientOptions) *bsrpc.Client)
}

// Checks returns all checks.
func Checks() (all []Check) {
	for _, c := range checks {
		all = append(all, Check{c.name, c.rule, c.test})
	}
	return all
}
