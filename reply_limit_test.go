package bsrpc

import (
	"net"
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
		wantCall(t, err, CodeResourceExhausted, OutcomeAnswered, "Shop.List, result 1, []string: takes more than 4096 bytes (the client's MaxMessage is 4096)")
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
		if want := "Basic.List, result 1, []string: takes more than 5000 bytes (the server's MaxMessage is 5000)"; typ != wire.Exception || name != "RuntimeError" || text != want || err != nil {
			t.Errorf("got %v, %s: %s, %v; want %s", typ, name, text, err, want)
		}
		p.nc.Close()
		<-p.served
		srv.Close()
	})
}
