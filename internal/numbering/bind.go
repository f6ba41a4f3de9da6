package numbering

import (
	"context"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// The other end of BIND: the numbers of the methods of a contract, or how they differ.

// A Binding is a contract to bind at a peer.
type Binding struct {
	Service string
	Methods []Wanted
	Peer    string // "the server" or "the client"
	Evolves bool   // the peer finds versions for texts

	// Ask asks for all names of r, in as many BIND frames as necessary, and returns an answer
	// for each.
	Ask func(ctx context.Context, r *wire.BindRequest) ([]wire.BindResult, error)
}

// A Wanted is a method of a contract.
type Wanted struct {
	*method.Description
	Sig      *method.Signature
	Key      string // misspelt key of the func's tag
	Optional bool   // the peer may lack it
}

// A Found is what the peer has for a Wanted: a number, or else a reason why it has none.
type Found struct {
	Number      uint16
	Sig         *method.Signature // for a peer with another version of the method; else nil
	Missing     *fault.Fault      // the peer lacks this optional method
	Differences []Difference
}

// Bind binds a contract. The error is that of Ask, or for an answer that violates the protocol.
func Bind(ctx context.Context, b *Binding) ([]Found, error) {
	r := &wire.BindRequest{Service: b.Service}
	for _, m := range b.Methods {
		r.Names, r.Hashes = append(r.Names, m.Name[len(b.Service)+1:]), append(r.Hashes, m.Hash)
	}
	answers, err := b.Ask(ctx, r)
	var versions map[int]peerVersion
	if err == nil && b.Evolves {
		versions, err = findVersions(ctx, b, answers)
	}
	if err != nil {
		return nil, fault.About("bind "+b.Service, err)
	}
	list := make([]Found, len(answers))
	for i, m := range b.Methods {
		v := versions[i]
		list[i] = Found{Number: answers[i].Number, Sig: v.sig}
		if v.sig == nil {
			if err := list[i].compare(b, m, &answers[i], v.differences); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// A peerVersion is the peer's other version of a method.
type peerVersion struct {
	sig         *method.Signature   // nil if it does not fit
	differences []layout.Difference // then; nil if the peer alone found them
}

// findVersions is the second step with a peer that evolves. It binds the methods of which
// the peer has another version that fits, by their texts. It returns the versions by the index of
// their methods, and stores the answers.
func findVersions(ctx context.Context, b *Binding, answers []wire.BindResult) (map[int]peerVersion, error) {
	versions := make(map[int]peerVersion)
	r := &wire.BindRequest{Service: b.Service}
	var at []int // of the names of r among the methods
	for i, m := range b.Methods {
		if answers[i].Status != wire.BindDiffers || answers[i].Text == m.Layout {
			continue // the latter is a fault of an end
		}
		// The peer compares as well: it cannot know what this end has found.
		sig, differences := method.VersionOf(m.Sig, m.tree(), answers[i].Text, b.Peer)
		versions[i] = peerVersion{sig, differences}
		if sig == nil {
			continue
		}
		at, r.Names, r.Texts = append(at, i), append(r.Names, m.Name[len(b.Service)+1:]), append(r.Texts, m.Layout)
	}
	more, err := b.Ask(ctx, r)
	if err != nil {
		return nil, err
	}
	for k, i := range at {
		if more[k].Status == wire.BindOK {
			answers[i] = more[k]
		} else {
			delete(versions, i)
		}
	}
	return versions, nil
}

// tree returns the layout of m, of the contract.
func (m *Wanted) tree() *layout.Method {
	service, name, _ := method.SplitName(m.Name)
	return m.Sig.Layout(service, name)
}

// compare evaluates the peer's answer for m. known has the differences that a comparison has
// found already, without what fits; nil for none.
func (f *Found) compare(b *Binding, m Wanted, answer *wire.BindResult, known []layout.Difference) (err error) {
	switch {
	case answer.Status == wire.BindOK:
		return nil
	case answer.Status == wire.BindNoService:
		f.Differences = []Difference{{Method: b.Service, Client: plural.Of(len(b.Methods), "method"), Near: Suggested(answer)}}
	case answer.Status == wire.BindUnknown && m.Optional:
		f.Missing = fault.About(m.Name, fault.Refusal(fault.Unimplemented, "%s does not have this optional method", b.Peer)).(*fault.Fault)
		return nil
	case answer.Status == wire.BindUnknown:
		f.Differences = []Difference{{Method: m.Name, Client: m.Layout, Near: Suggested(answer)}}
	case answer.Text == m.Layout:
		f.Differences = []Difference{{Method: m.Name, Place: "the layouts are equal, but the hash does not belong to the layout"}}
	default:
		if f.Differences, err = differences(b, m, answer.Text, known); err != nil {
			return err
		}
	}
	if answer.Status != wire.BindNoService {
		m.explain(f.Differences)
	}
	if b.Peer == "the client" {
		swap(f.Differences)
	}
	return nil
}

// explain adds notes about misspelt tag keys to the differences of m. Such a tag has no
// effect, and is the probable cause of a difference at its field.
func (m *Wanted) explain(found []Difference) {
	add := func(d *Difference, what, key string) {
		note := what + " has the tag key " + key + ", not bsrpc"
		if d.Note != "" {
			note = d.Note + "; " + note
		}
		d.Note = note
	}
	if m.Key != "" {
		add(&found[0], "its func", m.Key)
	}
	for _, k := range method.MisspeltKeys(m.Sig) {
		name := k.Field[strings.LastIndexByte(k.Field, '.'):]
		at := slices.IndexFunc(found, func(d Difference) bool { return strings.HasSuffix(d.Place, name) })
		if at < 0 {
			at = len(found) - 1
		}
		add(&found[at], k.Field, k.Key)
	}
}

// differences describes list, or if it is empty everything that differs between the layout
// of m and text, the peer's layout. The error is for a text without the syntax of a layout.
func differences(b *Binding, m Wanted, text string, list []layout.Difference) ([]Difference, error) {
	other, err := layout.ParseMethod(text)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.NotRun, "%s's layout of %s: %w", b.Peer, m.Name, err)
	}
	if len(list) == 0 {
		list = layout.Diff(m.tree(), other)
	}
	found := make([]Difference, len(list))
	for i, d := range list {
		found[i] = Difference{Method: m.Name, Place: d.Place, Client: d.Client, Server: d.Server, Fix: d.Fix}
	}
	return found, nil
}
