package strictmap

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/similar"
)

// matches reports whether key names field: its letters in any case, with at
// most one - or _ between words.
func matches(key, field string) bool {
	var last rune
	for i, r := range field {
		// A separator may precede a word, but not the first one.
		if i > 0 && startsWord(last, r, field[i+utf8.RuneLen(r):]) && key != "" && (key[0] == '-' || key[0] == '_') {
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

// startsWord reports whether r starts a word between last and rest: the M, H
// and S of MaxHTTPSize do.
func startsWord(last, r rune, rest string) bool {
	if !unicode.IsUpper(r) {
		return false
	}
	next, _ := utf8.DecodeRuneInString(rest)
	return !unicode.IsUpper(last) || unicode.IsLower(next)
}

// unknownKey quotes a key without a field in t and suggests a replacement.
func unknownKey(key string, t reflect.Type) string {
	const longest = 64
	fields := settable(t)
	if len(key) > longest {
		return fmt.Sprintf("%.*q...; the keys are %s", longest, key, strings.Join(fields, ", "))
	}
	if outer := enclosingField(key, t); outer != "" {
		return fmt.Sprintf("%q; it belongs in the map %s", key, outer)
	}
	if near := similar.Nearest(key, fields); near != "" {
		return fmt.Sprintf("%q; did you mean %s?", key, near)
	}
	return fmt.Sprintf("%q; the keys are %s", key, strings.Join(fields, ", "))
}

// enclosingField returns the name of t's struct field with a field named by
// key, where key may also be qualified: limits.max-depth.
func enclosingField(key string, t reflect.Type) string {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type.Kind() != reflect.Struct {
			continue
		}
		if before, after, dotted := strings.Cut(key, "."); dotted && matches(before, f.Name) {
			key = after
		}
		if _, ok := findField(f.Type, key); ok {
			return f.Name
		}
	}
	return ""
}
