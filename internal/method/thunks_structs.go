//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

import "reflect"

// Structs of scalars. Their fields are passed one by one, as those of nested structs are, so
// only the scalars and their places count. Room for arguments that are passed in registers
// has the size of their types, which is another reason for equal places.
type (
	two[A, B any] struct {
		A A
		B B
	}
	three[A, B, C any] struct {
		A A
		B B
		C C
	}
	four[A, B, C, D any] struct {
		A A
		B B
		C C
		D D
	}
	five[A, B, C, D, E any] struct {
		A A
		B B
		C C
		D D
		E E
	}
)

// structs has the code for common structs, by the letters of their scalars (scalars). A
// string is pw, a slice pww. Others come by reflection.
var structs = [...]structCode{
	{"d", yieldOf[float64], nil},
	{"4", yieldOf[uint32], nil},
	{"ww", yieldOf[two[word, word]], resultOf[two[word, word]]},
	{"wp", yieldOf[two[word, address]], resultOf[two[word, address]]},
	{"pw", yieldOf[two[address, word]], resultOf[two[address, word]]},
	{"pp", yieldOf[two[address, address]], resultOf[two[address, address]]},
	{"wd", yieldOf[two[word, float64]], resultOf[two[word, float64]]},
	{"dd", yieldOf[two[float64, float64]], resultOf[two[float64, float64]]},
	{"44", yieldOf[two[uint32, uint32]], nil},
	{"www", yieldOf[three[word, word, word]], nil},
	{"ppp", yieldOf[three[address, address, address]], resultOf[three[address, address, address]]},
	{"wpw", yieldOf[three[word, address, word]], resultOf[three[word, address, word]]},
	{"pww", yieldOf[three[address, word, word]], resultOf[three[address, word, word]]},
	{"4pw", yieldOf[three[uint32, address, word]], resultOf[three[uint32, address, word]]},
	{"wwd", yieldOf[three[word, word, float64]], nil},
	{"wdd", yieldOf[three[word, float64, float64]], nil},
	{"ddd", yieldOf[three[float64, float64, float64]], resultOf[three[float64, float64, float64]]},
	{"pwd", yieldOf[three[address, word, float64]], resultOf[three[address, word, float64]]},
	{"wwww", yieldOf[four[word, word, word, word]], nil},
	{"wpww", yieldOf[four[word, address, word, word]], resultOf[four[word, address, word, word]]},
	{"pwww", yieldOf[four[address, word, word, word]], resultOf[four[address, word, word, word]]},
	{"pwpw", yieldOf[four[address, word, address, word]], resultOf[four[address, word, address, word]]},
	{"wpwd", yieldOf[four[word, address, word, float64]], resultOf[four[word, address, word, float64]]},
	{"wpwpw", yieldOf[five[word, address, word, address, word]], resultOf[five[word, address, word, address, word]]},
	{"wpw4d", yieldOf[five[word, address, word, uint32, float64]], resultOf[five[word, address, word, uint32, float64]]},
}

// A structCode has the code for structs with the same scalars at the same places.
type structCode struct {
	shape  string
	yield  yieldMaker // of iterators over them
	result resultCode // of methods that return one; nil for rare ones: each is a func more in every server
}

// A resultCode calls a method, and stores its results.
type resultCode func(code *funcCode, words *ints, floats *floats, results address) error

// structCodeOf returns the code for a type, the zero value if only reflection has it.
func structCodeOf(t reflect.Type) structCode {
	if shape := scalarsOf(t); shape != "" {
		for _, s := range structs {
			if s.shape == shape {
				return s
			}
		}
	}
	return structCode{}
}

// scalarsOf returns the letters of a type's scalars, "" for a type that does not lie in
// memory, or is not passed, as a struct of all of them.
func scalarsOf(t reflect.Type) string {
	var s scalars
	if align := uintptr(t.Align()); !s.add(t, 0) || (s.end+align-1)/align*align != t.Size() {
		return ""
	}
	return string(s.shape)
}

// scalars are the scalars of a type, each behind the one before it.
type scalars struct {
	shape []byte // p for a pointer, w for a word, d for a float64, the size of another integer
	end   uintptr
}

// add adds those of a type at an offset. It reports false if a struct of all of them would not
// lie in memory, or be passed, as the type is.
func (s *scalars) add(t reflect.Type, offset uintptr) bool {
	switch class := classOf(t, true); class {
	case 'p', 'w', 'd', '4':
		s.shape = append(s.shape, class)
	case 's':
		s.shape = append(s.shape, "pw"...)
	case 'v':
		s.shape = append(s.shape, "pww"...)
	default:
		if t.Kind() != reflect.Struct {
			return false
		}
		for i := range t.NumField() {
			if f := t.Field(i); f.Type.Size() > 0 && !s.add(f.Type, offset+f.Offset) {
				return false
			}
		}
		return true
	}
	align := uintptr(t.Align())
	fits := (s.end+align-1)/align*align == offset
	s.end = offset + t.Size()
	return fits
}
