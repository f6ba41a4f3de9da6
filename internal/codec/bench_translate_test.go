package codec

import (
	"reflect"
	"testing"

	"github.com/bsrpc/bsrpc/layout"
)

// Versions of benchSmall and benchItem at a peer.
type (
	smallLess struct {
		A int64
		B string
		D float64
	}
	smallMore struct {
		A int64
		B string
		X int64
		C uint32
		D float64
	}
	smallText struct {
		A int64
		B string
		C uint32
		D float64
		N string
	}
	smallNarrow struct {
		A int32
		B string
		C uint32
		D float64
	}
	smallMoved struct {
		D float64
		B string
		C uint32
		A int64
	}
	itemLess struct {
		ID   int64
		X, Z float64
		Name string
	}
	itemMore struct {
		ID      int64
		X, Y, Z float64
		Flags   uint32
		Name    string
	}
	itemNarrow struct {
		ID      int32
		X, Y, Z float64
		Name    string
	}
	itemMoved struct {
		Name    string
		X, Y, Z float64
		ID      int64
	}
)

// BenchmarkTranslate reads what peers with other versions of a type write, beside what a
// peer with the same version writes.
func BenchmarkTranslate(b *testing.B) {
	b.Run("argument/equal", func(b *testing.B) { benchTranslate(b, argument, argument) })
	b.Run("argument/less", func(b *testing.B) {
		benchTranslate(b, argument, &struct{ V *smallLess }{&smallLess{-5, small.B, 0.25}})
	})
	b.Run("argument/more", func(b *testing.B) {
		benchTranslate(b, argument, &struct{ V *smallMore }{&smallMore{-5, small.B, 6, 7, 0.25}})
	})
	b.Run("argument/text", func(b *testing.B) {
		benchTranslate(b, argument, &struct{ V *smallText }{&smallText{-5, small.B, 7, 0.25, "a note"}})
	})
	b.Run("argument/narrow", func(b *testing.B) {
		benchTranslate(b, argument, &struct{ V *smallNarrow }{&smallNarrow{-5, small.B, 7, 0.25}})
	})
	b.Run("argument/moved", func(b *testing.B) {
		benchTranslate(b, argument, &struct{ V *smallMoved }{&smallMoved{0.25, small.B, 7, -5}})
	})
	b.Run("argument/value", func(b *testing.B) { benchTranslate(b, argument, &struct{ V benchSmall }{*small}) })
	b.Run("small/equal", func(b *testing.B) { benchTranslate(b, small, small) })
	b.Run("small/less", func(b *testing.B) { benchTranslate(b, small, &smallLess{-5, small.B, 0.25}) })
	b.Run("small/more", func(b *testing.B) { benchTranslate(b, small, &smallMore{-5, small.B, 6, 7, 0.25}) })
	b.Run("small/text", func(b *testing.B) { benchTranslate(b, small, &smallText{-5, small.B, 7, 0.25, "a note"}) })
	b.Run("small/narrow", func(b *testing.B) { benchTranslate(b, small, &smallNarrow{-5, small.B, 7, 0.25}) })
	b.Run("small/moved", func(b *testing.B) { benchTranslate(b, small, &smallMoved{0.25, small.B, 7, -5}) })

	less, more, narrow, moved := make([]itemLess, 1000), make([]itemMore, 1000), make([]itemNarrow, 1000), make([]itemMoved, 1000)
	for i, v := range items {
		less[i] = itemLess{v.ID, v.X, v.Z, v.Name}
		more[i] = itemMore{v.ID, v.X, v.Y, v.Z, 7, v.Name}
		narrow[i] = itemNarrow{int32(v.ID), v.X, v.Y, v.Z, v.Name}
		moved[i] = itemMoved{v.Name, v.X, v.Y, v.Z, v.ID}
	}
	b.Run("items/equal", func(b *testing.B) { benchTranslate(b, &items, &items) })
	b.Run("items/less", func(b *testing.B) { benchTranslate(b, &items, &less) })
	b.Run("items/more", func(b *testing.B) { benchTranslate(b, &items, &more) })
	b.Run("items/narrow", func(b *testing.B) { benchTranslate(b, &items, &narrow) })
	b.Run("items/moved", func(b *testing.B) { benchTranslate(b, &items, &moved) })
}

// benchTranslate measures reading the encoding of in as a T.
func benchTranslate[T, U any](b *testing.B, _ *T, in *U) {
	own, peer := mustCompile[T](b), mustCompile[U](b)
	from, err := own.ReadFrom(reparsed(b, peer.Layout()))
	if err != nil {
		b.Fatal(err)
	}
	var e Encoder
	if err := peer.Append(&e, RefTo(reflect.ValueOf(in))); err != nil {
		b.Fatal(err)
	}
	if own.Type() == peer.Type() {
		from = own
	}
	var out T
	ref := RefTo(reflect.ValueOf(&out))
	d := Decoder{Data: e.Buf}
	b.ReportAllocs()
	for b.Loop() {
		if err := from.Read(&d, ref); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteTo appends to a peer that lacks an optional field.
func BenchmarkWriteTo(b *testing.B) {
	type more struct {
		A int64
		B string
		C uint32
		D float64
		N string `bsrpc:"optional"`
	}
	c := mustCompile[struct{ V *more }](b)
	to := c.WriteTo(reparsed(b, mustCompile[benchArgument](b).Layout()), "the server")
	v := &struct{ V *more }{&more{-5, small.B, 7, 0.25, ""}}
	for _, form := range []struct {
		name string
		*Codec
	}{{"equal", c}, {"checked", to}} {
		b.Run(form.name, func(b *testing.B) {
			var e Encoder
			ref := RefTo(reflect.ValueOf(v))
			b.ReportAllocs()
			for b.Loop() {
				e.Buf = e.Buf[:0]
				if err := form.Append(&e, ref); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompilePair parses the texts of two versions of a method, compares them and
// compiles what a server needs to read the arguments.
func BenchmarkCompilePair(b *testing.B) {
	type item struct {
		ID    int64
		Name  string
		Price float64
		Count int32
		Note  string `bsrpc:"optional"`
	}
	type address struct{ Street, Town, Code, Country string }
	type order struct {
		ID       uint64
		Customer string
		Items    []item
		Send     *address
		Bill     *address
		Labels   map[string]string
		Paid     bool
		Token    []byte
		Parent   *order
		Extra    []string `bsrpc:"optional"`
	}
	c, err := CompileList("parameter", []reflect.Type{reflect.TypeFor[*order](), reflect.TypeFor[bool]()}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	server := &layout.Method{Service: "Shop", Name: "Place", Params: c.Layouts()}
	texts := [2]string{server.String(), "Shop.Place(*{ID uint.le4; Customer string.le4; Items []{ID int.le8; Name string.le4; Price float.le4; Count int.le4}; " +
		"Send *{Street string.le4; Town string.le4; Code string.le4; Country string.le4}; Bill *{Street string.le4; Town string.le4; Code string.le4; Country string.le4}; " +
		"Old? {A bool; B []string.le4}; Labels map[string.le4]string.le4; Paid bool; Token bytes.le4; Parent *^2}, bool)"}
	b.ReportAllocs()
	for b.Loop() {
		var both [2]*layout.Method
		for i, text := range texts {
			if both[i], err = layout.ParseMethod(text); err != nil {
				b.Fatal(err)
			}
		}
		if list := layout.Compare(both[1], both[0]); list != nil {
			b.Fatal(list)
		}
		if _, err := c.ReadListFrom(both[1].Params); err != nil {
			b.Fatal(err)
		}
	}
}
