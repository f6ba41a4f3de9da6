package bsrpc

import (
	"context"
	"reflect"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// What a call costs beyond the codec and the connection: to come in through a
// proxy's func, and to go out to a method. Parameters by pointer have a shape;
// structs by value go by reflection.

type invokeSmall struct {
	ID    int64
	Name  string
	Flags uint32
	Value float64
}

type invokeService struct{}

func (invokeService) Pointer(_ context.Context, s *invokeSmall) (*invokeSmall, error) { return s, nil }
func (invokeService) Value(_ context.Context, s invokeSmall) (invokeSmall, error)     { return s, nil }
func (invokeService) Values(a, b invokeSmall) invokeSmall                             { return a }

type invokeContract struct {
	Pointer func(ctx context.Context, s *invokeSmall) (*invokeSmall, error)
	Value   func(ctx context.Context, s invokeSmall) (invokeSmall, error)
	Values  func(a, b invokeSmall) (invokeSmall, error)
}

func BenchmarkInvoke(b *testing.B) {
	methods, problems := methodsOf("Bench", invokeService{})
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	for _, m := range methods {
		b.Run(m.Name, func(b *testing.B) {
			recv := receiverOf(reflect.New(reflect.TypeFor[invokeService]()))
			b.ReportAllocs()
			for b.Loop() {
				v := m.sig.newValues()
				v.ctx = context.Background()
				if err := m.invoke(&recv, v); err != nil {
					b.Fatal(err)
				}
				v.free()
			}
		})
	}
}

// A proxy's func that returns before anything is sent. Its error is one
// allocation that a call without one has not.
func BenchmarkProxyFunc(b *testing.B) {
	proxy := new(invokeContract)
	v := reflect.ValueOf(proxy).Elem()
	refused := &Error{Code: CodeUnimplemented}
	for _, field := range reflect.VisibleFields(v.Type()) {
		sig, problems := compileSignature(field.Name, field.Type, 0, new(codec.MethodTag))
		if len(problems) > 0 {
			b.Fatal(problems)
		}
		fill(&boundMethod{sig: sig, err: refused}, v.FieldByIndex(field.Index))
	}
	ctx, s := context.Background(), invokeSmall{Name: "a name"}
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"Pointer", func() error { _, err := proxy.Pointer(ctx, &s); return err }},
		{"Value", func() error { _, err := proxy.Value(ctx, s); return err }},
		{"Values", func() error { _, err := proxy.Values(s, s); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.call() != refused {
					b.Fatal("the call was not refused")
				}
			}
		})
	}
}
