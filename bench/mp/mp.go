// Package mp has the messages of the benchmark in the form that msgp
// generates code for: see ../proto/generate.sh.
package mp

// Small is a small message.
//
//msgp:tuple Small
type Small struct {
	ID    int64
	Name  string
	Flags uint32
	Value float64
}

// Item is one of Items.
//
//msgp:tuple Item
type Item struct {
	ID      int64
	X, Y, Z float64
	Name    string
}

// Items is a message of many.
type Items []Item
