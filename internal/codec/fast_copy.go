//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// Short copies, by two possibly overlapping words or three bytes: without
// calls, loops and branches on the exact length. Source and destination must
// not overlap.

// copy1to3 copies 1 to 3 bytes.
func copy1to3(to, from address, n uintptr) {
	*byteAt(to) = *byteAt(from)
	*byteAt(offset(to, n/2)) = *byteAt(offset(from, n/2))
	*byteAt(offset(to, n-1)) = *byteAt(offset(from, n-1))
}

// copy4to8 copies 4 to 8 bytes.
func copy4to8(to, from address, n uintptr) {
	*array4At(to) = *array4At(from)
	*array4At(offset(to, n-4)) = *array4At(offset(from, n-4))
}

// copy8to16 copies 8 to 16 bytes.
func copy8to16(to, from address, n uintptr) {
	*array8At(to) = *array8At(from)
	*array8At(offset(to, n-8)) = *array8At(offset(from, n-8))
}

// copy16to32 copies 16 to 32 bytes.
func copy16to32(to, from address, n uintptr) {
	*array16At(to) = *array16At(from)
	*array16At(offset(to, n-16)) = *array16At(offset(from, n-16))
}

// copyShort copies n bytes, at least 1. It is fast up to maxInlineCopy.
func copyShort(to, from address, n uintptr) {
	switch {
	case n > maxInlineCopy:
		copy(bytesView(to, n), bytesView(from, n))
	case n >= 16:
		copy16to32(to, from, n)
	case n >= 8:
		copy8to16(to, from, n)
	case n >= 4:
		copy4to8(to, from, n)
	default:
		copy1to3(to, from, n)
	}
}
