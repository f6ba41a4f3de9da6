package httpbsrpc_test

import (
	"os"
	"strings"
	"testing"
)

// The code of the guide is that of examples, which compile with this package.
func TestGuide(t *testing.T) {
	page, err := os.ReadFile("../docs/guide/http.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) != 2 {
		t.Errorf("got %d blocks of Go, want 2", len(blocks))
	}
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```\n")
		if want := "\n\t\t" + strings.ReplaceAll(strings.TrimSpace(code), "\n", "\n\t\t") + "\n"; !strings.Contains(string(examples), want) {
			t.Errorf("example_test.go has not the code of the guide:\n%s", code)
		}
	}
}
