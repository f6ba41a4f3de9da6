package codec

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/wire"
)

const (
	defaultDepth  = 64
	defaultBudget = 64 << 20

	arenaSize      = 1152 // of an arena for short strings: Go's first size class above 1 KiB
	maxArenaString = 256  // longer strings get an allocation of their own
	minArenaRest   = 32   // with less input left a new arena does not pay
)

// An Encoder is the destination of Append and its limits. It may be reused for
// further values.
type Encoder struct {
	wire.Body      // receives the encoding
	Max       int  // limit for the bytes added by one Append, including cuts; 0: none
	Depth     int  // limit for nested slices, maps and pointers; 0: 64; -1: none
	MinCut    int  // append []byte and number slices of at least this size to Cuts, without a copy; 0: never
	Lenient   bool // require valid UTF-8 in every string, for basic peers

	UserType reflect.Type // the type of the marshal method being called; still set after a panic in it
}

// A Decoder is the source of Read and its limits. It may be reused for further
// values.
type Decoder struct {
	Data       []byte // the encoding of one value
	Own        bool   // Data belongs to the value: a []byte of at least half its size may alias it, instead of a copy
	Budget     int64  // limit for allocated bytes; 0: 16 times len(Data), at least 64 MiB; -1: none
	BudgetName string // name of the option for Budget in errors; "": DecodeBudget
	Depth      int    // limit for nested slices, maps and pointers; 0: 64; -1: none
	Lenient    bool   // for basic peers: any non-zero byte is true; require valid UTF-8 in every string

	// More returns Data extended to at least n bytes, or as far as possible. It may
	// move the bytes, but must not change those it has returned before. If nil, Data
	// is complete.
	More func(n int) []byte

	UserType reflect.Type // like Encoder.UserType, for unmarshal methods
}

// Bounds are the limits of one end for the values in its messages.
type Bounds struct {
	Depth  int   // Limits.MaxDepth
	Budget int64 // Limits.DecodeBudget
}

// Begin prepares d for decoding data within b. If own is true, the result may refer to data.
func (b *Bounds) Begin(d *Decoder, data []byte, own bool) {
	d.Data, d.Own, d.Lenient = data, own, false
	d.Budget, d.Depth, d.BudgetName = b.Budget, b.Depth, "Limits.DecodeBudget"
}

// noCuts as writer.minCut disables cuts.
const noCuts = math.MaxInt

// A writer is the state of one Append. The buffer is not part of it: it is
// passed from function to function, to stay in registers.
type writer struct {
	e        *Encoder
	limit    int        // maximum length of the buffer
	minCut   int        // from Encoder.MinCut, or noCuts
	depth    int        // limit
	cutBytes int        // added by this Append
	cuts     []wire.Cut // nil if equal to e.Cuts
}

// begin initializes w in place: a copy would cost as much as a small value.
func (w *writer) begin(e *Encoder) {
	w.e, w.limit, w.minCut, w.depth = e, math.MaxInt, noCuts, depthOf(e.Depth)
	if e.Max > 0 && e.Max < math.MaxInt-len(e.Buf) {
		w.limit = len(e.Buf) + e.Max
	}
	if e.MinCut > 0 {
		w.minCut = e.MinCut
	}
}

// depthOf returns the limit set by an option.
func depthOf(option int) int {
	switch {
	case option == 0:
		return defaultDepth
	case option < 0:
		return math.MaxInt
	}
	return option
}

// checkRoom returns an error if n more bytes exceed the limit. Scalars are
// appended without a check: lists, pointers and the end of Append check with n
// = 0.
func (w *writer) checkRoom(buf []byte, n int) *Error {
	if n > w.limit-len(buf) {
		return w.errTooLarge()
	}
	return nil
}

// errTooLarge returns the error of a value beyond Encoder.Max. The caller knows
// whose limit that is.
func (w *writer) errTooLarge() *Error {
	e := encodeErrorf("too long")
	e.Err = ErrSize
	return e
}

// checkDepth returns an error if depth exceeds the limit.
func (w *writer) checkDepth(depth int) *Error {
	if depth > w.depth {
		return &Error{Offset: -1, Err: ErrLimit, Text: depthText(w.depth) + ", or the value is cyclic"}
	}
	return nil
}

// depthText is the text of a depth error.
func depthText(depth int) string {
	return fmt.Sprintf("nested deeper than MaxDepth (%d)", depth)
}

// addCut adds b as a cut at the end of buf.
func (w *writer) addCut(buf, b []byte) {
	if w.cuts == nil {
		w.cuts = w.e.Cuts
	}
	w.cuts = append(w.cuts, wire.Cut{At: len(buf), Bytes: b})
	w.cutBytes += len(b)
	w.limit -= len(b)
}

// A reader is the state of one Read.
type reader struct {
	data   []byte // up to the end of the innermost list
	off    int    // of the next byte in data
	budget int64  // left
	depth  int    // limit
	arena  arena
	d      *Decoder

	bounded bool // within a list that has its length in bytes: data is complete
}

// begin initializes r in place.
func (r *reader) begin(d *Decoder) {
	r.data, r.d = d.Data, d
	r.depth, r.budget = depthOf(d.Depth), d.budget()
}

// budget returns the limit set by d.Budget.
func (d *Decoder) budget() int64 {
	switch {
	case d.Budget == 0:
		return max(16*int64(len(d.Data)), defaultBudget)
	case d.Budget < 0:
		return math.MaxInt64
	}
	return d.Budget
}

// errorf returns an error at the current offset.
//
//go:noinline
func (r *reader) errorf(format string, args ...any) *Error {
	return &Error{Offset: r.off, Text: fmt.Sprintf(format, args...)}
}

// next consumes n bytes. The result aliases the input.
func (r *reader) next(n int) ([]byte, *Error) {
	if n > len(r.data)-r.off && !r.more(uint64(n)) {
		return nil, r.errShort(n)
	}
	b := r.data[r.off : r.off+n : r.off+n]
	r.off += n
	return b, nil
}

// more waits for n bytes at the current offset, by Decoder.More, and reports whether
// they are there.
//
//go:noinline
func (r *reader) more(n uint64) bool {
	if r.d.More == nil || r.bounded {
		return false
	}
	before := r.d.budget()
	r.d.Data = r.d.More(r.needs(n))
	r.data = r.d.Data
	r.budget += r.d.budget() - before
	return n <= uint64(len(r.data)-r.off)
}

// needs returns the size of an input with n bytes at the current offset, at most
// math.MaxInt.
func (r *reader) needs(n uint64) int {
	return r.off + int(min(n, uint64(math.MaxInt-r.off)))
}

// errShort returns the error of n bytes missing at the current offset.
func (r *reader) errShort(n int) *Error {
	return r.short(uint64(n), r.errorf("want %s, have %d", plural.Of(n, "byte"), len(r.data)-r.off))
}

// short completes e, the error of n bytes missing at the current offset. Those missing
// in a list with its length in bytes are wrong, not truncated.
func (r *reader) short(n uint64, e *Error) *Error {
	if !r.bounded {
		e.Err, e.Need = io.ErrUnexpectedEOF, r.needs(n)
	}
	return e
}

// charge takes n bytes from the budget. It precedes every allocation.
func (r *reader) charge(n int64) *Error {
	if r.budget -= n; r.budget < 0 {
		return r.errBudget()
	}
	return nil
}

// errBudget returns the error of an exhausted budget, with the name of its
// option.
func (r *reader) errBudget() *Error {
	name := r.d.BudgetName
	if name == "" {
		name = "DecodeBudget"
	}
	e := r.errorf("needs more memory than %s (%d) allows", name, r.d.budget())
	e.Err = ErrLimit
	return e
}

// checkDepth returns an error if depth exceeds the limit.
func (r *reader) checkDepth(depth int) *Error {
	if depth > r.depth {
		e := r.errorf("%s", depthText(r.depth))
		e.Err = ErrLimit
		return e
	}
	return nil
}

// bool reads a bool: 0 or 1, or any byte if lenient.
func (r *reader) bool() (bool, *Error) {
	if r.off >= len(r.data) && !r.more(1) {
		return false, r.errShort(1)
	}
	b := r.data[r.off]
	if b > 1 && !r.d.Lenient {
		return false, r.errorf("want 0 or 1 for a bool")
	}
	r.off++
	return b != 0, nil
}

// presence reads the presence byte of what.
func (r *reader) presence(what string) (bool, *Error) {
	if r.off >= len(r.data) && !r.more(1) {
		return false, r.errShort(1)
	}
	b := r.data[r.off]
	if b > 1 {
		return false, r.errorf("want 0 or 1 for the presence of %s", what)
	}
	r.off++
	return b == 1, nil
}

// newBytes returns b, part of the input, for use in a value: a copy, or b
// itself if the value may own the input and b is a large part of it.
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

// newString returns b, part of the input, as a string. Short strings share
// arenas: this saves allocations, and a string keeps at most one arena alive.
// The remaining input bounds the size of a new arena, so that it is not wasted
// on short messages.
func (r *reader) newString(b []byte) (string, *Error) {
	if len(b) == 0 {
		return "", nil
	}
	if len(b) <= r.arena.avail() && len(b) <= maxArenaString {
		return r.arena.add(b), nil
	}
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

// invalidUTF8 reports whether s violates a requirement of UTF-8.
func invalidUTF8[T string | []byte](n *node, lenient bool, s T) bool {
	return (n.utf8 || lenient) && !utf8.ValidString(string(s))
}
