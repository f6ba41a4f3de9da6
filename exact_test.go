package bsrpc_test

// Values arrive unchanged, or are refused with a reason. None changes silently.

import (
	"crypto/x509"
	"image"
	"log/slog"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// bits makes numbers of all lengths.
func randomInt(r *rand.Rand) *big.Int {
	b := make([]byte, r.IntN(40))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	n := new(big.Int).SetBytes(b)
	if r.IntN(2) == 0 {
		n.Neg(n)
	}
	return n
}

func randomText(r *rand.Rand) string {
	const letters = "aZ09 _-%é世\x00\xff/?&=#:@[]"
	b := make([]byte, r.IntN(12))
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

func randomAddr(r *rand.Rand) netip.Addr {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch r.IntN(5) {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom4([4]byte(b))
	case 2: // IPv4 in IPv6
		return netip.AddrFrom16(netip.AddrFrom4([4]byte(b)).As16())
	case 3:
		return netip.AddrFrom16([16]byte(b)).WithZone("eth" + randomText(r))
	}
	return netip.AddrFrom16([16]byte(b))
}

func randomFloat(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64()) }

// Each func makes a random value of a type of the standard library. Values
// are as reading makes them: slices and maps without elements are nil and empty.
var exactTypes = []func(*rand.Rand) any{
	func(r *rand.Rand) any { return *randomInt(r) },
	func(r *rand.Rand) any { return randomInt(r) },
	func(r *rand.Rand) any { return []big.Int{*randomInt(r), *randomInt(r)} },
	func(r *rand.Rand) any {
		return *new(big.Rat).SetFrac(randomInt(r), new(big.Int).Add(new(big.Int).Abs(randomInt(r)), big.NewInt(1)))
	},
	func(r *rand.Rand) any { return randomAddr(r) },
	func(r *rand.Rand) any { return map[netip.Addr]netip.Addr{randomAddr(r): randomAddr(r)} },
	func(r *rand.Rand) any { return netip.AddrPortFrom(randomAddr(r), uint16(r.Uint32())) },
	func(r *rand.Rand) any { return netip.PrefixFrom(randomAddr(r), r.IntN(140)-2) },
	func(r *rand.Rand) any { return net.IP(append(randomAddr(r).AsSlice(), 1)) },
	func(r *rand.Rand) any {
		return net.IPNet{IP: net.IP{10, 0, 0, byte(r.Uint32())}, Mask: net.CIDRMask(r.IntN(33), 32)}
	},
	func(r *rand.Rand) any { return net.HardwareAddr{byte(r.Uint32()), 2, 3, 4, 5, 6} },
	func(r *rand.Rand) any { return net.TCPAddr{IP: net.IP{1}, Port: r.IntN(65536), Zone: randomText(r)} },
	func(r *rand.Rand) any { return slog.Level(r.IntN(100) - 50) },
	func(r *rand.Rand) any {
		u, err := url.Parse("https://u" + url.QueryEscape(randomText(r)) + ":p@example.com:80/" + url.PathEscape(randomText(r)) + "?q=" + url.QueryEscape(randomText(r)) + "#" + url.PathEscape(randomText(r)))
		if err != nil {
			panic(err)
		}
		return *u
	},
	func(r *rand.Rand) any { return url.Values{randomText(r): {randomText(r), randomText(r)}} },
	func(r *rand.Rand) any { return time.Unix(int64(r.Uint64()), r.Int64N(1e9)).UTC() },
	func(r *rand.Rand) any { return time.Unix(math.MaxInt64-r.Int64N(9), r.Int64N(1e9)).UTC() },
	func(r *rand.Rand) any { return time.Duration(r.Uint64()) },
	func(r *rand.Rand) any { return time.Month(r.IntN(100)) },
	func(r *rand.Rand) any { return *rand.NewPCG(r.Uint64(), r.Uint64()) },
	func(r *rand.Rand) any {
		c := rand.NewChaCha8([32]byte{byte(r.Uint32())})
		for range r.IntN(500) {
			c.Uint64()
		}
		return *c
	},
	func(r *rand.Rand) any {
		oid, err := x509.OIDFromInts([]uint64{1, uint64(r.IntN(40)), r.Uint64()})
		if err != nil {
			panic(err)
		}
		return oid
	},
	func(r *rand.Rand) any { return image.Rect(r.Int(), r.Int(), -r.Int(), -r.Int()) },
	func(r *rand.Rand) any { return mail.Address{Name: randomText(r), Address: randomText(r)} },
	func(r *rand.Rand) any { return randomText(r) },
	func(r *rand.Rand) any { return int(r.Uint64()) },
}

// same compares values by their purpose: of two sources of random numbers, the next
// numbers.
func same(a, b any) bool {
	c, ok := a.(rand.ChaCha8)
	if !ok {
		return reflect.DeepEqual(a, b)
	}
	d := b.(rand.ChaCha8)
	for range 100 {
		if c.Uint64() != d.Uint64() {
			return false
		}
	}
	return true
}

func TestStandardTypesAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, make := range exactTypes {
		for range 200 {
			in := make(r)
			holder := field(reflect.TypeOf(in), "")
			from, to := reflect.New(holder), reflect.New(holder)
			from.Elem().Field(0).Set(reflect.ValueOf(in))
			data, err := bsrpc.Marshal(from.Interface())
			if err == nil {
				err = bsrpc.Unmarshal(data, to.Interface())
			}
			if out := to.Elem().Field(0).Interface(); err != nil || !same(out, in) {
				t.Fatalf("%T: %#v became %#v, %v", in, in, out, err)
			}
		}
	}
}

// Floats keep every bit, also of NaN.
func TestFloatsAreExact(t *testing.T) {
	type floats struct {
		A float64
		B float32
		C complex128
		D []float32
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		in := floats{randomFloat(r), math.Float32frombits(r.Uint32()), complex(randomFloat(r), randomFloat(r)), []float32{math.Float32frombits(r.Uint32())}}
		var out floats
		data, err := bsrpc.Marshal(&in)
		if err == nil {
			err = bsrpc.Unmarshal(data, &out)
		}
		again, _ := bsrpc.Marshal(&out)
		if err != nil || string(again) != string(data) || math.Float64bits(in.A) != math.Float64bits(out.A) ||
			math.Float32bits(in.B) != math.Float32bits(out.B) || math.Float64bits(imag(in.C)) != math.Float64bits(imag(out.C)) {
			t.Fatalf("%x became %x, %v", in, out, err)
		}
	}
}

// Types whose own encoding is that of a part.
type (
	bigFloat   struct{ big.Float }
	regexpText struct{ *regexp.Regexp }
	timedEvent struct{ timedBase }
	timedBase  struct {
		time.Time
		Note string
	}
	rounded struct {
		F big.Float        `bsrpc:"text"`
		R []*regexp.Regexp `bsrpc:"elem=text"`
	}
	padded struct {
		A uint8
		_ [3]byte
		B uint32
	}
	marked struct {
		_ struct{}
		A uint8
		_ [0]func()
		_ [3]byte `bsrpc:"-"`
	}
	blank   struct{ _ int64 }
	loneKey struct{ *url.URL }
	anyKey  struct{ V any }
)

func (anyKey) MarshalBinary() ([]byte, error)  { return nil, nil }
func (*anyKey) UnmarshalBinary(b []byte) error { return nil }

const (
	floatLoses  = "rounds to 64 bits; send its Text('p', 0) as a string and its Prec, or accept this with the tag text"
	regexpLoses = "loses POSIX and Longest; send its String as a string, or accept this with the tag text"
	sayName     = ` is not encoded, unlike padding in encoding/binary; tag it pad, const= or "-", or name it`
)

// Each line is a type whose values would change in transit.
var inexactTypes = []struct {
	v    any
	want []string
}{
	{*big.NewFloat(1), []string{"Float: the text of big.Float " + floatLoses}},
	{[]*big.Float{}, []string{"[]Float: the text of big.Float " + floatLoses}},
	{bigFloat{}, []string{"bigFloat: the text of bsrpc_test.bigFloat " + floatLoses}},
	{regexp.Regexp{}, []string{"Regexp: the text of regexp.Regexp " + regexpLoses}},
	{regexpText{}, []string{"regexpText: the text of bsrpc_test.regexpText " + regexpLoses}},
	{timedBase{}, []string{"timedBase: bsrpc_test.timedBase is encoded by methods promoted from its embedded field Time, without its other fields; " +
		"name that field, or accept this with the tag binary or text"}},
	{timedEvent{}, []string{"timedEvent: bsrpc_test.timedBase is encoded by methods promoted from its embedded field Time, without its other fields; " +
		"name that field, or accept this with the tag binary or text"}},
	{padded{}, []string{"padded._: a blank field of 3 bytes" + sayName}},
	{[]padded{}, []string{"[]padded._: a blank field of 3 bytes" + sayName}},
	{blank{}, []string{"blank._: a blank field of 8 bytes" + sayName}},
	{map[time.Time]int{}, []string{"map[Time]int[key]: time.Time contains a pointer, and map keys must not; use its Unix time"}},
	{map[url.URL]int{}, []string{"map[URL]int[key]: url.URL contains a pointer, and map keys must not; use its text as the key"}},
	{map[loneKey]int{}, []string{"map[loneKey]int[key]: bsrpc_test.loneKey contains a pointer, and map keys must not; use its text as the key"}},
	{map[anyKey]int{}, []string{"map[anyKey]int[key]: bsrpc_test.anyKey contains a pointer, and map keys must not; use its text as the key"}},
}

func TestInexactTypesAreRefused(t *testing.T) {
	for _, test := range inexactTypes {
		_, err := bsrpc.Marshal(test.v)
		checkText(t, reflect.TypeOf(test.v).String(), err, refused("marshal "+reflect.TypeOf(test.v).String(), test.want...))
		if err := bsrpc.Unmarshal(nil, reflect.New(reflect.TypeOf(test.v)).Interface()); err == nil {
			t.Errorf("%T: Unmarshal takes it", test.v)
		}
		fn := reflect.MakeFunc(reflect.FuncOf([]reflect.Type{reflect.TypeOf(test.v)}, nil, false), nil).Interface()
		if err := bsrpc.NewServer(nil).RegisterFunc("Shop.F", fn); err == nil {
			t.Errorf("%T: a server takes it", test.v)
		}
	}
}

// The encoding suggested by the error of big.Float keeps every bit.
func TestFloatsOfAnyPrecisionAsText(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		x := new(big.Float).SetPrec(uint(1 + r.IntN(300))).SetInt(randomInt(r))
		x.Quo(x, big.NewFloat(3)).SetMantExp(x, r.IntN(2000)-1000)
		y, _, err := big.ParseFloat(x.Text('p', 0), 0, x.Prec(), x.Mode())
		if err != nil || y.Cmp(x) != 0 || y.Prec() != x.Prec() {
			t.Fatalf("%v became %v, %v", x, y, err)
		}
	}
}

// Types requested by a tag, and blank fields without a size, are accepted.
func TestInexactTypesByTag(t *testing.T) {
	for _, v := range []any{rounded{}, marked{A: 5}} {
		if _, err := bsrpc.Marshal(v); err != nil {
			t.Error(err)
		}
	}
	if data, err := bsrpc.Marshal(marked{A: 5}); len(data) != 1 || err != nil {
		t.Errorf("%x, %v", data, err)
	}
}
