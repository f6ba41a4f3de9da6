package method

// Methods of every shape are called through proxies of every form, with
// arguments and results whose every bit counts. In a build with thunks these
// are the calls without reflection, in one without them their reflect twin;
// and the rarer lists of types, which have no thunks, are reflection's anyway.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/rounds"
)

// Types that are alike to others.
type (
	shapeName  string
	shapeNames []string
	shapeSet   map[string]int16
	shapeFlag  bool
	shapeI8    int8
	shapeU16   uint16
	shapeI32   int32
	shapeU64   uint64
	shapeF32   float32
	shapeF64   float64
	shapeRaw   []byte
	shapePoint struct {
		X, Y int32
		Next *shapePoint
		Tags []string
	}
	shapeLink *shapePoint
	shapeNest struct {
		A int8
		B struct {
			C uint16
			D string
		}
		E float64
		F bool
	}
	shapeFew    struct{ A, B, C uint8 }
	shapeFloats struct {
		A [1]float32
		B []int16
		C float32
	}
	shapeWide struct {
		A int8
		B string
		C float64
		D [2]uint16
	}
)

// alike lists types of each class of parameters and results.
var alike = withWords(map[byte][]reflect.Type{
	'p': {reflect.TypeFor[*shapePoint](), reflect.TypeFor[map[string]int](), reflect.TypeFor[*int64](), reflect.TypeFor[shapeSet](),
		reflect.TypeFor[shapeLink](), reflect.TypeFor[**string](), reflect.TypeFor[map[uint8][]byte]()},
	's': {reflect.TypeFor[string](), reflect.TypeFor[shapeName]()},
	'v': {reflect.TypeFor[[]byte](), reflect.TypeFor[[]float64](), reflect.TypeFor[shapeNames](), reflect.TypeFor[[]*shapePoint](),
		reflect.TypeFor[shapeRaw](), reflect.TypeFor[[]shapeWide](), reflect.TypeFor[[]bool]()},
	'4': {reflect.TypeFor[uint32](), reflect.TypeFor[int32](), reflect.TypeFor[shapeI32]()},
	'f': {reflect.TypeFor[float32](), reflect.TypeFor[shapeF32]()},
	'd': {reflect.TypeFor[float64](), reflect.TypeFor[shapeF64]()},
})

var wordBytes = reflect.TypeFor[uintptr]().Size()

// withWords adds integers and bools: 'w' has those that may stand alone, 'W' those
// that fill a word, of which there may be several.
func withWords(types map[byte][]reflect.Type) map[byte][]reflect.Type {
	for _, v := range []any{
		true, shapeFlag(true), uint8(0), int8(0), shapeI8(0), uint16(0), int16(0), shapeU16(0),
		uint32(0), int32(0), shapeI32(0), uint64(0), int64(0), shapeU64(0), int(0), uint(0),
	} {
		t := reflect.TypeOf(v)
		full := t.Size() == wordBytes
		if full || smallWords() {
			types['w'] = append(types['w'], t)
		}
		if full {
			types['W'] = append(types['W'], t)
		}
	}
	return types
}

// smallWords says whether a small integer has the shape of a word.
func smallWords() bool {
	return slices.Contains([]string{"amd64", "arm64", "ppc64le", "riscv64"}, runtime.GOARCH)
}

// shapeKeys lists the classes of all lists of types that have a shape.
func shapeKeys() []string {
	keys := []string{">"}
	add := func(params, results string) {
		keys = append(keys, params+">")
		for _, r := range results {
			keys = append(keys, params+">"+string(r))
		}
	}
	for _, r := range "psvwfd" {
		keys = append(keys, ">"+string(r))
	}
	for _, a := range "psvwfd" {
		results := "psvwd"
		if !strings.ContainsRune(results, a) {
			results += string(a)
		}
		add(string(a), results)
	}
	for _, a := range "psvw" {
		for _, b := range "psvw" {
			add(string([]rune{a, b}), "psvw")
		}
	}
	add("44", "psvw")
	add("ppp", "p")
	for _, a := range "swd" {
		add(strings.Repeat(string(a), 3), "p"+string(a))
	}
	add("444", "pw")
	return keys
}

// What a func has besides parameters and results. The same bits say it of a
// proxy's func.
const (
	shapeReceiver = 1 << iota
	shapeContext
	shapeError
	shapeForms
)

// shapeOwner is the receiver of methods that are made while the test runs.
type shapeOwner struct{ marks [4]string }

// A shapeCase is one method, and the values of its next call.
type shapeCase struct {
	t       *testing.T
	name    string
	form    int
	params  []reflect.Type
	results []reflect.Type
	in, out []reflect.Value
	err     error
	owner   *shapeOwner
	served  int  // calls so far
	collect bool // the collector runs in each
}

// method makes the method that serves c.
func (c *shapeCase) method() *Func {
	in, out := slices.Clone(c.params), slices.Clone(c.results)
	if c.form&shapeContext != 0 {
		in = append([]reflect.Type{contextType}, in...)
	}
	var of owner
	skip := 0
	if c.form&shapeReceiver != 0 {
		v := reflect.ValueOf(c.owner)
		of, skip = owner{methods: v.Type(), recv: receiverOf(v)}, 1
		in = append([]reflect.Type{v.Type()}, in...)
	}
	if c.form&shapeError != 0 {
		out = append(out, errorType)
	}
	fn := reflect.MakeFunc(reflect.FuncOf(in, out, false), c.serve)
	sig, problems := compile(c.name, fn.Type(), skip, new(codec.MethodTag))
	if problems != nil {
		c.t.Fatal(problems)
	}
	return newFunc("Shapes", c.name, sig, fn, of)
}

// field is a contract's func for c, with a context or without.
func (c *shapeCase) field(ctx bool) reflect.StructField {
	in := c.params
	if ctx {
		in = append([]reflect.Type{contextType}, in...)
	}
	out := append(slices.Clone(c.results), errorType)
	return reflect.StructField{Name: c.name, Type: reflect.FuncOf(in, out, false)}
}

// serve is the handler: it looks at its arguments only after its stack has
// moved, and in some cases the collector has run.
func (c *shapeCase) serve(in []reflect.Value) []reflect.Value {
	c.served++
	churn(200, c.collect)
	if c.form&shapeReceiver != 0 {
		if got := in[0].Interface().(*shapeOwner); got != c.owner || got.marks[3] != c.name {
			c.t.Errorf("%s: got another receiver", c.name)
		}
		in = in[1:]
	}
	if c.form&shapeContext != 0 {
		ctx := in[0].Interface().(context.Context)
		if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
			c.t.Errorf("%s: the context has no deadline, or the error %v", c.name, ctx.Err())
		}
		in = in[1:]
	}
	c.check("argument", in, c.in)
	if c.form&shapeError != 0 {
		return append(slices.Clone(c.out), errorValue(c.err))
	}
	return c.out
}

// churn makes the stack grow and move, and then perhaps the collector run.
func churn(depth int, collect bool) byte {
	var block [256]byte
	block[depth%len(block)] = byte(depth)
	if depth > 0 {
		return churn(depth-1, collect) + block[depth%len(block)]
	}
	if collect {
		runtime.GC()
	}
	return block[0]
}

// call calls a proxy's func twice: the one call has results, the other an
// error if the method can return one.
func (c *shapeCase) call(seed int, fn reflect.Value) {
	c.in, c.out = valuesOf(c.params, seed), valuesOf(c.results, seed+7)
	for _, c.err = range []error{nil, errors.New("refused")} {
		in, before := c.in, c.served
		if fn.Type().NumIn() > len(in) {
			in = append([]reflect.Value{reflect.ValueOf(c.t.Context())}, in...)
		}
		out := fn.Call(in)
		if c.served != before+1 {
			c.t.Errorf("%s: the handler ran %d times", c.name, c.served-before)
		}
		c.checkAnswer(out)
	}
}

func (c *shapeCase) checkAnswer(out []reflect.Value) {
	last := len(out) - 1
	err, _ := out[last].Interface().(error)
	if c.err == nil || c.form&shapeError == 0 {
		c.check("result", out[:last], c.out)
		if err != nil {
			c.t.Errorf("%s: %v", c.name, err)
		}
		return
	}
	if err != c.err {
		c.t.Errorf("%s: got the error %v, want %v", c.name, err, c.err)
	}
	for i, v := range out[:last] {
		if !v.IsZero() {
			c.t.Errorf("%s: result %d beside an error is %v", c.name, i+1, v)
		}
	}
}

func (c *shapeCase) check(word string, got, want []reflect.Value) {
	if len(got) != len(want) {
		c.t.Errorf("%s: got %d %ss, want %d", c.name, len(got), word, len(want))
		return
	}
	for i := range got {
		if got[i].Type() != want[i].Type() || !sameBits(got[i], want[i]) {
			c.t.Errorf("%s: %s %d is %v, want %v", c.name, word, i+1, got[i], want[i])
		}
	}
}

func valuesOf(types []reflect.Type, seed int) (list []reflect.Value) {
	for i, t := range types {
		v := reflect.New(t).Elem()
		setValue(v, seed+3*i)
		list = append(list, v)
	}
	return list
}

// setValue gives v a value of its own for each seed. Some pointers are nil,
// some slices empty.
func setValue(v reflect.Value, seed int) {
	bits := uint64(seed+1) * 0x9e3779b97f4a7c15
	switch {
	case v.CanInt():
		v.SetInt(int64(bits) >> (64 - v.Type().Bits()))
	case v.CanUint():
		v.SetUint(bits >> (64 - v.Type().Bits()))
	case v.CanFloat():
		setFloat(v, seed)
	default:
		setOther(v, seed)
	}
}

// Floats travel by their bits: these are of infinities, of the least and of
// NaNs, signalling ones too.
var (
	float32Bits = []uint32{0x7fc00001, 0xff800001, 0x7f800000, 0x80000000, 1, 0x40490fdb, 0x7fa5a5a5}
	float64Bits = []uint64{0x7ff8000000000001, 0xfff0000000000001, 0xfff0000000000000, 1 << 63, 1, 0x400921fb54442d18, 0x7ff5a5a5a5a5a5a5}
)

// setFloat sets the bits of v: a conversion would change some NaNs.
func setFloat(v reflect.Value, seed int) {
	of := reflect.ValueOf(math.Float64frombits(float64Bits[seed%len(float64Bits)]))
	if v.Kind() == reflect.Float32 {
		of = reflect.ValueOf(math.Float32frombits(float32Bits[seed%len(float32Bits)]))
	}
	v.Set(of.Convert(v.Type()))
}

func setOther(v reflect.Value, seed int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(seed%2 == 0)
	case reflect.String:
		v.SetString(strings.Repeat(fmt.Sprint("né", seed), seed%5*(seed%11)))
	case reflect.Slice:
		if n := seed % 4; n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		setParts(v.Len(), v.Index, seed)
	case reflect.Array:
		setParts(v.Len(), v.Index, seed)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[shapeUnion]() || v.Type() == reflect.TypeFor[shapeUnions]() {
			member := v.Field(1 + seed%(v.NumField()-1))
			member.Set(reflect.New(member.Type().Elem()))
			setValue(member.Elem(), seed+1)
			return
		}
		setParts(v.NumField(), v.Field, seed)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range seed % 3 {
			parts := valuesOf([]reflect.Type{v.Type().Key(), v.Type().Elem()}, seed+5*i)
			v.SetMapIndex(parts[0], parts[1])
		}
	case reflect.Pointer:
		if seed%5 != 4 {
			v.Set(reflect.New(v.Type().Elem()).Convert(v.Type()))
			setValue(v.Elem(), seed+1) // which ends at a nil
		}
	case reflect.Complex64, reflect.Complex128:
		v.SetComplex(complex(float64(seed), -0.5))
	}
}

func setParts(n int, part func(int) reflect.Value, seed int) {
	for i := range n {
		if v := part(i); v.CanSet() { // else a blank field
			setValue(v, seed+i)
		}
	}
}

// sameBits compares values, floats by their bits.
func sameBits(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return floatBits(a) == floatBits(b)
	case reflect.Pointer:
		return a.IsNil() == b.IsNil() && (a.IsNil() || sameBits(a.Elem(), b.Elem()))
	case reflect.Slice, reflect.Array:
		return a.Len() == b.Len() && sameParts(a.Len(), a.Index, b.Index)
	case reflect.Struct:
		return sameParts(a.NumField(), a.Field, b.Field)
	case reflect.Map:
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
	return a.Equal(b)
}

func sameParts(n int, a, b func(int) reflect.Value) bool {
	for i := range n {
		if !sameBits(a(i), b(i)) {
			return false
		}
	}
	return true
}

func floatBits(v reflect.Value) uint64 {
	if v.Kind() == reflect.Float32 {
		return uint64(math.Float32bits(v.Convert(reflect.TypeFor[float32]()).Interface().(float32)))
	}
	return math.Float64bits(v.Float())
}

// runShapes binds a contract with contexts and one without to the cases, and calls
// every func of both.
func runShapes(t *testing.T, cases []*shapeCase) {
	t.Helper()
	table := new(Table[*Func])
	funcs := make([]*Func, len(cases))
	every := 65 // odd, for every form
	if !rounds.Long {
		every *= 21
	}
	fields := map[bool][]reflect.StructField{}
	for i, c := range cases {
		c.t, c.name = t, fmt.Sprint("M", i, "_", c.form)
		c.collect = i%every == 0 // the collector is slow
		c.owner = &shapeOwner{marks: [4]string{3: c.name}}
		funcs[i] = c.method()
		for _, ctx := range []bool{false, true} {
			fields[ctx] = append(fields[ctx], c.field(ctx))
		}
	}
	if err := table.Add("Shapes", funcs, nil); err != nil {
		t.Fatal(err)
	}
	for n, ctx := range []bool{false, true} {
		proxy := bindTo(t, table, "Shapes", reflect.StructOf(fields[ctx]))
		for i, c := range cases {
			c.call(2*i+n, proxy.Field(i))
		}
	}
}

// typesOf returns types of the classes, others for each seed.
func typesOf(classes string, seed int) (list []reflect.Type) {
	if strings.Count(classes, "w") > 1 {
		classes = strings.ReplaceAll(classes, "w", "W")
	}
	for i := range len(classes) {
		of := alike[classes[i]]
		list = append(list, of[(seed+i)%len(of)])
	}
	return list
}

// Every shape, called and proxied in every form.
func TestEveryShape(t *testing.T) {
	var cases []*shapeCase
	for i, key := range shapeKeys() {
		params, results, _ := strings.Cut(key, ">")
		for form := range shapeForms {
			if !rounds.Long && (i+form)%3 != 0 { // of each shape some forms
				continue
			}
			c := &shapeCase{form: form, params: typesOf(params, i+form), results: typesOf(results, i+form+1)}
			checkShape(t, key, c, haveThunks())
			cases = append(cases, c)
		}
	}
	runShapes(t, cases)
}

// Integers of different sizes have the shape of words where each has a word of its
// own in memory too, and none where some would share one.
func TestShapesOfMixedIntegers(t *testing.T) {
	var cases []*shapeCase
	for _, test := range []struct {
		params []any
		shaped bool
	}{
		{[]any{int8(0), int64(0)}, true},
		{[]any{uint64(0), true}, true},
		{[]any{uint16(0), uint64(0), false}, true},
		{[]any{uint32(0), int32(0)}, true},
		{[]any{int32(0), uint32(0), shapeI32(0)}, true},
		{[]any{int8(0), int8(0)}, false},
		{[]any{true, uint32(0)}, false},
		{[]any{uint32(0), uint32(0), uint64(0)}, false},
		{[]any{uint64(0), uint16(0), uint16(0)}, false},
	} {
		for form := range shapeForms {
			c := &shapeCase{form: form, results: []reflect.Type{reflect.TypeFor[uint64]()}}
			for _, v := range test.params {
				c.params = append(c.params, reflect.TypeOf(v))
			}
			if smallWords() {
				checkShape(t, "mixed", c, haveThunks() && test.shaped)
			}
			cases = append(cases, c)
		}
	}
	runShapes(t, cases)
}

// haveThunks reports whether this build has thunks.
func haveThunks() bool {
	s, _ := compileFunc("S.M", "", reflect.TypeFor[func() error](), 0, new(codec.MethodTag))
	return thunkOf(s) != nil
}

// checkShape checks that the proxy's func for c is made without reflection, or not,
// and that the method is called without it where it should be.
func checkShape(t *testing.T, name string, c *shapeCase, proxied bool) {
	t.Helper()
	if got := c.hasThunk(t); got != (proxied || c.takesOne() && c.returnsWords()) {
		t.Errorf("%s: %v, %v has a shape: %v, want %v", name, c.params, c.results, got, !got)
	}
	want := haveThunks() && c.takesWords() && (c.returnsWord() || c.returnsStruct())
	if proxied && !want && c.returnsWord() && runtime.GOARCH != "s390x" {
		t.Errorf("%s, form %d: %v, %v is called by reflection, though its proxies are not", name, c.form, c.params, c.results)
	}
	if c.t, c.owner = t, new(shapeOwner); c.name == "" {
		c.name = name
	}
	if got := c.method().code.valid(); got != want {
		t.Errorf("%s, form %d: %v, %v is called without reflection: %v, want %v", name, c.form, c.params, c.results, got, want)
	}
}

// hasThunk reports whether the proxy's func is made without reflection.
func (c *shapeCase) hasThunk(t *testing.T) bool {
	s, problems := compileFunc("S.M", "", reflect.FuncOf(c.params, append(slices.Clone(c.results), errorType), false), 0, new(codec.MethodTag))
	if problems != nil {
		t.Fatal(problems)
	}
	return thunkOf(s) != nil
}

// Structs of these letters are passed by value without reflection; those of paramLetters
// alone are not returned so by methods.
var (
	resultLetters = strings.Fields("ww wp pw pp dd ppp wpw pww pwd ddd 4pw wpww pwww pwpw wpwd wpwpw wpw4d")
	paramLetters  = strings.Fields("ww wp pw pp dd ppp www wpw pww pwd ddd wpww pwww pwpw wpwd wpwpw wpw4d")
)

// lettersOf returns the letters of the scalars of a type. One that lies closer to its
// neighbours than a word, or has others, has letters that are in no list.
func lettersOf(t reflect.Type) (letters string) {
	for _, t := range leavesOf(t) {
		switch k := t.Kind(); {
		case k == reflect.String:
			letters += "pw"
		case k == reflect.Slice:
			letters += "pww"
		case k == reflect.Pointer || k == reflect.Map:
			letters += "p"
		case k == reflect.Float64:
			letters += "d"
		case isInteger(t) && t.Size() == wordBytes:
			letters += "w"
		case isInteger(t) && t.Size() == 4:
			letters += "4"
		case t.Size() > 0:
			letters += "?"
		}
	}
	return letters
}

// wordsHere says whether funcs of proxies may have more results than their types.
func wordsHere() bool { return haveThunks() && inRegistersHere() && runtime.GOARCH != "s390x" }

// takesOne reports whether a proxy's func with results as words may take the parameters.
func (c *shapeCase) takesOne() bool {
	if len(c.params) != 1 || c.params[0].Kind() == reflect.Struct {
		return len(c.params) == 0 || len(c.params) == 1 && slices.Contains(paramLetters, lettersOf(c.params[0]))
	}
	return slices.Contains([]string{"p", "pw", "pww", "w"}, lettersOf(c.params[0])) && c.params[0].Kind() != reflect.Array ||
		isInteger(c.params[0]) && smallWords()
}

// returnsWords reports whether the results, and an error, are few enough words and floats.
func (c *shapeCase) returnsWords() bool {
	words, floats := 0, 0
	for _, t := range c.results {
		if t.Size() == 0 {
			return false
		}
		for _, t := range leavesOf(t) {
			switch t.Kind() {
			case reflect.Array, reflect.Complex64, reflect.Complex128, reflect.Float32:
				return false
			case reflect.Float64:
				floats++
			default:
				words += int((t.Size() + wordBytes - 1) / wordBytes)
			}
		}
	}
	return wordsHere() && words <= 7 && floats <= 3
}

// returnsStruct reports whether the method's results are stored as a struct.
func (c *shapeCase) returnsStruct() bool {
	var letters string
	for _, t := range c.results {
		letters += lettersOf(t)
		if t.Kind() == reflect.Array {
			letters += "?"
		}
	}
	for _, p := range c.params {
		for _, t := range leavesOf(p) {
			if t.Kind() == reflect.Float32 {
				return false
			}
		}
	}
	return haveThunks() && inRegistersHere() && slices.Contains(resultLetters, letters)
}

// takesWords reports whether the method's parameters are few enough words, and floats,
// to be passed without reflection.
func (c *shapeCase) takesWords() bool {
	words, floats := c.form&shapeReceiver+c.form&shapeContext, map[reflect.Kind]int{}
	var fields []reflect.StructField
	for i, t := range c.params {
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("P", i), Type: t})
		if t.Size() == 0 {
			return false
		}
		for _, t := range leavesOf(t) {
			switch k := t.Kind(); {
			case k == reflect.Array || k == reflect.Complex64 || k == reflect.Complex128 || isInteger(t) && t.Size() > wordBytes:
				return false
			case inRegistersHere() && (k == reflect.Float32 || k == reflect.Float64):
				floats[k]++
			case inRegistersHere():
				words += int((t.Size() + wordBytes - 1) / wordBytes)
			}
		}
	}
	if !inRegistersHere() {
		words += int((reflect.StructOf(fields).Size() + wordBytes - 1) / wordBytes)
	}
	return words <= registers() && len(floats) <= 1 && floats[reflect.Float32] <= 3 && floats[reflect.Float64] <= 3
}

// leavesOf returns the types of which a struct, or an array of one element, consists.
func leavesOf(t reflect.Type) (leaves []reflect.Type) {
	switch {
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			leaves = append(leaves, leavesOf(t.Field(i).Type)...)
		}
		return leaves
	case t.Kind() == reflect.Array && t.Len() == 1:
		return leavesOf(t.Elem())
	}
	return []reflect.Type{t}
}

// returnsWord reports whether the method has at most one result, of a type that may be
// returned without reflection.
func (c *shapeCase) returnsWord() bool {
	if len(c.results) != 1 {
		return len(c.results) == 0
	}
	switch t := c.results[0]; t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.String, reflect.Slice, reflect.Float32, reflect.Float64:
		return true
	default:
		return isInteger(t) && (t.Size() == wordBytes || smallWords())
	}
}

func isInteger(t reflect.Type) bool {
	v := reflect.Zero(t)
	return v.CanInt() || v.CanUint() || t.Kind() == reflect.Bool
}

// inRegistersHere says whether arguments travel in registers.
func inRegistersHere() bool {
	return smallWords() || slices.Contains([]string{"loong64", "ppc64", "s390x"}, runtime.GOARCH)
}

// registers is the number of words that a method may take.
func registers() int {
	if runtime.GOARCH == "s390x" {
		return 8
	}
	return 9
}

// Methods with any parameters, called through proxies made by reflection or not.
func TestRandomShapes(t *testing.T) {
	const seed = 14
	r := rand.New(rand.NewPCG(seed, seed))
	var all []reflect.Type
	for _, class := range "psvwWfd4" { // in a fixed order
		all = append(all, alike[byte(class)]...)
	}
	for _, v := range []any{int8(0), uint16(0), false, int64(0), complex64(0), shapePoint{}, [2]string{}, shapeNest{}, [1]shapeFew{}, shapeFloats{}} {
		all = append(all, reflect.TypeOf(v))
	}
	var cases []*shapeCase
	called := 0
	shapes := 300
	if !rounds.Long {
		shapes = 100
	}
	for range shapes {
		c := &shapeCase{form: r.IntN(shapeForms)}
		for range r.IntN(7) {
			c.params = append(c.params, all[r.IntN(len(all))])
		}
		for range r.IntN(5) / 3 {
			c.results = append(c.results, all[r.IntN(len(all))])
		}
		checkShape(t, "random", c, c.hasThunk(t))
		if c.takesWords() && c.returnsWord() {
			called++
		}
		cases = append(cases, c)
	}
	if called < shapes/6 {
		t.Errorf("only %d of %d methods may be called without reflection", called, len(cases))
	}
	runShapes(t, cases)
}

// Every type, there and back, in every form.
func TestEveryShapedType(t *testing.T) {
	var cases []*shapeCase
	for class, list := range alike {
		for _, typ := range list {
			// Four bytes have thunks in pairs everywhere, alone as a word.
			want := haveThunks() && (class != '4' || smallWords() || typ.Size() == wordBytes)
			for form := range shapeForms {
				one := []reflect.Type{typ}
				c := &shapeCase{form: form, params: one, results: one}
				checkShape(t, typ.String(), c, want)
				cases = append(cases, c)
			}
		}
	}
	runShapes(t, cases)
}

// Structs with blank fields, those of unions among them.
type (
	shapeMarked struct {
		_ struct{}
		A int64
		B string
	}
	shapeUnion struct {
		_ struct{} `bsrpc:"union"`
		A *shapePoint
		B *int64
	}
	shapeUnions struct {
		_ struct{} `bsrpc:"union"`
		A *string
		B *shapeWide
		C *[]uint16
	}
	shapeDevice struct {
		A string
		_ int64 `bsrpc:"le8,const=7"`
		B int64
	}
)

// Structs of every shape, beside other parameters and results, in every form.
func TestEveryStruct(t *testing.T) {
	var types []reflect.Type
	for i, letters := range resultLetters {
		types = append(types, structOf(letters, i), structOf(letters, i+1))
	}
	for i, letters := range paramLetters {
		types = append(types, structOf(letters, i+2))
	}
	if !rounds.Long { // each kind of struct, but not in each variant
		for i := range len(types) / 8 {
			types[i] = types[8*i+i%8]
		}
		types = types[:len(types)/8]
	}
	types = append(types, reflect.TypeFor[shapeMarked](), reflect.TypeFor[shapeUnion](), reflect.TypeFor[shapeUnions](), reflect.TypeFor[shapeDevice]())
	var cases []*shapeCase
	proxied := 0
	for i, typ := range types {
		one := []reflect.Type{typ}
		for _, c := range []shapeCase{
			{params: one, results: one},
			{params: one},
			{params: one, results: typesOf("s", i)},
			{params: one, results: typesOf("pw", i)},
			{results: one},
			{params: typesOf(string("psvw"[i%4]), i), results: one},
			{params: typesOf("sd", i), results: one},
		} {
			for form := range shapeForms {
				c := c
				c.form = form
				checkShape(t, "struct", &c, false)
				if c.hasThunk(t) {
					proxied++
				}
				cases = append(cases, &c)
			}
		}
	}
	if wordsHere() && proxied < len(cases)/2 {
		t.Errorf("only %d of %d proxies are without reflection", proxied, len(cases))
	}
	runShapes(t, cases)
}

// structOf returns a struct with these scalars. Some are in a struct of their own.
func structOf(letters string, seed int) reflect.Type {
	letters = strings.NewReplacer("pww", "v", "pw", "s").Replace(letters)
	letters = strings.ReplaceAll(letters, "w", "W")
	var fields []reflect.StructField
	for i := range len(letters) {
		of := alike[letters[i]]
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("F", i), Type: of[(seed+i)%len(of)]})
	}
	if k := len(fields) - 1; seed%3 == 0 && k > 1 {
		inner := reflect.StructOf(fields[k-1:])
		fields = append(fields[:k-1:k-1], reflect.StructField{Name: "In", Type: inner})
	}
	return reflect.StructOf(fields)
}

// What has no shape: in every build reflection makes the funcs of proxies.
var shapeless = []struct{ params, results []any }{
	{[]any{shapeWide{}}, []any{shapeWide{}}},
	{[]any{shapePoint{}}, nil},
	{[]any{shapeNest{}}, []any{int64(0)}},
	{[]any{shapeFew{}, [1]shapeFloats{}, uint8(0)}, []any{""}},
	{[]any{shapeNest{}, shapeFloats{}}, []any{""}},
	{nil, []any{shapePoint{}}},
	{[]any{[3]uint32{}}, []any{[2]string{}}},
	{[]any{[1]*shapePoint{}}, []any{[1]float32{}}},
	{[]any{struct{}{}}, []any{[0]int{}}},
	{[]any{struct{ S string }{}}, []any{struct{ P *int8 }{}}},
	{[]any{complex64(0)}, []any{complex128(0)}},
	{[]any{true, 0.0}, []any{true}},
	{[]any{int8(0), float32(0)}, []any{int16(0)}},
	{[]any{int8(0), "", int8(0)}, nil},
	{[]any{0.0, 0.0}, []any{0.0}},
	{[]any{float32(0), int32(0), ""}, nil},
	{[]any{"", "", []byte(nil)}, []any{""}},
	{[]any{"", "", "", ""}, []any{""}},
	{[]any{int8(0), int64(0), int8(0), "", uint16(0), 0.0, float32(0), false, []byte(nil), new(shapePoint), uint8(0), shapeWide{}}, []any{uint32(0)}},
	{nil, []any{"", ""}},
	{[]any{"", int64(0)}, []any{"", int64(0)}},
	{[]any{int8(0)}, []any{int8(0), 0.0, new(shapePoint), [2]shapeName{}, false}},
	{[]any{shapeSet{}}, []any{shapeSet{}, shapeNames{}}},
}

func TestWithoutShape(t *testing.T) {
	typesIn := func(values []any) (list []reflect.Type) {
		for _, v := range values {
			list = append(list, reflect.TypeOf(v))
		}
		return list
	}
	var cases []*shapeCase
	for _, test := range shapeless {
		for form := range shapeForms {
			c := &shapeCase{form: form, params: typesIn(test.params), results: typesIn(test.results)}
			checkShape(t, "none", c, false)
			cases = append(cases, c)
		}
	}
	runShapes(t, cases)
}

// Results that leave a proxy as words stay alive until their caller has them, while the
// collector runs all the time.
func TestWordsStayAlive(t *testing.T) {
	type result struct {
		ID   int64
		Name string
		List []int64
	}
	type contract struct {
		Get func(ctx context.Context, id int64) (result, *int64, error)
	}
	stubs, err := bindable("S", reflect.TypeFor[contract]())
	if err != nil {
		t.Fatal(err)
	}
	var proxy contract
	stubs[0].Fill(reflect.ValueOf(&proxy).Elem(), callerFunc(func(_ context.Context, v *Values) error {
		id := v.args.Field(0).Int()
		last := id
		v.results.Field(0).Set(reflect.ValueOf(result{id, fmt.Sprint("name ", id), []int64{id, -id}}))
		v.results.Field(1).Set(reflect.ValueOf(&last))
		return fmt.Errorf("error %d", id)
	}))
	calls := int64(5000)
	if rounds.Long {
		calls *= 80
	}
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for id := range calls {
				r, last, err := proxy.Get(t.Context(), id)
				churn(int(id%20), false)
				if r.ID != id || r.Name != fmt.Sprint("name ", id) || !slices.Equal(r.List, []int64{id, -id}) || *last != id || err.Error() != fmt.Sprint("error ", id) {
					t.Errorf("call %d: %+v, %v, %v", id, r, *last, err)
				}
			}
		}()
	}
	for running := 4; running > 0; {
		select {
		case <-done:
			running--
		default:
			runtime.GC()
		}
	}
}
