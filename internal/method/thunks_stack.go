//go:build !bsrpc_safe && !(amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || goexperiment.regabiargs)

package method

// inRegisters says that arguments and results travel in registers.
const inRegisters = false
