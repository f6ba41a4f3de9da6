package method

import (
	"context"
	"reflect"
	"testing"
)

// Funcs that implement a contract are called as methods are: without
// reflection where their types have thunks.
func TestFuncsHaveThunks(t *testing.T) {
	type contract struct {
		Swap func(ctx context.Context, a string, b []byte) ([]byte, error)
		Wide func(p [3]int32) (int32, error)
	}
	funcs, problems := FuncsAs("S", reflect.TypeFor[contract](), &contract{
		func(_ context.Context, a string, b []byte) ([]byte, error) { return append(b, a...), nil },
		func(p [3]int32) (int32, error) { return p[2], nil },
	})
	if problems != nil {
		t.Fatal(problems)
	}
	for _, m := range funcs {
		if want := haveThunks() && m.Name == "S.Swap"; m.code.valid() != want {
			t.Errorf("%s: called without reflection: %v, want %v", m.Name, m.code.valid(), want)
		}
	}
}
