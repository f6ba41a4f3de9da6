package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file")

// The commands, what they print, and their exit codes.
func TestGolden(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, []byte("1\n2\n\n39\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, test := range []struct {
		args []string
		in   string
	}{
		{args: []string{"list", "ADDRESS"}},
		{args: []string{"list", "ADDRESS", "--json"}},
		{args: []string{"list", "ADDRESS", "Desk"}},
		{args: []string{"list", "--address", "ADDRESS", "bsrpc.v1"}},
		{args: []string{"list", "ADDRESS", "Dsk"}},
		{args: []string{"list", "ADDRESS", "Desk.Add"}},
		{args: []string{"list", "@"}},
		{args: []string{"completion", "ksh"}},
		{args: []string{"describe", "ADDRESS", "Desk.Open"}},
		{args: []string{"describe", "ADDRESS", "Desk.Open", "--json"}},
		{args: []string{"describe", "ADDRESS", "Desk"}},
		{args: []string{"describe", "ADDRESS"}},
		{args: []string{"call", "ADDRESS", "Desk.Add", "1", "2"}},
		{args: []string{"call", "ADDRESS", "Desk.Add", "--json", "--", "-1", "2"}},
		{args: []string{"call", "ADDRESS", "Desk.Add", "-1", "2"}},
		{args: []string{"call", "ADDRESS", "Desk.Add", "1"}},
		{args: []string{"call", "ADDRESS", "Desk.Add", "1", "two"}},
		{args: []string{"call", "ADDRESS", "Desk.Echo", "77"}},
		{args: []string{"call", "ADDRESS", "Desk.Echo", `"a\u009bb"`}},
		{args: []string{"call", "ADDRESS", "Desk.Echo", "@\x1b[2J\u202e\xff"}},
		{args: []string{"call", "ADDRESS", "Desk.Open", `{"User": "Ann"}`, "true"}},
		{args: []string{"call", "ADDRESS", "Desk.Open", `{"User": "Ann"}`, "true", "--show-values"}},
		{args: []string{"call", "ADDRESS", "Desk.Login", `{"User": "Ann", "Password": "xyz", "Port": 80}`}},
		{args: []string{"call", "ADDRESS", "Desk.Login", `{"Usr": "Ann"}`}},
		{args: []string{"call", "ADDRESS", "Desk.Login", `Ann`}},
		{args: []string{"call", "ADDRESS", "Desk.Login", `@-`}, in: `{"Port": 7}`},
		{args: []string{"call", "ADDRESS", "Desk.Size", "@DATA"}},
		{args: []string{"call", "ADDRESS", "Desk.Size", "@MISSING"}},
		{args: []string{"call", "ADDRESS", "Desk.Size", "AQID"}},
		{args: []string{"call", "ADDRESS", "Desk.Copy", "@DATA"}},
		{args: []string{"call", "ADDRESS", "Desk.Copy", "@-", "--json"}, in: "abc"},
		{args: []string{"call", "ADDRESS", "Desk.Copy", "abc"}},
		{args: []string{"call", "ADDRESS", "Desk.Watch", "2"}},
		{args: []string{"call", "ADDRESS", "Desk.Watch", "2", "--json", "--show-values"}},
		{args: []string{"call", "ADDRESS", "Desk.Sum", "@DATA"}},
		{args: []string{"call", "ADDRESS", "Desk.Sum", "@-"}, in: "1\nx\n"},
		{args: []string{"call", "ADDRESS", "Desk.Sum", "[1, 2]"}},
		{args: []string{"call", "ADDRESS", "Desk.Sum", `[1, "two"]`}},
		{args: []string{"call", "ADDRESS", "Desk.Tell", "--metadata", "tenant=blue"}},
		{args: []string{"call", "ADDRESS", "Desk.Tell", "--metadata", "secret"}},
		{args: []string{"call", "ADDRESS", "Desk.Each", "f"}},
		{args: []string{"call", "ADDRESS", "Desk.Each", "null"}},
		{args: []string{"call", "ADDRESS", "Desk.Fail", "5"}},
		{args: []string{"call", "ADDRESS", "Desk.Fail", "14", "--json"}},
		{args: []string{"call", "ADDRESS", "Desk.Hang", "--timeout", "50ms"}},
		{args: []string{"call", "ADDRESS", "Desk.Ad", "1"}},
		{args: []string{"call", "ADDRESS", "Add"}},
		{args: []string{"health", "ADDRESS"}},
		{args: []string{"health", "ADDRESS", "Desk", "--json"}},
		{args: []string{"health", "ADDRESS", "Dsk"}},
		{args: []string{"list"}},
		{args: []string{"call", "Desk.Add", "1", "2"}},
		{args: []string{"list", "localhost"}},
		{args: []string{"lst"}},
		{args: []string{"list", "ADDRESS", "a", "b"}},
		{args: []string{"list", "ADDRESS", "--jsn"}},
		{args: []string{"list", "ADDRESS", "--timeout", "5"}},
		{args: []string{"bench", "ADDRESS", "Desk.Add", "--seed", "\x1b"}},
		{args: []string{"list", "ADDRESS", "--json=\x1b"}},
		{args: []string{"list", "ADDRESS", "--unlike"}},
		{args: []string{"list", "ADDRESS", "-x"}},
		{args: []string{"list", "ADDRESS", "--user", "ann"}},
		{args: []string{"list", "ADDRESS", "--cert", "DATA"}},
		{args: []string{"list", "ADDRESS", "--ca", "DATA"}},
		{args: []string{"__complete", "list", "ADDRESS", ""}},
		{args: []string{"__complete", "call", "ADDRESS", "Desk.A"}},
		{args: []string{"__complete", "describe", "--address", "ADDRESS", "bsrpc"}},
		{args: []string{"__complete", "call", "ADDRESS", "Desk.Add", ""}},
	} {
		words := strings.Join(test.args, " ")
		fmt.Fprintf(&got, "$ bsrpc %s\n", strings.NewReplacer("\x1b", `\x1b`, "\u202e", `\u202e`, "\xff", `\xff`).Replace(words))
		names := strings.NewReplacer("ADDRESS", address, "DATA", data, "MISSING", filepath.Join(dir, "missing"))
		var args []string
		for _, a := range test.args {
			args = append(args, names.Replace(a))
		}
		exit, out, failed := bsrpcCommand(t, test.in, args...)
		if i := strings.IndexFunc(strings.ReplaceAll(out+failed, "\n", ""), func(r rune) bool { return r != '\t' && !printable(r) }); i >= 0 {
			t.Errorf("bsrpc %s: prints %q", words, out+failed)
		}
		got.WriteString(strings.NewReplacer(address, "ADDRESS", data, "DATA", dir, "DIR").Replace(out + failed))
		if exit != 0 {
			fmt.Fprintf(&got, "exit %d\n", exit)
		}
		got.WriteString("\n")
	}
	checkGolden(t, "testdata/commands.golden", got.String())
}

// checkGolden compares a text with a golden file, or writes that with -update.
func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs, see go test -update; got:\n%s", file, got)
	}
}
