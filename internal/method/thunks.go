//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

import "context"

// The thunks of calls and of proxies, for each number of parameters, without a
// result and with one (R). thunks_unsafe.go says which types they stand for, and
// why that is sound.

func call0(m *funcCode, recv address, v *Values) (err error) {
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		(*(*func())(code))()
	case withReceiver:
		(*(*func(address))(code))(recv)
	case withContext:
		(*(*func(context.Context))(code))(v.Ctx)
	case withReceiver | withContext:
		(*(*func(address, context.Context))(code))(recv, v.Ctx)
	case withError:
		err = (*(*func() error)(code))()
	case withReceiver | withError:
		err = (*(*func(address) error)(code))(recv)
	case withContext | withError:
		err = (*(*func(context.Context) error)(code))(v.Ctx)
	case withReceiver | withContext | withError:
		err = (*(*func(address, context.Context) error)(code))(recv, v.Ctx)
	}
	return err
}

func proxy0(p *stub, field address) {
	call := func(ctx context.Context) error {
		v := p.sig.NewValues()
		err := p.call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context) error)(field) = call
		return
	}
	*(*func() error)(field) = func() error { return call(context.Background()) }
}

func call0R[R any](m *funcCode, recv address, v *Values) (err error) {
	r := at[R](v.memory.results)
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		*r = (*(*func() R)(code))()
	case withReceiver:
		*r = (*(*func(address) R)(code))(recv)
	case withContext:
		*r = (*(*func(context.Context) R)(code))(v.Ctx)
	case withReceiver | withContext:
		*r = (*(*func(address, context.Context) R)(code))(recv, v.Ctx)
	case withError:
		*r, err = (*(*func() (R, error))(code))()
	case withReceiver | withError:
		*r, err = (*(*func(address) (R, error))(code))(recv)
	case withContext | withError:
		*r, err = (*(*func(context.Context) (R, error))(code))(v.Ctx)
	case withReceiver | withContext | withError:
		*r, err = (*(*func(address, context.Context) (R, error))(code))(recv, v.Ctx)
	}
	return err
}

func proxy0R[R any](p *stub, field address) {
	call := func(ctx context.Context) (r R, err error) {
		v := p.sig.NewValues()
		err = p.call(ctx, v)
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

func call1[A any](m *funcCode, recv address, v *Values) (err error) {
	a := *at[A](v.memory.args)
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		(*(*func(A))(code))(a)
	case withReceiver:
		(*(*func(address, A))(code))(recv, a)
	case withContext:
		(*(*func(context.Context, A))(code))(v.Ctx, a)
	case withReceiver | withContext:
		(*(*func(address, context.Context, A))(code))(recv, v.Ctx, a)
	case withError:
		err = (*(*func(A) error)(code))(a)
	case withReceiver | withError:
		err = (*(*func(address, A) error)(code))(recv, a)
	case withContext | withError:
		err = (*(*func(context.Context, A) error)(code))(v.Ctx, a)
	case withReceiver | withContext | withError:
		err = (*(*func(address, context.Context, A) error)(code))(recv, v.Ctx, a)
	}
	return err
}

func proxy1[A any](p *stub, field address) {
	call := func(ctx context.Context, a A) error {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		err := p.call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context, A) error)(field) = call
		return
	}
	*(*func(A) error)(field) = func(a A) error { return call(context.Background(), a) }
}

func call1R[A, R any](m *funcCode, recv address, v *Values) (err error) {
	a := *at[A](v.memory.args)
	r := at[R](v.memory.results)
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		*r = (*(*func(A) R)(code))(a)
	case withReceiver:
		*r = (*(*func(address, A) R)(code))(recv, a)
	case withContext:
		*r = (*(*func(context.Context, A) R)(code))(v.Ctx, a)
	case withReceiver | withContext:
		*r = (*(*func(address, context.Context, A) R)(code))(recv, v.Ctx, a)
	case withError:
		*r, err = (*(*func(A) (R, error))(code))(a)
	case withReceiver | withError:
		*r, err = (*(*func(address, A) (R, error))(code))(recv, a)
	case withContext | withError:
		*r, err = (*(*func(context.Context, A) (R, error))(code))(v.Ctx, a)
	case withReceiver | withContext | withError:
		*r, err = (*(*func(address, context.Context, A) (R, error))(code))(recv, v.Ctx, a)
	}
	return err
}

func proxy1R[A, R any](p *stub, field address) {
	call := func(ctx context.Context, a A) (r R, err error) {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		err = p.call(ctx, v)
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

func call2[A, B any](m *funcCode, recv address, v *Values) (err error) {
	a, b := *at[A](v.memory.args), *at[B](v.memory.second)
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		(*(*func(A, B))(code))(a, b)
	case withReceiver:
		(*(*func(address, A, B))(code))(recv, a, b)
	case withContext:
		(*(*func(context.Context, A, B))(code))(v.Ctx, a, b)
	case withReceiver | withContext:
		(*(*func(address, context.Context, A, B))(code))(recv, v.Ctx, a, b)
	case withError:
		err = (*(*func(A, B) error)(code))(a, b)
	case withReceiver | withError:
		err = (*(*func(address, A, B) error)(code))(recv, a, b)
	case withContext | withError:
		err = (*(*func(context.Context, A, B) error)(code))(v.Ctx, a, b)
	case withReceiver | withContext | withError:
		err = (*(*func(address, context.Context, A, B) error)(code))(recv, v.Ctx, a, b)
	}
	return err
}

func proxy2[A, B any](p *stub, field address) {
	call := func(ctx context.Context, a A, b B) error {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[B](v.memory.second) = b
		err := p.call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context, A, B) error)(field) = call
		return
	}
	*(*func(A, B) error)(field) = func(a A, b B) error { return call(context.Background(), a, b) }
}

func call2R[A, B, R any](m *funcCode, recv address, v *Values) (err error) {
	a, b := *at[A](v.memory.args), *at[B](v.memory.second)
	r := at[R](v.memory.results)
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		*r = (*(*func(A, B) R)(code))(a, b)
	case withReceiver:
		*r = (*(*func(address, A, B) R)(code))(recv, a, b)
	case withContext:
		*r = (*(*func(context.Context, A, B) R)(code))(v.Ctx, a, b)
	case withReceiver | withContext:
		*r = (*(*func(address, context.Context, A, B) R)(code))(recv, v.Ctx, a, b)
	case withError:
		*r, err = (*(*func(A, B) (R, error))(code))(a, b)
	case withReceiver | withError:
		*r, err = (*(*func(address, A, B) (R, error))(code))(recv, a, b)
	case withContext | withError:
		*r, err = (*(*func(context.Context, A, B) (R, error))(code))(v.Ctx, a, b)
	case withReceiver | withContext | withError:
		*r, err = (*(*func(address, context.Context, A, B) (R, error))(code))(recv, v.Ctx, a, b)
	}
	return err
}

func proxy2R[A, B, R any](p *stub, field address) {
	call := func(ctx context.Context, a A, b B) (r R, err error) {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[B](v.memory.second) = b
		err = p.call(ctx, v)
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

func call3[A any](m *funcCode, recv address, v *Values) (err error) {
	a, b, c := *at[A](v.memory.args), *at[A](v.memory.second), *at[A](v.memory.third)
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		(*(*func(A, A, A))(code))(a, b, c)
	case withReceiver:
		(*(*func(address, A, A, A))(code))(recv, a, b, c)
	case withContext:
		(*(*func(context.Context, A, A, A))(code))(v.Ctx, a, b, c)
	case withReceiver | withContext:
		(*(*func(address, context.Context, A, A, A))(code))(recv, v.Ctx, a, b, c)
	case withError:
		err = (*(*func(A, A, A) error)(code))(a, b, c)
	case withReceiver | withError:
		err = (*(*func(address, A, A, A) error)(code))(recv, a, b, c)
	case withContext | withError:
		err = (*(*func(context.Context, A, A, A) error)(code))(v.Ctx, a, b, c)
	case withReceiver | withContext | withError:
		err = (*(*func(address, context.Context, A, A, A) error)(code))(recv, v.Ctx, a, b, c)
	}
	return err
}

func proxy3[A any](p *stub, field address) {
	call := func(ctx context.Context, a, b, c A) error {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[A](v.memory.second) = b
		*at[A](v.memory.third) = c
		err := p.call(ctx, v)
		v.Free()
		return err
	}
	if p.sig.ctx {
		*(*func(context.Context, A, A, A) error)(field) = call
		return
	}
	*(*func(A, A, A) error)(field) = func(a, b, c A) error { return call(context.Background(), a, b, c) }
}

func call3R[A, R any](m *funcCode, recv address, v *Values) (err error) {
	a, b, c := *at[A](v.memory.args), *at[A](v.memory.second), *at[A](v.memory.third)
	r := at[R](v.memory.results)
	code := m.fn
	switch m.form &^ withCode {
	case 0:
		*r = (*(*func(A, A, A) R)(code))(a, b, c)
	case withReceiver:
		*r = (*(*func(address, A, A, A) R)(code))(recv, a, b, c)
	case withContext:
		*r = (*(*func(context.Context, A, A, A) R)(code))(v.Ctx, a, b, c)
	case withReceiver | withContext:
		*r = (*(*func(address, context.Context, A, A, A) R)(code))(recv, v.Ctx, a, b, c)
	case withError:
		*r, err = (*(*func(A, A, A) (R, error))(code))(a, b, c)
	case withReceiver | withError:
		*r, err = (*(*func(address, A, A, A) (R, error))(code))(recv, a, b, c)
	case withContext | withError:
		*r, err = (*(*func(context.Context, A, A, A) (R, error))(code))(v.Ctx, a, b, c)
	case withReceiver | withContext | withError:
		*r, err = (*(*func(address, context.Context, A, A, A) (R, error))(code))(recv, v.Ctx, a, b, c)
	}
	return err
}

func proxy3R[A, R any](p *stub, field address) {
	call := func(ctx context.Context, a, b, c A) (r R, err error) {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = a
		*at[A](v.memory.second) = b
		*at[A](v.memory.third) = c
		err = p.call(ctx, v)
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
