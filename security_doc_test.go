package bsrpc_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// The tests that docs/security.md names exist.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	defined := make(map[string]bool)
	for _, nested := range []bool{false, true} {
		for _, s := range sources(t, nested) {
			if !s.test() {
				continue
			}
			text, err := os.ReadFile(s.name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(text) {
				if f, ok := bytes.CutPrefix(line, []byte("func ")); ok {
					name, _, _ := bytes.Cut(f, []byte("("))
					defined[string(name)] = true
				}
			}
		}
	}
	names := regexp.MustCompile("`((Test|Fuzz)[A-Za-z0-9]+)`").FindAllSubmatch(page, -1)
	if len(names) < 60 {
		t.Errorf("only %d tests are named", len(names))
	}
	for _, m := range names {
		if !defined[string(m[1])] {
			t.Errorf("%s does not exist", m[1])
		}
	}
}
