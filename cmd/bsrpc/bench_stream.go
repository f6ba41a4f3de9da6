package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

// A streamer calls a method with streams, readers or funcs, by name and with values as JSON. This costs
// more than calls with values alone, whose arguments are encoded once. It is safe for concurrent use.
type streamer struct {
	*method
	args    []func() any // an argument for each call, as streams and readers are used up
	timeout time.Duration
}

// An amount is what the result streams of calls have brought.
type amount struct {
	Items int64
	Bytes int64 // of readers
}

// valuesAlone reports whether m has neither streams nor readers nor funcs.
func (m *method) valuesAlone() bool {
	for _, l := range m.layout.Params {
		if l.Kind == layout.Func {
			return false
		}
	}
	return !m.streams()
}

// newStreamer returns a streamer with arguments from words. Files are read once.
func newStreamer(c *call, words []string, timeout time.Duration) (*streamer, error) {
	values, err := c.args(words)
	if err != nil {
		return nil, err
	}
	s := &streamer{method: c.method, timeout: timeout}
	for i, v := range values {
		next := func() any { return v }
		switch v := v.(type) {
		case iter.Seq2[any, error]: // the lines of a file
			var items []any
			for item, err := range v {
				if err != nil {
					return nil, err
				}
				items = append(items, item)
			}
			next = func() any { return again(items) }
		case io.ReadCloser:
			data, err := readAll(v, words[i], maxInput)
			v.Close()
			if err != nil {
				return nil, err
			}
			next = func() any { return bytes.NewReader(data) }
		}
		s.args = append(s.args, next)
	}
	return s, nil
}

// again returns a stream of items.
func again(items []any) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// call makes one call, and reads its result stream to the end.
func (s *streamer) call(ctx context.Context, client *bsrpc.Client) (got amount, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var args []any
	for _, next := range s.args {
		args = append(args, next())
	}
	results := s.results()
	if err := client.Call(ctx, s.Name, args, results...); err != nil {
		return got, err
	}
	for _, r := range results {
		switch r := r.(type) {
		case *iter.Seq2[json.RawMessage, error]:
			for _, err := range *r {
				if err != nil {
					return got, err
				}
				got.Items++
			}
		case *io.ReadCloser:
			if *r != nil {
				got.Bytes, err = io.Copy(io.Discard, *r)
				(*r).Close()
			}
		}
	}
	return got, err
}
