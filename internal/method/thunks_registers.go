//go:build !bsrpc_safe && (amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || goexperiment.regabiargs)

package method

// Calls where arguments and results travel in registers. All words and floats are
// passed, however many the method takes: it ignores the others.
//
// The calls are written out for each class of results. Type parameters would bring
// descriptions of all func types into every program.

const inRegisters = true

type (
	nothing[F any]    func(a, b, c, d, e, f, g, h, i word, x, y, z F)
	one[F, R any]     func(a, b, c, d, e, f, g, h, i word, x, y, z F) R
	orError[F, R any] func(a, b, c, d, e, f, g, h, i word, x, y, z F) (R, error)
)

// call calls the method, and stores its result.
func (code *funcCode) call(words *ints, floats *floats, m *memory) (err error) {
	if code.single {
		return code.callSingles(words, &m.gathered.singles, m.results)
	}
	result := m.results
	a, b, c, d, e, f, g, h, i := words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7], words[8]
	x, y, z := floats[0], floats[1], floats[2]
	switch code.results {
	case 0:
		(*(*nothing[float64])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case withError:
		err = (*(*one[float64, error])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'p':
		*at[address](result) = (*(*one[float64, address])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'p' | withError:
		*at[address](result), err = (*(*orError[float64, address])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 's':
		*at[string](result) = (*(*one[float64, string])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 's' | withError:
		*at[string](result), err = (*(*orError[float64, string])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'v':
		*at[[]byte](result) = (*(*one[float64, []byte])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'v' | withError:
		*at[[]byte](result), err = (*(*orError[float64, []byte])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'w':
		*at[word](result) = (*(*one[float64, word])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'w' | withError:
		*at[word](result), err = (*(*orError[float64, word])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'f':
		*at[float32](result) = (*(*one[float64, float32])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'f' | withError:
		*at[float32](result), err = (*(*orError[float64, float32])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'd':
		*at[float64](result) = (*(*one[float64, float64])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'd' | withError:
		*at[float64](result), err = (*(*orError[float64, float64])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case structResult, structResult | withError:
		err = code.result(code, words, floats, result)
	}
	return err
}

// resultOf is a resultCode for results with the scalars of an R.
func resultOf[R any](code *funcCode, w *ints, f *floats, results address) (err error) {
	if code.results&withError == 0 {
		*at[R](results) = (*(*one[float64, R])(code.fn))(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], f[0], f[1], f[2])
		return nil
	}
	*at[R](results), err = (*(*orError[float64, R])(code.fn))(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], f[0], f[1], f[2])
	return err
}

// callSingles is call for floats of 32 bits.
func (code *funcCode) callSingles(words *ints, floats *singles, result address) (err error) {
	a, b, c, d, e, f, g, h, i := words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7], words[8]
	x, y, z := floats[0], floats[1], floats[2]
	switch code.results {
	case 0:
		(*(*nothing[float32])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case withError:
		err = (*(*one[float32, error])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'p':
		*at[address](result) = (*(*one[float32, address])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'p' | withError:
		*at[address](result), err = (*(*orError[float32, address])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 's':
		*at[string](result) = (*(*one[float32, string])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 's' | withError:
		*at[string](result), err = (*(*orError[float32, string])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'v':
		*at[[]byte](result) = (*(*one[float32, []byte])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'v' | withError:
		*at[[]byte](result), err = (*(*orError[float32, []byte])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'w':
		*at[word](result) = (*(*one[float32, word])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'w' | withError:
		*at[word](result), err = (*(*orError[float32, word])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'f':
		*at[float32](result) = (*(*one[float32, float32])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'f' | withError:
		*at[float32](result), err = (*(*orError[float32, float32])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'd':
		*at[float64](result) = (*(*one[float32, float64])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	case 'd' | withError:
		*at[float64](result), err = (*(*orError[float32, float64])(code.fn))(a, b, c, d, e, f, g, h, i, x, y, z)
	}
	return err
}
