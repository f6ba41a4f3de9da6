package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pageKey is a key of JSON in the table of the page.
var pageKey = regexp.MustCompile("`([a-zA-Z]+)`")

// pageKeys returns the keys that docs/tools.md names for the lines of a command: those that its lines have, and
// those that they may have.
func pageKeys(t *testing.T, command string) (always []string, all string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/tools.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "\n## JSON\n")
	_, row, ok := strings.Cut(table, "\n| `"+command+"` | ")
	if row, _, _ = strings.Cut(row, " |\n"); !ok {
		t.Fatalf("docs/tools.md lacks the JSON of %s", command)
	}
	for _, part := range strings.Split(row, "[") {
		_, outside, in := strings.Cut(part, "]")
		if !in {
			outside = part
		}
		for _, key := range pageKey.FindAllStringSubmatch(outside, -1) {
			always = append(always, key[1])
		}
	}
	return always, row
}

// With --json every line of every command is JSON, and has the keys of the page.
func TestJSON(t *testing.T) {
	desk, shelf := serve(t, newDesk(t, nil)), serve(t, newShelf(t, nil, "bolt", "nut"))
	dir := t.TempDir()
	file := filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, runs := range map[string][][]string{
		"list":         {{"list", desk}, {"list", desk, "Desk"}},
		"describe":     {{"describe", desk, "Desk"}},
		"call":         {{"call", desk, "Desk.Add", "1", "2", "--verbose"}, {"call", desk, "Desk.Watch", "2"}, {"call", desk, "Desk.Copy", "@" + file}},
		"health":       {{"health", desk}},
		"watch":        {{"watch", shelf, "Shelf.Asked", "--every", "1ms", "--count", "2"}, {"watch", desk, "Desk.Open", "x", "--count", "1"}, {"watch", desk, "Desk.Watch", "1"}},
		"tap":          {{"tap", "--read", seedRecording, "--hex"}, {"tap", "--read", seedRecording, "--method", "Desk"}},
		"tap --replay": {{"tap", "--replay", seedRecording, shelf}, {"tap", "--replay", seedRecording, desk}},
		"cert":         {{"cert", "ca", "--dir", dir}, {"cert", "server", "lab", "--dir", dir}},
		"top":          {{"top", desk, "--count", "1", "--interval", "1ms"}},
		"diff":         {{"diff", desk, shelf}, {"diff", desk, desk}},
		"gen go":       {{"gen", "go", desk}, {"gen", "go", desk, "-o", filepath.Join(dir, "desk.go")}},
		"bench":        {{"bench", desk, "Desk.Add", "1", "2", "--duration", "20ms"}, {"bench", desk, "Desk.Watch", "1", "--duration", "20ms", "--rate", "max"}, {"bench", desk, "Desk.Fail", "5", "--duration", "20ms"}},
	} {
		always, all := pageKeys(t, command)
		seen := map[string]bool{}
		for _, args := range runs {
			_, out, failed := bsrpcCommand(t, "", append(args, "--json")...)
			if out+failed == "" {
				t.Errorf("%v prints nothing", args)
			}
			for line := range strings.Lines(out) {
				var keys map[string]json.RawMessage
				if err := json.Unmarshal([]byte(line), &keys); err != nil && (command != "list" || json.Unmarshal([]byte(line), new(string)) != nil) {
					t.Errorf("%v: %v: %s", args, err, line)
				}
				for key := range keys {
					if seen[key] = true; !strings.Contains(all, "`"+key+"`") {
						t.Errorf("%v: docs/tools.md lacks the key %s: %s", args, key, line)
					}
				}
			}
			for line := range strings.Lines(failed) {
				var keys map[string]json.RawMessage
				if err := json.Unmarshal([]byte(line), &keys); err != nil || keys["error"] == nil && keys["warning"] == nil && keys["metadata"] == nil && (keys["event"] == nil || keys["text"] == nil) {
					t.Errorf("%v: %v, standard error: %s", args, err, line)
				}
			}
		}
		for _, key := range always {
			if !seen[key] && key != "lost" && key != "error" {
				t.Errorf("no line of %s has the key %s of docs/tools.md", command, key)
			}
		}
	}
}
