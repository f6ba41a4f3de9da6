package bsrpc_test

// The tables of docs/evolution.md, compared with the verdicts of layout.Compare.

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/layout"
)

// TestEvolutionPage checks the rows that have the texts of a change.
func TestEvolutionPage(t *testing.T) {
	page, err := os.ReadFile("docs/evolution.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], "`") {
			continue
		}
		rows++
		name := strings.TrimSpace(cells[0])
		old, now := parseCell(t, name, cells[1]), parseCell(t, name, cells[2])
		newClient, newServer := layout.Compare(now, old), layout.Compare(old, now)
		checkVerdict(t, name+", new client, old server", cells[3], newClient)
		checkVerdict(t, name+", old client, new server", cells[4], newServer)
		first := []string{"either", "servers", "clients"} // by what the calls do meanwhile
		switch {
		case newClient != nil && newServer != nil:
			first = []string{"neither"}
		case newClient != nil:
			first = []string{"servers"}
		case newServer != nil:
			first = []string{"clients"}
		}
		if got := strings.TrimSpace(cells[5]); !slices.Contains(first, got) {
			t.Errorf("%s: deploy %s first, want one of %v", name, got, first)
		}
	}
	if rows < 40 {
		t.Errorf("%d rows with texts", rows)
	}
}

// parseCell returns the method of a cell.
func parseCell(t *testing.T, row, cell string) *layout.Method {
	t.Helper()
	m, err := layout.ParseMethod("Demo." + strings.Trim(cell, "` "))
	if err != nil {
		t.Fatalf("%s: %s: %v", row, cell, err)
	}
	return m
}

// checkVerdict compares a cell with the differences of a comparison.
func checkVerdict(t *testing.T, place, cell string, found []layout.Difference) {
	t.Helper()
	var want []string
	for _, d := range found {
		want = append(want, fmt.Sprintf("`%v`", d))
	}
	if found == nil {
		cell, _, _ = strings.Cut(cell, ";")
		want = []string{"fits"}
	}
	if got := strings.TrimSpace(cell); got != strings.Join(want, "<br>") {
		t.Errorf("%s:\n%s\nwant\n%s", place, got, strings.Join(want, "<br>"))
	}
}
