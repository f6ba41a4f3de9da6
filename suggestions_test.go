package bsrpc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The error of Bind, or of a call by name, contains similar names for an unknown name.
func TestSuggestions(t *testing.T) {
	withRaw(t, nil, func(p *rawPeer, srv *Server, _ *testee) {
		for _, tt := range []struct {
			service string
			names   []string
			want    []wire.BindResult
		}{
			{"Probe", []string{"Ad", "Make", "Hol", "Nothing"}, []wire.BindResult{
				{Status: wire.BindUnknown, Text: "Probe.Add"}, {Status: wire.BindDiffers, Text: "Probe.Make(uint.le4) bytes.le4"},
				{Status: wire.BindUnknown, Text: "Probe.Hold"}, {Status: wire.BindUnknown},
			}},
			{"probe", []string{"Add", "Make"}, []wire.BindResult{{Status: wire.BindNoService, Text: "Probe"}, {Status: wire.BindNoService}}},
			{"Other", []string{"Add"}, []wire.BindResult{{Status: wire.BindNoService}}},
			{"Probe", []string{"Ad", "Ad", "Ad", "Ad"}, []wire.BindResult{ // no more than three get any
				{Status: wire.BindUnknown, Text: "Probe.Add"}, {Status: wire.BindUnknown, Text: "Probe.Add"}, {Status: wire.BindUnknown, Text: "Probe.Add"}, {Status: wire.BindUnknown},
			}},
		} {
			id := uint64(time.Now().UnixNano())
			p.send(wire.Frame{Type: wire.Bind, ID: id}, (&wire.BindRequest{Service: tt.service, Names: tt.names, Hashes: make([][wire.HashSize]byte, len(tt.names))}).Append(nil))
			got, err := wire.ReadBindResponse(p.wantAnswer(id), len(tt.names))
			if fmt.Sprint(got) != fmt.Sprint(tt.want) || err != nil {
				t.Errorf("%s %v: got %v, %v; want %v", tt.service, tt.names, got, err, tt.want)
			}
			time.Sleep(time.Millisecond)
		}
		client, _ := testeeClient(t, srv, nil)
		for method, want := range map[string]string{
			"Probe.Hol":  "bsrpc: the server has no method Probe.Hol; it has Probe.Hold",
			"Prob.Hold":  "bsrpc: Prob.Hold: the server has no service Prob; it has Probe",
			"Other.Hold": "bsrpc: Other.Hold: the server has no service Other",
			"Probe.Zzzz": "bsrpc: the server has no method Probe.Zzzz",
		} {
			wantCall(t, client.Call(t.Context(), method, nil), CodeUnimplemented, OutcomeNotRun, want)
		}
		client.Close()
	})
}

// Suggestions from a server are used only if they are valid names.
func TestSuggestionsAreNames(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"Shop":                      "Shop",
		"Shop.Put, Shop.Get":        "Shop.Put, Shop.Get",
		"A, B, C, D, E":             "A, B, C",
		"Shop\n\x1b[2J":             "",
		"rm -rf, Shop":              "Shop",
		strings.Repeat("x, ", 9000): "x, x, x",
	} {
		if got := numbering.Suggested(&wire.BindResult{Text: text}); got != want {
			t.Errorf("%.40q: got %q, want %q", text, got, want)
		}
	}
}

// The cost of suggestions does not grow with the methods of a server or the names in a
// request.
func TestSuggestionsAreBounded(t *testing.T) {
	srv := NewServer(&ServerOptions{Logger: quiet})
	for i := range 3000 {
		if err := srv.RegisterFunc(fmt.Sprintf("Big.Method%04d", i), func() {}); err != nil {
			t.Fatal(err)
		}
	}
	r := &wire.BindRequest{Service: "Big"}
	for range 1000 {
		r.Names = append(r.Names, "Method9999")
	}
	var answers []wire.BindResult
	allocs := testing.AllocsPerRun(1, func() {
		var table numbering.Table[*servedMethod]
		answers, _, _ = table.Answer(registryFor{registry: srv.registry}, r)
	})
	const names, compared = 3, 1024 // with suggestions; with each
	if allocs > names*compared*3 {
		t.Errorf("%v allocations, want at most %v", allocs, names*compared*3)
	}
	for i := range answers {
		if got := answers[i].Text != ""; got != (i < names) || answers[i].Status != wire.BindUnknown {
			t.Errorf("answer %d: %+v", i, answers[i])
		}
	}
	long := strings.Repeat("n", 65_000)
	if names := (registryFor{registry: srv.registry}).Similar(long); names != nil {
		t.Errorf("names like one of 65,000 bytes: %v", names)
	}
}
