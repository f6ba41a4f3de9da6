package codec

import "math"

// A piece is a short way to append a part of a simple struct: words without conversion, and
// a string behind them. Two words cost as little as one, and a loop over pieces needs no
// dispatch, so a struct of a few fields has one or two pieces for its four or five steps.
//
// A word is eight bytes in memory and on the wire, also if fewer of them belong to the
// piece. The others are padding or later fields of the same value, and what comes behind
// overwrites them on the wire.
type piece struct {
	first, last uintptr // the words, in memory; the same if there is one
	lastAt      uintptr // the last word on the wire, behind the first
	size        uintptr // of the words on the wire; 0: only a string
	text        uintptr // the string, in memory
	hasText     bool
	least       uintptr // room to leave behind the string: for what follows at its minimum
}

const wordBytes = 8

// maxPieceRun is the longest run in pieces. A single copy of more bytes is faster.
const maxPieceRun = 64

// A pieceList is the plan of a simple struct in pieces.
type pieceList struct {
	pieces   []piece
	tail     uintptr // the last bytes, less than a word, in memory
	tailSize uintptr
	room     int // what all need of a buffer; math.MaxInt if the struct has no such plan
}

// makePieces returns the pieces of a struct with steps. Only a struct of short runs and
// unchecked strings has them.
func (n *node) makePieces() pieceList {
	none := pieceList{room: math.MaxInt}
	if !n.simple || len(n.steps) == 0 || !n.isDense() {
		return none
	}
	made := pieceList{room: 1 + n.minSize} // 1: the presence byte of a pointer
	at := 0                                // on the wire, with empty strings
	for i := range n.steps {
		s := &n.steps[i]
		if s.op == stepString {
			made.addText(s.off)
			at += 4
			continue
		}
		if s.fields == nil || s.size > maxPieceRun {
			return none
		}
		off, end := s.off, s.off+s.size
		for ; off < end && (i < len(n.steps)-1 || end-off >= wordBytes); off += wordBytes {
			// A word stays within the value, which may end its allocation, and within the
			// encoding: the buffer behind it is not ours.
			if off+wordBytes > n.size || at+wordBytes > n.minSize {
				return none
			}
			size := min(wordBytes, end-off)
			made.addWord(off, size)
			at += int(size)
		}
		if off < end {
			made.tail, made.tailSize = off, end-off
		}
	}
	least := made.tailSize
	for i := len(made.pieces) - 1; i >= 0; i-- {
		p := &made.pieces[i]
		p.least = least
		if least += p.size; p.hasText {
			least += 4
		}
	}
	return made
}

// addText adds a string at offset off to the last piece, or to one of its own.
func (l *pieceList) addText(off uintptr) {
	if k := len(l.pieces) - 1; k >= 0 && !l.pieces[k].hasText {
		l.pieces[k].text, l.pieces[k].hasText = off, true
		return
	}
	l.pieces = append(l.pieces, piece{text: off, hasText: true})
}

// addWord adds the size bytes at offset off to the last piece, if it has one word alone, or
// to one of their own.
func (l *pieceList) addWord(off, size uintptr) {
	if k := len(l.pieces) - 1; k >= 0 && !l.pieces[k].hasText && l.pieces[k].first == l.pieces[k].last {
		p := &l.pieces[k]
		p.last, p.lastAt = off, p.size
		p.size += size
		return
	}
	l.pieces = append(l.pieces, piece{first: off, last: off, size: size})
}

// isDense reports whether all fields of n are encoded. Fields that are not may change while
// the others are read.
func (n *node) isDense() bool {
	if n.op != opStruct {
		return true
	}
	for _, f := range n.fields {
		if !f.node.isDense() {
			return false
		}
	}
	return len(n.fields) == n.typ.NumField()
}
