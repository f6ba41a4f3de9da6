package trace

import "github.com/bsrpc/bsrpc/layout"

// Options are for a Decoder and its events. The zero value and nil show no values.
type Options struct {
	// Name begins each line, to tell connections apart. Empty means none.
	Name string

	// Hex appends the bytes of each frame to its line, at most 4 KiB of them. Bytes
	// of values are masked by ** unless ShowValues is set; tokens always are.
	Hex bool

	// ShowValues shows all values. Tokens remain masked.
	ShowValues bool

	// Secret shows the values of the methods in it, except those at the listed places. A
	// key is a full name such as "Shop.Pay". A place is a parameter or a result by number,
	// and a place in it as in layout.JSON.Secret: "parameter 1.Card.Number", "result 2[].Key".
	// The elements of a stream are its items. The places are those of one layout, which
	// must be in Layouts: values of other versions of a method are not shown. Neither is
	// metadata. Nil shows nothing.
	Secret map[string][]string

	// Layouts are methods with values to decode, in addition to those with a text in
	// the conversation. They are found by the hash in a BIND.
	Layouts []*layout.Method

	// Commands are the methods of a server on the basic wire, by the id= of its contracts: that
	// wire has neither names nor layouts. For Secret they count as Layouts.
	Commands map[uint16]*layout.Method

	// Record, of NewConn only, gets all bytes as they are, tokens too, and the ends of both
	// directions, one after another; a Writer makes a recording of them. It must not wait,
	// and must not keep the Piece. Nil means none.
	Record func(*Piece)

	// MaxValue limits the bytes shown of one text, value or list of values. Zero means
	// 200.
	MaxValue int
}

// maxValue returns the resolved limit.
func (o *Options) maxValue() int {
	if o.MaxValue <= 0 {
		return 200
	}
	return o.MaxValue
}

// shows reports whether values of a method in a layout may be shown, except those at the secret
// places. A method without an entry is not shown: a program that lists secrets may not know of
// it. Neither is another layout than that of the entry, since new fields may be secrets.
func (d *Decoder) shows(m *method, l *layout.Method) (secret []string, ok bool) {
	switch {
	case d.opts.ShowValues:
		return nil, true
	case m == nil || l == nil:
		return nil, false
	case m.outer != nil: // a func: with a secret in it, it is secret as a whole
		secret, ok = d.shows(m.outer, m.outer.args)
		return nil, ok && len(secretsAt(secret, m.place)) == 0
	}
	secret, ok = d.opts.Secret[m.name]
	return secret, ok && d.listed[l]
}
