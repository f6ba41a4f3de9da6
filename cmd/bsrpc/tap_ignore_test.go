package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// ticket is a result with what differs from server to server.
type ticket struct {
	ID    int
	Key   string `bsrpc:"secret"`
	Lines []ticketLine
	Tags  map[string]ticketLine
	Next  *ticketLine
}

type ticketLine struct {
	ID   int
	Name string
}

type tickets struct{ first int }

type ticketsContract struct {
	Open  func(ctx context.Context) (ticket, int, error)
	Watch func(ctx context.Context) iter.Seq2[ticket, error]
	Count func(ctx context.Context) (int, error)
}

func (s tickets) ticket() ticket {
	t := ticket{ID: s.first, Key: fmt.Sprint(s.first), Lines: []ticketLine{{s.first, "a"}, {s.first + 1, "b"}}, Tags: map[string]ticketLine{"x": {s.first, "x"}}}
	if s.first > 1 {
		t.Next = &ticketLine{s.first, "n"}
	}
	return t
}

func (s tickets) Open(context.Context) (ticket, int, error) { return s.ticket(), s.first, nil }
func (s tickets) Count(context.Context) (int, error)        { return s.first, nil }
func (s tickets) Watch(context.Context) iter.Seq2[ticket, error] {
	return values(s.ticket(), s.ticket())
}

// What is known to differ is not compared, and all else is.
func TestTapIgnore(t *testing.T) {
	server := func(first int) string {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := bsrpc.RegisterAs[ticketsContract](srv, "Tickets", tickets{first}); err != nil {
			t.Fatal(err)
		}
		return serve(t, srv)
	}
	file := filepath.Join(t.TempDir(), "r.rec")
	address, out, stop := beginTap(t, server(1), "--record", file)
	for _, method := range []string{"Open", "Watch", "Count"} {
		check(t, 0, "", "call", address, "Tickets."+method)
	}
	waitFor(t, "the ends", func() bool { return strings.Count(out.String(), " end ") == 6 })
	stop()
	other := server(7)
	s := &session{t: t, names: strings.NewReplacer(file, "FILE", other, "OTHER")}
	replay := func(ignore ...string) {
		args := []string{"tap", "--replay", file, other}
		for _, place := range ignore {
			args = append(args, "--ignore", place)
		}
		s.run(args...)
	}
	replay()
	replay("Tickets.Open result 1.ID", "Tickets.Open result 1.Lines[].ID", "*.Open result 1.Tags", "Tickets.Open result 2")
	replay("result 1.ID", "result 1.Key", "result 1.Lines", "result 1.Tags[].ID", "result 1.Next", "result 2", "Tickets.Watch result 1", "Tickets.Count result 1")
	replay("Tickets result 1[].ID", "Tickets.Watch result 1[].Lines[].ID", "*.Open result 1", "*.Open result 2", "*.Count result 1")
	for _, bad := range []string{
		"", "ID", "parameter 1", "result 0", "result 1ID", "result 1.Lines[0].ID", "Tickets.[ result 1", "Desk.* result 1",
		"Tickets.Open result 1.Iq", "result 1.Idd", "Tickets.Count result 2", "Tickets.Watch result 1.ID", "Tickets.Open result 1.Lines.ID",
	} {
		replay(bad)
	}
	s.run("tap", other, "--ignore", "result 1")
	compareFile(t, "testdata/tap_ignore.golden", s.text.String())
}

func TestChangesSkip(t *testing.T) {
	for _, test := range []struct {
		old, now, skip string
		want           int
	}{
		{`{"A":1,"B":2}`, `{"A":2,"B":2}`, "A", 0},
		{`{"A":1,"B":2}`, `{"B":2}`, "A", 0},
		{`{"B":2}`, `{"A":1,"B":2}`, "A", 0},
		{`{"A":null}`, `{"A":{"B":1}}`, "A", 0},
		{`{"A":null}`, `{"A":{"B":1}}`, "A.B", 1},
		{`[{"A":1}]`, `[{"A":2},{"A":3}]`, "[].A", 1},
		{`[{"A":1}]`, `[{"A":2},{"A":3}]`, "[]", 0},
		{`{"M":{"x":[1],"y":[2]}}`, `{"M":{"x":[3],"y":[4]}}`, "M[][]", 0},
		{`{"A":1,"AB":1}`, `{"A":1,"AB":2}`, "A", 1},
	} {
		skip := places{(&ignored{path: test.skip}).steps()}
		list, _ := maskedChanges(json.RawMessage(test.old), json.RawMessage(test.now), json.RawMessage(test.old), json.RawMessage(test.now), skip)
		if len(list) != test.want {
			t.Errorf("%s, %s without %s: %v", test.old, test.now, test.skip, list)
		}
	}
}
