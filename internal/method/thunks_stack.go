//go:build !bsrpc_safe && !(amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || goexperiment.regabiargs)

package method

const inRegisters = false

// call calls the method, and stores its result.
func (c *funcCode) call(words *ints, _ *floats, m *memory) error {
	switch c.results &^ withError {
	case 'p':
		return callFor[address](c, words, m)
	case 's':
		return callFor[string](c, words, m)
	case 'v':
		return callFor[[]byte](c, words, m)
	case 'w':
		return callFor[word](c, words, m)
	case 'f':
		return callFor[float32](c, words, m)
	case 'd':
		return callFor[float64](c, words, m)
	}
	return callFor[struct{}](c, words, m)
}

func callFor[R any](c *funcCode, words *ints, m *memory) error {
	if c.results&withError == 0 {
		*at[R](m.results) = callStack[R](c, words)
		return nil
	}
	out := callStack[withErrorAfter[R]](c, words)
	*at[R](m.results) = out.result
	return out.err
}

// withErrorAfter takes the same words as two results.
type withErrorAfter[R any] struct {
	result R
	err    error
}

// callStack calls a func that returns a T. Its results follow the arguments, so the
// number of words must be exact.
func callStack[T any](c *funcCode, i *ints) T {
	switch c.words {
	case 0:
		return (*at[func() T](c.fn))()
	case 1:
		return (*at[func(a word) T](c.fn))(i[0])
	case 2:
		return (*at[func(a, b word) T](c.fn))(i[0], i[1])
	case 3:
		return (*at[func(a, b, c word) T](c.fn))(i[0], i[1], i[2])
	case 4:
		return (*at[func(a, b, c, d word) T](c.fn))(i[0], i[1], i[2], i[3])
	case 5:
		return (*at[func(a, b, c, d, e word) T](c.fn))(i[0], i[1], i[2], i[3], i[4])
	case 6:
		return (*at[func(a, b, c, d, e, f word) T](c.fn))(i[0], i[1], i[2], i[3], i[4], i[5])
	case 7:
		return (*at[func(a, b, c, d, e, f, g word) T](c.fn))(i[0], i[1], i[2], i[3], i[4], i[5], i[6])
	case 8:
		return (*at[func(a, b, c, d, e, f, g, h word) T](c.fn))(i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7])
	}
	return (*at[func(a, b, c, d, e, f, g, h, i word) T](c.fn))(i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8])
}

// resultOf is not used: results follow the arguments, and only reflection knows where.
func resultOf[R any](*funcCode, *ints, *floats, address) error { panic("bsrpc: no struct results") }

// wordsThunkOf returns nil: more results than a func has would not fit its caller's memory.
func wordsThunkOf(*Signature) thunk { return nil }
