package codec

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/wire"
)

const (
	defaultDepth  = 64
	defaultBudget = 64 << 20

	arenaSize      = 1152 // of the blocks that short strings share: the size above 1 KiB that Go's allocator has
	maxArenaString = 256  // longest string in a block
	minArenaRest   = 32   // what is left of a message for which a block does not pay
)

// An Encoder says where values are appended and what bounds them. It may be
// used again for the next value.
type Encoder struct {
	wire.Body      // the encoding is appended to its Buf
	Max       int  // most bytes that one Append may add, cuts included; 0: no bound
	Depth     int  // how deep slices, maps and pointers may nest; 0: 64; -1: no bound
	MinCut    int  // numbers in memory as on the wire stay there from this many bytes on, and are noted in Cuts; 0: never
	Lenient   bool // every string must be UTF-8, as a basic peer wants

	UserType reflect.Type // the type whose own method is running; it stays after a panic there
}

// A Decoder holds the bytes of one value and what bounds reading it.
type Decoder struct {
	Data       []byte
	Own        bool   // a []byte that is at least half of Data may stay part of it; otherwise all is copied
	Budget     int64  // bytes of Go memory that may be made; 0: 16 times Data, at least 64 MiB; -1: no bound
	BudgetName string // of the option that sets Budget; "": DecodeBudget
	Depth      int    // how deep slices, maps and pointers may nest; 0: 64; -1: no bound
	Lenient    bool   // as a basic peer: any non-zero byte is true, every string must be UTF-8

	UserType reflect.Type // as Encoder.Inside
}

// never is a length that no memory has.
const noCuts = math.MaxInt

// A writer is one Append on its way. The buffer itself is handed along.
type writer struct {
	e        *Encoder
	limit    int        // longest buffer
	minCut   int        // from how many bytes on memory stays where it is
	depth    int        // deepest allowed
	cutBytes int        // bytes in cuts so far
	cuts     []wire.Cut // nil: as in e
}

// begin makes w ready for one value. It is set in place: copying it would
// cost as much as a small value.
func (w *writer) begin(e *Encoder) {
	w.e, w.limit, w.minCut, w.depth = e, math.MaxInt, noCuts, depthOf(e.Depth)
	if e.Max > 0 && e.Max < math.MaxInt-len(e.Buf) {
		w.limit = len(e.Buf) + e.Max
	}
	if e.MinCut > 0 {
		w.minCut = e.MinCut
	}
}

func depthOf(option int) int {
	switch {
	case option == 0:
		return defaultDepth
	case option < 0:
		return math.MaxInt
	}
	return option
}

// room refuses to append n more bytes if they exceed the limit.
func (w *writer) checkRoom(buf []byte, n int) *Error {
	if n > w.limit-len(buf) {
		return w.errTooLarge()
	}
	return nil
}

func (w *writer) errTooLarge() *Error {
	e := encodeErrorf("takes more than %s", plural(w.limit-len(w.e.Buf)+w.cutBytes, "byte"))
	e.Err = ErrSize
	return e
}

// deeper refuses a depth that exceeds the bound.
func (w *writer) checkDepth(depth int) *Error {
	if depth > w.depth {
		return &Error{Offset: -1, Err: ErrLimit, Text: depthText(w.depth) + ", or the value holds itself"}
	}
	return nil
}

func depthText(depth int) string {
	return fmt.Sprintf("nested deeper than MaxDepth (%d)", depth)
}

// leave notes memory that is not copied into the buffer.
func (w *writer) addCut(buf, b []byte) {
	if w.cuts == nil {
		w.cuts = w.e.Cuts
	}
	w.cuts = append(w.cuts, wire.Cut{At: len(buf), Bytes: b})
	w.cutBytes += len(b)
	w.limit -= len(b)
}

// A reader is one Read on its way.
type reader struct {
	data   []byte // up to the end of what is being read
	off    int
	budget int64
	depth  int
	arena  arena
	d      *Decoder
}

// begin makes r ready for one value.
func (r *reader) begin(d *Decoder) {
	r.data, r.d = d.Data, d
	r.depth, r.budget = depthOf(d.Depth), d.Budget
	switch {
	case r.budget == 0:
		r.budget = max(16*int64(len(d.Data)), defaultBudget)
	case r.budget < 0:
		r.budget = math.MaxInt64
	}
}

// fail makes an error at the current position.
func (r *reader) errorf(format string, args ...any) *Error {
	return &Error{Offset: r.off, Text: fmt.Sprintf(format, args...)}
}

// next consumes n bytes.
func (r *reader) next(n int) ([]byte, *Error) {
	if n > len(r.data)-r.off {
		return nil, r.errShort(n)
	}
	b := r.data[r.off : r.off+n : r.off+n]
	r.off += n
	return b, nil
}

func (r *reader) errShort(n int) *Error {
	e := r.errorf("want %s, have %d", plural(n, "byte"), len(r.data)-r.off)
	e.Err = io.ErrUnexpectedEOF
	return e
}

// charge takes n bytes of memory from the budget before they are made.
func (r *reader) charge(n int64) *Error {
	if r.budget -= n; r.budget < 0 {
		return r.errBudget()
	}
	return nil
}

func (r *reader) errBudget() *Error {
	name := r.d.BudgetName
	if name == "" {
		name = "DecodeBudget"
	}
	e := r.errorf("needs more memory than %s allows", name)
	e.Err = ErrLimit
	return e
}

// deeper refuses a depth that exceeds the bound.
func (r *reader) checkDepth(depth int) *Error {
	if depth > r.depth {
		e := r.errorf("%s", depthText(r.depth))
		e.Err = ErrLimit
		return e
	}
	return nil
}

// bool reads a byte that is 0 or 1.
func (r *reader) bool() (bool, *Error) {
	if r.off >= len(r.data) {
		return false, r.errShort(1)
	}
	b := r.data[r.off]
	if b > 1 && !r.d.Lenient {
		return false, r.errorf("want 0 or 1 for a bool")
	}
	r.off++
	return b != 0, nil
}

// presence reads the byte before a pointer's value.
func (r *reader) presence() (bool, *Error) {
	if r.off >= len(r.data) {
		return false, r.errShort(1)
	}
	b := r.data[r.off]
	if b > 1 {
		return false, r.errorf("want 0 or 1 for the presence of a pointer's value")
	}
	r.off++
	return b == 1, nil
}

// keep returns bytes as the value may hold them.
func (r *reader) newBytes(b []byte) ([]byte, *Error) {
	switch {
	case len(b) == 0:
		return nil, nil
	case r.d.Own && len(b) >= len(r.d.Data)-len(b):
		return b, nil
	}
	if err := r.charge(int64(len(b))); err != nil {
		return nil, err
	}
	c := make([]byte, len(b))
	copy(c, b)
	return c, nil
}

// keepString returns a string as the value may hold it. Short strings share
// blocks, so that many of them are one allocation and none keeps more than a
// block alive.
func (r *reader) newString(b []byte) (string, *Error) {
	if len(b) == 0 {
		return "", nil
	}
	if len(b) <= r.arena.avail() && len(b) <= maxArenaString {
		return r.arena.add(b), nil
	}
	// What is left of the message bounds the strings to come.
	rest := len(r.d.Data) - r.off
	if len(b) > maxArenaString || rest < minArenaRest {
		if err := r.charge(int64(len(b))); err != nil {
			return "", err
		}
		return string(b), nil
	}
	size := min(arenaSize, len(b)+rest)
	if err := r.charge(int64(size)); err != nil {
		return "", err
	}
	r.arena.reset(size)
	return r.arena.add(b), nil
}

// notUTF8 reports whether a node's text has to be UTF-8 and is not.
func invalidUTF8[T string | []byte](n *node, lenient bool, s T) bool {
	return (n.utf8 || lenient) && !utf8.ValidString(string(s))
}
