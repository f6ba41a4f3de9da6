//go:build bsrpc_safe

package bsrpc

import "reflect"

// Without unsafe, methods are called and proxies filled by reflection alone.

type shape struct{}

func shapeOf(*signature) *shape { return nil }

type frameMemory struct{}

func memoryOf(*frame) frameMemory { return frameMemory{} }

type funcCode struct{}

func codeOf(*method) funcCode { return funcCode{} }

func (funcCode) valid() bool { return false }

func (m *method) invokeCode(*frame) error { panic("bsrpc: no code without unsafe") }

// fillShape stores a proxy without reflection; here there is none.
func fillShape(*proxyMethod, reflect.Value) bool { return false }
