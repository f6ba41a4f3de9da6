//go:build !bsrpc_safe && (amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || goexperiment.regabiargs)

package method

import (
	"context"
	"reflect"
	"runtime"
	"sync"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// The funcs of proxies with a struct by value or several results. Their parameters are typed,
// as those of all proxies are. Their results are words: a func fills more registers than its
// true type has results, which harms nobody, as registers belong to the func that is called.
//
// The collector does not see a pointer in a word. The copy of the results does hold it, until
// the words are in their registers: from there on the goroutine stops at no place where the
// collector trusts the types of this func, until its caller has them with their true ones.

// wordResults takes the registers of all results and an error.
type wordResults[A any] func(context.Context, A) (a, b, c, d, e, f, g, h, i word, x, y, z float64)

// A wordsMaker stores a func with results as words into a field of a proxy.
type wordsMaker func(p *wordsStub, field address)

// wordsMakers returns the makers by the parameter: one class, or the scalars of a struct in
// braces; empty if the self-check fails. It is made by a func for the reason of allThunks.
func wordsMakers() map[string]wordsMaker {
	wordsOnce.Do(func() {
		if wordsWork() {
			wordsMade = wordsTable()
		}
	})
	return wordsMade
}

var (
	wordsOnce sync.Once
	wordsMade map[string]wordsMaker
)

func wordsTable() map[string]wordsMaker {
	return map[string]wordsMaker{
		"":        words0,
		"p":       words1[address],
		"s":       words1[string],
		"v":       words1[[]byte],
		"w":       words1[word],
		"{ww}":    words1[two[word, word]],
		"{wp}":    words1[two[word, address]],
		"{pw}":    words1[two[address, word]],
		"{pp}":    words1[two[address, address]],
		"{dd}":    words1[two[float64, float64]],
		"{www}":   words1[three[word, word, word]],
		"{ppp}":   words1[three[address, address, address]],
		"{wpw}":   words1[three[word, address, word]],
		"{pww}":   words1[three[address, word, word]],
		"{pwd}":   words1[three[address, word, float64]],
		"{ddd}":   words1[three[float64, float64, float64]],
		"{wpww}":  words1[four[word, address, word, word]],
		"{pwww}":  words1[four[address, word, word, word]],
		"{pwpw}":  words1[four[address, word, address, word]],
		"{wpwd}":  words1[four[word, address, word, float64]],
		"{wpwpw}": words1[five[word, address, word, address, word]],
		"{wpw4d}": words1[five[word, address, word, uint32, float64]],
	}
}

// A wordsStub is a stub that returns words.
type wordsStub struct {
	*stub
	funcCode              // the parts of the results
	typ      reflect.Type // of a copy of the results; nil if they have no pointers
}

// wordsThunkOf returns the thunk of a signature with results as words, nil if there is none.
func wordsThunkOf(s *Signature) thunk {
	p := wordsStub{}
	// On s390x the ninth word is not in a register.
	if runtime.GOARCH == "s390x" || len(s.params) > 1 || !p.setParts(s.Results.Type()) {
		return nil
	}
	key := ""
	if len(s.params) > 0 {
		if t := s.params[0]; t.Kind() == reflect.Struct {
			key = "{" + scalarsOf(t) + "}"
		} else {
			key = string(classOf(t, packsWords(s.params)))
		}
	}
	made := wordsMakers()[key]
	if made == nil {
		return nil
	}
	if hasPointers(s.Results.Type()) {
		p.typ = s.Results.Type()
	}
	return func(stub *stub, field address) {
		to := p
		to.stub = stub
		made(&to, field)
	}
}

// setParts finds the parts of the results. It reports false if they and an error are not all
// in registers, as words and float64s.
func (p *wordsStub) setParts(results reflect.Type) bool {
	for i := range results.NumField() {
		if f := results.Field(i); f.Type.Size() == 0 || !p.addParts(f.Type, f.Offset) {
			return false
		}
	}
	for _, f := range p.floats {
		if f.size != 8 {
			return false
		}
	}
	return len(p.ints)+2 <= maxWords && len(p.floats) <= maxFloats
}

// hasPointers reports whether the collector looks into values of a type without arrays of
// several elements.
func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return hasPointers(t.Elem())
	}
	return t.Kind() > reflect.Complex128
}

func words0(p *wordsStub, field address) {
	if p.sig.ctx {
		*(*func(context.Context) (a, b, c, d, e, f, g, h, i word, x, y, z float64))(field) = func(ctx context.Context) (a, b, c, d, e, f, g, h, i word, x, y, z float64) {
			return p.call(ctx, p.sig.NewValues())
		}
		return
	}
	*(*func() (a, b, c, d, e, f, g, h, i word, x, y, z float64))(field) = func() (a, b, c, d, e, f, g, h, i word, x, y, z float64) {
		return p.call(context.Background(), p.sig.NewValues())
	}
}

func words1[A any](p *wordsStub, field address) {
	call := func(ctx context.Context, arg A) (a, b, c, d, e, f, g, h, i word, x, y, z float64) {
		v := p.sig.NewValues()
		*at[A](v.memory.args) = arg
		return p.call(ctx, v)
	}
	if p.sig.ctx {
		*(*wordResults[A])(field) = call
		return
	}
	*(*func(A) (a, b, c, d, e, f, g, h, i word, x, y, z float64))(field) = func(arg A) (a, b, c, d, e, f, g, h, i word, x, y, z float64) {
		return call(context.Background(), arg)
	}
}

// call makes the call with the arguments in v, and returns the registers of its results.
func (p *wordsStub) call(ctx context.Context, v *Values) (a, b, c, d, e, f, g, h, i word, x, y, z float64) {
	err := p.caller.Call(ctx, v)
	from := v.memory.results
	if p.typ != nil {
		kept := reflect.New(p.typ)
		kept.Elem().Set(v.results)
		from = kept.UnsafePointer()
	}
	var r gathered
	p.load(&r, from)
	*at[error](address(&r.ints[len(p.ints)])) = err
	v.Free()
	runtime.KeepAlive(from)
	runtime.KeepAlive(err)
	return r.ints[0], r.ints[1], r.ints[2], r.ints[3], r.ints[4], r.ints[5], r.ints[6], r.ints[7], r.ints[8], r.floats[0], r.floats[1], r.floats[2]
}

// wordsWork is the self-check: it calls a func whose results only arrive whole if they travel
// as this package takes them to.
func wordsWork() bool {
	var filled func(markResult) (markResult, uint8, error)
	s, problems := compileFunc("", "", reflect.TypeOf(filled), 0, new(codec.MethodTag))
	if problems != nil {
		return false
	}
	p := wordsStub{stub: &stub{s, wordsProbe{}}, typ: s.Results.Type()}
	if !p.setParts(s.Results.Type()) {
		return false
	}
	words1[five[word, address, word, uint32, float64]](&p, address(&filled))
	in := markResult{1, "a", 2, -0.5}
	out, last, err := filled(in)
	return out == in && last == 3 && err == context.Canceled
}

// A wordsProbe answers with the arguments.
type wordsProbe struct{}

func (wordsProbe) Call(_ context.Context, v *Values) error {
	v.results.Field(0).Set(v.args.Field(0))
	v.results.Field(1).SetUint(3)
	return context.Canceled
}
