package method

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// What a call costs beyond the codec and the connection: to come in through a
// proxy's func, and to go out to a method. Parameters by pointer have thunks, common
// structs by value too; two structs go by reflection through a proxy.

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
	methods, problems := FuncsOf("Bench", invokeService{})
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	for _, m := range methods {
		b.Run(m.Name, func(b *testing.B) {
			recv, _ := ReceiverOf(invokeService{})
			b.ReportAllocs()
			for b.Loop() {
				v := m.Sig.NewValues()
				v.Ctx = context.Background()
				if err := m.Invoke(&recv, v); err != nil {
					b.Fatal(err)
				}
				v.Free()
			}
		})
	}
}

var errRefused = errors.New("refused")

type refusing struct{}

func (refusing) Call(context.Context, *Values) error { return errRefused }

// A proxy's func whose caller refuses.
func BenchmarkProxyFunc(b *testing.B) {
	proxy := new(invokeContract)
	stubs, err := StubsOf("Bench", reflect.TypeFor[invokeContract]())
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range stubs {
		s.Fill(reflect.ValueOf(proxy).Elem(), refusing{})
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
				if c.call() != errRefused {
					b.Fatal("the call was not refused")
				}
			}
		})
	}
}

// BenchmarkItems ranges over items at a producer and at a consumer.
func BenchmarkItems(b *testing.B) {
	b.Run("pointer", func(b *testing.B) { benchItems(b, &benchItem{1, "a short note"}) })
	b.Run("value", func(b *testing.B) { benchItems(b, benchItem{1, "a short note"}) })
}

type benchItem struct {
	ID   int64
	Note string
}

func benchItems[T any](b *testing.B, item T) {
	seq := func() iter.Seq2[T, error] {
		return func(yield func(T, error) bool) {
			for yield(item, nil) {
			}
		}
	}
	s, problems := compile("S.M", reflect.TypeOf(seq), 0, new(codec.MethodTag))
	if problems != nil {
		b.Fatal(problems)
	}
	v, st := s.NewValues(), s.ResultStream()
	v.results.Field(0).Set(reflect.ValueOf(seq()))
	items := st.Items(v)
	var enc codec.Encoder
	b.Run("produce", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		items(func(ref codec.Ref, _ error) bool {
			enc.Buf = enc.Buf[:0]
			n++
			return st.Item.Append(&enc, ref) == nil && n < b.N
		})
	})
	b.Run("consume", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		st.SetItems(v, func() (ItemReader, error) { return benchReader{st.Item, &codec.Decoder{Data: enc.Buf}}, nil })
		for range v.results.Field(0).Interface().(iter.Seq2[T, error]) {
			if n++; n >= b.N {
				break
			}
		}
	})
}

type benchReader struct {
	item *codec.Codec
	dec  *codec.Decoder
}

func (r benchReader) Next(item codec.Ref) error { return r.item.Read(r.dec, item) }
func (benchReader) Stop()                       {}
