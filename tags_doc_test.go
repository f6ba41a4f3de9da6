package bsrpc_test

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/internal/codec"
)

// The lines of docs/tags.md that show a value's bytes: type and value as the
// page writes them.
var shownBytes = []struct {
	typ, tag, text string
	value          any
}{
	{"bool", "", "true", true},
	{"int16", "", "-2", int16(-2)},
	{"int", "", "-2", -2},
	{"int", "be2", "-2", -2},
	{"uint32", "varint", "300", uint32(300)},
	{"int32", "be3", "-2", int32(-2)},
	{"uint64", "le6", "300", uint64(300)},
	{"int32", "varint", "-2", int32(-2)},
	{"int32", "uvarint", "300", int32(300)},
	{"int32", "uvarint", "-2", int32(-2)},
	{"float32", "", "1", float32(1)},
	{"float64", "be8", "1", 1.0},
	{"complex64", "", "(1+2i)", complex64(complex(1, 2))},
	{"string", "", `"hé"`, "hé"},
	{"string", "len=be2", `"ab"`, "ab"},
	{"string", "fixed=4", `"ab"`, "ab"},
	{"string", "until=0", `"ab"`, "ab"},
	{"string", "rest", `"ab"`, "ab"},
	{"[]byte", "", "{1, 2}", []byte{1, 2}},
	{"[]byte", "fixed=2", "{1, 2}", []byte{1, 2}},
	{"[]byte", "list,le2", "{1, 2}", []byte{1, 2}},
	{"[2]uint16", "", "{1, 2}", [2]uint16{1, 2}},
	{"[]uint16", "", "{1, 2}", []uint16{1, 2}},
	{"[]uint16", "list", "{1, 2}", []uint16{1, 2}},
	{"[]uint16", "len=le2", "{1, 2}", []uint16{1, 2}},
	{"[]uint16", "list,len=le1,be2", "{1, 2}", []uint16{1, 2}},
	{"[]uint16", "bytes=le1", "{1, 2}", []uint16{1, 2}},
	{"[]uint16", "rest,be2", "{1, 2}", []uint16{1, 2}},
	{"[]string", "bytes=be2,elem=len=le1", `{"a", "bc"}`, []string{"a", "bc"}},
	{"[]string", "list,len=le2,elem=(len=le1 max=32)", `{"a", "bc"}`, []string{"a", "bc"}},
	{"map[string]uint16", "list,len=le1,key=len=le1", `{"b": 1, "a": 2}`, map[string]uint16{"b": 1, "a": 2}},
	{"*int8", "", "nil", (*int8)(nil)},
	{"*int8", "", "5", ptr(int8(5))},
	{"Event", "", "{Idle: &struct{}{}}", tagEvent{Idle: &struct{}{}}},
	{"Event", "", `{Alarm: &Alarm{3, "hot"}}`, tagEvent{Alarm: &tagAlarm{3, "hot"}}},
	{"time.Duration", "", "2ns", 2 * time.Nanosecond},
	{"netip.Addr", "", "1.2.3.4", netip.MustParseAddr("1.2.3.4")},
	{"Flags", "raw", "{Quality: 7, Health: 1}", tagFlags{7, 1}},
	{"netip.Addr", "text", "1.2.3.4", netip.MustParseAddr("1.2.3.4")},
}

// A tagEvent is the union of the page.
type tagEvent struct {
	_       struct{} `bsrpc:"union"`
	Alarm   *tagAlarm
	Reading *float32 `bsrpc:"be4"`
	Idle    *struct{}
}

// tagFlags are the Flags of the page.
type tagFlags struct{ Quality, Health uint8 }

func (f tagFlags) AppendBinary(b []byte) ([]byte, error) {
	return append(b, f.Health<<4|f.Quality), nil
}
func (f *tagFlags) DecodeBinary(data []byte) (int, error) {
	f.Quality, f.Health = data[0]&15, data[0]>>4
	return 1, nil
}

type tagAlarm struct {
	Level uint8
	Text  string `bsrpc:"len=le1"`
}

// code is text as the page's tables have it.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "` "
}

func TestTagsPageBytes(t *testing.T) {
	page, err := os.ReadFile("docs/tags.md")
	if err != nil {
		t.Fatal(err)
	}
	section := between(string(page), "## Values and their bytes", "## The tag of a func")
	for _, test := range shownBytes {
		v := reflect.New(field(reflect.TypeOf(test.value), test.tag))
		v.Elem().Field(0).Set(reflect.ValueOf(test.value))
		data, err := bsrpc.Marshal(v.Interface())
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("| `%s` | %s| `%s` | `% x` |\n", test.typ, code(test.tag), test.text, data)
		if !strings.Contains(section, line) {
			t.Errorf("the page lacks %s", line)
		}
	}
	if n := strings.Count(section, "\n| `"); n != len(shownBytes) {
		t.Errorf("the page shows %d values, this test knows %d", n, len(shownBytes))
	}
}

func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

// The errors shown in the page are those of the compiler of types.
func TestTagsPageErrors(t *testing.T) {
	page, err := os.ReadFile("docs/tags.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		tag string
		typ any
	}{
		{"le9", int64(0)}, {"le4", 1.5}, {"utf8", []string(nil)}, {"le4,le8", 0}, {"lsit", []int64(nil)}, {"max=300,len=le1", ""},
		{"", []struct{}(nil)}, {"", map[*int]int(nil)}, {"union", 0},
	} {
		_, err := codec.Compile(field(reflect.TypeOf(test.typ), test.tag), nil)
		if err == nil {
			t.Fatalf("%q is no error for %T", test.tag, test.typ)
		}
		_, text, _ := strings.Cut(err.Error(), ": ")
		typ := strings.ReplaceAll(fmt.Sprintf("%T", test.typ), "struct {", "struct{")
		if line := fmt.Sprintf("| %s| `%s` | `%s` |", code(test.tag), typ, text); !strings.Contains(string(page), line) {
			t.Errorf("the page lacks %s", line)
		}
	}
}

// Each signature that the page shows is a tag.
func TestTagsPageSignatures(t *testing.T) {
	page, err := os.ReadFile("docs/tags.md")
	if err != nil {
		t.Fatal(err)
	}
	section := between(string(page), "## The tag of a func", "There is one place")
	count := 0
	for line := range strings.Lines(section) {
		tag, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |")
		if !ok {
			continue
		}
		count++
		if _, err := codec.ParseMethodTag(tag); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	if count < 5 {
		t.Errorf("the page shows %d signatures", count)
	}
}
