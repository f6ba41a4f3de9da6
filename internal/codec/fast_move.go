//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, copying few bytes: as two numbers, or three bytes, that
// may overlap, so that no branch depends on the exact length and nothing is
// called. What is copied from and to does not overlap.

// move1 copies 1 to 3 bytes.
func move1(to, from address, n uintptr) {
	*byteAt(to) = *byteAt(from)
	*byteAt(at(to, n/2)) = *byteAt(at(from, n/2))
	*byteAt(at(to, n-1)) = *byteAt(at(from, n-1))
}

// move4 copies 4 to 8 bytes.
func move4(to, from address, n uintptr) {
	*array4At(to) = *array4At(from)
	*array4At(at(to, n-4)) = *array4At(at(from, n-4))
}

// move8 copies 8 to 16 bytes.
func move8(to, from address, n uintptr) {
	*array8At(to) = *array8At(from)
	*array8At(at(to, n-8)) = *array8At(at(from, n-8))
}

// move16 copies 16 to 32 bytes.
func move16(to, from address, n uintptr) {
	*array16At(to) = *array16At(from)
	*array16At(at(to, n-16)) = *array16At(at(from, n-16))
}

// move copies 1 byte or more, few as a rule.
func move(to, from address, n uintptr) {
	switch {
	case n > moveMost:
		copy(view(to, n), view(from, n))
	case n >= 16:
		move16(to, from, n)
	case n >= 8:
		move8(to, from, n)
	case n >= 4:
		move4(to, from, n)
	default:
		move1(to, from, n)
	}
}
