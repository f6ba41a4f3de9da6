package codec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/strictmap"
)

// A MethodTag is what the tag of a contract's method says.
type MethodTag struct {
	Params, Results []*Tag        // one for each; nil: all defaults
	ID              int           // the command id that a basic peer calls; -1: none
	Name            string        // the method's name on the wire; "": the field's
	Timeout         time.Duration // 0: DefaultCallTimeout; below 0: none
	Idempotent      bool
	Oneway          bool
	Exclusive       string
	Roles           []string
}

// options are the options of a method tag.
type methodOptions struct {
	ID         int
	Name       string
	Timeout    time.Duration
	Idempotent bool
	Oneway     bool
	Exclusive  string
	Roles      []string
}

// The options that something acts on: oneway and roles= are reserved.
const allOptions = "the options are id=, name=, timeout=, idempotent and exclusive="

var optionWords = []string{"id", "name", "timeout", "idempotent", "exclusive"}

// ParseMethod parses the tag of a contract's method: a signature, options, or
// both.
func ParseMethodTag(tag string) (*MethodTag, error) {
	m := &MethodTag{ID: -1}
	parts := splitTopLevel(tag, ",")
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

func (m *MethodTag) parseSignature(text string) (err error) {
	end := closingParen(text)
	if end < 0 {
		return fmt.Errorf("%q: parentheses do not match", text)
	}
	if m.Params, err = parseTags("parameter", text[1:end]); err != nil {
		return err
	}
	rest := strings.TrimSpace(text[end+1:])
	if rest == "" {
		return nil
	}
	if rest[0] == '(' {
		if closingParen(rest) != len(rest)-1 {
			return fmt.Errorf("%q: parentheses do not match", rest)
		}
		rest = rest[1 : len(rest)-1]
	}
	m.Results, err = parseTags("result", rest)
	return err
}

// closing finds the parenthesis that closes the first one.
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

// parsePlaces parses the places of a list, separated by commas. An empty list
// keeps all defaults.
func parseTags(word, text string) ([]*Tag, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var places []*Tag
	for i, part := range splitTopLevel(text, ",") {
		tag, err := ParseTag(part)
		if errors.Is(err, errTwoFormats) {
			return nil, fmt.Errorf("%s %d: %w, or part %ss by a comma", word, i+1, err, word)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", word, i+1, err)
		}
		places = append(places, tag)
	}
	return places, nil
}

func (m *MethodTag) parseOptions(parts []string) error {
	said := map[string]any{}
	for _, part := range parts {
		word := strings.TrimSpace(part)
		if word == "" {
			return errors.New("an option is missing at a comma")
		}
		key, value, err := parseOption(word)
		if err != nil {
			return err
		}
		if _, twice := said[key]; twice {
			return fmt.Errorf("%q stands twice", withoutValue(word))
		}
		said[key] = value
	}
	o := methodOptions{ID: -1}
	if err := strictmap.Decode(said, &o); err != nil {
		return err
	}
	m.ID, m.Name, m.Idempotent, m.Oneway = o.ID, o.Name, o.Idempotent, o.Oneway
	m.Exclusive, m.Roles, m.Timeout = o.Exclusive, o.Roles, o.Timeout
	return nil
}

// parseOption takes one option apart.
func parseOption(word string) (key string, value any, err error) {
	key, text, valued := strings.Cut(word, "=")
	switch key {
	case "idempotent", "oneway":
		if valued {
			return "", nil, fmt.Errorf("%q takes no value", key)
		}
		return key, true, nil
	case "id", "name", "timeout", "exclusive", "roles":
		if text == "" {
			return "", nil, fmt.Errorf("%q needs a value: %s", key+"=", optionExamples[key])
		}
	default:
		return "", nil, unknownOption(word)
	}
	switch key {
	case "id":
		value, err = parseID(text)
	case "timeout":
		value, err = parseTimeout(text)
	case "roles":
		value, err = parseRoles(text)
	default:
		value, err = parseIdentifier(key, text)
	}
	return key, value, err
}

var optionExamples = map[string]string{"id": "id=7", "name": "name=X", "timeout": "timeout=60s",
	"exclusive": "exclusive=X", "roles": "roles=X|Y"}

func unknownOption(word string) error {
	if _, err := parseWords(word, false); err == nil {
		return fmt.Errorf("unknown option %q; formats stand in the signature, as in \"(le4,le4) le4\"; %s", word, allOptions)
	}
	if strings.HasPrefix(word, "(") {
		return fmt.Errorf("unknown option %q; results follow the parameters without a comma, as in \"(le4,le4) le4\"", word)
	}
	if near := strictmap.Nearest(strings.TrimSuffix(withoutValue(word), "="), optionWords); near != "" {
		_, valued := optionExamples[near]
		return fmt.Errorf("unknown option %q; did you mean %s?", withoutValue(word), near+stringIf(valued, "="))
	}
	return fmt.Errorf("unknown option %q; %s", withoutValue(word), allOptions)
}

func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("id=%s: want a number from 0 to 65535", text)
	}
	return int(n), nil
}

// parseTimeout returns the duration as text, which is how strictmap wants it.
func parseTimeout(text string) (string, error) {
	if text == "none" {
		return "-1ns", nil
	}
	if d, err := time.ParseDuration(text); err != nil || d <= 0 {
		return "", fmt.Errorf("timeout=%s: want a duration above zero with its unit, as 60s, or none", text)
	}
	return text, nil
}

func parseRoles(text string) ([]string, error) {
	roles := strings.Split(text, "|")
	for i, role := range roles {
		if !isIdentifier(role) {
			return nil, fmt.Errorf("roles=%s: want identifiers separated by |", text)
		}
		if slices.Contains(roles[:i], role) {
			return nil, fmt.Errorf("roles=%s: %q stands twice", text, role)
		}
	}
	return roles, nil
}
