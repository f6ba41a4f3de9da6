package trace

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// Limits of what a Decoder keeps.
const (
	maxBasic  = 64 << 10 // bytes of a frame of the basic wire; the rest is skipped
	maxBody   = 1 << 20  // bytes of a message or an item
	maxKept   = 4 << 20  // bytes of all unfinished messages and items
	maxTexts  = 1 << 20  // bytes of names and layouts of methods
	maxOpen   = 16 << 10 // open calls of an end
	maxRecent = 1 << 10  // answered calls of an end that may have a result stream
	maxStates = 4 << 10  // streams whose items are decoded
	maxQueue  = 4 << 10  // unanswered frames of the basic wire
)

// A Decoder decodes one conversation. It is not safe for concurrent use.
//
// It follows each direction by itself: frames of the two ends are matched by ids alone, and
// may be fed with any delay between the directions.
type Decoder struct {
	opts    Options
	emit    func(*Event)
	known   map[[wire.HashSize]byte]*layout.Method
	listed  map[*layout.Method]bool // those of Options.Layouts and Commands
	sides   [2]side
	now     time.Time
	kept    int // bytes of unfinished messages and items
	texts   int // bytes of names and layouts
	streams int // with a state
	pending basicQueue
}

// A state is what the bytes of one direction are.
type state uint8

const (
	starting state = iota // the first frame decides
	native
	basic
	opaque // counted only
)

// A side is one direction, and what its sender has called and bound. Ids and numbers of methods
// belong to the caller, so the calls of a server to its client are in the side of the server.
type side struct {
	from    Direction
	state   state
	buf     []byte // the beginning of a frame
	skip    int64  // bytes of a frame that follow those kept
	offset  int64  // of the frame in buf
	counted int64  // bytes while opaque
	said    int64  // of counted, in the last event
	ended   bool

	calls   map[uint64]*call
	recent  [maxRecent]uint64 // ids of answered calls, in a ring
	next    int               // in recent
	methods map[uint16]*method
	differs map[string]string // layouts of the peer, by full name, from answers to BIND
}

// NewDecoder returns a Decoder that calls emit for each event, from within Feed. The Options
// are copied; nil means the defaults.
func NewDecoder(opts *Options, emit func(*Event)) *Decoder {
	d := &Decoder{emit: emit, known: map[[wire.HashSize]byte]*layout.Method{}, listed: map[*layout.Method]bool{}}
	if opts != nil {
		d.opts = *opts
	}
	for _, m := range d.opts.Layouts {
		d.known[hashOf(m.String())] = m
		d.listed[m] = true
	}
	for _, m := range d.opts.Commands {
		d.listed[m] = true
	}
	for i := range d.sides {
		d.sides[i] = side{
			from: Direction(i), calls: map[uint64]*call{}, methods: map[uint16]*method{}, differs: map[string]string{},
		}
	}
	return d
}

// Feed decodes the next bytes of one direction, or its end.
func (d *Decoder) Feed(p *Piece) {
	s := &d.sides[p.From&1]
	d.now = p.Time
	for b := p.Bytes; len(b) > 0; {
		b = d.step(s, b)
	}
	if p.End != "" {
		d.end(s, p.End)
	}
}

// step takes some bytes from the front of b and returns the others: those up to the end of the
// frame, or to the end of its header, after which more is known.
func (d *Decoder) step(s *side, b []byte) []byte {
	switch {
	case s.state == opaque:
		d.count(s, int64(len(b)))
		return nil
	case s.skip > 0:
		n := min(s.skip, int64(len(b)))
		s.skip -= n
		s.offset += n
		return b[n:]
	}
	// Five bytes of a frame tell its size and type on both wires. Bytes are copied once, also
	// where a piece has a whole frame: the memory of a side is bounded by a frame either way.
	want := wire.BasicHeaderSize
	if len(s.buf) >= want {
		want = int(s.keeps())
	}
	n := min(want-len(s.buf), len(b))
	s.buf = append(s.buf, b[:n]...)
	switch {
	case len(s.buf) < want:
	case want == wire.BasicHeaderSize && !d.identify(s):
	case int64(len(s.buf)) == s.keeps():
		d.frame(s)
	}
	return b[n:]
}

// size returns the size that the frame in s.buf says it has.
func (s *side) size() int64 { return wire.ReadBasicSize(s.buf) }

// keeps returns how many bytes of the frame are kept.
func (s *side) keeps() int64 {
	if s.state == basic {
		return min(s.size(), maxBasic)
	}
	return s.size() // identify has checked it
}

// frame handles the frame in s.buf, which is complete as far as it is kept.
func (d *Decoder) frame(s *side) {
	e := d.event(s, "")
	e.Size = s.size()
	switch {
	case wire.Type(s.buf[4]) == wire.Init:
		d.init(s, e)
	case s.state == basic:
		d.basic(s, e)
	default:
		d.native(s, e)
	}
	d.report(s, e)
	s.skip = e.Size - int64(len(s.buf))
	s.offset += int64(len(s.buf))
	s.buf = s.buf[:0]
	if cap(s.buf) > maxBasic { // of a chunk; most frames are short
		s.buf = nil
	}
}

// event returns an event of s, with the frame in its buffer.
func (d *Decoder) event(s *side, frame string) *Event {
	return &Event{Time: d.now, Name: d.opts.Name, From: s.from, Frame: frame, Offset: s.offset}
}

// report emits e with the bytes of its frame for the dump, which are in the buffer until the
// func has returned.
func (d *Decoder) report(s *side, e *Event) {
	if d.opts.Hex {
		e.frame = s.buf[:min(len(s.buf), hexMost)]
	}
	d.emit(e)
}

// identify decides by the first bytes of a frame whether s can be decoded further. It
// reports false if not. Types up to 0x4f are reserved by the protocol for its later
// versions, whose frames are skipped by their size.
func (d *Decoder) identify(s *side) bool {
	size, t := s.size(), wire.Type(s.buf[4])
	isInit := t == wire.Init && size >= wire.BasicHeaderSize && size <= wire.BasicHeaderSize+wire.MaxInit
	isNative := t >= wire.Request && t < 0x50 && size >= 16 && size <= wire.MaxFrame
	isSane := size >= wire.BasicHeaderSize && size <= 2<<30
	isBasic := (t == wire.BasicRequest || t == wire.Exception) && isSane
	switch {
	case isInit:
		return true
	case isNative && s.state != basic:
		if s.state == starting {
			d.middle(s, native)
		}
		return true
	case isBasic && s.state != native:
		// Without an INIT this may be anything; the frames of the server are answers.
		if s.state == starting {
			d.middle(s, basic)
		}
		return true
	case s.state == basic && isSane:
		return true // a server answers frames of other types, too
	}
	d.lose(s, size, t)
	return false
}

// middle begins to decode s without an INIT, as in a recording without the beginning. It must
// begin with a frame: the middle of one cannot be recognised.
func (d *Decoder) middle(s *side, wire state) {
	s.state = wire
	if o := &d.sides[s.from.other()]; o.state != starting {
		return // the other end has begun already
	}
	e := d.event(s, Bytes)
	e.add("", "begins in the middle of a conversation: methods bound before are unknown")
	d.emit(e)
}

// lose ends the decoding of s, with the reason. Without a valid size the next frame cannot be
// found; searching for one would find frames in the values of others. The other direction
// goes on: often its end is about to send a CLOSE that says what it thinks of this.
func (d *Decoder) lose(s *side, size int64, t wire.Type) {
	e := d.event(s, NotBsrpc)
	b := s.buf
	e.Size = int64(len(b))
	switch {
	case s.state == starting && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 3 && b[2] <= 4:
		e.Frame = TLS
		e.add("", "encrypted from here; trace within TLS to see frames")
	case s.state == starting && b[0] >= ' ' && b[0] <= '~':
		e.add("", "from here: another protocol, which begins with %s", quote(string(b), len(b)))
	default:
		e.add("", "from here: a frame of %d bytes and type 0x%02x", size, uint8(t))
	}
	d.report(s, e)
	s.state = opaque
	s.counted = int64(len(s.buf))
	s.said = max(s.counted, 512)
	s.buf = nil
}

// count counts n bytes of an opaque direction, with an event each time the number has
// doubled: about fifty lines for a connection that lasts for years.
func (d *Decoder) count(s *side, n int64) {
	if s.counted += n; s.counted >= 2*s.said {
		d.counted(s)
	}
}

// counted emits an event with the bytes counted.
func (d *Decoder) counted(s *side) {
	e := d.event(s, Bytes)
	e.Size = s.counted
	e.add("", "not decoded so far")
	s.said = s.counted
	d.emit(e)
}

// end ends s. The answers that its sender still owed will not come.
func (d *Decoder) end(s *side, why string) {
	if s.ended {
		return
	}
	s.ended = true
	switch {
	case s.state == opaque:
		d.counted(s)
	case len(s.buf) > 0 || s.skip > 0:
		e := d.event(s, Incomplete)
		e.Size = int64(len(s.buf))
		if e.add("", "within a frame"); len(s.buf) >= 4 {
			e.add("of", "%d", s.size())
		}
		e.from, e.to = wire.BasicHeaderSize, len(s.buf)
		d.report(s, e)
	}
	e := d.event(s, End)
	e.Offset += int64(len(s.buf)) + s.counted
	e.Size = e.Offset
	e.add("", "%s", sentence(why, d.opts.maxValue()))
	d.addOpen(e, &d.sides[s.from.other()])
	d.emit(e)
}

// numberOf returns the number in the value of a field, of at most eight bytes.
func numberOf(v []byte) uint64 {
	var b [8]byte
	copy(b[:], v)
	return binary.LittleEndian.Uint64(b[:])
}

// hexOf returns bytes without a known meaning.
func hexOf(b []byte, most int) string {
	if len(b) > most {
		return fmt.Sprintf("0x%x...(%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("0x%x", b)
}
