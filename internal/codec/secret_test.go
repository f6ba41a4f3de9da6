package codec

import (
	"iter"
	"reflect"
	"slices"
	"testing"
)

type secretUser struct {
	Name  string
	Token string `bsrpc:"secret name=token"`
}

type secretTree struct {
	Key  string `bsrpc:"secret"`
	Kids []*secretTree
}

type secretList []secretList

type secretWide struct {
	A, B, C, D, E, F, G, H secretUser
	I, J, K, L, M, N, O, P secretUser
}

type secretWider struct {
	A, B, C, D, E, F, G, H secretWide
	I, J, K, L, M, N, O, P []secretWide
	Q, R, S, T             map[string]secretWide
}

func TestSecrets(t *testing.T) {
	for _, tt := range []struct {
		typ  reflect.Type
		want []string
	}{
		{reflect.TypeFor[string](), nil},
		{reflect.TypeFor[secretUser](), []string{"parameter 1.token"}},
		{reflect.TypeFor[*[]secretUser](), []string{"parameter 1[].token"}},
		{reflect.TypeFor[map[secretUser]int](), []string{"parameter 1[key].token"}},
		{reflect.TypeFor[map[int][2]secretUser](), []string{"parameter 1[][].token"}},
		{reflect.TypeFor[iter.Seq2[secretUser, error]](), []string{"parameter 1[].token"}},
		{reflect.TypeFor[func(secretUser) error](), []string{"parameter 1"}},
		{reflect.TypeFor[func() (secretUser, error)](), []string{"parameter 1"}},
		{reflect.TypeFor[func(int) error](), nil},
		{reflect.TypeFor[secretTree](), []string{"parameter 1.Key", "parameter 1.Kids[]"}},
		{reflect.TypeFor[secretList](), nil},
		{reflect.TypeFor[secretWider](), []string{"parameter 1"}},
	} {
		if got := Secrets("parameter", []reflect.Type{tt.typ}, nil); !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %q, want %q", tt.typ, got, tt.want)
		}
	}
	tags := []*Tag{nil, {Secret: true}}
	if got := Secrets("result", []reflect.Type{reflect.TypeFor[int](), reflect.TypeFor[int]()}, tags); !slices.Equal(got, []string{"result 2"}) {
		t.Errorf("got %q", got)
	}
}

// The word changes neither the bytes nor the layout.
func TestSecretIsNoFormat(t *testing.T) {
	type plain struct {
		A int `bsrpc:"be4"`
		B []string
	}
	type secret struct {
		A int      `bsrpc:"secret be4"`
		B []string `bsrpc:"secret"`
	}
	a, err := Compile(reflect.TypeFor[plain](), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Compile(reflect.TypeFor[secret](), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Layout().String() != b.Layout().String() {
		t.Errorf("got %v, want %v", b.Layout(), a.Layout())
	}
	for _, tag := range []string{"elem=secret", "key=secret"} {
		tag, _, err := ParseFieldTag(tag)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Compile(reflect.TypeFor[map[int]int](), tag); err == nil {
			t.Error("compiled")
		}
	}
}
