package codec

// Tags as lists of words, separated outside of parentheses.

import (
	"fmt"
	"slices"
	"strings"
)

// splitWords splits text at commas and spaces outside of parentheses.
func splitWords(text string) (list []string, err error) {
	parts := splitTopLevel(text, ",")
	for _, part := range parts {
		found := slices.DeleteFunc(splitTopLevel(part, " \t"), func(word string) bool { return word == "" })
		if len(found) == 0 && len(parts) > 1 {
			return nil, fmt.Errorf("%q: missing word at a comma", text)
		}
		list = append(list, found...)
	}
	for _, word := range list {
		if err := checkParens(word); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// splitTopLevel splits text at each of the separators outside parentheses.
func splitTopLevel(text, separators string) (parts []string) {
	depth, from := 0, 0
	// Bytes suffice, as all separators and parentheses are ASCII.
	for i := range len(text) {
		switch {
		case text[i] == '(':
			depth++
		case text[i] == ')':
			depth--
		case depth <= 0 && strings.IndexByte(separators, text[i]) >= 0:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// checkParens returns an error unless parentheses are balanced and enclose the
// whole value of the word.
func checkParens(word string) error {
	open := strings.IndexByte(word, '(')
	if open < 0 && !strings.Contains(word, ")") {
		return nil
	}
	depth := 0
	for i := range len(word) {
		switch word[i] {
		case '(':
			depth++
		case ')':
			depth--
		}
		// An unopened parenthesis, or text after the closing one.
		if depth < 0 || depth == 0 && i >= open && i < len(word)-1 && open >= 0 {
			return fmt.Errorf("%q: unbalanced parentheses", word)
		}
	}
	if depth != 0 || open == 0 || word[open-1] != '=' {
		return fmt.Errorf("%q: unbalanced parentheses", word)
	}
	return nil
}
