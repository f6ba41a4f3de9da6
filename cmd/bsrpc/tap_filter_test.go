package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// The lines and the calls of a recording that pass a filter.
func TestTapMethod(t *testing.T) {
	equal := serve(t, newShelf(t, nil, "bolt", "nut"))
	s := &session{t: t, names: strings.NewReplacer(equal, "EQUAL")}
	s.run("tap", "--read", seedRecording, "--method", "Shelf.Each")
	s.run("tap", "--read", seedRecording, "--method", "*.Put", "--method", "Shelf.?ro*", "--json")
	s.run("tap", "--read", seedRecording, "--method", "Desk")
	s.run("tap", "--read", seedRecording, "--method", "")
	s.run("tap", "--read", seedRecording, "--method", "Shelf.[")
	s.run("tap", "--replay", seedRecording, equal, "--method", "Shelf.Put")
	s.run("tap", "--replay", seedRecording, equal, "--method", "Desk.Put")
	compareFile(t, "testdata/tap_method.golden", s.text.String())
	all := func(args ...string) string {
		_, out, _ := bsrpcCommand(t, "", append([]string{"tap", "--read", seedRecording}, args...)...)
		return out
	}
	for wild, calls := range map[string]int{"*": 11, "Shelf": 10, "S*": 10, "bsrpc.v1": 1} {
		if have := all("--method", wild); strings.Count(have, " REQUEST ") != calls || strings.Contains(have, " INIT ") || strings.Contains(have, " BIND ") || strings.Count(have, " end ") < 2 {
			t.Errorf("%s:\n%s", wild, have)
		}
	}
}

// A filter of a proxy hides the connections without such a call, and keeps the reasons of calls
// without an answer.
func TestTapMethodLive(t *testing.T) {
	server := serve(t, newDesk(t, nil))
	file := filepath.Join(t.TempDir(), "r.rec")
	address, out, stop := beginTap(t, server, "--method", "Desk.Hang", "--record", file)
	check(t, 0, "3", "call", address, "Desk.Add", "1", "2")
	client, err := bsrpc.Dial(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := bsrpc.Bind[deskContract](t.Context(), client, "Desk")
	if err != nil {
		t.Fatal(err)
	}
	d.Add(t.Context(), 1, 2)
	hung := make(chan error)
	go func() { hung <- d.Hang(context.Background()) }()
	waitFor(t, "the request", func() bool { return strings.Contains(out.String(), " REQUEST ") })
	client.Close()
	<-hung
	waitFor(t, "the ends", func() bool { return strings.Count(out.String(), " end ") == 2 })
	if exit := stop(); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	have := out.String()
	for _, want := range []string{"#2 ", " open ", "Desk.Hang left=", "without an answer: c"} {
		if !strings.Contains(have, want) {
			t.Errorf("%q is not in\n%s", want, have)
		}
	}
	if strings.Contains(have, "Desk.Add") || strings.Contains(have, "#1 ") || strings.Count(have, "\n") != 5 {
		t.Errorf("have\n%s", have)
	}
	check(t, 0, "Desk.Add", "tap", "--read", file)
	_, out, _ = beginTap(t, server, "--method", "Desc.Add")
	if want := "tap: no method of the server matches --method Desc.Add; it has the services Desk, bsrpc.v1\n"; !strings.Contains(out.String(), want) {
		t.Errorf("have\n%s", out)
	}
	_, out, _ = beginTap(t, server, "--method", "bsrpc.v1.Helth", "--method", "Desc")
	if want := "matches --method bsrpc.v1.Helth --method Desc; it has bsrpc.v1.Counters, bsrpc.v1.Groups, bsrpc.v1.Health, "; !strings.Contains(out.String(), want) {
		t.Errorf("have\n%s", out)
	}
}
