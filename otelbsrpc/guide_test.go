package otelbsrpc

import (
	"os"
	"strings"
	"testing"
)

// The code of the guide is that of an example, which compiles with this package.
func TestGuide(t *testing.T) {
	page, err := os.ReadFile("../docs/guide/middleware.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Traces and metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, code, _ := strings.Cut(section, "```go\n")
	code, _, ok := strings.Cut(code, "```\n")
	if !ok || strings.Contains(section[strings.Index(section, code)+len(code):], "```go") {
		t.Fatal("want one block of Go in the section")
	}
	if want := "\n\t" + strings.ReplaceAll(strings.TrimSpace(code), "\n", "\n\t") + "\n\n"; !strings.Contains(string(examples), want) {
		t.Errorf("example_test.go has not the code of the guide:\n%s", code)
	}
}
