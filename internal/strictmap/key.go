package strictmap

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// names reports whether key is the name of field: its letters in any case,
// with at most one - or _ between two of its words.
func names(key, field string) bool {
	var last rune
	for i, r := range field {
		if i > 0 && beginsWord(last, r, field[i+utf8.RuneLen(r):]) && key != "" && (key[0] == '-' || key[0] == '_') {
			key = key[1:]
		}
		k, size := utf8.DecodeRuneInString(key)
		if size == 0 || unicode.ToLower(k) != unicode.ToLower(r) {
			return false
		}
		key, last = key[size:], r
	}
	return key == ""
}

// beginsWord reports whether r begins a word between last and rest: the M and
// the S of MaxHTTPSize, and the H.
func beginsWord(last, r rune, rest string) bool {
	if !unicode.IsUpper(r) {
		return false
	}
	next, _ := utf8.DecodeRuneInString(rest)
	return !unicode.IsUpper(last) || unicode.IsLower(next)
}

// unknown says in words what a key that names no field of t may have meant.
func unknown(key string, t reflect.Type) string {
	const longest = 64
	fields := settable(t)
	if len(key) > longest {
		return fmt.Sprintf("%.*q...; the keys are %s", longest, key, strings.Join(fields, ", "))
	}
	if within := holder(key, t); within != "" {
		return fmt.Sprintf("%q; it belongs in the map %s", key, within)
	}
	if near := Nearest(key, fields); near != "" {
		return fmt.Sprintf("%q; did you mean %s?", key, near)
	}
	return fmt.Sprintf("%q; the keys are %s", key, strings.Join(fields, ", "))
}

// holder returns the field of t that is a struct with a field that key names,
// with or without the struct's name and a dot before it.
func holder(key string, t reflect.Type) string {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type.Kind() != reflect.Struct {
			continue
		}
		if before, after, dotted := strings.Cut(key, "."); dotted && names(before, f.Name) {
			key = after
		}
		if _, ok := find(f.Type, key); ok {
			return f.Name
		}
	}
	return ""
}

// Nearest returns the word that key is a slip of the pen away from, or "".
func Nearest(key string, words []string) string {
	bare := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(key))
	best, least := "", len(bare)/4+2
	for _, f := range words {
		if d := distance(bare, strings.ToLower(f)); d < least {
			best, least = f, d
		}
	}
	return best
}

// Near returns at most n of the words that differ from key in no more than a third
// of its letters, in one, or in what stands before a dot, the nearest first. It
// looks at no more than so many of them, and at none that is longer than 64 bytes.
func Near(key string, words iter.Seq[string], n, looked int) []string {
	type found struct {
		word string
		away int
	}
	const longest = 64
	var all []found
	key = strings.ToLower(key)
	least := max(1, len(key)/3) + 1
	for word := range words {
		if looked--; looked < 0 {
			break
		}
		if len(key) > longest || len(word) > longest {
			continue
		}
		lower, d := strings.ToLower(word), least
		switch {
		case strings.HasSuffix(lower, "."+key), strings.HasSuffix(key, "."+lower):
			d = 1
		case len(lower) < len(key)+least && len(key) < len(lower)+least:
			d = distance(key, lower)
		}
		if d < least {
			all = append(all, found{word, d})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Or(a.away-b.away, strings.Compare(a.word, b.word)) })
	var near []string
	for _, f := range all[:min(n, len(all))] {
		near = append(near, f.word)
	}
	return near
}

// distance counts the bytes to insert, delete or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // the distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			replaced := corner
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(above+1, row[j]+1, replaced)
			corner = above
		}
	}
	return row[len(b)]
}
