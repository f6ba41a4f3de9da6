//go:build !bsrpc_long

package bsrpc

// LongTests says that the storms and soaks of the tests run at full length: with the
// build tag bsrpc_long, as CI has it.
const LongTests = false
