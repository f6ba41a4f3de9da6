//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

import (
	"context"
	"reflect"
	"sync"
)

// The funcs of proxies. A shape is a list of classes of parameters and results; a
// thunk makes the funcs of one shape. A program without proxies does not link them.

// thunkOf returns the thunk of a signature's shape, nil if there is none.
func thunkOf(s *Signature) thunk {
	key := make([]byte, 0, 8)
	exact := packsWords(s.params)
	for _, t := range s.params {
		key = append(key, classOf(t, exact))
	}
	key = append(key, '>')
	for _, t := range s.results {
		key = append(key, classOf(t, false))
	}
	if t := allThunks()[string(key)]; t != nil {
		return t
	}
	return wordsThunkOf(s)
}

// packsWords reports whether parameters lie closer together than words would.
//
// A func may store the arguments that came in registers into memory of its caller,
// which has as much as their types need, each at its alignment, and the whole in
// words (https://go.dev/s/regabi). So a proxy's func cannot take small integers that
// would share a word there as words.
func packsWords(params []reflect.Type) bool {
	var at, words uintptr
	for _, t := range params {
		at = (at + uintptr(t.Align()) - 1) &^ (uintptr(t.Align()) - 1)
		if at != words {
			return true
		}
		at += t.Size()
		words += (t.Size() + wordSize - 1) &^ (wordSize - 1)
	}
	return false
}

// allThunks returns the table of all thunks, by shape; empty if the self-check fails.
// It is made by a func, and not by the variable's initialization, so that a program
// without proxies need not contain it.
func allThunks() thunkTable {
	thunksOnce.Do(func() {
		t := make(thunkTable, len(table))
		for i := range table {
			t[table[i].shape] = table[i].thunk
		}
		if t.works() {
			thunksMade = t
		}
	})
	return thunksMade
}

var (
	thunksOnce sync.Once
	thunksMade thunkTable
)

type thunkTable map[string]thunk

// works is the self-check: it makes a func whose words only arrive whole if they
// travel as this package takes them to.
func (t thunkTable) works() bool {
	p, ctx := &probe{"a"}, context.Background()
	var filled func(context.Context, *probe, []float64) (map[string]int, error)
	want := map[string]int{"a": 1}
	*at[func(context.Context, address, []byte) (address, error)](address(&filled)) = func(c context.Context, q address, v []byte) (address, error) {
		if c != ctx || q != address(p) || len(v) != 3 {
			return nil, nil
		}
		return *at[address](address(&want)), context.Canceled
	}
	got, err := filled(ctx, p, make([]float64, 3))
	return err == context.Canceled && got["a"] == 1
}

func proxy0(p *stub, field address) {
	call := func(ctx context.Context) error {
		v := p.sig.NewValues()
		err := p.caller.Call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context) error)(field) = call
		return
	}
	*(*func() error)(field) = func() error { return call(context.Background()) }
}

func proxy0R[R any](p *stub, field address) {
	call := func(ctx context.Context) (r R, err error) {
		v := p.sig.NewValues()
		err = p.caller.Call(ctx, v)
		r = *at[R](v.memory.results)
		v.Free()
		return r, err
	}
	if p.sig.ctx {
		*(*func(context.Context) (R, error))(field) = call
		return
	}
	*(*func() (R, error))(field) = func() (R, error) { return call(context.Background()) }
}

func proxy1[A any](p *stub, field address) {
	call := func(ctx context.Context, a A) error {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		err := p.caller.Call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context, A) error)(field) = call
		return
	}
	*(*func(A) error)(field) = func(a A) error { return call(context.Background(), a) }
}

func proxy1R[A, R any](p *stub, field address) {
	call := func(ctx context.Context, a A) (r R, err error) {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		err = p.caller.Call(ctx, v)
		r = *at[R](v.memory.results)
		v.Free()
		return r, err
	}
	if p.sig.ctx {
		*(*func(context.Context, A) (R, error))(field) = call
		return
	}
	*(*func(A) (R, error))(field) = func(a A) (R, error) { return call(context.Background(), a) }
}

func proxy2[A, B any](p *stub, field address) {
	call := func(ctx context.Context, a A, b B) error {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[B](v.memory.second) = b
		err := p.caller.Call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context, A, B) error)(field) = call
		return
	}
	*(*func(A, B) error)(field) = func(a A, b B) error { return call(context.Background(), a, b) }
}

func proxy2R[A, B, R any](p *stub, field address) {
	call := func(ctx context.Context, a A, b B) (r R, err error) {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[B](v.memory.second) = b
		err = p.caller.Call(ctx, v)
		r = *at[R](v.memory.results)
		v.Free()
		return r, err
	}
	if p.sig.ctx {
		*(*func(context.Context, A, B) (R, error))(field) = call
		return
	}
	*(*func(A, B) (R, error))(field) = func(a A, b B) (R, error) { return call(context.Background(), a, b) }
}

func proxy3[A any](p *stub, field address) {
	call := func(ctx context.Context, a, b, c A) error {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[A](v.memory.second) = b
		*at[A](v.memory.third) = c
		err := p.caller.Call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context, A, A, A) error)(field) = call
		return
	}
	*(*func(A, A, A) error)(field) = func(a, b, c A) error { return call(context.Background(), a, b, c) }
}

func proxy3R[A, R any](p *stub, field address) {
	call := func(ctx context.Context, a, b, c A) (r R, err error) {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[A](v.memory.second) = b
		*at[A](v.memory.third) = c
		err = p.caller.Call(ctx, v)
		r = *at[R](v.memory.results)
		v.Free()
		return r, err
	}
	if p.sig.ctx {
		*(*func(context.Context, A, A, A) (R, error))(field) = call
		return
	}
	*(*func(A, A, A) (R, error))(field) = func(a, b, c A) (R, error) { return call(context.Background(), a, b, c) }
}
