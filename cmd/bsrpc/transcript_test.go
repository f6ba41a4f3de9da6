package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A line is a command of a transcript, with its standard input.
type line struct {
	args []string
	in   string
}

// logID is the id of a line in a log.
var logID = regexp.MustCompile(`\(id [0-9a-f]{16}`)

// transcript runs commands in this process, and compares them and what they print with a file.
// names are pairs of words in the arguments and their values, as for strings.NewReplacer.
func transcript(t *testing.T, file string, lines []line, names ...string) {
	t.Helper()
	var back []string
	for i := 0; i < len(names); i += 2 {
		back = append(back, names[i+1], names[i])
	}
	in, out := strings.NewReplacer(names...), strings.NewReplacer(back...)
	var got strings.Builder
	for _, l := range lines {
		var args []string
		for _, a := range l.args {
			args = append(args, in.Replace(a))
		}
		exit, stdout, stderr := bsrpcCommand(t, l.in, args...)
		if i := strings.IndexFunc(strings.ReplaceAll(stdout+stderr, "\n", ""), func(r rune) bool { return r != '\t' && !printable(r) }); i >= 0 {
			t.Errorf("bsrpc %s: prints %q", l.args, stdout+stderr)
		}
		fmt.Fprintf(&got, "$ bsrpc %s\n%s", strings.Join(l.args, " "), logID.ReplaceAllString(out.Replace(stdout+stderr), "(id N"))
		if exit != 0 {
			fmt.Fprintf(&got, "exit %d\n", exit)
		}
		got.WriteString("\n")
	}
	checkGolden(t, file, got.String())
}

// words are the arguments of lines without standard input.
func words(commands ...string) (list []line) {
	for _, c := range commands {
		list = append(list, line{args: strings.Fields(c)})
	}
	return list
}
