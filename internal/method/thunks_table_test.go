//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

import (
	"maps"
	"slices"
	"testing"
)

// The list that the tests go by is the table, and the self-check accepts it.
func TestThunkTable(t *testing.T) {
	want := shapeKeys()
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(allThunks())); !slices.Equal(got, want) {
		t.Errorf("the table has %d shapes, the tests' list %d:\n%q\n%q", len(got), len(want), got, want)
	}
}
