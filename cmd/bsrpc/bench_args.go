package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"text/template"

	"github.com/bsrpc/bsrpc/layout"
)

// An argSource makes the encoded arguments of calls. It is safe for concurrent use.
type argSource interface {
	// encode returns the arguments of a call: in dst if they vary, and otherwise those of an
	// earlier one, which must not be changed.
	encode(dst []byte, call int64) ([]byte, error)
	varies() bool
}

// fixedArgs are the same arguments for all calls, or those of the lines of a file in turn.
type fixedArgs [][]byte

func (a fixedArgs) encode(_ []byte, call int64) ([]byte, error) { return a[call%int64(len(a))], nil }
func (a fixedArgs) varies() bool                                { return false }

// templateArgs are arguments with templates.
type templateArgs struct {
	params []*layout.Type
	words  []*template.Template
	seed   uint64
}

func (a *templateArgs) varies() bool { return true }

// encode makes the words of a call, and encodes them. The same call has the same words in every
// run with the seed.
func (a *templateArgs) encode(dst []byte, call int64) ([]byte, error) {
	about := templateCall{Index: call, random: rand.New(rand.NewPCG(a.seed, uint64(call)))}
	var word strings.Builder
	for i, l := range a.params {
		word.Reset()
		if err := a.words[i].Execute(&word, about); err != nil {
			return dst, usage("the template of parameter %d: %v", i+1, err)
		}
		v, err := value(l, word.String())
		if err == nil {
			dst, err = appendValue(dst, l, v)
		}
		if err != nil {
			return dst, usage("parameter %d of call %d: %v", i+1, call, err)
		}
	}
	return dst, nil
}

// A templateCall is what a template knows of its call.
type templateCall struct {
	Index  int64 // from 0
	random *rand.Rand
}

// Int returns a number from low to high, both included.
func (c templateCall) Int(low, high int64) (int64, error) {
	if high < low {
		return 0, fmt.Errorf("Int %d %d: want a low number and a high one", low, high)
	}
	return low + int64(c.random.Uint64N(uint64(high-low)+1)), nil
}

// Float returns a number from 0 to 1, without 1.
func (c templateCall) Float() float64 { return c.random.Float64() }

// Letters returns random letters, at most a million.
func (c templateCall) Letters(n int) (string, error) {
	if n < 0 || n > 1_000_000 {
		return "", fmt.Errorf("Letters %d: want 0 to 1000000", n)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + c.random.IntN(26))
	}
	return string(b), nil
}

// Pick returns one of some values.
func (c templateCall) Pick(values ...any) (any, error) {
	if len(values) == 0 {
		return nil, errors.New("Pick: want some values")
	}
	return values[c.random.IntN(len(values))], nil
}

// newTemplates returns the source of arguments with templates.
func newTemplates(params []*layout.Type, words []string, seed uint64) (*templateArgs, error) {
	a := &templateArgs{params: params, seed: seed}
	for i, w := range words {
		t, err := template.New(fmt.Sprintf("parameter %d", i+1)).Option("missingkey=error").Parse(w)
		if err != nil {
			return nil, usage("--template: %v", err)
		}
		a.words = append(a.words, t)
	}
	_, err := a.encode(nil, 0) // a mistake is known before the first call
	return a, err
}

// appendValue encodes an argument as the command call makes it from a word.
func appendValue(dst []byte, l *layout.Type, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return layout.ParseJSON(dst, l, quoted(v))
	case []byte:
		text, err := json.Marshal(v)
		if err != nil {
			return dst, err
		}
		return layout.ParseJSON(dst, l, text)
	}
	return layout.ParseJSON(dst, l, v.(json.RawMessage))
}

// linesOf returns the arguments in a file: a list of JSON with all arguments in each line.
func linesOf(m *method, name string) (fixedArgs, error) {
	data, err := readFile(name, maxInput)
	if err != nil {
		return nil, usage("--calls: %v", err)
	}
	var list fixedArgs
	in := bufio.NewScanner(bytes.NewReader(data))
	in.Buffer(nil, maxInput)
	for n := 1; in.Scan(); n++ {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var values []json.RawMessage
		if err := json.Unmarshal(in.Bytes(), &values); err != nil {
			return nil, usage("%s:%d: want a list of JSON with the arguments of a call: %v", clean(name, maxWord), n, err)
		}
		if len(values) != len(m.layout.Params) {
			return nil, usage("%s:%d: %d arguments, want %d", clean(name, maxWord), n, len(values), len(m.layout.Params))
		}
		var args []byte
		for i, l := range m.layout.Params {
			if args, err = layout.ParseJSON(args, l, values[i]); err != nil {
				return nil, usage("%s:%d: parameter %d of %s: %v", clean(name, maxWord), n, i+1, m.Name, err)
			}
		}
		list = append(list, args)
	}
	if err := in.Err(); err != nil {
		return nil, usage("--calls: %v", err)
	}
	if len(list) == 0 {
		return nil, usage("--calls: %s has no calls", clean(name, maxWord))
	}
	return list, nil
}
