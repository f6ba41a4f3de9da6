//go:build !race && !bsrpc_safe

package method

import (
	"context"
	"reflect"
	"testing"
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

type callerFunc func(context.Context, *Values) error

func (f callerFunc) Call(ctx context.Context, v *Values) error { return f(ctx, v) }
