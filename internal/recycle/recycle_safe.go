//go:build bsrpc_safe

package recycle

// Bytes returns memory for n bytes, of which at most fresh are newly made: then
// it is shorter.
func Bytes(n, fresh int) []byte { return make([]byte, min(n, fresh)) }

// Free gives memory back that Bytes has returned, and that nobody refers to.
func Free([]byte) {}
