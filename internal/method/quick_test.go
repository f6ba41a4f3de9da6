//go:build !bsrpc_long

package method

// longTests says that the tests run at full length: with the build tag bsrpc_long, as
// CI has it.
const longTests = false
