//go:build bsrpc_long

package bsrpc

// LongTests makes stress tests run at full length: with the build tag bsrpc_long, as in
// CI.
const LongTests = true
