package bsrpc_test

import (
	"iter"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// mistaken has tags as written by users of other libraries.
type mistaken struct {
	A func(a, b int) (int, error) `bsrpc:"(le4 le4) le4"`
	B func(int) (int, error)      `bsrpc:"(le4) le4 timeout=5s"`
	C func(int) (int, error)      `bsrpc:"(le4),(le4)"`
	D func(int) (int, error)      `bsrpc:"Timeout=5s"`
	E func(int) (int, error)      `bsrpc:"timeout=0s"`
	F func(int) (int, error)      `bsrpc:"exclusive"`
	G func(int) (int, error)      `bsrpc:"required"`
	H func(int) (int, error)      `bsrpc:"max=5"`
	I func(int) (int, error)      `bsrpc:"(price,omitempty)"`
	J func(int) (int, error)      `bsrpc:"(LE4)"`
	K func(int) (int, error)      `bsrpc:"onewy"`
	L func(int) int
	M func(int, func() int) error
	N func() iter.Seq2[int, error] `bsrpc:"onewy"`
}

func TestContractMistakes(t *testing.T) {
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	problems := []string{
		`Shop.A: parameter 1: two formats, "le4" and "le4"; give one, or separate parameters by a comma`,
		`Shop.B: result 1: unknown word "timeout="; it is an option of a func; options follow the formats of a func's tag after a comma`,
		`Shop.C: unknown option "(le4)"; results follow the parameters without a comma, as in "(le4,le4) le4"`,
		`Shop.D: unknown option "Timeout="; did you mean timeout=?`,
		`Shop.E: timeout=0s: want a positive duration with a unit, such as 60s, or none`,
		`Shop.F: "exclusive=" needs a value, as in exclusive=X`,
		`Shop.G: unknown option "required"` + rawOptions,
		`Shop.H: unknown option "max=5"; formats belong in the signature, as in "(le4,le4) le4"` + rawOptions,
		`Shop.I: parameter 1: unknown word "price"` + strings.Replace(theWords, ", elem=, name=, pad and const=", " and elem=", 1),
		`Shop.J: parameter 1: unknown word "LE4"; did you mean le4?`,
		`Shop.K: unknown option "onewy"; did you mean oneway?`,
		"Shop.L: must end in error: a call can fail on the way",
		`Shop.N: unknown option "onewy"; did you mean oneway?`,
		"Shop.M, parameter 2: func() int must end in error: a call can fail on the way, and a zero would look like an answer",
	}
	_, err = bsrpc.Bind[mistaken](t.Context(), client, "Shop")
	checkText(t, "Bind", err, refused("bind Shop", problems...))
	impl := &mistaken{L: func(int) int { return 0 }}
	impl.A = func(a, b int) (int, error) { return a + b, nil }
	same := func(n int) (int, error) { return n, nil }
	impl.B, impl.C, impl.D, impl.E, impl.F, impl.G, impl.H, impl.I, impl.J, impl.K = same, same, same, same, same, same, same, same, same, same
	impl.M = func(int, func() int) error { return nil }
	impl.N = func() iter.Seq2[int, error] { return nil }
	checkText(t, "RegisterAs", bsrpc.RegisterAs[mistaken](bsrpc.NewServer(nil), "Shop", impl), refused("register Shop", problems...))
}
