package codec

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// What only a whole parameter or result can be. Streams and readers have no bytes in
// their list: the items of a stream are encoded one by one, with a codec of their own. A
// func has one byte, which tells nil from others: its calls have codecs of their own.

var (
	errorType      = reflect.TypeFor[error]()
	readerType     = reflect.TypeFor[io.Reader]()
	readCloserType = reflect.TypeFor[io.ReadCloser]()
	writerType     = reflect.TypeFor[io.Writer]()
)

// Stream returns the codec of the items of a list's element i, nil if it is a reader.
// It reports false if the element is neither a stream nor a reader.
func (c *Codec) Stream(i int) (item *Codec, ok bool) {
	n := c.node.fields[i].node
	return n.item, n.op == opStream
}

// IsStream reports whether a whole element of type t in a list of words is a stream or a
// reader.
func IsStream(word string, t reflect.Type) bool { return streamKind(word, t) != 0 }

// streamKind returns the kind of IsStream, 0 for other types.
func streamKind(word string, t reflect.Type) layout.Kind {
	param, result := word == "parameter", word == "result"
	switch {
	case param && t == readerType, result && t == readCloserType:
		return layout.Reader
	case param && isSeq(t) && t.In(0).NumIn() == 1, (param || result) && isSeq(t) && t.In(0).NumIn() == 2 && t.In(0).In(1) == errorType:
		return layout.Stream
	}
	return 0
}

// IsSeq reports whether t is an iter.Seq: a stream without errors.
func IsSeq(t reflect.Type) bool { return isSeq(t) && t.In(0).NumIn() == 1 }

// element returns the node of a whole parameter or result. fn is the layout of a func.
func (c *compiler) element(t reflect.Type, tag *Tag, fn *layout.Signature, loc location) *node {
	n := &node{op: opStream, kind: streamKind(c.root.word, t), typ: t, size: t.Size()}
	if tag != nil && (tag.Optional || tag.Secret) {
		if tag.Optional && n.kind != 0 {
			c.problemf(loc, "streams and readers are never optional; add a method")
		}
		own := *tag // without what concerns the element alone
		own.Optional, own.Ignorable, own.Secret = false, false, false
		tag = &own
	}
	switch {
	case n.kind == layout.Stream:
		n.item = c.item(t.In(0).In(0), tag, loc)
		return n
	case fn != nil:
		n.op, n.kind, n.fn = opFunc, layout.Func, fn
	case n.kind == 0:
		return c.node(t, tag, loc)
	}
	if tag != nil {
		c.checkWords(tag, loc, t, noWords)
	}
	return n
}

// item returns the codec for the items of the stream at loc.
func (c *compiler) item(t reflect.Type, tag *Tag, loc location) *Codec {
	item, err := compile(pathRoot{typ: t, place: c.root.path(loc.path)}, func(c *compiler) *node { return c.node(t, tag, location{}) })
	if problems, ok := err.(Problems); ok {
		c.problems = append(c.problems, problems...)
	}
	return item
}

// isSeq reports whether t is an iter.Seq or iter.Seq2.
func isSeq(t reflect.Type) bool { return t.PkgPath() == "iter" && IsIterator(t) }

// IsIterator reports whether t is a func that a for loop can range over, with one or
// two variables.
func IsIterator(t reflect.Type) bool {
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 || t.In(0).Kind() != reflect.Func {
		return false
	}
	yield := t.In(0)
	n := yield.NumIn()
	return (n == 1 || n == 2) && !yield.IsVariadic() && yield.NumOut() == 1 && yield.Out(0) == reflect.TypeFor[bool]()
}

// seqName returns the name of an iterator type of package iter, as in Go source.
func seqName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	yield := t.In(0)
	args := make([]string, yield.NumIn())
	for i := range args {
		args[i] = typeName(yield.In(i))
	}
	return "iter." + name + "[" + strings.Join(args, ", ") + "]"
}

// insteadOfStream suggests how to declare what is similar to a stream or a reader. It
// returns "" for other types. word is that of a whole parameter or result, "" elsewhere.
func insteadOfStream(t reflect.Type, word string) string {
	var want string
	reads := t.Implements(readerType)
	switch {
	case t.Kind() == reflect.Chan:
		want = fmt.Sprintf("iter.Seq2[%s, error]", typeName(t.Elem()))
	case IsIterator(t):
		want = fmt.Sprintf("iter.Seq2[%s, error]", typeName(t.In(0).In(0)))
		if t.In(0).NumIn() == 2 && t.In(0).In(1) != errorType {
			want = "iter.Seq2[T, error], T being a struct of both values"
		}
	case t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer || !reads && !t.Implements(writerType):
		return ""
	case word == "parameter" && !reads:
		return "to read bytes from a method, return an io.ReadCloser"
	case word == "result" && !reads:
		return "to send bytes to a method, declare a parameter as io.Reader"
	case word == "parameter" && t.Implements(readCloserType):
		return "declare it as io.Reader; one that is an io.Closer is closed after its last Read"
	case word == "result":
		want = "io.ReadCloser"
	default:
		want = "io.Reader"
	}
	switch {
	case word != "" && streamKind(word, t) == 0:
	case reads || t.Implements(writerType):
		return "use a []byte, as only a whole parameter or result of a method can be a reader"
	default: // a part, or behind a pointer
		return "use a slice, as only a whole parameter or result of a method can be a stream"
	}
	switch {
	case isSeq(t) && word == "result" && t.In(0).NumIn() == 1:
		return fmt.Sprintf("it could not tell a stream that was cut from a whole one, so declare it as %s", want)
	}
	return "declare it as " + want
}
