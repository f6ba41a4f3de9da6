package main

import (
	"bytes"
	"fmt"
	"slices"
)

// The checks are the same for all peers. Values differ from call to call, so
// that a reply which is another call's is found.

func checkSmall(got, want Small) error {
	if got != want {
		return fmt.Errorf("sent %v, got %v", want, got)
	}
	return nil
}

func checkItems(got, want []Item) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("sent %d items, got %d, or others", len(want), len(got))
	}
	return nil
}

// checkBulk compares both ends and one byte of each page: comparing all of
// 16 MiB takes as long as sending it and would hide what peers differ in. The
// first calls of a connection are compared whole.
func checkBulk(got, want []byte, seq int64) error {
	const end, page = 64, 4096
	same := len(got) == len(want)
	if same && (seq < 2 || len(want) <= page) {
		same = bytes.Equal(got, want)
	} else if same {
		n := len(want)
		same = bytes.Equal(got[:end], want[:end]) && bytes.Equal(got[n-end:], want[n-end:])
		for i := 0; i < n && same; i += page {
			same = got[i] == want[i]
		}
	}
	if !same {
		return fmt.Errorf("sent %d bytes, got %d, or others", len(want), len(got))
	}
	return nil
}
