package method

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// ValidService checks the name of a service: identifiers with dots between.
func ValidService(name string) error {
	if len(name) > 255 {
		return fmt.Errorf("%d bytes, want at most 255", len(name))
	}
	for _, part := range strings.Split(name, ".") {
		if !IsIdentifier(part) {
			return errors.New("want identifiers with dots between, as lab.v1.Scope")
		}
	}
	return nil
}

// IsIdentifier reports whether s is a Go identifier.
func IsIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// SplitName splits a full name at its last dot.
func SplitName(full string) (service, name string, ok bool) {
	i := strings.LastIndexByte(full, '.')
	if i < 0 {
		return "", "", false
	}
	return full[:i], full[i+1:], true
}
