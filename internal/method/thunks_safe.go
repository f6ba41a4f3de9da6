//go:build bsrpc_safe || !(386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

import (
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// Without unsafe there are no thunks: reflection calls every method and makes every
// proxy.

type memory struct{}

func memoryOf(*Values) memory { return memory{} }

func withRoom(t reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{{Name: "Before", Type: reflect.TypeFor[struct{}]()}, {Name: "Values", Type: t}})
}

// A Receiver is what a method is called on.
type Receiver struct{ value reflect.Value }

func receiverOf(v reflect.Value) Receiver { return Receiver{v} }

type funcCode struct{}

func codeOf(*Func) funcCode { return funcCode{} }

func (*funcCode) valid() bool { return false }

func (*Func) invokeCode(*Receiver, *Values) error { panic("bsrpc: no thunks in this build") }

type seqCode struct{}

func seqCodeOf(reflect.Type) seqCode { return seqCode{} }

func (seqCode) hasItems() bool { return false }

func (seqCode) hasSet() bool { return false }

func (seqCode) items(reflect.Value) func(func(codec.Ref, error) bool) {
	panic("bsrpc: no thunks in this build")
}

func (seqCode) set(reflect.Value, func() (ItemReader, error)) {
	panic("bsrpc: no thunks in this build")
}

type thunk func()

func thunkOf(*Signature) thunk { return nil }

func (thunk) fill(*stub, reflect.Value) {}
