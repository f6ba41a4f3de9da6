//go:build bsrpc_safe || !(386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package bsrpc

import "reflect"

// Without unsafe there are no shapes: reflection calls every method and makes
// every proxy.

type shape struct{}

func shapeOf(*signature) *shape { return nil }

type valueMemory struct{}

func memoryOf(*values) valueMemory { return valueMemory{} }

func withRoom(t reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{{Name: "Values", Type: t}})
}

// A receiver is what a method is called on.
type receiver struct{ value reflect.Value }

func receiverOf(v reflect.Value) receiver { return receiver{v} }

type funcCode struct{}

func codeOf(*method) funcCode { return funcCode{} }

func (*funcCode) valid() bool { return false }

func (*method) invokeCode(*receiver, *values) error { panic("bsrpc: no shapes in this build") }

func fillShape(*boundMethod, reflect.Value) { panic("bsrpc: no shapes in this build") }
