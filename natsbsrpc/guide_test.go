package natsbsrpc

import (
	"os"
	"strings"
	"testing"
)

// Every block of code in the guide is in the example, which compiles and runs.
func TestGuide(t *testing.T) {
	page, err := os.ReadFile("../docs/guide/nats.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, rest := range strings.Split(string(page), "```text\n")[1:] {
		code, _, _ := strings.Cut(rest, "```\n")
		n++
		if want := "\n\t" + strings.ReplaceAll(strings.TrimSpace(code), "\n", "\n\t") + "\n"; !strings.Contains(string(example), want) {
			t.Errorf("example_test.go has not the code of the guide:\n%s", code)
		}
	}
	if n != 5 {
		t.Errorf("%d blocks", n)
	}
}
