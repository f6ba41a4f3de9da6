package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// maxInput limits the bytes of a file that is one argument, and of a line of a stream. The
// server may have a lower limit of its own.
const maxInput = 1 << 30

// args returns the arguments of the call from words. Optional ones without a word are zero.
func (c *call) args(words []string) ([]any, error) {
	most := len(c.layout.Params)
	least := most - c.layout.OptionalParams
	if len(words) < least || len(words) > most {
		want := fmt.Sprint(most)
		if least < most {
			want = fmt.Sprintf("%d to %d", least, most)
		}
		return nil, usage("arguments: want %s, got %d: %s", want, len(words), clean(c.signature(false), maxLine))
	}
	var list []any
	for i, l := range c.layout.Params {
		v, err := zero(l)
		if i < len(words) {
			v, err = c.arg(l, words[i])
		}
		if err != nil {
			place := fmt.Sprintf("parameter %d", i+1)
			if name := c.param(i); name != "" {
				place += " (" + clean(name, 64) + ")"
			}
			for _, v := range list {
				if r, ok := v.(io.Closer); ok {
					r.Close()
				}
			}
			return nil, usage("%s of %s: %v", place, c.Name, err)
		}
		list = append(list, v)
	}
	return list, nil
}

// zero returns the zero value of a parameter. It is that of a field that is absent in JSON.
func zero(l *layout.Type) (any, error) {
	if l.Kind == layout.Stream || l.Kind == layout.Reader || l.Kind == layout.Func {
		return nil, nil
	}
	outer := &layout.Type{Kind: layout.Struct, Fields: []layout.Field{{Name: "V", Type: l}}}
	data, err := layout.ParseJSON(nil, outer, []byte("{}"))
	if err != nil {
		return nil, err
	}
	text, err := layout.AppendJSON(nil, l, data)
	return json.RawMessage(text), err
}

// arg returns one argument: a word, or the content of a file.
func (c *call) arg(l *layout.Type, word string) (any, error) {
	name, isFile := strings.CutPrefix(word, "@")
	switch {
	case l.Kind == layout.Func && word == "null":
		return nil, nil
	case l.Kind == layout.Func:
		return nil, errors.New("a func; give null, which the method may accept, or call it from a program")
	case l.Kind == layout.Reader && !isFile:
		return nil, errors.New("a reader; give @file, or @- for standard input")
	case l.Kind == layout.Reader:
		return c.file(name)
	case l.Kind == layout.Stream && isFile:
		f, err := c.file(name)
		return c.lines(l.Elem, f), err
	case l.Kind == layout.Stream:
		return list(l.Elem, word)
	case isFile && !wordy(l):
		f, err := c.file(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		data, err := readAll(f, name, maxInput)
		if err != nil || pointee(l).Kind == layout.Bytes {
			return data, err
		}
		return value(l, string(data))
	}
	return value(l, word)
}

// file opens a file, or standard input for "-", which one argument may use.
func (c *call) file(name string) (io.ReadCloser, error) {
	if name != "-" {
		return os.Open(name)
	}
	if c.in == nil {
		return nil, errors.New("standard input is used twice")
	}
	in := c.in
	c.in = nil
	return io.NopCloser(in), nil
}

// pointee returns what a pointer points to, in the end.
func pointee(l *layout.Type) *layout.Type {
	for l.Kind == layout.Pointer {
		l = l.Elem
	}
	return l
}

// wordy reports whether any word is a value of l, so that @ begins no file.
func wordy(l *layout.Type) bool {
	k := pointee(l).Kind
	return k == layout.String || k == layout.Text
}

// value returns a word as a value of l. JSON passes as it is, save for values that are a string
// of JSON: to them every other word is one too.
func value(l *layout.Type, word string) (any, error) {
	trimmed := strings.TrimSpace(word)
	inner := pointee(l)
	if l.Kind == layout.Pointer && trimmed == "null" {
		return json.RawMessage(trimmed), nil
	}
	switch inner.Kind {
	case layout.String, layout.Text, layout.Bytes, layout.Binary, layout.Time, layout.Duration:
		if !strings.HasPrefix(trimmed, `"`) || !json.Valid([]byte(trimmed)) {
			if inner.Kind == layout.String && l == inner {
				return word, nil // all its bytes
			}
			return quoted(word), nil
		}
	case layout.Float, layout.Int, layout.Uint, layout.Bool:
		if !json.Valid([]byte(trimmed)) { // NaN, for one
			return quoted(trimmed), nil
		}
	default:
		if err := json.Unmarshal([]byte(trimmed), new(any)); err != nil {
			return nil, notJSON(err, l)
		}
	}
	return json.RawMessage(trimmed), nil
}

// notJSON returns the error of a text that is not JSON, with the place and what is wanted.
func notJSON(err error, l *layout.Type) error {
	place := ""
	if s, ok := err.(*json.SyntaxError); ok {
		place = fmt.Sprintf(" at byte %d", s.Offset)
	}
	p := new(printer)
	p.typ(l)
	return fmt.Errorf("not JSON%s, %v; want %s", place, err, clean(p.cut(), maxLine))
}

// quoted returns a word as a string of JSON.
func quoted(word string) json.RawMessage {
	text, _ := json.Marshal(word) // a string has no error
	return text
}

// list returns the items of a stream of l from a list of JSON. One that does not fit is found before the call.
func list(l *layout.Type, word string) (any, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(word), &items); err != nil {
		return nil, errors.New("a stream; give a list of JSON, @file with an item a line, or @- for standard input")
	}
	for i, item := range items {
		if _, err := layout.ParseJSON(nil, l, item); err != nil {
			return nil, fmt.Errorf("item %d of the stream: %w", i+1, err)
		}
	}
	return iter.Seq2[json.RawMessage, error](func(yield func(json.RawMessage, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}), nil
}

// lines returns the lines of f as items of a stream, and closes it at the end. Empty lines are
// none. A line that does not fit ends the stream, and is the error of the call, whatever the
// server answers.
func (c *call) lines(l *layout.Type, f io.ReadCloser) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		defer f.Close()
		in := bufio.NewScanner(f)
		in.Buffer(nil, maxInput)
		for n := 1; in.Scan(); n++ {
			if len(bytes.TrimSpace(in.Bytes())) == 0 {
				continue
			}
			v, err := value(l, in.Text())
			if text, ok := v.(json.RawMessage); ok {
				_, err = layout.ParseJSON(nil, l, text)
			}
			if err != nil {
				err = usage("line %d of the stream: %v", n, err)
				c.misfit.Store(&err)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
		if err := in.Err(); err != nil {
			err = usage("reading the stream: %v", err)
			c.misfit.Store(&err)
			yield(nil, err)
		}
	}
}

// secrets returns the secret places in a result, or in its items.
func (c *call) secrets(i int, item bool) (within []string) {
	place := fmt.Sprintf("result %d", i+1)
	for _, s := range c.Secrets {
		rest, ok := strings.CutPrefix(s, place)
		if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' { // that of result 10
			continue
		}
		if item {
			rest = strings.TrimPrefix(rest, "[]")
		}
		within = append(within, strings.TrimPrefix(rest, "."))
	}
	return within
}
