package method

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// Streams and readers: parameters and results that are sequences. They take no bytes
// among the arguments and results. Who makes calls moves their items.

// A Stream is a parameter or result that is a stream of items, or a reader of bytes. It
// is immutable.
type Stream struct {
	Index  int          // in the parameters or results, from 0
	Result bool         // in the results
	Item   *codec.Codec // of the items; nil for a reader

	seq  reflect.Type // the iterator, nil for a reader
	code seqCode      // for iterators without reflection
}

// streamsOf returns the streams in a list of parameters or results.
func streamsOf(list *codec.Codec, types []reflect.Type, result bool) (streams []*Stream) {
	for i, t := range types {
		item, ok := list.Stream(i)
		if !ok {
			continue
		}
		st := &Stream{Index: i, Result: result, Item: item}
		if item != nil {
			if st.seq = t; t.PkgPath() == "iter" { // others are for Client.Call alone
				st.code = seqCodeOf(t)
			}
		}
		streams = append(streams, st)
	}
	return streams
}

// setStreams finds the streams of a signature with its codecs. name begins the path of
// the problem.
func (s *Signature) setStreams(name string) []Problem {
	s.paramStreams = streamsOf(s.Args, s.params, false)
	switch results := streamsOf(s.Results, s.results, true); len(results) {
	case 0:
	case 1:
		s.resultStream = results[0]
	default:
		return []Problem{{name, fmt.Sprintf("%d results are streams or readers; a method has one at most", len(results))}}
	}
	return nil
}

// ParamStreams returns the streams among the parameters, in order; nil if there are none.
func (s *Signature) ParamStreams() []*Stream { return s.paramStreams }

// ResultStream returns the stream among the results, nil if there is none.
func (s *Signature) ResultStream() *Stream { return s.resultStream }

// EndsInError reports whether the func has a last error. Only a func with a stream among
// its results may lack one in a contract.
func (s *Signature) EndsInError() bool { return s.err }

// hasStreams reports whether a parameter or the result is a stream.
func (s *Signature) hasStreams() bool { return s.paramStreams != nil || s.resultStream != nil }

// field returns the place of the stream in the values of a call.
func (st *Stream) field(v *Values) reflect.Value {
	if st.Result {
		return v.results.Field(st.Index)
	}
	return v.args.Field(st.Index)
}

// Items returns the iterator stored in v as a func that ranges over it, nil if it is
// nil. yield gets a Ref to each item, valid until yield returns, and its error. The
// items of an iter.Seq have nil errors. After yield has returned false it is not called
// again. The func does not refer to v.
//
// Items that are pointers, maps, strings, slices or words, or common structs, cost an
// indirect call each; others come by reflection, with three allocations.
func (st *Stream) Items(v *Values) func(yield func(item codec.Ref, err error) bool) {
	if st.code.hasItems() {
		return st.code.items(st.field(v))
	}
	return itemsReflect(st.field(v))
}

// itemsReflect is Items by reflection.
func itemsReflect(field reflect.Value) func(yield func(item codec.Ref, err error) bool) {
	if field.IsNil() {
		return nil
	}
	seq := reflect.ValueOf(field.Interface()) // a copy: the field is zeroed when the call ends
	return func(yield func(item codec.Ref, err error) bool) {
		t := seq.Type().In(0)
		item := reflect.New(t.In(0))
		at, over := codec.RefTo(item), false
		next := func(in []reflect.Value) []reflect.Value {
			if over {
				return yieldedFalse
			}
			item.Elem().Set(in[0])
			var err error
			if len(in) > 1 && !in[1].IsNil() {
				err = in[1].Interface().(error)
			}
			if over = !yield(at, err); over {
				return yieldedFalse
			}
			return yieldedTrue
		}
		seq.Call([]reflect.Value{reflect.MakeFunc(t, next)})
		over = true
	}
}

var (
	yieldedTrue  = []reflect.Value{reflect.ValueOf(true)}
	yieldedFalse = []reflect.Value{reflect.ValueOf(false)}
)

// Reader returns the reader stored in v, as it is; nil for a nil interface.
func (st *Stream) Reader(v *Values) io.Reader {
	r, _ := st.field(v).Interface().(io.Reader)
	return r
}

// SetReader stores a reader in v.
func (st *Stream) SetReader(v *Values, r io.ReadCloser) { st.field(v).Set(reflect.ValueOf(r)) }

// An ItemReader gives the items of a received stream to one range. A range calls it from
// one goroutine at a time.
type ItemReader interface {
	// Next decodes the next item into the zero value at item. io.EOF ends the range.
	// Another error is yielded, with a zero item, and ends the range.
	Next(item codec.Ref) error
	// Stop is called once if the range ends before Next has returned an error: by
	// break, a panic or runtime.Goexit in its body, or a panic in Next.
	Stop()
}

// SetItems stores an iterator in v, an iter.Seq2. It calls open at the beginning of each
// range; an error of open is yielded, and ends the range. The iterator refers to open,
// and not to v.
func (st *Stream) SetItems(v *Values, open func() (ItemReader, error)) {
	if st.code.hasSet() {
		st.code.set(st.field(v), open)
		return
	}
	st.field(v).Set(reflect.MakeFunc(st.seq, func(in []reflect.Value) []reflect.Value {
		item := reflect.New(st.seq.In(0).In(0))
		args := make([]reflect.Value, 2)
		rangeOver(open, codec.RefTo(item), func(err error) bool {
			if err != nil {
				item.Elem().SetZero() // it may be decoded in part
			}
			args[0], args[1] = item.Elem(), errorValue(err)
			more := in[0].Call(args)[0].Bool()
			item.Elem().SetZero()
			return more
		})
		return nil
	}))
}

// rangeOver is one range over received items. yield passes the value at item on, or an
// error without it, and zeroes the item.
func rangeOver(open func() (ItemReader, error), item codec.Ref, yield func(err error) bool) {
	r, err := open()
	if err != nil {
		yield(err)
		return
	}
	ended := false
	defer func() {
		if !ended {
			r.Stop()
		}
	}()
	for {
		err := r.Next(item)
		if err == nil {
			if !yield(nil) {
				return
			}
			continue
		}
		ended = true
		if err != io.EOF {
			yield(err)
		}
		return
	}
}

// ErrStreamUsed is the error of a second range over a received stream.
var ErrStreamUsed = errors.New("bsrpc: the stream has been ranged over already")

// fail stores a stream that fails with err in the results of v: the answer of a func
// without an error.
func (st *Stream) fail(v *Values, err error) {
	if st.Item == nil {
		st.SetReader(v, failedReader{err})
		return
	}
	used := new(atomic.Bool)
	st.SetItems(v, func() (ItemReader, error) {
		if used.Swap(true) {
			return nil, ErrStreamUsed
		}
		return nil, err
	})
}

// FillResults stores an empty stream in v where the interceptors of a caller have left nil. A nil
// of a handler arrives in the same form.
func (s *Signature) FillResults(v *Values) {
	switch st := s.resultStream; {
	case st == nil || !st.field(v).IsNil():
	case st.Item == nil:
		st.SetReader(v, failedReader{io.EOF})
	default:
		st.SetItems(v, func() (ItemReader, error) { return noItems{}, nil })
	}
}

// noItems are the items of an empty stream.
type noItems struct{}

func (noItems) Next(codec.Ref) error { return io.EOF }
func (noItems) Stop()                {}

// A failedReader is a reader whose call has failed, or an empty one.
type failedReader struct{ err error }

func (r failedReader) Read([]byte) (int, error) { return 0, r.err }
func (failedReader) Close() error               { return nil }

// compileHandler is compile for a func that is called, and not filled. Only there an
// iter.Seq and a future are refused.
func compileHandler(name string, t reflect.Type, skip int, tag *codec.MethodTag) (*Signature, []Problem) {
	s, problems := compile(name, t, skip, tag)
	if problems != nil {
		return nil, problems
	}
	if s.future != nil {
		return nil, []Problem{{name, onlyInClients(s.future)}}
	}
	for _, st := range s.paramStreams {
		if st.Item != nil && codec.IsSeq(st.seq) {
			item := st.seq.In(0).In(0)
			problems = append(problems, Problem{fmt.Sprintf("%s, parameter %d", name, st.Index+1),
				fmt.Sprintf("a handler could not tell an iter.Seq[%v] that was cut from a whole one; declare it as iter.Seq2[%v, error]", item, item)})
		}
	}
	if problems != nil {
		return nil, problems
	}
	return s, nil
}

// CopyItem returns a pointer to a copy of an item of a stream.
func CopyItem(st *Stream, item codec.Ref) any { return codec.CopyOf(st.Item, item) }
