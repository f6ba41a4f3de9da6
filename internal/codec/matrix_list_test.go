package codec

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/layout"
)

// A listShape is a list of parameters or results, the last ones optional.
type listShape struct {
	parts    []shapeField // a nil shape is a func
	streams  map[int]*shape
	optional int
}

var (
	streamTypes = map[reflect.Type]reflect.Type{
		reflect.TypeFor[nodeA](): reflect.TypeFor[iter.Seq2[nodeA, error]](), reflect.TypeFor[nodeB](): reflect.TypeFor[iter.Seq2[nodeB, error]](),
		reflect.TypeFor[nodeC](): reflect.TypeFor[iter.Seq2[nodeC, error]](), reflect.TypeFor[nodeD](): reflect.TypeFor[iter.Seq2[nodeD, error]](),
		reflect.TypeFor[leftA](): reflect.TypeFor[iter.Seq2[leftA, error]](), reflect.TypeFor[leftB](): reflect.TypeFor[iter.Seq2[leftB, error]](),
	}
	funcType = reflect.TypeFor[func()]()
)

// lists returns two versions of a list: pairs of values, streams and funcs, and then some
// of one end alone.
func (m pairMaker) lists() (a, b *listShape) {
	a, b = &listShape{streams: map[int]*shape{}}, &listShape{streams: map[int]*shape{}}
	for i := range m.IntN(4) {
		var f, g shapeField
		switch m.IntN(6) {
		case 0:
			pair := families[[]int{0, 1, 2, 3, 5}[m.IntN(5)]]
			known := map[reflect.Type]*shape{}
			x, y := shapeOf(pair[0], nil, known), shapeOf(pair[1], nil, known)
			a.streams[i], b.streams[i] = x, y
			f.shape, g.shape = &shape{typ: streamTypes[x.typ]}, &shape{typ: streamTypes[y.typ]}
		case 1:
		default:
			f.shape, g.shape = m.pair(2)
		}
		a.parts, b.parts = append(a.parts, f), append(b.parts, g)
	}
	longer := a
	if m.one(2) {
		longer = b
	}
	optional := !m.one(5)
	for range m.IntN(3) {
		f := shapeField{optional: optional, ignorable: optional && m.one(3)}
		if !m.one(6) {
			f.shape, _ = m.pair(2)
			f.shape = pointerToUnion(f.shape)
		}
		longer.parts = append(longer.parts, f)
		longer.optional++
	}
	if !optional {
		longer.optional = 0
	}
	return a, b
}

// compile returns the codec of the list.
func (l *listShape) compile(t *testing.T, word string) *Codec {
	t.Helper()
	var types []reflect.Type
	var tags []*Tag
	funcs := map[int]*layout.Signature{}
	for i, f := range l.parts {
		tag := &Tag{}
		if f.shape == nil {
			types = append(types, funcType)
			funcs[i] = &layout.Signature{}
		} else {
			types = append(types, f.typ)
			var err error
			if tag, err = ParseTag(strings.Join(f.tag(), " ")); err != nil {
				t.Fatal(err)
			}
		}
		tag.Optional, tag.Ignorable = f.optional, f.ignorable
		tags = append(tags, tag)
	}
	c, err := CompileList(word, types, tags, funcs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// methodOf returns the layout of a method with the list, as a peer reads it.
func (l *listShape) methodOf(t *testing.T, c *Codec, args bool) *layout.Method {
	t.Helper()
	m := &layout.Method{Service: "S", Name: "M", Params: c.Layouts(), OptionalParams: l.optional}
	if !args {
		m = &layout.Method{Service: "S", Name: "M", Results: c.Layouts(), OptionalResults: l.optional}
	}
	if c.Optional() != l.optional {
		t.Fatalf("%s: %d are optional, want %d", m, c.Optional(), l.optional)
	}
	parsed, err := layout.ParseMethod(m.String())
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// list adds the places where r does not read w.
func (v *verdict) list(w, r *listShape) {
	for i := range max(len(w.parts), len(r.parts)) {
		path := fmt.Sprint(i + 1)
		switch {
		case i >= len(r.parts):
			if v.args && !w.parts[i].optional {
				v.refuse(path)
			}
		case i >= len(w.parts):
			if !r.parts[i].optional {
				v.refuse(path)
			}
		case w.parts[i].shape == nil || r.parts[i].shape == nil: // both
		case w.streams[i] != nil:
			v.check(path, w.streams[i], r.streams[i])
		default:
			v.check(path, w.parts[i].shape, r.parts[i].shape)
		}
	}
}

// TestListMatrix is TestMatrix for lists of parameters and results, with streams and funcs.
func TestListMatrix(t *testing.T) {
	seeds := 5000
	if !rounds.Long {
		seeds = 60
	}
	var count matrixCount
	for seed := range uint64(seeds) {
		m := pairMaker{rand.New(rand.NewPCG(seed, 19))}
		a, b := m.lists()
		count.lists(t, m.Rand, seed, a, b)
		count.lists(t, m.Rand, seed, b, a)
	}
	t.Logf("%+v", count)
	if count.fits < count.pairs/10 || count.fits > count.pairs*9/10 || count.values < seeds/2 || count.absent < seeds/50 {
		t.Errorf("one-sided: %+v", count)
	}
}

// lists checks a writer and a reader.
func (count *matrixCount) lists(t *testing.T, r *rand.Rand, seed uint64, w, rd *listShape) {
	t.Helper()
	for _, args := range []bool{true, false} {
		word := "parameter"
		if !args {
			word = "result"
			if hasFunc(w) || hasFunc(rd) { // not among results
				continue
			}
		}
		count.pairs++
		wc, rc := w.compile(t, word), rd.compile(t, word)
		wm, rm := w.methodOf(t, wc, args), rd.methodOf(t, rc, args)
		client, server, peer := wm, rm, wm.Params
		if !args {
			client, server, peer = rm, wm, wm.Results
		}
		want := verdict{args: args, seen: map[[2]*shape]bool{}}
		want.list(w, rd)
		got := layout.Compare(client, server)
		if (got == nil) != (want.places == nil) {
			t.Fatalf("seed %d, args %v:\nclient %v\nserver %v\ncompare %v\nwant %q", seed, args, client, server, got, want.places)
		}
		for _, d := range got {
			if !strings.HasPrefix(d.Place, word) {
				t.Fatalf("seed %d: %v names no %s", seed, d, word)
			}
		}
		if got != nil {
			continue
		}
		count.fits++
		from, err := rc.ReadListFrom(peer)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		to := wc
		if args {
			to = wc.WriteListTo(rm.Params, "the server")
		}
		for range 3 {
			count.listValue(t, r, seed, w, to, rd, rc, from, args)
		}
		for i, ws := range w.streams {
			if rs := rd.streams[i]; rs != nil {
				item, _ := from.Stream(i)
				own, _ := rc.Stream(i)
				count.value(t, r, seed, ws, compileType(t, ws.typ), rs, own, item, false)
			}
		}
	}
}

func hasFunc(l *listShape) bool {
	for _, f := range l.parts {
		if f.shape == nil {
			return true
		}
	}
	return false
}

// listValue writes a list and reads it, and compares it with the conversion.
func (count *matrixCount) listValue(t *testing.T, r *rand.Rand, seed uint64, w *listShape, to *Codec, rd *listShape, rc, from *Codec, args bool) {
	t.Helper()
	in, want := reflect.New(to.Type()), reflect.New(rc.Type())
	fits := true
	for i, f := range w.parts {
		v := in.Elem().Field(i)
		known := i < len(rd.parts)
		keep := known || r.IntN(3) == 0
		switch {
		case w.streams[i] != nil:
		case f.shape == nil:
			if keep && r.IntN(2) == 0 {
				v.Set(reflect.ValueOf(func() {}))
			}
		case !known:
			if setZero(f.shape, v); keep {
				f.randomOf(r, v, 0)
			}
		default:
			f.randomOf(r, v, 0)
			if args && r.IntN(4) > 0 {
				lacks(f.shape, v, rd.parts[i].shape, true)
			}
			fits = convert(f.shape, v, rd.parts[i].shape, want.Elem().Field(i)) && fits
		}
	}
	absent := false
	for i, f := range w.parts {
		v := in.Elem().Field(i)
		switch {
		case w.streams[i] != nil || !args:
		case i < len(rd.parts):
			absent = absent || f.shape != nil && lacks(f.shape, v, rd.parts[i].shape, false)
		case f.shape == nil:
			absent = absent || !f.ignorable && !v.IsNil()
		default:
			absent = absent || !f.ignorable && !isZeroOf(f.shape, v)
		}
	}
	data, err := appendTo(t, to, in)
	if absent {
		count.absent++
		if err == nil || !strings.Contains(err.Error(), "the server does not know it") {
			t.Fatalf("seed %d: %v", seed, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	// A func that is not nil is set by the reader.
	out := [2]reflect.Value{reflect.New(rc.Type()), reflect.New(rc.Type())}
	var errs [2]error
	for i, form := range executors(from) {
		errs[i] = form.Read(&Decoder{Data: data}, RefTo(out[i]))
	}
	if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) || (errs[0] == nil) != fits {
		t.Fatalf("seed %d: %x: fits %v, fast %v\nreflect %v", seed, data, fits, errs[0], errs[1])
	}
	if !fits {
		count.ranges++
		return
	}
	count.values++
	expected, err := appendAll(t, rc, Encoder{}, want)
	for _, v := range out {
		got, err2 := appendAll(t, rc, Encoder{}, v)
		if (err == nil) != (err2 == nil) || !bytes.Equal(got, expected) {
			t.Fatalf("seed %d: %x\n%v\n%v\nwant %x %v\ngot  %x %v", seed, data, to.Layout(), rc.Layout(), expected, err, got, err2)
		}
	}
}
