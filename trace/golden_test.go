package trace_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/trace"
)

var update = flag.Bool("update", false, "rewrite the dumps of the transcripts")

// start is the time of the first bytes of a conversation.
var start = time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)

// A conversation is what the ends of a transcript send, one line after another.
type conversation []trace.Piece

// transcript reads a file of testdata/transcripts. Each line takes 100 µs.
func transcript(t testing.TB, name string) conversation {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, steps, _ := strings.Cut(string(text), "\n\n")
	steps = strings.ReplaceAll(steps, "\n  ", " ")
	now := start
	var pieces conversation
	for line := range strings.Lines(steps) {
		p := trace.Piece{Time: now}
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "= wait "):
			d, err := time.ParseDuration(strings.TrimPrefix(line, "= wait "))
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(d)
			continue
		case line == "< closed":
			p.From, p.End = trace.FromServer, "EOF"
		case strings.HasPrefix(line, "> "):
			p.Bytes = unhex(t, line[2:])
		case strings.HasPrefix(line, "< "):
			p.From, p.Bytes = trace.FromServer, unhex(t, line[2:])
		default:
			continue
		}
		now = now.Add(100 * time.Microsecond)
		pieces = append(pieces, p)
	}
	return append(pieces, trace.Piece{Time: now, End: "EOF"}, trace.Piece{Time: now, From: trace.FromServer, End: "EOF"})
}

// unhex reads hex in groups, with repeated bytes as in 00*70000.
func unhex(t testing.TB, text string) (all []byte) {
	t.Helper()
	for _, group := range strings.Fields(text) {
		digits, times, repeated := strings.Cut(group, "*")
		n := 1
		b, err := hex.DecodeString(digits)
		if err == nil && repeated {
			n, err = strconv.Atoi(times)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Repeat(b, n)...)
	}
	return all
}

// dump returns the lines of a conversation.
func (c conversation) dump(opts *trace.Options) string {
	var out strings.Builder
	d := trace.NewDecoder(opts, func(e *trace.Event) { out.WriteString(e.String() + "\n") })
	for _, p := range c {
		d.Feed(&p)
	}
	return out.String()
}

// transcripts returns the files of all transcripts.
func transcripts(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("../testdata/transcripts/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no transcripts", err)
	}
	return names
}

// The dump of each transcript, with values, is in testdata/dumps.
func TestTranscriptDumps(t *testing.T) {
	for _, name := range transcripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			golden(t, filepath.Base(name), transcript(t, name).dump(&trace.Options{ShowValues: true}))
		})
	}
}

// golden compares a dump with a file.
func golden(t *testing.T, name, have string) {
	t.Helper()
	name = filepath.Join("testdata", "dumps", name)
	if *update {
		if err := os.WriteFile(name, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if have != string(want) {
		t.Errorf("%s: have\n%s\nwant\n%s\nafter a change of the transcripts: go test ./trace -update", name, have, want)
	}
}
