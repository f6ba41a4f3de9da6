//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package bsrpc

import "context"

// The calls and the proxies of invoke_unsafe.go, for each number of parameters
// without a result and with one (R). Which types they stand for, and why that
// is sound, is said there.

func call0(m *method, f *frame) (err error) {
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		as[func()](code)()
	case withReceiver:
		as[func(address)](code)(v)
	case withContext:
		as[func(context.Context)](code)(f.ctx)
	case withReceiver | withContext:
		as[func(address, context.Context)](code)(v, f.ctx)
	case withError:
		err = as[func() error](code)()
	case withReceiver | withError:
		err = as[func(address) error](code)(v)
	case withContext | withError:
		err = as[func(context.Context) error](code)(f.ctx)
	case withReceiver | withContext | withError:
		err = as[func(address, context.Context) error](code)(v, f.ctx)
	}
	return err
}

func proxy0(m *proxyMethod, field address) {
	call := func(ctx context.Context) error {
		f := m.sig.newFrame()
		err := m.call(ctx, f)
		f.free()
		return err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func() error { return call(context.Background()) })
}

func call0R[R any](m *method, f *frame) (err error) {
	r := at[R](f.memory.rets)
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		*r = as[func() R](code)()
	case withReceiver:
		*r = as[func(address) R](code)(v)
	case withContext:
		*r = as[func(context.Context) R](code)(f.ctx)
	case withReceiver | withContext:
		*r = as[func(address, context.Context) R](code)(v, f.ctx)
	case withError:
		*r, err = as[func() (R, error)](code)()
	case withReceiver | withError:
		*r, err = as[func(address) (R, error)](code)(v)
	case withContext | withError:
		*r, err = as[func(context.Context) (R, error)](code)(f.ctx)
	case withReceiver | withContext | withError:
		*r, err = as[func(address, context.Context) (R, error)](code)(v, f.ctx)
	}
	return err
}

func proxy0R[R any](m *proxyMethod, field address) {
	call := func(ctx context.Context) (r R, err error) {
		f := m.sig.newFrame()
		err = m.call(ctx, f)
		r = *at[R](f.memory.rets)
		f.free()
		return r, err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func() (R, error) { return call(context.Background()) })
}

func call1[A any](m *method, f *frame) (err error) {
	a := *at[A](f.memory.args)
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		as[func(A)](code)(a)
	case withReceiver:
		as[func(address, A)](code)(v, a)
	case withContext:
		as[func(context.Context, A)](code)(f.ctx, a)
	case withReceiver | withContext:
		as[func(address, context.Context, A)](code)(v, f.ctx, a)
	case withError:
		err = as[func(A) error](code)(a)
	case withReceiver | withError:
		err = as[func(address, A) error](code)(v, a)
	case withContext | withError:
		err = as[func(context.Context, A) error](code)(f.ctx, a)
	case withReceiver | withContext | withError:
		err = as[func(address, context.Context, A) error](code)(v, f.ctx, a)
	}
	return err
}

func proxy1[A any](m *proxyMethod, field address) {
	call := func(ctx context.Context, a A) error {
		f := m.sig.newFrame()
		*at[A](f.memory.args) = a
		err := m.call(ctx, f)
		f.free()
		return err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func(a A) error { return call(context.Background(), a) })
}

func call1R[A, R any](m *method, f *frame) (err error) {
	a := *at[A](f.memory.args)
	r := at[R](f.memory.rets)
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		*r = as[func(A) R](code)(a)
	case withReceiver:
		*r = as[func(address, A) R](code)(v, a)
	case withContext:
		*r = as[func(context.Context, A) R](code)(f.ctx, a)
	case withReceiver | withContext:
		*r = as[func(address, context.Context, A) R](code)(v, f.ctx, a)
	case withError:
		*r, err = as[func(A) (R, error)](code)(a)
	case withReceiver | withError:
		*r, err = as[func(address, A) (R, error)](code)(v, a)
	case withContext | withError:
		*r, err = as[func(context.Context, A) (R, error)](code)(f.ctx, a)
	case withReceiver | withContext | withError:
		*r, err = as[func(address, context.Context, A) (R, error)](code)(v, f.ctx, a)
	}
	return err
}

func proxy1R[A, R any](m *proxyMethod, field address) {
	call := func(ctx context.Context, a A) (r R, err error) {
		f := m.sig.newFrame()
		*at[A](f.memory.args) = a
		err = m.call(ctx, f)
		r = *at[R](f.memory.rets)
		f.free()
		return r, err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func(a A) (R, error) { return call(context.Background(), a) })
}

func call2[A, B any](m *method, f *frame) (err error) {
	p := at[args2[A, B]](f.memory.args)
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		as[func(A, B)](code)(p.a, p.b)
	case withReceiver:
		as[func(address, A, B)](code)(v, p.a, p.b)
	case withContext:
		as[func(context.Context, A, B)](code)(f.ctx, p.a, p.b)
	case withReceiver | withContext:
		as[func(address, context.Context, A, B)](code)(v, f.ctx, p.a, p.b)
	case withError:
		err = as[func(A, B) error](code)(p.a, p.b)
	case withReceiver | withError:
		err = as[func(address, A, B) error](code)(v, p.a, p.b)
	case withContext | withError:
		err = as[func(context.Context, A, B) error](code)(f.ctx, p.a, p.b)
	case withReceiver | withContext | withError:
		err = as[func(address, context.Context, A, B) error](code)(v, f.ctx, p.a, p.b)
	}
	return err
}

func proxy2[A, B any](m *proxyMethod, field address) {
	call := func(ctx context.Context, a A, b B) error {
		f := m.sig.newFrame()
		*at[args2[A, B]](f.memory.args) = args2[A, B]{a, b}
		err := m.call(ctx, f)
		f.free()
		return err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func(a A, b B) error { return call(context.Background(), a, b) })
}

func call2R[A, B, R any](m *method, f *frame) (err error) {
	p := at[args2[A, B]](f.memory.args)
	r := at[R](f.memory.rets)
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		*r = as[func(A, B) R](code)(p.a, p.b)
	case withReceiver:
		*r = as[func(address, A, B) R](code)(v, p.a, p.b)
	case withContext:
		*r = as[func(context.Context, A, B) R](code)(f.ctx, p.a, p.b)
	case withReceiver | withContext:
		*r = as[func(address, context.Context, A, B) R](code)(v, f.ctx, p.a, p.b)
	case withError:
		*r, err = as[func(A, B) (R, error)](code)(p.a, p.b)
	case withReceiver | withError:
		*r, err = as[func(address, A, B) (R, error)](code)(v, p.a, p.b)
	case withContext | withError:
		*r, err = as[func(context.Context, A, B) (R, error)](code)(f.ctx, p.a, p.b)
	case withReceiver | withContext | withError:
		*r, err = as[func(address, context.Context, A, B) (R, error)](code)(v, f.ctx, p.a, p.b)
	}
	return err
}

func proxy2R[A, B, R any](m *proxyMethod, field address) {
	call := func(ctx context.Context, a A, b B) (r R, err error) {
		f := m.sig.newFrame()
		*at[args2[A, B]](f.memory.args) = args2[A, B]{a, b}
		err = m.call(ctx, f)
		r = *at[R](f.memory.rets)
		f.free()
		return r, err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func(a A, b B) (R, error) { return call(context.Background(), a, b) })
}

func call3[A any](m *method, f *frame) (err error) {
	p := at[args3[A]](f.memory.args)
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		as[func(A, A, A)](code)(p.a, p.b, p.c)
	case withReceiver:
		as[func(address, A, A, A)](code)(v, p.a, p.b, p.c)
	case withContext:
		as[func(context.Context, A, A, A)](code)(f.ctx, p.a, p.b, p.c)
	case withReceiver | withContext:
		as[func(address, context.Context, A, A, A)](code)(v, f.ctx, p.a, p.b, p.c)
	case withError:
		err = as[func(A, A, A) error](code)(p.a, p.b, p.c)
	case withReceiver | withError:
		err = as[func(address, A, A, A) error](code)(v, p.a, p.b, p.c)
	case withContext | withError:
		err = as[func(context.Context, A, A, A) error](code)(f.ctx, p.a, p.b, p.c)
	case withReceiver | withContext | withError:
		err = as[func(address, context.Context, A, A, A) error](code)(v, f.ctx, p.a, p.b, p.c)
	}
	return err
}

func proxy3[A any](m *proxyMethod, field address) {
	call := func(ctx context.Context, a, b, c A) error {
		f := m.sig.newFrame()
		*at[args3[A]](f.memory.args) = args3[A]{a, b, c}
		err := m.call(ctx, f)
		f.free()
		return err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func(a, b, c A) error { return call(context.Background(), a, b, c) })
}

func call3R[A, R any](m *method, f *frame) (err error) {
	p := at[args3[A]](f.memory.args)
	r := at[R](f.memory.rets)
	code, v := m.code.fn, f.recv.at
	switch m.code.form &^ withCode {
	case 0:
		*r = as[func(A, A, A) R](code)(p.a, p.b, p.c)
	case withReceiver:
		*r = as[func(address, A, A, A) R](code)(v, p.a, p.b, p.c)
	case withContext:
		*r = as[func(context.Context, A, A, A) R](code)(f.ctx, p.a, p.b, p.c)
	case withReceiver | withContext:
		*r = as[func(address, context.Context, A, A, A) R](code)(v, f.ctx, p.a, p.b, p.c)
	case withError:
		*r, err = as[func(A, A, A) (R, error)](code)(p.a, p.b, p.c)
	case withReceiver | withError:
		*r, err = as[func(address, A, A, A) (R, error)](code)(v, p.a, p.b, p.c)
	case withContext | withError:
		*r, err = as[func(context.Context, A, A, A) (R, error)](code)(f.ctx, p.a, p.b, p.c)
	case withReceiver | withContext | withError:
		*r, err = as[func(address, context.Context, A, A, A) (R, error)](code)(v, f.ctx, p.a, p.b, p.c)
	}
	return err
}

func proxy3R[A, R any](m *proxyMethod, field address) {
	call := func(ctx context.Context, a, b, c A) (r R, err error) {
		f := m.sig.newFrame()
		*at[args3[A]](f.memory.args) = args3[A]{a, b, c}
		err = m.call(ctx, f)
		r = *at[R](f.memory.rets)
		f.free()
		return r, err
	}
	if m.sig.ctx {
		set(field, call)
		return
	}
	set(field, func(a, b, c A) (R, error) { return call(context.Background(), a, b, c) })
}
