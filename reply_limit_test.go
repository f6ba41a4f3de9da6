package bsrpc

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/internal/wire"
)

type nest struct{ In *nest }

type printer struct{}

func (printer) List(n uint32) []string { return make([]string, n) }
func (printer) Deep() *nest {
	n := new(nest)
	n.In = n
	return n
}

type printerContract struct {
	List func(n uint32) ([]string, error) `bsrpc:"id=1"`
}

// The error for a message too long names the value, the option and its end; the error
// for nesting names the place.
func TestReplyLimitsNameTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet, Basic: true, MaxMessage: 5000})
		if err := srv.RegisterName("Shop", printer{}); err != nil {
			t.Fatal(err)
		}
		if err := RegisterAs[printerContract](srv, "Basic", printer{}); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, &ClientOptions{MaxMessage: 4096})
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		err = client.Call(t.Context(), "Shop.List", []any{5000}, &list)
		wantCall(t, err, CodeResourceExhausted, OutcomeAnswered, "Shop.List, result 1, []string: too long (the client's MaxMessage is 4096)")
		var deep *nest
		err = client.Call(t.Context(), "Shop.Deep", nil, &deep)
		wantCall(t, err, CodeInternal, OutcomeAnswered, "nested deeper than MaxDepth (64), or the value is cyclic")
		if strings.Contains(err.Error(), "MaxMessage") {
			t.Error(err)
		}
		client.Close()

		p := rawDial(t, srv)
		p.write([]byte("\x08\x00\x00\x00\x00\x00\x00\x01"))
		p.readBasic()
		p.write([]byte("\x0b\x00\x00\x00\x01\x01\x00" + u32(5000)))
		typ, payload := p.readBasic()
		name, text, err := wire.ReadException(payload)
		if want := "Basic.List, result 1, []string: too long (the server's MaxMessage is 5000)"; typ != wire.Exception || name != "RuntimeError" || text != want || err != nil {
			t.Errorf("got %v, %s: %s, %v; want %s", typ, name, text, err, want)
		}
		p.nc.Close()
		<-p.served
		srv.Close()
	})
}

// A tower takes and returns values of any depth.
type tower struct{}

func (tower) Put(*nest) {}
func (tower) Get(depth int) *nest {
	n := new(nest)
	for range depth {
		n = &nest{n}
	}
	return n
}

// The errors for depth and memory name the option, its value and its end, in either
// direction. A method whose results the client refuses has run.
func TestCodecLimitsNameTheirEnd(t *testing.T) {
	type contract struct {
		Put func(n *nest) error
		Get func(depth int) (*nest, error)
	}
	deep := tower{}.Get(5)
	budget := int64(strconv.IntSize / 8 * 5 / 2) // for two of its pointers
	memory := fmt.Sprintf("needs more memory than Limits.DecodeBudget (%d) allows, offset 3 ", budget)
	for _, tt := range []struct {
		name           string
		server, client Limits
		call           func(p *contract) error
		code           Code
		outcome        Outcome
		want           string
	}{
		{"arguments at the client", Limits{}, Limits{MaxDepth: 3}, func(p *contract) error { return p.Put(deep) },
			CodeResourceExhausted, OutcomeNotRun, "nested deeper than MaxDepth (3), or the value is cyclic (this end's limit)"},
		{"arguments at the server", Limits{MaxDepth: 3}, Limits{}, func(p *contract) error { return p.Put(deep) },
			CodeInvalidArgument, OutcomeNotRun, "nested deeper than MaxDepth (3), offset 4 (the server's limit)"},
		{"results at the server", Limits{MaxDepth: 3}, Limits{}, func(p *contract) error { _, err := p.Get(5); return err },
			CodeInternal, OutcomeAnswered, "nested deeper than MaxDepth (3), or the value is cyclic (the server's limit)"},
		{"results at the client", Limits{}, Limits{MaxDepth: 3}, func(p *contract) error { _, err := p.Get(5); return err },
			CodeInternal, OutcomeAnswered, "nested deeper than MaxDepth (3), offset 4 (this end's limit)"},
		{"memory of arguments", Limits{DecodeBudget: budget}, Limits{}, func(p *contract) error { return p.Put(deep) },
			CodeInvalidArgument, OutcomeNotRun, memory + "(the server's limit)"},
		{"memory of results", Limits{}, Limits{DecodeBudget: budget}, func(p *contract) error { _, err := p.Get(5); return err },
			CodeInternal, OutcomeAnswered, memory + "(this end's limit)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := NewServer(&ServerOptions{Logger: quiet, Limits: tt.server})
				if err := srv.RegisterName("Tower", tower{}); err != nil {
					t.Fatal(err)
				}
				near, far := net.Pipe()
				go srv.ServeConn(far)
				client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, Limits: tt.client})
				if err != nil {
					t.Fatal(err)
				}
				proxy, err := Bind[contract](t.Context(), client, "Tower")
				if err != nil {
					t.Fatal(err)
				}
				wantCall(t, tt.call(proxy), tt.code, tt.outcome, tt.want)
				client.Close()
				srv.Close()
			})
		})
	}
}
