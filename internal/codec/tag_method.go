package codec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/similar"
)

// A MethodTag is the parsed tag of a method in a contract.
type MethodTag struct {
	Params, Results []*Tag        // one per parameter and result; nil: all defaults
	ID              int           // command id for basic peers; -1: none
	Name            string        // name on the wire; "": the field's
	Timeout         time.Duration // 0: DefaultCallTimeout; negative: none
	Idempotent      bool
	Optional        bool // may be missing at a server
	Oneway          bool
	Exclusive       string
	NoWait          bool // does not wait for the group of Exclusive
	Roles           []string
	Names           []string // of the parameters, for descriptions; nil without
}

// allOptions lists the options, for errors.
const allOptions = "the options are id=, name=, timeout=, idempotent, optional, oneway, exclusive=, nowait, roles= and names="

// optionWords lists the options suggested for unknown ones.
var optionWords = []string{"id", "name", "timeout", "idempotent", "optional", "oneway", "exclusive", "nowait", "roles", "names"}

// ParseMethodTag parses the tag of a method: a signature, options, or both.
func ParseMethodTag(tag string) (*MethodTag, error) {
	m := &MethodTag{ID: -1}
	parts := splitTopLevel(tag, ",")
	// A signature is up to the first comma outside of parentheses.
	if strings.HasPrefix(tag, "(") {
		if err := m.parseSignature(parts[0]); err != nil {
			return nil, err
		}
		parts = parts[1:]
	} else if tag == "" {
		return m, nil
	}
	return m, m.parseOptions(parts)
}

// parseSignature parses the tags of parameters and results: "(le4,le4) le4".
func (m *MethodTag) parseSignature(text string) (err error) {
	end := closingParen(text)
	if end < 0 {
		return fmt.Errorf("%q: unbalanced parentheses", text)
	}
	if m.Params, err = parseTags("parameter", text[1:end]); err != nil {
		return err
	}
	rest := strings.TrimSpace(text[end+1:])
	if rest == "" {
		return nil
	}
	// Several results are in parentheses of their own.
	if rest[0] == '(' {
		if closingParen(rest) != len(rest)-1 {
			return fmt.Errorf("%q: unbalanced parentheses", rest)
		}
		rest = rest[1 : len(rest)-1]
	}
	m.Results, err = parseTags("result", rest)
	return err
}

// closingParen returns the offset of the parenthesis closing the first one, or
// -1.
func closingParen(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// parseTags parses the tags of parameters or results, separated by commas. An
// empty list means all defaults.
func parseTags(word, text string) ([]*Tag, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var tags []*Tag
	for i, part := range splitTopLevel(text, ",") {
		tag, err := ParseTag(part)
		if errors.Is(err, errTwoFormats) {
			return nil, fmt.Errorf("%s %d: %w, or separate %ss by a comma", word, i+1, err, word)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", word, i+1, err)
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

// parseOptions parses the options after the signature.
func (m *MethodTag) parseOptions(parts []string) error {
	var said []string // the keys of options so far
	for _, part := range parts {
		word := strings.TrimSpace(part)
		if word == "" {
			return errors.New("missing option at a comma")
		}
		key, err := m.parseOption(word)
		if err != nil {
			return err
		}
		if slices.Contains(said, key) {
			return fmt.Errorf("duplicate option %q", withoutValue(word))
		}
		said = append(said, key)
	}
	if m.NoWait && m.Exclusive == "" {
		return errors.New("nowait needs a group, as in exclusive=X,nowait")
	}
	return nil
}

// parseOption parses an option into its field of m and returns its key.
func (m *MethodTag) parseOption(word string) (key string, err error) {
	key, text, valued := strings.Cut(word, "=")
	switch key {
	case "idempotent", "optional", "oneway", "nowait":
		if valued {
			return "", fmt.Errorf("%q takes no value", key)
		}
	default:
		if example := exampleOfOption(key); example != "" && text == "" {
			return "", fmt.Errorf("%q needs a value, as in %s", key+"=", example)
		}
	}
	switch key {
	case "id":
		m.ID, err = parseID(text)
	case "name":
		m.Name, err = parseIdentifier(key, text)
	case "timeout":
		m.Timeout, err = parseTimeout(text)
	case "idempotent":
		m.Idempotent = true
	case "optional":
		m.Optional = true
	case "oneway":
		m.Oneway = true
	case "nowait":
		m.NoWait = true
	case "exclusive":
		m.Exclusive, err = parseIdentifier(key, text)
	case "roles":
		m.Roles, err = ParseRoles(text)
	case "names":
		m.Names, err = parseNames(text)
	default:
		err = unknownOption(word)
	}
	return key, err
}

// exampleOfOption returns an example of an option with a value, "" for others.
func exampleOfOption(key string) string {
	switch key {
	case "id":
		return "id=7"
	case "timeout":
		return "timeout=60s"
	case "name", "exclusive":
		return key + "=X"
	case "roles":
		return "roles=X|Y"
	case "names":
		return "names=a b"
	}
	return ""
}

// unknownOption returns an error with a suggestion: the word may be misspelled,
// or belong in the signature.
func unknownOption(word string) error {
	// A valid word of a value tag was meant for the signature.
	if _, err := parseWords(word, false); err == nil {
		return fmt.Errorf("unknown option %q; formats belong in the signature, as in \"(le4,le4) le4\"; %s", word, allOptions)
	}
	if strings.HasPrefix(word, "(") {
		return fmt.Errorf("unknown option %q; results follow the parameters without a comma, as in \"(le4,le4) le4\"", word)
	}
	if near := similar.Nearest(strings.TrimSuffix(withoutValue(word), "="), optionWords); near != "" {
		return fmt.Errorf("unknown option %q; did you mean %s?", withoutValue(word), near+stringIf(exampleOfOption(near) != "", "="))
	}
	return fmt.Errorf("unknown option %q; %s", withoutValue(word), allOptions)
}

// parseID parses a command id.
func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("id=%s: want a number from 0 to 65535", text)
	}
	return int(n), nil
}

// parseTimeout parses a timeout, -1 for none.
func parseTimeout(text string) (time.Duration, error) {
	if text == "none" {
		return -1, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("timeout=%s: want a positive duration with a unit, such as 60s, or none", text)
	}
	return d, nil
}

// parseNames parses identifiers separated by spaces.
func parseNames(text string) ([]string, error) {
	names := strings.Fields(text)
	for i, name := range names {
		if !isIdentifier(name) {
			return nil, fmt.Errorf("names=%s: want identifiers separated by spaces", text)
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("names=%s: duplicate name %q", text, name)
		}
	}
	return names, nil
}

// Options returns the options of m as in its tag, without name= and those of servers alone.
func (m *MethodTag) Options() (list []string) {
	add := func(given bool, word string) {
		if given {
			list = append(list, word)
		}
	}
	add(m.ID >= 0, "id="+strconv.Itoa(m.ID))
	add(m.Timeout > 0, "timeout="+m.Timeout.String())
	add(m.Timeout < 0, "timeout=none")
	add(m.Idempotent, "idempotent")
	add(m.Optional, "optional")
	add(m.Oneway, "oneway")
	add(m.Exclusive != "", "exclusive="+m.Exclusive)
	add(m.NoWait, "nowait")
	return list
}

// ParseRoles parses identifiers separated by |, or * alone.
func ParseRoles(text string) ([]string, error) {
	roles := strings.Split(text, "|")
	if text == "*" {
		return roles, nil
	}
	for i, role := range roles {
		if !isIdentifier(role) {
			return nil, fmt.Errorf("roles=%s: want identifiers separated by |, or *", text)
		}
		if slices.Contains(roles[:i], role) {
			return nil, fmt.Errorf("roles=%s: duplicate role %q", text, role)
		}
	}
	return roles, nil
}
