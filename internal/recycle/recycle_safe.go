//go:build bsrpc_safe

package recycle

// Bytes returns a slice of n bytes, or of fresh bytes if that is fewer.
func Bytes(n, fresh int) []byte { return make([]byte, min(n, fresh)) }

// Free does nothing: without the finalizers there is no free list.
func Free([]byte) {}
