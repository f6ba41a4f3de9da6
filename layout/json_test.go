package layout_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/layout"
)

// parseType returns the layout of a text.
func parseType(t testing.TB, text string) *layout.Type {
	t.Helper()
	l, err := layout.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return l
}

// unhex returns the bytes of hexadecimal digits with spaces.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// jsonValues has values in a layout as bytes, and as the JSON that AppendJSON makes.
var jsonValues = []struct{ layout, bytes, json string }{
	{"bool", "00", "false"},
	{"bool", "01", "true"},
	{"int.le1", "80", "-128"},
	{"int.le2", "fe ff", "-2"},
	{"int.be2", "ff fe", "-2"},
	{"int.be3", "ff ff fe", "-2"},
	{"int.le4", "ff ff ff 7f", "2147483647"},
	{"int.le6", "ff ff ff ff ff ff", "-1"},
	{"int.le7", "ff ff ff ff ff ff ff", `"-1"`},
	{"int.le8", "00 00 00 00 00 00 00 80", `"-9223372036854775808"`},
	{"int.be8", "00 00 00 00 00 00 00 01", `"1"`},
	{"int.varint", "03", `"-2"`},
	{"int.varint", "ff ff ff ff ff ff ff ff ff 01", `"-9223372036854775808"`},
	{"int.uvarint", "fe ff ff ff ff ff ff ff ff 01", `"-2"`},
	{"uint.le1", "ff", "255"},
	{"uint.be5", "ff ff ff ff ff", "1099511627775"},
	{"uint.le8", "ff ff ff ff ff ff ff ff", `"18446744073709551615"`},
	{"uint.varint", "ac 02", `"300"`},
	{"float.le4", "cd cc cc 3d", "0.1"},
	{"float.be4", "3f 80 00 00", "1"},
	{"float.le8", "9a 99 99 99 99 99 b9 3f", "0.1"},
	{"float.be8", "7f ef ff ff ff ff ff ff", "1.7976931348623157e+308"},
	{"float.le8", "00 00 00 00 00 00 00 80", "-0"},
	{"float.le8", "01 00 00 00 00 00 f8 7f", `"NaN"`},
	{"float.be4", "7f 80 00 00", `"Infinity"`},
	{"float.be4", "ff 80 00 00", `"-Infinity"`},
	{"complex.be4", "3f 80 00 00 ff 80 00 00", `[1,"-Infinity"]`},
	{"string.le4", "03 00 00 00 68 c3 a9", `"hé"`},
	{"string.varint", "00", `""`},
	{"string.le1", "06 22 5c 0a 09 00 7f", `"\"\\\n\t\u0000\u007f"`},
	{"string.le1", "03 e2 80 a8", `"\u2028"`},
	{"string.le1", "02 c2 9b", `"\u009b"`},
	{"string.le1", "04 53 df e9 e2", `"S\udcdf\udce9\udce2"`},
	{"string.le1", "03 ed b2 80", `"\udced\udcb2\udc80"`},
	{"string.le1", "03 ef bf bd", "\"\ufffd\""},
	{"string.le1", "04 f0 9f 92 a9", `"💩"`},
	{"string.4", "61 62 00 00", `"ab"`},
	{"string.3", "61 00 62", `"a\u0000b"`},
	{"string.until=10", "61 62 0a", `"ab"`},
	{"string.rest", "61 62", `"ab"`},
	{"bytes.be2", "00 03 fb ff fe", `"+//+"`},
	{"bytes.le4", "00 00 00 00", `""`},
	{"bytes.2", "01 02", `"AQI="`},
	{"bytes.until=0", "01 02 00", `"AQI="`},
	{"bytes.rest", "01", `"AQ=="`},
	{"time", "00 00 00 00 00 00 00 00 00 00 00 00", `"1970-01-01T00:00:00Z"`},
	{"time", "ff ff ff ff ff ff ff ff 00 65 cd 1d", `"1969-12-31T23:59:59.500Z"`},
	{"time", "00 09 6e 88 f1 ff ff ff 01 00 00 00", `"0001-01-01T00:00:00.000000001Z"`},
	{"time", "ff ff ff ff ff ff ff 7f ff c9 9a 3b", `"@9223372036854775807.999999999"`},
	{"time", "00 00 00 00 00 00 00 80 00 00 00 00", `"@-9223372036854775808"`},
	{"duration", "00 2f 68 59 00 00 00 00", `"1.500s"`},
	{"duration", "00 00 00 00 00 00 00 80", `"-9223372036.854775808s"`},
	{"duration", "00 00 00 00 00 00 00 00", `"0s"`},
	{"duration", "18 fc ff ff ff ff ff ff", `"-0.000001s"`},
	{"binary(netip.Addr)", "04 00 00 00 01 02 03 04", `"AQIDBA=="`},
	{"text(big.Int)", "02 00 00 00 37 37", `"77"`},
	{"[3]uint.le1", "01 02 03", "[1,2,3]"},
	{"[0]bool", "", "[]"},
	{"[2]{}", "", "[{},{}]"},
	{"[]uint.le2", "08 00 00 00 02 00 00 00 01 00 02 00", "[1,2]"},
	{"[]uint.le2", "04 00 00 00 00 00 00 00", "[]"},
	{"[le1]bool", "02 00 01", "[false,true]"},
	{"[varint le1][le1]bool", "05 03 01 00 00 00", "[[false],[],[]]"},
	{"[bytes=varint]string.le1", "05 01 61 02 62 63", `["a","bc"]`},
	{"[rest]string.until=10", "61 0a 0a", `["a",""]`},
	{"map[le1 string.le1]uint.le1", "02 01 61 02 01 62 01", `{"a":2,"b":1}`},
	{"map[le1 string.le1]bool", "00", `{}`},
	{"map[le1 string.le1]bool", "01 01 ff 00", `{"\udcff":false}`},
	{"map[le1 int.le1]bool", "02 02 00 ff 01", `{"2":false,"-1":true}`},
	{"map[le1 uint.varint]bool", "01 ac 02 01", `{"300":true}`},
	{"map[le1 bool]bool", "02 00 01 01 00", `{"false":true,"true":false}`},
	{"map[le1 float.be4]bool", "01 3f 00 00 00 01", `{"0.5":true}`},
	{"map[le1 duration]bool", "01 00 2f 68 59 00 00 00 00 01", `{"1.500s":true}`},
	{"map[le1 [2]uint.le1]bool", "02 01 02 00 01 03 01", `[[[1,2],false],[[1,3],true]]`},
	{"map[le1 {A bool; B bool}]bool", "01 01 00 01", `[[{"A":true,"B":false},true]]`},
	{"map[bytes=le1 string.le1]bool", "05 00 00 01 61 00", `{"":false,"a":false}`},
	{"*bool", "00", "null"},
	{"*bool", "01 01", "true"},
	{"**bool", "00", "null"},
	{"**bool", "01 00", "[null]"},
	{"**bool", "01 01 01", "[true]"},
	{"*^1", "01 01 00", "[[null]]"},
	{"*[le1]bool", "01 00", "[]"},
	{"{ID uint.be2; Name string.le1}", "00 07 01 61", `{"ID":7,"Name":"a"}`},
	{"{}", "", "{}"},
	{"{_ uint.be2=46434; A bool; _ int.le2=-2; _ pad.2; B? bool; _ int.varint=-2}", "b5 62 01 fe ff 00 00 00 03", `{"A":true,"B":false}`},
	{"{Größe bool}", "01", `{"Größe":true}`},
	{"<Alarm {Level uint.le1}; Reading *float.be4; Idle {}>", "01 03", `{"Alarm":{"Level":3}}`},
	{"<Alarm {Level uint.le1}; Reading *float.be4; Idle {}>", "02 00", `{"Reading":null}`},
	{"<Alarm {Level uint.le1}; Reading *float.be4; Idle {}>", "03", `{"Idle":{}}`},
	{"{V uint.le1; Next *^2}", "01 01 02 01 03 00", `{"V":1,"Next":{"V":2,"Next":{"V":3,"Next":null}}}`},
	{"{A [le1]^2; B map[le1 string.le1]^2}", "01 00 01 01 78 00 00 00", `{"A":[{"A":[],"B":{"x":{"A":[],"B":{}}}}],"B":{}}`},
	{"<None {}; More ^1>", "02 02 01", `{"More":{"More":{"None":{}}}}`},
}

func TestJSON(t *testing.T) {
	for _, test := range jsonValues {
		l := parseType(t, test.layout)
		data := unhex(t, test.bytes)
		text, err := layout.AppendJSON([]byte("x"), l, data)
		if err != nil || string(text) != "x"+test.json {
			t.Errorf("%s, % x: got %s, %v, want %s", test.layout, data, text, err, test.json)
		}
		back, err := layout.ParseJSON([]byte("x"), l, []byte(test.json))
		if err != nil || string(back) != "x"+string(data) {
			t.Errorf("%s, %s: got % x, %v, want % x", test.layout, test.json, back, err, data)
		}
	}
}

// Text that AppendJSON would write in another way.
func TestParseJSON(t *testing.T) {
	for _, test := range []struct{ layout, json, bytes string }{
		{"bool", " \t\r\n true ", "01"},
		{"int.le1", `"-5"`, "fb"},
		{"int.le8", "9007199254740993", "01 00 00 00 00 00 20 00"},
		{"uint.le8", "18446744073709551615", "ff ff ff ff ff ff ff ff"},
		{"int.le8", `-9223372036854775808`, "00 00 00 00 00 00 00 80"},
		{"int.le2", "1.5e2", "96 00"},
		{"int.le2", "1500e-1", "96 00"},
		{"int.le2", "-1.500E+2", "6a ff"},
		{"int.le2", "0.05e+2", "05 00"},
		{"int.le2", "0e999999999999999999999", "00 00"},
		{"int.le2", "-0.0", "00 00"},
		{"uint.le1", "-0", "00"},
		{"uint.le1", `"2e1"`, "14"},
		{"float.le4", "0.1000000000001", "cd cc cc 3d"},
		{"float.be4", `"0.5"`, "3f 00 00 00"},
		{"float.be4", "1e-999", "00 00 00 00"},
		{"float.be4", "-1e-999", "80 00 00 00"},
		{"string.le1", `"\u0041\/\b\f\r\ud83d\udca9\u00e9"`, "0b 41 2f 08 0c 0d f0 9f 92 a9 c3 a9"},
		{"bytes.le1", `"-__-"`, "03 fb ff fe"},
		{"bytes.le1", `"AQI"`, "02 01 02"},
		{"bytes.le1", `null`, "00"},
		{"bytes.rest", `null`, ""},
		{"binary(netip.Addr)", `"AQIDBA"`, "04 00 00 00 01 02 03 04"},
		{"time", `"1970-01-01T01:00:00+01:00"`, "00 00 00 00 00 00 00 00 00 00 00 00"},
		{"time", `"@0.5"`, "00 00 00 00 00 00 00 00 00 65 cd 1d"},
		{"duration", `"1m0.5s"`, "00 bd 14 16 0e 00 00 00"},
		{"[le1]bool", "null", "00"},
		{"map[le1 string.le1]bool", "null", "00"},
		{"map[le1 string.le1]uint.le1", `{"b": 1, "a": 2}`, "02 01 61 02 01 62 01"},
		{"map[le1 {A bool}]bool", `[[{"A":true},false],[{},true]]`, "02 00 01 01 00"},
		{"{A uint.le1; B uint.le1}", `{"B": 2, "A": 1}`, "01 02"},
		{"{A uint.le1; _ uint.le1=9; B uint.le1}", `{"B": 2}`, "00 09 02"},
		{"{A bool; B int.varint; C float.le4; D complex.le4; E string.le1; F string.2; G bytes.le1; H time; I duration; J [2]bool; K []bool; L *bool; M {X bool}; N string.until=10; O? bool}", "{}",
			"00 00 00000000 0000000000000000 00 0000 00 00096e88f1ffffff00000000 0000000000000000 0000 0400000000000000 00 00 0a 00"},
		{"{A [1000000000]{}; B bool}", `{"B":true}`, "01"},
	} {
		want := unhex(t, test.bytes)
		if got, err := layout.ParseJSON(nil, parseType(t, test.layout), []byte(test.json)); err != nil || string(got) != string(want) {
			t.Errorf("%s, %s: got % x, %v, want % x", test.layout, test.json, got, err, want)
		}
	}
}

// Text that is refused, with the whole error.
func TestParseJSONErrors(t *testing.T) {
	many := make([]string, 20)
	for i := range many {
		many[i] = fmt.Sprintf("F%d bool", i)
	}
	deep := strings.Repeat(`{"Next":`, 65) + "null" + strings.Repeat("}", 65)
	for _, test := range []struct{ layout, json, want string }{
		{"{Config {Rate float.le4}}", `{"Config":{"Rate":"fast"}}`, "Config.Rate: not a number; the layout has a 32-bit float, offset 18"},
		{"{Config {Rate float.le4}}", `{"Config":{"Rate":[]}}`, "Config.Rate: a list; the layout has a 32-bit float, offset 18"},
		{"bool", "1", "a number; the layout has a bool, offset 0"},
		{"bool", `"true"`, "a string; the layout has a bool, offset 0"},
		{"bool", "null", "null; the layout has a bool, offset 0"},
		{"int.le2", "32768", "a number out of range; the layout has a 16-bit integer, offset 0"},
		{"int.le2", "-32769", "a number out of range; the layout has a 16-bit integer, offset 0"},
		{"uint.le1", "-1", "a number out of range; the layout has an unsigned 8-bit integer, offset 0"},
		{"uint.varint", "18446744073709551616", "a number out of range; the layout has an unsigned 64-bit integer, offset 0"},
		{"int.le2", "0.5", "a number with a fraction, or out of range; the layout has a 16-bit integer, offset 0"},
		{"int.le2", "1e-99999999999999999999", "a number with a fraction, or out of range; the layout has a 16-bit integer, offset 0"},
		{"int.le2", "1e99999999999999999999", "a number with a fraction, or out of range; the layout has a 16-bit integer, offset 0"},
		{"int.le2", `""`, "not a number; the layout has a 16-bit integer, offset 0"},
		{"int.le2", `" 1"`, "not a number; the layout has a 16-bit integer, offset 0"},
		{"int.le2", `"0x1"`, "not a number; the layout has a 16-bit integer, offset 0"},
		{"int.le2", `{}`, "an object; the layout has a 16-bit integer, offset 0"},
		{"float.le4", "1e39", "a number out of range; the layout has a 32-bit float, offset 0"},
		{"float.le8", "1e309", "a number out of range; the layout has a 64-bit float, offset 0"},
		{"float.le8", `"inf"`, "not a number; the layout has a 64-bit float, offset 0"},
		{"float.le8", `"1_0"`, "not a number; the layout has a 64-bit float, offset 0"},
		{"complex.le8", "1", "a number; the layout has a complex number, a list of two floats, offset 0"},
		{"complex.le8", "[1]", "a list of 1; the layout has a complex number, a list of two floats, offset 0"},
		{"complex.le8", "[1,2,3]", "a longer list; the layout has a complex number, a list of two floats, offset 0"},
		{"complex.le8", `[1,{}]`, "[1]: an object; the layout has a 64-bit float, offset 3"},
		{"string.le1", "5", "a number; the layout has a string, offset 0"},
		{"string.le1", `"` + strings.Repeat("a", 256) + `"`, "256 bytes do not fit in a length of 1 byte, offset 0"},
		{"string.2", `"abc"`, "3 bytes exceed fixed=2, offset 0"},
		{"string.2", `"a\u0000"`, "ends in a zero byte, ambiguous with the padding of fixed=2, offset 0"},
		{"string.until=10", `"\n"`, "contains the byte 0x0a that ends it (until=10), offset 0"},
		{"bytes.2", `"AQ=="`, "1 byte; the layout has 2 (fixed=2), offset 0"},
		{"bytes.2", `null`, "null; the layout has bytes, a string in base64, offset 0"},
		{"bytes.le1", `"AQI=="`, "not base64; the layout has bytes, a string in base64, offset 0"},
		{"bytes.le1", `"AR=="`, "not base64; the layout has bytes, a string in base64, offset 0"},
		{"bytes.le1", `"A\nQ=="`, "not base64; the layout has bytes, a string in base64, offset 0"},
		{"bytes.le1", "[1]", "a list; the layout has bytes, a string in base64, offset 0"},
		{"time", `"yesterday"`, `not a time of RFC 3339; the layout has a time, a string as in RFC 3339, offset 0`},
		{"time", `"2026-01-31 12:00:00Z"`, `not a time of RFC 3339; the layout has a time, a string as in RFC 3339, offset 0`},
		{"time", `"@+1"`, `not a time of RFC 3339; the layout has a time, a string as in RFC 3339, offset 0`},
		{"time", `"@1."`, `not a time of RFC 3339; the layout has a time, a string as in RFC 3339, offset 0`},
		{"time", `5`, `a number; the layout has a time, a string as in RFC 3339, offset 0`},
		{"duration", `"5"`, `not a duration; the layout has a duration, a string such as "1.5s", offset 0`},
		{"duration", `5`, `a number; the layout has a duration, a string such as "1.5s", offset 0`},
		{"binary(netip.Addr)", `"1.2.3.4"`, "not base64; the layout has the bytes of netip.Addr, a string in base64, offset 0"},
		{"text(big.Int)", "5", "a number; the layout has the text of big.Int, offset 0"},
		{"raw(lab.Flags)", `"AQ=="`, "raw(lab.Flags), bytes of a Go type's own, which only that type can read, offset 0"},
		{"[2]bool", "[true]", "a list of 1; the layout has a list of 2, offset 0"},
		{"[2]bool", "[true,true,true]", "a longer list; the layout has a list of 2, offset 0"},
		{"[2]bool", "null", "null; the layout has a list of 2, offset 0"},
		{"[]bool", "{}", "an object; the layout has a list, offset 0"},
		{"[]{A [2]bool}", `[{"A":[true,true]},{"A":[true,0]}]`, "[1].A[1]: a number; the layout has a bool, offset 30"},
		{"[le1]uint.le1", "[" + strings.Repeat("1,", 255) + "1]", "256 elements do not fit in a count of 1 byte, offset 513"},
		{"[bytes=le1]uint.le2", "[" + strings.Repeat("1,", 127) + "1]", "256 bytes do not fit in a length of 1 byte, offset 257"},
		{"map[string.le1]bool", "[]", "a list; the layout has a map, an object, offset 0"},
		{"map[string.le1]bool", `{"a":1}`, "[0]: a number; the layout has a bool, offset 5"},
		{"map[uint.le1]bool", `{"1":true,"256":true}`, "[1][key]: a number out of range; the layout has an unsigned 8-bit integer, offset 10"},
		{"map[uint.le1]bool", `{"1":true,"1e0":true}`, "two keys are equal, offset 21"},
		{"map[string.le1]bool", `{"a":true,"\u0061":true}`, "two keys are equal, offset 24"},
		{"map[float.le4]bool", `{"NaN":true}`, "[0][key]: NaN and -0 cannot be map keys, offset 1"},
		{"map[float.le4]bool", `{"-0":true}`, "[0][key]: NaN and -0 cannot be map keys, offset 1"},
		{"map[bool]bool", `{"yes":true}`, `[0][key]: neither "true" nor "false"; the layout has a bool, offset 1`},
		{"map[[1]bool]bool", "{}", "an object; the layout has a map, a list of pairs of key and value, offset 0"},
		{"map[[1]bool]bool", "[true]", "[0]: a bool; the layout has a list of 2, offset 1"},
		{"map[[1]bool]bool", "[[[true]]]", "[0]: a list of 1; the layout has a list of 2, offset 1"},
		{"map[[1]bool]bool", "[[[true],true,1]]", "[0]: a longer list; the layout has a list of 2, offset 1"},
		{"*bool", "5", "a number; the layout has a bool, offset 0"},
		{"**bool", "true", "a bool; the layout has a pointer, null or a list of its value, offset 0"},
		{"**bool", "[]", "a list of 0; the layout has a pointer, null or a list of its value, offset 0"},
		{"**bool", "[null,null]", "a longer list; the layout has a pointer, null or a list of its value, offset 0"},
		{"{A bool}", "[]", "a list; the layout has a struct, an object, offset 0"},
		{"{A bool}", "null", "null; the layout has a struct, an object, offset 0"},
		{"{Rate bool; Other bool}", `{"Rte":true}`, "unknown field; did you mean Rate?, offset 1"},
		{"{Rate bool; Other bool}", `{"rate":true}`, "unknown field; did you mean Rate?, offset 1"},
		{"{Rate bool; Other bool}", `{"Something":true}`, "unknown field; there are Rate, Other, offset 1"},
		{"{}", `{"Something":true}`, "unknown field; there are none, offset 1"},
		{"{_ uint.le1=9; A bool}", `{"_":9}`, "unknown field; did you mean A?, offset 1"},
		{"{" + strings.Join(many, "; ") + "}", `{"F19":true,"F5":true,"F30":1}`, "unknown field; did you mean F0 or F10 or F3?, offset 22"},
		{"{A bool; B {A bool}}", `{"A":true,"B":{"A":true,"A":true}}`, "B.A: occurs twice, offset 24"},
		{"{A <X bool>}", `{}`, "A: absent, and without a zero value; the layout has a union, an object with one of X, offset 0"},
		{"{A bytes.2}", `{}`, "A: absent, and without a zero value; the layout has bytes, a string in base64, offset 0"},
		{"{A [2]text(big.Int)}", `{}`, "A[0]: absent, and without a zero value; the layout has the text of big.Int, offset 0"},
		{"<Alarm bool; Idle {}>", "{}", "an empty object; the layout has a union, an object with one of Alarm, Idle, offset 0"},
		{"<Alarm bool; Idle {}>", `{"Alarm":true,"Idle":{}}`, "an object with two members; the layout has a union, an object with one of Alarm, Idle, offset 0"},
		{"<Alarm bool; Idle {}>", `{"Alrm":true}`, "unknown member; did you mean Alarm?, offset 1"},
		{"{Next *^2}", deep, "Next" + strings.Repeat(".Next", 5) + "...(49 more)" + strings.Repeat(".Next", 10) + ": nested deeper than MaxDepth (64), offset 520"},
		{"{A string.100000000}", "{}", "A: takes more than the 67108864 bytes that MaxSize allows, offset 2"},
		{"{A [2000000000]bool}", "{}", "A: takes more than the 67108864 bytes that MaxSize allows, offset 0"},
		// Text that is not JSON.
		{"bool", "", "unexpected end of the text, want a value, offset 0"},
		{"bool", "yes", "want a JSON value, offset 0"},
		{"bool", "tru", "want a JSON value, offset 0"},
		{"bool", "true false", "text after the value, offset 5"},
		{"bool", "\ufefftrue", "want a JSON value, offset 0"},
		{"int.le1", "01", "want a JSON number, offset 0"},
		{"int.le1", "+1", "want a JSON value, offset 0"},
		{"int.le1", "1.", "want a JSON number, offset 0"},
		{"int.le1", ".5", "want a JSON value, offset 0"},
		{"int.le1", "1e", "want a JSON number, offset 0"},
		{"int.le1", "0x1", "want a JSON number, offset 0"},
		{"int.le1", "-", "want a JSON number, offset 0"},
		{"float.le8", "NaN", "want a JSON value, offset 0"},
		{"string.le1", `"abc`, "unexpected end of the text in a string, offset 4"},
		{"string.le1", "\"a\nb\"", "control character in a string; write it as an escape, offset 2"},
		{"string.le1", "\"a\xffb\"", "a string is not UTF-8, offset 2"},
		{"string.le1", "\"\xed\xb2\x80\"", "a string is not UTF-8, offset 1"},
		{"string.le1", `"\x41"`, "unknown escape in a string, offset 1"},
		{"string.le1", `"\u12g4"`, "unknown escape in a string, offset 1"},
		{"string.le1", `"\u12`, "unknown escape in a string, offset 1"},
		{"string.le1", `"\ud800"`, "half of a surrogate pair in a string, offset 1"},
		{"string.le1", `"\udc00"`, "half of a surrogate pair in a string, offset 1"},
		{"string.le1", `"\udcff\ud83d"`, "half of a surrogate pair in a string, offset 7"},
		{"[]bool", "[true,]", "comma without an element after it, offset 6"},
		{"[]bool", "[true true]", "want a comma or the end of a list, offset 6"},
		{"[]bool", "[,true]", "[0]: want a JSON value, offset 1"},
		{"[]bool", "[true", "unexpected end of the text in a list, offset 5"},
		{"[]bool", "[true}", "want a comma or the end of a list, offset 5"},
		{"{A bool}", `{A:true}`, "want a JSON string, offset 1"},
		{"{A bool}", `{"A" true}`, "want a colon after a name, offset 5"},
		{"{A bool}", `{"A":}`, "A: want a JSON value, offset 5"},
		{"{A bool}", `{"A":true,}`, "comma without an element after it, offset 10"},
		{"{A bool}", `{"A":true // yes` + "\n}", "want a comma or the end of an object, offset 10"},
	} {
		got, err := layout.ParseJSON([]byte("x"), parseType(t, test.layout), []byte(test.json))
		if string(got) != "x" {
			t.Errorf("%s, %.100s: the result is %.100q", test.layout, test.json, got)
		}
		if _, ok := err.(*layout.JSONError); !ok || err.Error() != test.want {
			t.Errorf("%s, %.100s: got %v, want %s", test.layout, test.json, err, test.want)
		}
	}
}

// Bytes that are no value of the layout.
func TestAppendJSONErrors(t *testing.T) {
	for _, test := range []struct{ layout, bytes, want string }{
		{"bool", "", "want 1 byte, have 0, offset 0"},
		{"bool", "02", "want 0 or 1 for a bool, offset 0"},
		{"bool", "00 00", "1 trailing byte, offset 1"},
		{"int.le4", "00 00 00", "want 4 bytes, have 3, offset 0"},
		{"uint.varint", "80", "truncated varint, offset 0"},
		{"uint.varint", "80 00", "varint is not in its shortest form, offset 0"},
		{"uint.varint", "ff ff ff ff ff ff ff ff ff 02", "varint does not fit in 64 bits, offset 0"},
		{"uint.varint", "ff ff ff ff ff ff ff ff ff ff 01", "varint does not fit in 64 bits, offset 0"},
		{"string.le4", "ff ff ff ff", "want 4294967295 bytes, have 0, offset 4"},
		{"string.le8", "ff ff ff ff ff ff ff ff", "want 18446744073709551615 bytes, have 0, offset 8"},
		{"string.2", "61", "want 2 bytes, have 1, offset 0"},
		{"string.until=0", "61 62", "want the byte 0x00 (until=0) in the last 2 bytes, offset 0"},
		{"time", "00 00 00 00 00 00 00 00 00 ca 9a 3b", "want less than 1e9 nanoseconds, offset 8"},
		{"raw(lab.Flags)", "01", "raw(lab.Flags), bytes of a Go type's own, which only that type can read, offset 0"},
		{"*bool", "02", "want 0 or 1 for the presence of a pointer's value, offset 0"},
		{"{A {B *bool}}", "02", "A.B: want 0 or 1 for the presence of a pointer's value, offset 0"},
		{"<A bool; B bool>", "00", "want 1 to 2 for the member of a union, offset 0"},
		{"<A bool; B bool>", "03 00", "want 1 to 2 for the member of a union, offset 0"},
		{"[]bool", "05 00 00 00 01 00 00 00", "want 5 bytes of elements, have 4, offset 4"},
		{"[]bool", "06 00 00 00 01 00 00 00 01 01", "1 trailing byte after the elements, offset 9"},
		{"[le8]bool", "ff ff ff ff ff ff ff ff 01", "want 18446744073709551615 elements, have 1 byte, offset 0"},
		{"[le1][2]bool", "02 01 01 01", "[1][1]: want 1 byte, have 0, offset 4"},
		{"[bytes=le1]uint.le2", "03 01 00 01", "[1]: want 2 bytes, have 1, offset 3"},
		{"map[le1 uint.le1]bool", "02 02 00 01 00", "[key]: want unique keys in the order of their bytes, offset 3"},
		{"map[le1 uint.le1]bool", "02 01 00 01 00", "[key]: want unique keys in the order of their bytes, offset 3"},
		{"map[le1 float.be4]bool", "01 80 00 00 00 00", "[key]: NaN and -0 cannot be map keys, offset 1"},
		{"map[le1 float.be4]bool", "01 ff ff ff ff 00", "[key]: NaN and -0 cannot be map keys, offset 1"},
		{"{_ uint.be2=46434}", "b5 63", "_: want the constant 46434, which is b5 62, offset 0"},
		{"{_ pad.3}", "00 00", "_: want 3 bytes, have 2, offset 0"},
		{"{Next *^2}", strings.Repeat("01", 65), "Next" + strings.Repeat(".Next", 5) + "...(49 more)" + strings.Repeat(".Next", 10) + ": nested deeper than MaxDepth (64), offset 64"},
	} {
		got, err := layout.AppendJSON([]byte("x"), parseType(t, test.layout), unhex(t, test.bytes))
		if string(got) != "x" {
			t.Errorf("%.100s, %.100s: the result is %.100q", test.layout, test.bytes, got)
		}
		if _, ok := err.(*layout.JSONError); !ok || err.Error() != test.want {
			t.Errorf("%s, %.100s: got %v, want %s", test.layout, test.bytes, err, test.want)
		}
	}
}

// Few bytes become long JSON by their names. The default limit is reached at full length only.
func TestJSONOfLongNames(t *testing.T) {
	o := layout.JSON{MaxSize: rounds.Of(1<<20, 0)}
	got, err := o.Append([]byte("x"), parseType(t, "[le4]{"+strings.Repeat("N", 60000)+" bool}"), unhex(t, "00 05 00 00"+strings.Repeat("00", 1280)))
	want := fmt.Sprintf("takes more than the %d bytes that MaxSize allows", rounds.Of(1<<20, 64<<20))
	if string(got) != "x" || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%d bytes, %v, want %s", len(got), err, want)
	}
}

func TestJSONLimits(t *testing.T) {
	list := parseType(t, "{Next *^2; Text string.le1}")
	deep := []byte(strings.Repeat("\x01", 100) + "\x00" + strings.Repeat("\x01a", 101))
	if _, err := layout.AppendJSON(nil, list, deep); err == nil {
		t.Error("101 levels are within the default MaxDepth")
	}
	text, err := layout.JSON{MaxDepth: -1}.Append(nil, list, deep)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (layout.JSON{MaxDepth: 100}).Parse(nil, list, text); err == nil {
		t.Error("101 levels are within MaxDepth 100")
	}
	back, err := layout.JSON{MaxDepth: 101}.Parse(nil, list, text)
	if err != nil || string(back) != string(deep) {
		t.Errorf("101 levels: %v", err)
	}
	for size := range len(text) {
		if got, err := (layout.JSON{MaxDepth: 101, MaxSize: max(size, 1)}).Append(nil, list, deep); err == nil {
			t.Fatalf("MaxSize %d of %d: got %d bytes", size, len(text), len(got))
		}
	}
	for size := range len(deep) {
		if got, err := (layout.JSON{MaxDepth: 101, MaxSize: max(size, 1)}).Parse(nil, list, text); err == nil {
			t.Fatalf("MaxSize %d of %d: got %d bytes", size, len(deep), len(got))
		}
	}
	if _, err := (layout.JSON{MaxDepth: 101, MaxSize: len(text)}).Append([]byte("before"), list, deep); err != nil {
		t.Errorf("MaxSize as long as the text: %v", err)
	}
	if got, err := (layout.JSON{MaxSize: -1}).Parse(nil, parseType(t, "{A string.70000000}"), []byte("{}")); err != nil || len(got) != 70_000_000 {
		t.Errorf("without a limit: %d bytes, %v", len(got), err)
	}
}

// The parts of a call follow each other.
func TestJSONDecode(t *testing.T) {
	m, err := layout.ParseMethod("Shop.Order(string.le1, [le1]uint.le1, bool)")
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	rest := []byte("\x02hi\x02\x01\x02\x01")
	for _, l := range m.Params {
		if text, rest, err = (layout.JSON{}).Decode(append(text, ' '), l, rest); err != nil {
			t.Fatal(err)
		}
	}
	if string(text) != ` "hi" [1,2] true` || len(rest) != 0 {
		t.Errorf("got %s, and %q left", text, rest)
	}
	if text, rest, err := (layout.JSON{}).Decode([]byte("x"), m.Params[1], []byte("\x02\x01")); err == nil || string(text) != "x" || string(rest) != "\x02\x01" {
		t.Errorf("bytes that end early: %q, %q, %v", text, rest, err)
	}
}

func TestJSONSecret(t *testing.T) {
	l := parseType(t, "{Name string.le1; Password *string.le1; Users [le1]{Key uint.le1; More *^4}; Tokens map[le1 string.le1][2]bool; Auth <Basic string.le1; Token {ID uint.le1; Hash bytes.le1}>}")
	data := unhex(t, "01 61 01 01 70 01 05 00 01 01 74 00 01 02 07 01 ff")
	for _, test := range []struct{ secret, want string }{
		{"", `{"Name":"a","Password":"p","Users":[{"Key":5,"More":null}],"Tokens":{"t":[false,true]},"Auth":{"Token":{"ID":7,"Hash":"/w=="}}}`},
		{"Password", `{"Name":"a","Password":"***","Users":[{"Key":5,"More":null}],"Tokens":{"t":[false,true]},"Auth":{"Token":{"ID":7,"Hash":"/w=="}}}`},
		{"Users[].Key Tokens[]", `{"Name":"a","Password":"p","Users":[{"Key":"***","More":null}],"Tokens":{"t":"***"},"Auth":{"Token":{"ID":7,"Hash":"/w=="}}}`},
		{"Users Tokens[key] Tokens[][] Auth.Basic", `{"Name":"a","Password":"p","Users":"***","Tokens":{"***":["***","***"]},"Auth":{"Token":{"ID":7,"Hash":"/w=="}}}`},
		{"Auth.Token.Hash Name", `{"Name":"***","Password":"p","Users":[{"Key":5,"More":null}],"Tokens":{"t":[false,true]},"Auth":{"Token":{"ID":7,"Hash":"***"}}}`},
		{"Auth.Token", `{"Name":"a","Password":"p","Users":[{"Key":5,"More":null}],"Tokens":{"t":[false,true]},"Auth":{"Token":"***"}}`},
	} {
		got, err := layout.JSON{Secret: strings.Fields(test.secret)}.Append(nil, l, data)
		if err != nil || string(got) != test.want {
			t.Errorf("%q: got %s, %v\nwant %s", test.secret, got, err, test.want)
		}
	}
	// A recursive type has the place at each of its levels.
	rec := parseType(t, "{Pin uint.le1; Next *^2}")
	if got, err := (layout.JSON{Secret: []string{"Pin"}}).Append(nil, rec, unhex(t, "01 01 02 00")); err != nil || string(got) != `{"Pin":"***","Next":{"Pin":"***","Next":null}}` {
		t.Errorf("recursive: %s, %v", got, err)
	}
	if got, err := (layout.JSON{Secret: []string{"Next.Next.Pin"}}).Append(nil, rec, unhex(t, "01 00")); err != nil || string(got) != `{"Pin":"***","Next":null}` {
		t.Errorf("recursive, from an inner level: %s, %v", got, err)
	}
	// What is no place must not be shown by mistake.
	for secret, want := range map[string]string{
		"":             `place "" of Secret is not in the type: want names separated by dots, [] and [key]`,
		"Passwort":     `place "Passwort" of Secret is not in the type: unknown field; did you mean Password?`,
		"Password.":    `place "Password." of Secret is not in the type: want names separated by dots, [] and [key]`,
		"Name[]":       `place "Name[]" of Secret is not in the type: [] stands for a part of a string`,
		"Users[key]":   `place "Users[key]" of Secret is not in the type: [key] stands for a part of a list`,
		"Users[0].Key": `place "Users[0].Key" of Secret is not in the type: want names separated by dots, [] and [key]`,
		"Auth.Tokn":    `place "Auth.Tokn" of Secret is not in the type: unknown member; did you mean Token?`,
	} {
		if got, err := (layout.JSON{Secret: []string{secret}}).Append([]byte("x"), l, data); err == nil || err.Error() != want || string(got) != "x" {
			t.Errorf("%q: got %s, %v, want %s", secret, got, err, want)
		}
	}
	if _, err := (layout.JSON{Secret: []string{"X"}}).Append(nil, parseType(t, "*^1"), []byte{0}); err == nil {
		t.Error("a place in a pointer to itself")
	}
}

// The payload of a NaN is lost; it stays a NaN.
func TestJSONNaN(t *testing.T) {
	l := parseType(t, "float.be4")
	text, err := layout.AppendJSON(nil, l, unhex(t, "7f 80 00 01"))
	if err != nil || string(text) != `"NaN"` {
		t.Fatalf("got %s, %v", text, err)
	}
	back, err := layout.ParseJSON(nil, l, text)
	if err != nil || len(back) != 4 {
		t.Fatal(err)
	}
	if f := math.Float32frombits(uint32(back[0])<<24 | uint32(back[1])<<16 | uint32(back[2])<<8 | uint32(back[3])); f == f {
		t.Errorf("got %g", f)
	}
}

// Every row of the guide's table holds, in both directions.
func TestJSONInTheGuide(t *testing.T) {
	page, err := os.ReadFile("../docs/guide/json.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "| layout | bytes | JSON | also read |\n|---|---|---|---|\n")
	if !ok {
		t.Fatal("the page has no table")
	}
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) < 3 {
			break
		}
		rows++
		code := strings.Split(line, "`")
		l, data, want := parseType(t, code[1]), unhex(t, code[3]), code[5]
		if got, err := layout.AppendJSON(nil, l, data); err != nil || string(got) != want {
			t.Errorf("%s, % x: got %s, %v, want %s", code[1], data, got, err, want)
		}
		for i := 5; i < len(code); i += 2 {
			if got, err := layout.ParseJSON(nil, l, []byte(code[i])); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %s: got % x, %v, want % x", code[1], code[i], got, err, data)
			}
		}
	}
	if rows < 30 {
		t.Errorf("the table has %d rows", rows)
	}
}
