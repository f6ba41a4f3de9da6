package bsrpc_test

import (
	"go/ast"
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
			for _, d := range s.ast.Decls {
				if f, ok := d.(*ast.FuncDecl); ok {
					defined[f.Name.Name] = true
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
