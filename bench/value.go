package main

import (
	"encoding/binary"
	"fmt"
)

// Small is the value of the small workloads.
type Small struct {
	ID    int64
	Name  string
	Flags uint32
	Value float64
}

// An Item is one of the many of the items workloads.
type Item struct {
	ID      int64
	X, Y, Z float64
	Name    string
}

var small = Small{ID: 42, Name: "a name of 16 byt", Flags: 7, Value: 2.5}

func makeItems(n int) []Item {
	items := make([]Item, n)
	for i := range items {
		f := float64(i)
		items[i] = Item{ID: int64(i), X: f / 2, Y: f / 3, Z: f / 7, Name: fmt.Sprintf("item%04d", i%10000)}
	}
	return items
}

func makeBulk(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// stamp makes one call's bytes differ from another's.
func stamp(b []byte, seq int64) {
	if len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, uint64(seq))
	}
}
