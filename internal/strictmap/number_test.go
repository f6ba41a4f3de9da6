package strictmap

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

// allInts has a field of each integer type.
type allInts struct {
	I   int
	I8  int8
	I16 int16
	I32 int32
	I64 int64
	U   uint
	U8  uint8
	U16 uint16
	U32 uint32
	U64 uint64
}

// boundaryValues returns numbers around the limits of each integer type.
func boundaryValues() []*big.Int {
	list := []*big.Int{new(big.Int)}
	for _, bits := range []uint{1, 7, 8, 15, 16, 31, 32, 53, 63, 64} {
		power := new(big.Int).Lsh(big.NewInt(1), bits)
		for d := int64(-1); d <= 1; d++ {
			n := new(big.Int).Add(power, big.NewInt(d))
			list = append(list, n, new(big.Int).Neg(n))
		}
	}
	return list
}

// inRange reports whether n is in the range of the integer type t.
func inRange(t reflect.Type, n *big.Int) bool {
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(t.Bits()))
	if isInt(t.Kind()) {
		high.Rsh(high, 1)
		low.Neg(high)
	}
	return n.Cmp(low) >= 0 && n.Cmp(high) < 0
}

// representations returns n in each type and text able to represent it exactly.
func representations(n *big.Int) []any {
	list := []any{n.String(), n.String() + "B", n.String() + " B"}
	v := reflect.ValueOf(allInts{})
	for i := range v.NumField() {
		if t := v.Field(i).Type(); inRange(t, n) {
			made := reflect.New(t).Elem()
			if isInt(t.Kind()) {
				made.SetInt(n.Int64())
			} else {
				made.SetUint(n.Uint64())
			}
			list = append(list, made.Interface())
		}
	}
	if f, exact := new(big.Float).SetInt(n).Float64(); exact == big.Exact && math.Abs(f) <= 1<<53 {
		list = append(list, f)
	}
	if new(big.Int).Rem(n, big.NewInt(1024)).Sign() == 0 {
		list = append(list, new(big.Int).Quo(n, big.NewInt(1024)).String()+"KiB")
	}
	return list
}

// A number decodes without loss into each type with a sufficient range, and is
// an error for others.
func TestWholeNumbers(t *testing.T) {
	fields := reflect.TypeFor[allInts]()
	for _, n := range boundaryValues() {
		for _, form := range representations(n) {
			for i := range fields.NumField() {
				f := fields.Field(i)
				var got allInts
				err := Decode(map[string]any{f.Name: form}, &got)
				switch fits := inRange(f.Type, n); {
				case fits != (err == nil):
					t.Errorf("%T %v into %s: error %v", form, n, f.Type, err)
				case !fits && strings.Contains(strings.ReplaceAll(err.Error(), wantInteger(f.Type), ""), n.String()):
					t.Errorf("%T %v into %s: the error contains the value: %v", form, n, f.Type, err)
				case fits && fmt.Sprint(reflect.ValueOf(got).Field(i)) != n.String():
					t.Errorf("%T %v into %s: have %v", form, n, f.Type, got)
				}
			}
		}
	}
}

func TestWantInteger(t *testing.T) {
	tests := map[reflect.Type]string{
		reflect.TypeFor[int8]():   "a whole number from -128 to 127",
		reflect.TypeFor[uint16](): "a whole number from 0 to 65535",
		reflect.TypeFor[int32]():  `a whole number, or a size such as "16MiB"`,
		reflect.TypeFor[int64]():  `a whole number, or a size such as "16MiB"`,
		reflect.TypeFor[uint64](): `a whole number, or a size such as "16MiB"`,
	}
	for typ, want := range tests {
		if got := wantInteger(typ); got != want {
			t.Errorf("%s wants %s, want %s", typ, got, want)
		}
	}
}

func FuzzParseWholeNumber(f *testing.F) {
	for _, s := range []string{"1", "-1", "16MiB", "9 GiB", "-8388608TiB", "18446744073709551615"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseWholeNumber(s)
		if !ok {
			return
		}
		if n.negative && (n.abs == 0 || !strings.HasPrefix(s, "-")) {
			t.Errorf("%q is negative", s)
		}
		digits, _ := new(big.Int).SetString(strings.TrimRight(strings.TrimPrefix(s, "-"), " BKMGTi"), 10)
		if digits == nil || new(big.Int).SetUint64(n.abs).Cmp(digits) < 0 {
			t.Errorf("%q is %d", s, n.abs)
		}
	})
}
