package bsrpc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/internal/describe"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// BINDs with texts from clients that do not follow the rules.

// bindTexts sends a BIND of one text for each name, and returns the frame and the answers.
func (p *rawPeer) bindTexts(id uint64, names, texts []string) (wire.Frame, []wire.BindResult) {
	p.t.Helper()
	r := wire.BindRequest{Service: "Probe", Names: names, Texts: texts}
	p.send(wire.Frame{Type: wire.Bind, Flags: wire.Texts, ID: id}, r.Append(nil))
	f, body := p.read()
	if f.Type != wire.Response {
		failure, err := wire.ReadFailure(body)
		if err != nil {
			p.t.Fatal(err)
		}
		return f, []wire.BindResult{{Text: failure.Message}}
	}
	answers, err := wire.ReadBindResponse(body, len(names))
	if err != nil {
		p.t.Fatal(err)
	}
	return f, answers
}

// Each text has one answer, and the connection goes on.
func TestBindTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		p := rawClient(t, srv)
		own := srv.registry.find("Probe.Add").Layout
		numbers := make(map[uint16]bool)
		for i, test := range []struct {
			what, text string
			status     wire.BindStatus
			refusal    string
		}{
			{"the server's own", own, wire.BindOK, ""},
			{"wider at the server", strings.Replace(own, "uint.le4", "uint.be2", 1), wire.BindOK, ""},
			{"the same again", strings.Replace(own, "uint.le4", "uint.be2", 1), wire.BindOK, ""},
			{"optional", strings.Replace(own, ")", ", string.le4?)", 1), wire.BindOK, ""},
			{"not optional", strings.Replace(own, ")", ", string.le4)", 1), wire.BindDiffers, ""},
			{"another kind", strings.Replace(own, "uint.le4", "string.le4", 1), wire.BindDiffers, ""},
			{"another method", strings.Replace(own, "Add", "Echo", 1), wire.BindDiffers, ""},
			{"no text", "", 0, "offset 0"},
			{"no layout", "Probe.Add(", 0, "offset 10"},
			{"elements without bytes", "Probe.Add([]{})", 0, "take no bytes"},
			{"infinite", "Probe.Add({A ^1})", 0, "infinite size"},
			{"deep", "Probe.Add(" + strings.Repeat("*", 200) + "bool)", 0, "nested deeper"},
			{"long", "Probe.Add(" + strings.Repeat("{", 60_000), 0, "want a name"},
		} {
			f, answers := p.bindTexts(uint64(2+i), []string{"Add"}, []string{test.text})
			if test.refusal != "" {
				if f.Type != wire.Error || Code(f.Arg) != CodeInvalidArgument || f.Flags&wire.NotRun == 0 || !strings.Contains(answers[0].Text, test.refusal) {
					t.Errorf("%s: %v %d %q", test.what, f.Type, f.Arg, answers[0].Text)
				}
				continue
			}
			if f.Type != wire.Response || answers[0].Status != test.status {
				t.Errorf("%s: %v, %+v", test.what, f.Type, answers)
			}
			numbers[answers[0].Number] = true
		}
		if len(numbers) != 3 { // the own one, and two versions; a difference has none
			t.Errorf("numbers %v", numbers)
		}
		p.nc.Close()
		<-p.served
		srv.Close()
	})
}

// A connection may send as many texts as there are methods. The same text counts once.
func TestBindTextsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		p := rawClient(t, srv)
		most := srv.registry.Len() + describe.Most
		id := uint64(2)
		for i := range most + 1 {
			for range 3 {
				f, answers := p.bindTexts(id, []string{"Add"}, []string{fmt.Sprintf("Probe.Add({A%d bool})", i)})
				id++
				if i < most && (f.Type != wire.Response || answers[0].Status != wire.BindDiffers) {
					t.Fatalf("text %d: %v %+v", i, f.Type, answers)
				}
				if i == most && (f.Type != wire.Error || Code(f.Arg) != CodeResourceExhausted) {
					t.Fatalf("text %d: %v %+v", i, f.Type, answers)
				}
			}
		}
		if f, answers := p.bindTexts(id, []string{"Add"}, []string{srv.registry.find("Probe.Add").Layout}); f.Type != wire.Response || answers[0].Status != wire.BindOK {
			t.Errorf("the server's own text afterwards: %v %+v", f.Type, answers)
		}
		p.nc.Close()
		<-p.served
		srv.Close()
	})
}

// A connection has 1 MiB of texts.
func TestBytesOfTextsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		for i := range 20 {
			if err := srv.RegisterFunc(fmt.Sprintf("Probe.More%d", i), func() {}); err != nil {
				t.Fatal(err)
			}
		}
		p := rawClient(t, srv)
		for i := range 20 {
			text := fmt.Sprintf("Probe.Add({A%d%s bool})", i, strings.Repeat("a", 60_000))
			f, answers := p.bindTexts(uint64(2+i), []string{"Add"}, []string{text})
			if want := (i+1)*len(text) <= numbering.MaxTexts; want != (f.Type == wire.Response) || !want && Code(f.Arg) != CodeResourceExhausted {
				t.Errorf("text %d: %v %+v", i, f.Type, answers)
			}
		}
		p.nc.Close()
		<-p.served
		srv.Close()
	})
}

// Two flags that exclude each other violate the protocol.
func TestBindWithBothFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Logger: quiet})
		p := rawClient(t, srv)
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Texts | wire.Describe, ID: 2}, (&wire.BindRequest{Service: "Probe"}).Append(nil))
		p.wantClose(CodeInternal, "both flags")
		srv.Close()
	})
}

// A contract bound twice on a connection to a server of another version is translated both times.
func TestBindTwiceToAnotherVersion(t *testing.T) {
	type oldItem struct {
		Name string
		N    int32
	}
	type newItem struct {
		Note string `bsrpc:"optional"`
		Name string
		N    int32
	}
	type contract struct {
		Order func(ctx context.Context, i newItem) (newItem, error)
	}
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := srv.RegisterFunc("Shop.Order", func(i oldItem) oldItem { return i }); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		client, err := NewClient(t.Context(), near, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := newItem{Name: "tea", N: 3}
		for range 3 {
			p, err := Bind[contract](t.Context(), client, "Shop")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Order(t.Context(), want); err != nil || got != want {
				t.Errorf("got %+v, %v", got, err)
			}
		}
		client.Close()
		<-served
		srv.Close()
	})
}
