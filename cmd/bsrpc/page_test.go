package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// docs/tools.md has every command and every flag.
func TestPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/tools.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	root := newRoot()
	has := func(f *pflag.Flag) {
		if !strings.Contains(page, "`--"+f.Name) && !strings.Contains(page, " --"+f.Name) {
			t.Errorf("docs/tools.md lacks --%s", f.Name)
		}
	}
	root.PersistentFlags().VisitAll(has)
	for _, cmd := range root.Commands() {
		if !strings.Contains(page, "[`bsrpc "+cmd.Name()+"`](#"+cmd.Name()+")") {
			t.Errorf("docs/tools.md lacks bsrpc %s", cmd.Name())
		}
		cmd.LocalNonPersistentFlags().VisitAll(has)
	}
}
