// Package similar finds the word that was meant by a misspelt one, for messages: a key of an
// option, a word of a tag, a name of a method or a field.
package similar

import (
	"iter"
	"strings"
	"unicode"
)

// Nearest returns the word most similar to key, ignoring case and separators,
// or "" if all differ too much for a typing error.
func Nearest(key string, words []string) string {
	bare := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return unicode.ToLower(r)
	}, key)
	best, least := "", len(bare)/4+2
	for _, f := range words {
		if d := editDistance(bare, strings.ToLower(f)); d < least {
			best, least = f, d
		}
	}
	return best
}

// Similar returns up to n words similar to key, the nearest first. Words are
// similar if they differ in one letter, in up to a third of key's letters, or
// only in a prefix up to a dot. To bound its work it considers only the first
// limit words of up to 64 bytes.
func Similar(key string, words iter.Seq[string], n, limit int) []string {
	const longest = 64
	var near []string
	var away []int // of the words in near
	key = strings.ToLower(key)
	least := max(1, len(key)/3) + 1
	for word := range words {
		if limit--; limit < 0 {
			break
		}
		if len(key) > longest || len(word) > longest {
			continue
		}
		lower, d := strings.ToLower(word), least
		switch {
		// The same name with or without a qualifier: lab.v1.Scope and Scope.
		case strings.HasSuffix(lower, "."+key), strings.HasSuffix(key, "."+lower):
			d = 1
		// A large difference in length alone exceeds the limit: spare the
		// computation.
		case len(lower) < len(key)+least && len(key) < len(lower)+least:
			d = editDistance(key, lower)
		}
		if d >= least {
			continue
		}
		// Insert the word where it belongs, and keep the first n.
		near, away = append(near, word), append(away, d)
		for i := len(near) - 1; i > 0 && (away[i] < away[i-1] || away[i] == away[i-1] && near[i] < near[i-1]); i-- {
			near[i], near[i-1], away[i], away[i-1] = near[i-1], near[i], away[i-1], away[i]
		}
		near, away = near[:min(n, len(near))], away[:min(n, len(away))]
	}
	return near
}

// editDistance returns the edit distance between a and b in bytes, where a swap
// of neighbours is one edit (optimal string alignment).
func editDistance(a, b string) int {
	n := len(b) + 1
	rows := make([]int, 3*n)
	older, old, row := rows[:n], rows[n:2*n], rows[2*n:] // the distances of a[:i-1], a[:i] and a[:i+1] to each b[:j]
	for j := range old {
		old[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replaced := old[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(old[j+1]+1, row[j]+1, replaced)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
