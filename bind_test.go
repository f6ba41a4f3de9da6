package bsrpc

import (
	"runtime"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// bindRaw sends a BIND and reads its answer.
func (p *rawPeer) bindRaw(id uint64, r *wire.BindRequest) []wire.BindResult {
	p.t.Helper()
	flags := wire.Describe
	if r.Hashes != nil {
		flags = 0
	}
	p.send(wire.Frame{Type: wire.Bind, Flags: flags, ID: id}, r.Append(nil))
	body := []byte(p.answers(1)[id])
	head := len(body) - len(wire.AppendBindResponse(nil, make([]wire.BindResult, len(r.Names))))
	for at := range body[:head+1] { // behind what answers puts before it, and before the texts
		if bound, err := wire.ReadBindResponse(body[at:], len(r.Names)); err == nil {
			return bound
		}
	}
	p.t.Fatalf("no answer to BIND in %d bytes", len(body))
	return nil
}

// The layout of a method is in an answer only once, even if the BIND repeats the name.
func TestBindSendsTextsOnce(t *testing.T) {
	withRaw(t, nil, func(p *rawPeer, srv *Server, _ *testee) {
		r := &wire.BindRequest{Service: "Probe"}
		for range 1000 {
			r.Names = append(r.Names, "Echo", "Add", "Nothing", "Echo")
		}
		for id, hashes := range [][][wire.HashSize]byte{nil, make([][wire.HashSize]byte, 1200)} {
			if hashes != nil {
				r.Names, r.Hashes = r.Names[:len(hashes)], hashes
			}
			texts := make(map[string]int)
			for i, bound := range p.bindRaw(uint64(2+id), r) {
				name := r.Names[i]
				if bound.Text != "" {
					texts[name]++
				}
				want := wire.BindResult{Status: wire.BindUnknown}
				if m := srv.registry.find("Probe." + name); m != nil && hashes == nil {
					want = wire.BindResult{Status: wire.BindOK, Number: map[string]uint16{"Echo": rawEcho, "Add": rawAdd}[name]}
				} else if m != nil {
					want.Status = wire.BindDiffers
				}
				if bound.Text = ""; bound != want {
					t.Fatalf("%s: got %+v, want %+v", name, bound, want)
				}
			}
			if len(texts) != 2 || texts["Echo"] != 1 || texts["Add"] != 1 {
				t.Errorf("texts: %v", texts)
			}
		}
	})
}

// The cost of BIND is proportional to its bytes, in any number of frames.
func TestBindCostFollowsItsBytes(t *testing.T) {
	for name, r := range map[string]*wire.BindRequest{
		"long service": {Service: strings.Repeat("s", 32_000), Names: make([]string, 16_766)},
		"no service":   {Names: make([]string, 32_000)},
		"long name":    {Service: "Probe", Names: []string{strings.Repeat("n", 65_000)}},
		"dots":         {Service: strings.Repeat(".", 32_000), Names: make([]string, 16_766)},
	} {
		withRaw(t, nil, func(p *rawPeer, _ *Server, _ *testee) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i, bound := range p.bindRaw(2, r) {
				if bound.Status != wire.BindUnknown && bound.Status != wire.BindNoService {
					t.Fatalf("%s: name %d is known", name, i)
				}
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
				t.Errorf("%s: a BIND of %d bytes took %d bytes of memory", name, len(r.Append(nil)), n)
			}
		})
	}
}
