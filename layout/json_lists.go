package layout

// Lists and maps of JSON. Their lengths are known at the end, and are inserted before the
// elements then. An element is moved once for each list around it, at most MaxDepth times.

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/bsrpc/bsrpc/internal/jsontext"
	"github.com/bsrpc/bsrpc/internal/plural"
)

// list reads an array or a slice.
func (p *jsonParser) list(l *Type) *JSONError {
	from, count := len(p.out), 0
	read := func(i int) *JSONError {
		count++
		if err := p.value(l.Elem); err != nil {
			return err.in("[" + strconv.Itoa(i) + "]")
		}
		return nil
	}
	switch {
	case l.Kind == Array:
		return p.tuple(l.Len, l, read)
	case p.s.Kind() != jsontext.List:
		return p.mismatch(l)
	}
	if err := p.each(']', read); err != nil {
		return err
	}
	return p.endList(l, from, count)
}

// endList inserts the lengths in front of the n elements that begin at from. Both may be varints, so
// their own size is unknown before. The length in bytes counts what is behind it: the count, too.
func (p *jsonParser) endList(l *Type, from, n int) *JSONError {
	var count []byte
	if l.Format != NoFormat && l.Format != Rest {
		if !l.Format.fitsUint(uint64(n)) {
			return p.errorf(p.s.Offset(), "%s do not fit in a count of %s", plural.Of(n, "element"), plural.Of(l.Format.width(), "byte"))
		}
		count = appendUint(nil, uint64(n), l.Format)
	}
	if l.Bytes != NoFormat {
		size := len(count) + len(p.out) - from
		if !l.Bytes.fitsUint(uint64(size)) {
			return p.errorf(p.s.Offset(), "%s do not fit in a length of %s", plural.Of(size, "byte"), plural.Of(l.Bytes.width(), "byte"))
		}
		count = append(appendUint(nil, uint64(size), l.Bytes), count...)
	}
	p.out = slices.Insert(p.out, from, count...)
	return nil
}

// A jsonPair is the place of a key and its value in the output, before they are sorted.
type jsonPair struct{ from, value, end int }

// pairs reads a map.
func (p *jsonParser) pairs(l *Type) *JSONError {
	want, closing, read := jsontext.List, byte(']'), p.pair
	if l.Key.isScalar() {
		want, closing, read = jsontext.Object, '}', p.name
	}
	if p.s.Kind() != want {
		return p.mismatch(l)
	}
	begin := len(p.out)
	var pairs []jsonPair
	err := p.each(closing, func(i int) *JSONError {
		pair := jsonPair{from: len(p.out)}
		if err := read(l, &pair); err != nil {
			return err.in("[" + strconv.Itoa(i) + "]")
		}
		pair.end = len(p.out)
		pairs = append(pairs, pair)
		return nil
	})
	if err == nil {
		err = p.sortPairs(begin, pairs)
	}
	if err != nil {
		return err
	}
	return p.endList(l, begin, len(pairs))
}

// key runs read, which reads a key, also a composite one: floats in it must be equal to
// themselves.
func (p *jsonParser) key(read func() *JSONError) *JSONError {
	outer := p.inKey
	p.inKey = true
	err := read()
	p.inKey = outer
	return err
}

// name reads a member of an object: a key and its value. The key is used before the value is
// read, which takes the same buffer.
func (p *jsonParser) name(l *Type, pair *jsonPair) *JSONError {
	at := p.s.Offset()
	text, err := p.s.Key()
	if err != nil {
		return p.wrong(err)
	}
	if err := p.key(func() *JSONError { return p.text(at, text, l.Key) }); err != nil {
		return err.in("[key]")
	}
	pair.value = len(p.out)
	return p.value(l.Elem)
}

// pairType is what errors call a pair.
var pairType = &Type{Kind: Array, Len: 2}

// pair reads a list of a key and its value. Only composite keys come so: each map has one form.
func (p *jsonParser) pair(l *Type, pair *jsonPair) *JSONError {
	return p.tuple(2, pairType, func(i int) *JSONError {
		if i == 1 {
			pair.value = len(p.out)
			return p.value(l.Elem)
		}
		if err := p.key(func() *JSONError { return p.value(l.Key) }); err != nil {
			return err.in("[key]")
		}
		return nil
	})
}

// sortPairs puts the pairs, which begin at from, in the order of their keys' bytes. Two equal
// keys are an error: which of their values is meant would depend on the reader.
func (p *jsonParser) sortPairs(from int, pairs []jsonPair) *JSONError {
	// Names of one length are often sorted in the text: then nothing moves. The copy is of this map
	// alone, so that many small maps do not cost the square of their number.
	old := p.out[from:]
	key := func(pair jsonPair) []byte { return old[pair.from-from : pair.value-from] }
	order := func(a, b jsonPair) int { return bytes.Compare(key(a), key(b)) }
	if !slices.IsSortedFunc(pairs, order) {
		old = slices.Clone(old)
		slices.SortFunc(pairs, order)
		p.out = p.out[:from]
		for _, pair := range pairs {
			p.out = append(p.out, old[pair.from-from:pair.end-from]...)
		}
	}
	for i := range pairs {
		if i > 0 && order(pairs[i-1], pairs[i]) == 0 {
			return p.errorf(p.s.Offset(), "two keys are equal")
		}
	}
	return nil
}
