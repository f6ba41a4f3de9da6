package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The format of recordings, specified in docs/recordings.md.
const (
	recordingHead = "bsrpc recording 1\n"
	pieceHead     = 8 + 4 + 1 + 4 // time, connection, kind, length

	// MaxPiece limits the bytes of one piece of a recording. A Writer divides longer ones.
	MaxPiece = 64 << 10
)

// The kinds of pieces: the direction, and whether it ends.
const (
	kindServer = 1 << iota
	kindEnd
	kindsUsed = kindServer | kindEnd
)

// ErrRecording is the error of bytes that are not a recording, or one of another version.
var ErrRecording = errors.New("trace: not a recording of version 1")

// A Writer writes the pieces of conversations to a recording. It is not safe for
// concurrent use.
type Writer struct {
	w       io.Writer
	started bool
	buf     []byte
}

// NewWriter returns a Writer. Its first Write writes the beginning of the recording, too, and
// each one is a single Write to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write appends p, with times as those of p: they may be out of order. It does not keep p.Bytes. After an error the recording ends: further
// pieces would not be found.
func (w *Writer) Write(p *Piece) error {
	if w.w == nil {
		return errors.New("trace: the recording has failed before")
	}
	w.buf = w.buf[:0]
	if !w.started {
		w.buf = append(w.buf, recordingHead...)
	}
	for b := p.Bytes; len(b) > 0; {
		n := min(len(b), MaxPiece)
		w.append(p, 0, string(b[:n]))
		b = b[n:]
	}
	if p.End != "" {
		w.append(p, kindEnd, p.End[:min(len(p.End), MaxPiece)])
	}
	w.started = true
	_, err := w.w.Write(w.buf)
	if err != nil {
		w.w = nil
	}
	return err
}

// append adds one piece to the buffer. All pieces of one Write are a single Write of the file,
// so that a program that dies leaves whole ones in most cases.
func (w *Writer) append(p *Piece, kind byte, text string) {
	if p.From == FromServer {
		kind |= kindServer
	}
	w.buf = binary.LittleEndian.AppendUint64(w.buf, uint64(p.Time.UnixNano()))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, p.Conn)
	w.buf = append(w.buf, kind)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(text)))
	w.buf = append(w.buf, text...)
}

// A Reader reads a recording. It is not safe for concurrent use.
type Reader struct {
	r       *bufio.Reader
	started bool
	offset  int64
	err     error
	buf     []byte
}

// NewReader returns a Reader. It may read more from r than it needs.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReader(r)} }

// Next returns the next piece; its bytes are valid until the next call. At the end of the
// recording it returns io.EOF. A recording that ends within a piece, as after a crash, is
// io.ErrUnexpectedEOF, wrapped. Errors contain the offset, and remain.
func (r *Reader) Next() (*Piece, error) {
	if r.err != nil {
		return nil, r.err
	}
	p, err := r.next()
	if err != nil && err != io.EOF && !errors.Is(err, ErrRecording) {
		err = fmt.Errorf("trace: recording, offset %d: %w", r.offset, err)
	}
	r.err = err
	return p, err
}

// next is Next without the offset in errors. It allocates only what one piece can have,
// whatever the length says.
func (r *Reader) next() (*Piece, error) {
	if !r.started {
		head := make([]byte, len(recordingHead))
		if n, _ := io.ReadFull(r.r, head); string(head[:n]) != recordingHead {
			return nil, ErrRecording
		}
		r.started, r.offset = true, int64(len(head))
	}
	var head [pieceHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return nil, err // io.EOF between pieces
	}
	kind, n := head[12], binary.LittleEndian.Uint32(head[13:])
	switch {
	case kind&^kindsUsed != 0:
		return nil, fmt.Errorf("unknown kind 0x%02x of a piece", kind)
	case n == 0 || n > MaxPiece:
		return nil, fmt.Errorf("a piece of %d bytes, want 1 to %d", n, MaxPiece)
	}
	if r.buf = r.buf[:0]; cap(r.buf) < int(n) {
		r.buf = make([]byte, 0, n)
	}
	r.buf = r.buf[:n]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	r.offset += pieceHead + int64(n)
	p := &Piece{
		Time: time.Unix(0, int64(binary.LittleEndian.Uint64(head[:]))),
		Conn: binary.LittleEndian.Uint32(head[8:]),
		From: Direction(kind & kindServer),
	}
	if kind&kindEnd != 0 {
		p.End = string(r.buf)
	} else {
		p.Bytes = r.buf
	}
	return p, nil
}
