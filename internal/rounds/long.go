//go:build bsrpc_long

package rounds

// Long makes tests run at full length.
const Long = true
