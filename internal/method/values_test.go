package method

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/bsrpc/bsrpc/internal/wire"
)

type order struct {
	Name  string
	Count int32
	Tags  []string
}

type shop struct{}

func (*shop) Place(_ context.Context, o *order, note string) (*order, error) {
	if note == "" {
		return nil, errors.New("refused")
	}
	return &order{Name: o.Name, Tags: []string{note}}, nil
}

func (*shop) Wide(o order, n int64) (order, int64) { return o, n }

func placed(t testing.TB, name string) (*Func, *Values) {
	t.Helper()
	funcs, problems := FuncsOf("Shop", new(shop))
	if problems != nil {
		t.Fatal(problems)
	}
	for _, f := range funcs {
		if f.Name == "Shop."+name {
			return f, f.Sig.NewValues()
		}
	}
	t.Fatalf("no method %s", name)
	return nil, nil
}

// Nothing of a call is left in values that are used again, but for their state.
func TestFreedValuesAreZero(t *testing.T) {
	for _, name := range []string{"Place", "Wide"} {
		f, v := placed(t, name)
		v.Ctx, v.State = t.Context(), "state"
		args := []any{&order{Name: "a", Tags: []string{"b"}}, "note"}
		if name == "Wide" {
			args = []any{order{Name: "a"}, int64(3)}
		}
		SetArgs(v, args)
		if err := f.Invoke(nil, v); err != nil {
			t.Fatal(err)
		}
		if err := v.AppendResults(); err != nil || len(v.Enc.Buf) == 0 {
			t.Fatal(err, v.Enc.Buf)
		}
		v.Dec.Data = []byte("data")
		in, out := v.args, v.results
		if in.IsZero() || out.IsZero() {
			t.Errorf("%s: nothing to zero", name)
		}
		v.Free()
		if !in.IsZero() || !out.IsZero() {
			t.Errorf("%s: %v and %v after Free", name, in, out)
		}
		if v.Ctx != nil || v.Dec.Data != nil || len(v.Enc.Buf) != 0 || v.State != "state" {
			t.Errorf("%s: context %v, data %q, encoding %q, state %v after Free", name, v.Ctx, v.Dec.Data, v.Enc.Buf, v.State)
		}
	}
}

// An encoder's memory is kept for the next call, up to a bound.
func TestValuesKeepSmallEncoders(t *testing.T) {
	_, v := placed(t, "Place")
	for _, size := range []int{keepEncoder, keepEncoder + 1} {
		v.Enc.Buf = make([]byte, size)
		v.Enc.Cuts = []wire.Cut{{At: 1, Bytes: []byte("cut")}}
		cuts := v.Enc.Cuts
		v.ResetEncoder()
		if kept := cap(v.Enc.Buf) > 0; kept != (size <= keepEncoder) {
			t.Errorf("%d bytes: kept is %v", size, kept)
		}
		if cuts[0].Bytes != nil {
			t.Errorf("%d bytes: a cut refers to the caller's memory", size)
		}
	}
}

// Results that cannot be read are zero, all of them.
func TestResultsAreWholeOrZero(t *testing.T) {
	f, v := placed(t, "Wide")
	SetArgs(v, []any{order{Name: "a"}, int64(3)})
	if err := f.Invoke(nil, v); err != nil {
		t.Fatal(err)
	}
	if err := v.AppendResults(); err != nil {
		t.Fatal(err)
	}
	_, w := placed(t, "Wide")
	for n := range v.Enc.Buf {
		w.Dec.Data = v.Enc.Buf[:n]
		if err := ReadResults(w.sig, w); err == nil || !w.results.IsZero() {
			t.Errorf("%d of %d bytes: %v, %v", n, len(v.Enc.Buf), err, w.results)
		}
	}
	w.Dec.Data = v.Enc.Buf
	if err := ReadResults(w.sig, w); err != nil || !reflect.DeepEqual(w.results.Interface(), v.results.Interface()) {
		t.Errorf("%v: got %v, want %v", err, w.results, v.results)
	}
}

// Two compilations of one func type share codecs and no values.
func TestSignaturesShareCodecs(t *testing.T) {
	a, v := placed(t, "Place")
	b, _ := placed(t, "Place")
	if a.Sig == b.Sig || a.Sig.Args != b.Sig.Args || a.Sig.Results != b.Sig.Results {
		t.Errorf("signatures %p and %p, codecs %p and %p", a.Sig, b.Sig, a.Sig.Args, b.Sig.Args)
	}
	v.State = "a's"
	v.Free()
	if w := b.Sig.NewValues(); w.State != nil {
		t.Errorf("values of another signature: %v", w.State)
	}
}
