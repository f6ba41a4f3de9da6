package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// Limits of the differences between two values, and of one of them in a line.
const (
	maxChanges = 100
	maxChange  = 256
)

// A change is a place in a value that differs: a new one has no Old, and one that is gone no New.
type change struct {
	Place string          `json:"place"` // "Config.Rates[2]"; "" for the whole value
	Old   json.RawMessage `json:"old,omitempty"`
	New   json.RawMessage `json:"new,omitempty"`
}

// hidden is the change of values that are not shown.
var hidden = change{Place: "(secret)"}

// mark returns the sign of a change in front of its line.
func (c *change) mark() string {
	switch {
	case c.Old == nil && c.New != nil:
		return "+"
	case c.Old != nil && c.New == nil:
		return "-"
	}
	return "~"
}

// text returns the line of a change, with the place behind prefix.
func (c *change) text(prefix string) string {
	place, old, now := clean(prefix+c.Place, maxChange), c.short(c.Old), c.short(c.New)
	if place != "" && (old != "" || now != "") {
		place += ": "
	}
	if old != "" && now != "" {
		old += " -> "
	}
	return c.mark() + " " + place + old + now
}

// errorPlace is the place of a failed call. Its values are sentences.
const errorPlace = "error"

// short returns a value for a line.
func (c *change) short(value json.RawMessage) string {
	var sentence string
	if c.Place == errorPlace && json.Unmarshal(value, &sentence) == nil {
		return clean(sentence, maxErrorText)
	}
	return clean(string(appendPrintable(nil, value)), maxChange)
}

// changes returns the differences between two values of a layout, at most maxChanges, and the
// number of others. Secret places are masked. If these alone differ, the change is hidden.
func changes(l *layout.Type, old, now json.RawMessage, secret []string) (list []change, more int) {
	return maskedChanges(old, now, masked(l, old, secret), masked(l, now, secret), nil)
}

// maskedChanges is changes with the masked values, except at the places to skip. A nil value is absent.
func maskedChanges(old, now, oldMasked, nowMasked json.RawMessage, skip places) (list []change, more int) {
	if (old == nil) == (now == nil) && bytes.Equal(old, now) {
		return nil, 0
	}
	if skip != nil {
		f := &changeFinder{}
		if f.compare("", treeOf(old), treeOf(now), skip); len(f.list) == 0 {
			return nil, 0
		}
	}
	f := &changeFinder{}
	f.compare("", treeOf(oldMasked), treeOf(nowMasked), skip)
	if len(f.list) == 0 {
		f.list = append(f.list, hidden)
	}
	return f.list, f.more
}

// A jsonTree is a value of JSON. Objects keep their order, which is that of the fields of a struct.
type jsonTree struct {
	text  json.RawMessage
	open  json.Delim // { or [; 0 for others
	keys  []string   // as in the text: two strings of JSON may be one in Go
	index map[string]int
	elems []*jsonTree
}

// treeOf parses a value, which a layout has made. What is not JSON is one scalar.
func treeOf(text json.RawMessage) *jsonTree {
	if text == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	t, err := readTree(d, text)
	if err != nil || t == nil {
		return &jsonTree{text: text}
	}
	return t
}

// readTree reads one value, nil for the end of a list.
func readTree(d *json.Decoder, all json.RawMessage) (*jsonTree, error) {
	token, text, err := readToken(d, all)
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	begin := d.InputOffset() - 1
	switch {
	case !ok:
		return &jsonTree{text: text}, nil
	case delim == ']' || delim == '}':
		return nil, nil
	}
	t := &jsonTree{open: delim}
	if delim == '{' {
		t.index = map[string]int{}
	}
	for {
		if delim == '{' && d.More() {
			_, key, err := readToken(d, all)
			if err != nil {
				return nil, err
			}
			t.index[string(key)] = len(t.keys)
			t.keys = append(t.keys, string(key))
		}
		elem, err := readTree(d, all)
		if err != nil {
			return nil, err
		}
		if elem == nil {
			t.text = all[begin:d.InputOffset()]
			return t, nil
		}
		t.elems = append(t.elems, elem)
	}
}

// readToken reads one token, and returns its text too.
func readToken(d *json.Decoder, all json.RawMessage) (json.Token, json.RawMessage, error) {
	begin := d.InputOffset()
	token, err := d.Token()
	return token, bytes.TrimLeft(all[begin:d.InputOffset()], " \t\r\n,:"), err
}

// A changeFinder compares trees.
type changeFinder struct {
	list []change
	more int
}

// compare adds the differences at a place, except those at the places to skip in it.
func (f *changeFinder) compare(place string, old, now *jsonTree, skip places) {
	switch {
	case skip.whole():
	case old == nil, now == nil, old.open != now.open, old.open == 0:
		if old == nil || now == nil || !bytes.Equal(old.text, now.text) {
			f.add(place, old, now)
		}
	case old.open == '[':
		for i := range max(len(old.elems), len(now.elems)) {
			f.compare(fmt.Sprintf("%s[%d]", place, i), elem(old, i), elem(now, i), skip.below("[]"))
		}
	default:
		for i, key := range old.keys {
			f.compare(place+member(place, key), old.elems[i], now.member(key), skip.below(name(key)))
		}
		for i, key := range now.keys {
			if old.member(key) == nil {
				f.compare(place+member(place, key), nil, now.elems[i], skip.below(name(key)))
			}
		}
	}
}

// add adds a difference.
func (f *changeFinder) add(place string, old, now *jsonTree) {
	if len(f.list) == maxChanges {
		f.more++
		return
	}
	c := change{Place: place}
	if old != nil {
		c.Old = old.text
	}
	if now != nil {
		c.New = now.text
	}
	f.list = append(f.list, c)
}

// elem returns an element of a list, nil behind its end.
func elem(t *jsonTree, i int) *jsonTree {
	if i < len(t.elems) {
		return t.elems[i]
	}
	return nil
}

// member returns a member of an object by its key, nil without it.
func (t *jsonTree) member(key string) *jsonTree {
	if i, ok := t.index[key]; ok {
		return elem(t, i)
	}
	return nil
}

// member returns the step to a member: ".Key", or [key] in quotes if it is not a name.
func member(place, key string) string {
	name := name(key)
	switch {
	case !isName(name):
		return "[" + key + "]"
	case place == "":
		return name
	}
	return "." + name
}

// name returns the key of a member without its quotes.
func name(key string) string { return strings.Trim(key, `"`) }

// isName reports whether s has the form of a name of Go.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && (s[0] < '0' || s[0] > '9') && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	})
}

// A marker prints lines of changes, marked with colours on a terminal.
type marker struct {
	w      io.Writer
	colors bool
}

// The colours of marks.
var markColors = map[string]string{"~": "\x1b[33m", "+": "\x1b[32m", "-": "\x1b[31m"}

// coloured reports whether marks to w have colours.
func coloured(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

// line prints the line of a change, behind a prefix without colour.
func (m marker) line(before, text string) error {
	if color := markColors[text[:1]]; m.colors && color != "" {
		text = color + text + "\x1b[0m"
	}
	_, err := io.WriteString(m.w, before+text+"\n")
	return err
}
