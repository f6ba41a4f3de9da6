//go:build !race && !bsrpc_safe

package method

import (
	"context"
	"io"
	"iter"
	"reflect"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// In a build with thunks neither end of a call allocates for being called.
func TestCallsWithoutAllocations(t *testing.T) {
	if !haveThunks() {
		t.Skip("reflection calls on this platform")
	}
	f, _ := placed(t, "Place")
	o := &order{Name: "a"}
	refused := 0
	type contract struct {
		Place func(context.Context, *order, string) (*order, error)
	}
	stubs, err := StubsOf("Shop", reflect.TypeFor[contract]())
	if err != nil {
		t.Fatal(err)
	}
	var proxy contract
	stubs[0].Fill(reflect.ValueOf(&proxy).Elem(), callerFunc(func(ctx context.Context, v *Values) error {
		served := f.Sig.NewValues()
		served.Ctx = ctx
		served.args.Set(v.args) // without a note: the error is one allocation
		err := f.Invoke(nil, served)
		served.Free()
		return err
	}))
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := proxy.Place(ctx, o, ""); err != nil {
			refused++
		}
	}); n > 1 {
		t.Errorf("%v allocations, want that of the error", n)
	}
	if refused == 0 {
		t.Error("the method was not called")
	}
}

// Items by pointer cost an allocation only where they are decoded, together with their
// short string. By value they come from a producer by reflection.
func TestAllocationsOfItems(t *testing.T) {
	if !haveThunks() {
		t.Skip("reflection passes items on this platform")
	}
	const perRange = 30
	checkItemAllocations(t, &noted{1, "a short note"}, perRange, 0, 1)
	checkItemAllocations(t, "text", perRange, 0, 1)
	checkItemAllocations(t, 1<<30, perRange, 0, 0)
	consume := 1.0
	if !smallWords() { // yield's bool is none
		consume = 4
	}
	checkItemAllocations(t, noted{1, "a short note"}, perRange, 3, consume)
}

type noted struct {
	ID   int64
	Note string
}

// checkItemAllocations compares the allocations of a thousand items with those allowed
// at a producer and at a consumer.
func checkItemAllocations[T any](t *testing.T, item T, perRange, produce, consume float64) {
	const count = 1000
	s := signatureOf(t, func() iter.Seq2[T, error] { return nil })
	v, st := s.NewValues(), s.ResultStream()
	v.results.Field(0).Set(reflect.ValueOf(iter.Seq2[T, error](func(yield func(T, error) bool) {
		for range count {
			if !yield(item, nil) {
				return
			}
		}
	})))
	items := st.Items(v)
	var enc codec.Encoder
	produced := testing.AllocsPerRun(10, func() {
		items(func(ref codec.Ref, _ error) bool {
			enc.Buf = enc.Buf[:0]
			return st.Item.Append(&enc, ref) == nil
		})
	})
	if produced > produce*count+perRange {
		t.Errorf("%T: %v allocations to produce %d", item, produced, count)
	}
	st.SetItems(v, func() (ItemReader, error) {
		return &repeated{item: st.Item, dec: codec.Decoder{Data: enc.Buf}, left: count}, nil
	})
	seq := v.results.Field(0).Interface().(iter.Seq2[T, error])
	got := 0
	consumed := testing.AllocsPerRun(10, func() {
		for range seq {
			got++
		}
	})
	if consumed > consume*count+perRange || got != 11*count {
		t.Errorf("%T: %v allocations to consume %d of %d", item, consumed, got, count)
	}
}

// repeated gives one item several times.
type repeated struct {
	item *codec.Codec
	dec  codec.Decoder
	left int
}

func (r *repeated) Next(item codec.Ref) error {
	if r.left--; r.left < 0 {
		return io.EOF
	}
	return r.item.Read(&r.dec, item)
}

func (r *repeated) Stop() {}
