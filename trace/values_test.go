package trace_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
	"github.com/bsrpc/bsrpc/trace"
)

type card struct {
	Owner, Number string
}

type order struct {
	ID   uint16
	Card *card
	Tags []string
}

// described returns a conversation that binds a method by name, and learns its layout.
func described(t *testing.T, text string) conversation {
	t.Helper()
	full, _, _ := strings.Cut(text, "(")
	service, name, _ := strings.Cut(full, ".")
	body := append(le16(len(service)), service...)
	body = append(append(body, le16(1)...), le16(len(name))...)
	body = append(body, name...)
	answer := append(le16(1), 0, 0, 0)
	answer = append(binary.LittleEndian.AppendUint32(answer, uint32(len(text))), text...)
	return append(conversationOf(t, clientHello, serverHello),
		trace.Piece{Time: start, Bytes: frame(0x16, 8, 0, 1, body)},
		trace.Piece{Time: start, From: trace.FromServer, Bytes: frame(0x12, 0, 0, 1, answer)})
}

// parsed returns the layout with a text.
func parsed(t *testing.T, text string) *layout.Method {
	t.Helper()
	m, err := layout.ParseMethod(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func le16(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }

// frame returns a native frame.
func frame(kind, flags byte, arg uint16, id uint64, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.LittleEndian.AppendUint16(append(b, kind, flags), arg)
	return append(binary.LittleEndian.AppendUint64(b, id), body...)
}

// encoded returns the bytes of values one behind another.
func encoded(t *testing.T, values ...any) (b []byte) {
	t.Helper()
	for _, v := range values {
		one, err := bsrpc.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, one...)
	}
	return b
}

// last returns the last line of a dump, without the columns.
func last(dump string) string {
	dump = strings.TrimSpace(dump)
	dump = dump[strings.LastIndex(dump, "\n")+1:]
	return strings.Join(strings.Fields(dump)[5:], " ")
}

func TestValues(t *testing.T) {
	const text = "Shop.Pay({ID uint.le2; Card *{Owner string.le4; Number string.le4}; Tags []string.le4}, func(bool), int.le8) (string.le4, bool)"
	c := described(t, text)
	body := append(make([]byte, 8), encoded(t, order{7, &card{"Ann", "4711"}, []string{"x", "\u202ey\x1b"}}, true, int64(-2))...)
	c = append(c, trace.Piece{Time: start, Bytes: frame(0x10, 0, 0, 2, body)})
	results := append(c[:len(c):len(c)], trace.Piece{Time: start, From: trace.FromServer, Bytes: frame(0x12, 0, 0, 2, encoded(t, "paid", true))})
	for _, tt := range []struct {
		opts          trace.Options
		args, results string
	}{
		{trace.Options{ShowValues: true},
			`Shop.Pay 49 bytes ({"ID":7,"Card":{"Owner":"Ann","Number":"4711"},"Tags":["x","\u202ey\u001b"]}, func, "-2")`,
			`Shop.Pay 9 bytes after=0s ("paid", true)`},
		{trace.Options{Secret: map[string][]string{"Shop.Pay": {"parameter 1.Card.Number", "parameter 1.Tags[]", "result 1"}}},
			`Shop.Pay 49 bytes ({"ID":7,"Card":{"Owner":"Ann","Number":"***"},"Tags":["***","***"]}, func, "-2")`,
			`Shop.Pay 9 bytes after=0s ("***", true)`},
		{trace.Options{Secret: map[string][]string{"Shop.Pay": {"parameter 1", "parameter 3", "result 2"}}},
			`Shop.Pay 49 bytes ("***", func, "***")`, `Shop.Pay 9 bytes after=0s ("paid", "***")`},
		{trace.Options{Secret: map[string][]string{"Shop.Pay": nil}, MaxValue: 12},
			`Shop.Pay 49 bytes ({"ID":7,"Ca...(87 bytes)`, `Shop.Pay 9 bytes after=0s ("paid", tru...(14 bytes)`},
		{trace.Options{Secret: map[string][]string{"Shop.Other": nil}}, `Shop.Pay 49 bytes`, `Shop.Pay 9 bytes after=0s`},
		// A place that is not in the type hides the value.
		{trace.Options{Secret: map[string][]string{"Shop.Pay": {"parameter 1.Kard"}}},
			`Shop.Pay 49 bytes malformed: parameter 1, "place \"Kard\" of Secret is not in the type: unknown field; did you mean Card?"`,
			`Shop.Pay 9 bytes after=0s ("paid", true)`},
	} {
		tt.opts.Layouts = []*layout.Method{parsed(t, text)}
		if have := last(c.dump(&tt.opts)); have != tt.args {
			t.Errorf("%+v: have %s\nwant %s", tt.opts, have, tt.args)
		}
		if have := last(results.dump(&tt.opts)); have != tt.results {
			t.Errorf("%+v: have %s\nwant %s", tt.opts, have, tt.results)
		}
	}
}

// Arguments that do not fit their layout are shown by the error, which has no value.
func TestValuesThatDoNotFit(t *testing.T) {
	c := described(t, "Shop.Put(string.le4, bool)")
	for want, args := range map[string][]byte{
		`malformed: parameter 1, "want 5 bytes, have 3, offset 4"`: []byte("\x05\x00\x00\x00abc"),
		`malformed: 1 trailing byte`:                               []byte("\x01\x00\x00\x00a\x01\x07"),
		`malformed: parameter 2, "want 1 byte, have 0, offset 0"`:  []byte("\x01\x00\x00\x00a"),
	} {
		c := append(c[:len(c):len(c)], trace.Piece{Time: start, Bytes: frame(0x10, 0, 0, 2, append(make([]byte, 8), args...))})
		have := last(c.dump(&trace.Options{ShowValues: true}))
		if !strings.HasSuffix(have, want) {
			t.Errorf("have %s\nwant %s", have, want)
		}
		if strings.Contains(have, "abc") {
			t.Errorf("a value in %s", have)
		}
	}
}

func TestItems(t *testing.T) {
	const text = "Shop.Watch() stream({ID uint.le2; Key string.le4})"
	c := described(t, text)
	type entry struct {
		ID  uint16
		Key string
	}
	var items []byte
	for _, e := range []entry{{1, "a"}, {2, "b"}} {
		one := encoded(t, e)
		items = append(binary.LittleEndian.AppendUint32(items, uint32(len(one))), one...)
	}
	c = append(c, trace.Piece{Time: start, Bytes: frame(0x10, 0, 0, 2, make([]byte, 8))},
		trace.Piece{Time: start, From: trace.FromServer, Bytes: frame(0x12, 0, 0, 2, nil)},
		trace.Piece{Time: start, From: trace.FromServer, Bytes: frame(0x20, 0, 0, 2, items)})
	for want, secret := range map[string][]string{
		`{"ID":1,"Key":"a"} {"ID":2,"Key":"b"}`:     nil,
		`{"ID":1,"Key":"***"} {"ID":2,"Key":"***"}`: {"result 1[].Key"},
		`"***" "***"`: {"result 1"},
	} {
		have := last(c.dump(&trace.Options{Secret: map[string][]string{"Shop.Watch": secret}, Layouts: []*layout.Method{parsed(t, text)}}))
		if want = "Shop.Watch stream=0 2 items, 22 bytes " + want; have != want {
			t.Errorf("have %s\nwant %s", have, want)
		}
	}
	if have := last(c.dump(nil)); have != "Shop.Watch stream=0 2 items, 22 bytes" {
		t.Errorf("have %s", have)
	}
}

// The places of secrets are those of one layout: values of another version are not shown, and
// neither are those of an unknown one.
func TestSecretsOfOneLayout(t *testing.T) {
	const text = "Shop.Pay(string.le4, string.le4)"
	c := described(t, text)
	c = append(c, trace.Piece{Time: start, Bytes: frame(0x10, 0, 0, 2, append(make([]byte, 8), encoded(t, "Ann", "4711")...))})
	for _, tt := range []struct {
		layout string
		want   string
	}{
		{text, `Shop.Pay 15 bytes ("Ann", "***")`},
		{"Shop.Pay(string.le4)", "Shop.Pay 15 bytes"},
		{"Shop.Other()", "Shop.Pay 15 bytes"},
	} {
		opts := &trace.Options{Secret: map[string][]string{"Shop.Pay": {"parameter 2"}}, Layouts: []*layout.Method{parsed(t, tt.layout)}}
		if have := last(c.dump(opts)); have != tt.want {
			t.Errorf("%s: have %s\nwant %s", tt.layout, have, tt.want)
		}
	}
}

// The arguments of a func are shown if the method is, and nothing in the func is secret.
func TestSecretFuncs(t *testing.T) {
	const text = "Shop.Pay(bool, func(string.le4))"
	c := described(t, text)
	args := append(make([]byte, 8), 1, 1)
	c = append(c, trace.Piece{Time: start, Bytes: frame(0x10, 0, 0, 2, args)})
	body := append(append(make([]byte, 8), 2, 0, 0, 0, 0, 0, 0, 0), encoded(t, "done")...)
	c = append(c, trace.Piece{Time: start, From: trace.FromServer, Bytes: frame(0x10, 0x40, 1, 1, body)})
	for want, secret := range map[string][]string{
		`Shop.Pay(func 1) func=1 of c2 8 bytes ("done")`: {"parameter 1"},
		`Shop.Pay(func 1) func=1 of c2 8 bytes`:          {"parameter 2"},
	} {
		opts := &trace.Options{Secret: map[string][]string{"Shop.Pay": secret}, Layouts: []*layout.Method{parsed(t, text)}}
		if have := last(c.dump(opts)); have != want {
			t.Errorf("%v: have %s\nwant %s", secret, have, want)
		}
	}
}

// Programs get items and metadata as bytes.
func TestEventsForPrograms(t *testing.T) {
	c := described(t, "Shop.Watch() stream(uint.le2)")
	item := []byte{2, 0, 0, 0, 7, 0}
	c = append(c, trace.Piece{Bytes: frame(0x10, 0, 0, 2, make([]byte, 8))},
		trace.Piece{From: trace.FromServer, Bytes: frame(0x20, 0, 0, 2, append(item, item[:5]...))},
		trace.Piece{From: trace.FromServer, Bytes: frame(0x20, 0, 0, 2, item[5:])})
	var got []string
	d := trace.NewDecoder(nil, func(e *trace.Event) {
		if e.Frame == "ITEMS" {
			got = append(got, fmt.Sprint(e.CallName(), e.Stream, e.Items, e.Layout))
		}
	})
	for _, p := range c {
		d.Feed(&p)
	}
	if want := "[c20 [[7 0]] Shop.Watch() stream(uint.le2) c20 [[7 0]] Shop.Watch() stream(uint.le2)]"; fmt.Sprint(got) != want {
		t.Errorf("have %v\nwant %v", got, want)
	}
	var md map[string]string
	d = trace.NewDecoder(nil, func(e *trace.Event) {
		if e.Frame == "REQUEST" && e.Metadata != nil {
			md = e.Metadata
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				for _, v := range []any{e, *e, []trace.Event{*e}} {
					for key, value := range md {
						if text := fmt.Sprintf(verb, v); len(value) > 1 && strings.Contains(text, value) || !strings.Contains(text, key) {
							t.Errorf("%s of a %T prints a value: %s", verb, v, text)
						}
					}
				}
			}
		}
	})
	for _, p := range transcript(t, "../testdata/transcripts/metadata.txt") {
		d.Feed(&p)
	}
	if len(md) == 0 {
		t.Error("no metadata")
	}
}
