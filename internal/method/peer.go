package method

import (
	"slices"
	"sync"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/weakcache"
	"github.com/bsrpc/bsrpc/layout"
)

// Two versions of a method at two ends. The caller writes arguments and reads results, the
// callee does the reverse; for the items of streams this is as for the parameter or result
// they belong to. A func among the parameters is called by the callee, so its arguments
// and results go the other way.

// A version is a signature for calls to a peer with another text of the method. The hash is
// computed here: a peer must not choose the key of what others use.
type version struct {
	args *codec.Codec // of the own signature; each compiled signature has its own
	hash [32]byte
	peer string // in errors
}

// maxVersions limits the memory of versions while no proxy uses them.
const maxVersions = 16 << 20

// versions has the versions of all clients. It is made by a func, so that servers need not
// contain it.
var (
	versionsOnce sync.Once
	versions     *weakcache.Cache[version, Signature]
)

// VersionOf compares and compiles once for all binds of a method to peers with this text of
// it. It returns nil if the two do not fit, then with the differences, or if text is not a
// layout. m is the layout of the method here; peer is as for ForPeer.
func VersionOf(s *Signature, m *layout.Method, text, peer string) (*Signature, []layout.Difference) {
	versionsOnce.Do(func() { versions = weakcache.New[version, Signature](maxVersions) })
	k := version{s.Args, DescriptionOf("", text).Hash, peer}
	made := versions.Get(k)
	if made == nil {
		l, err := layout.ParseMethod(text)
		if err != nil {
			return nil, nil
		}
		if found := layout.Compare(m, l); len(found) > 0 {
			return nil, found
		}
		if made, err = s.ForPeer(l, true, peer); err != nil {
			return nil, nil
		}
		made = versions.Add(k, made, 4<<10+64*len(text))
	}
	own := made.withoutValues()
	own.shared = made
	return own, nil
}

// ForPeer returns the signature for calls between this end and a peer with another layout
// of the method, for which layout.Compare has found no difference. It has the Go types of
// s, reads what the peer writes, and checks what the peer lacks. calls tells that this end
// makes the calls; peer names the other end in errors, as "the server".
func (s *Signature) ForPeer(m *layout.Method, calls bool, peer string) (*Signature, error) {
	return s.forPeer(&layout.Signature{Params: m.Params, Results: m.Results}, calls, peer)
}

// forPeer is ForPeer with the layout of a method or func.
func (s *Signature) forPeer(l *layout.Signature, calls bool, peer string) (t *Signature, err error) {
	t = &Signature{compiled: s.compiled}
	if calls {
		t.Args = s.Args.WriteListTo(l.Params, peer)
		t.Results, err = s.Results.ReadListFrom(l.Results)
	} else {
		t.Args, err = s.Args.ReadListFrom(l.Params)
	}
	if err != nil {
		return nil, err
	}
	if st := s.resultStream; st != nil && calls {
		item, _ := t.Results.Stream(st.Index)
		t.resultStream = st.withItem(item)
	}
	// Both ends agree on which parameters are streams: layout.Compare does not let them
	// differ.
	t.paramStreams = slices.Clone(s.paramStreams)
	for i, st := range s.paramStreams {
		switch item, _ := t.Args.Stream(st.Index); {
		case !calls:
			t.paramStreams[i] = st.withItem(item)
		case item != nil:
			t.paramStreams[i] = st.withItem(item.WriteTo(l.Params[st.Index].Elem, peer))
		}
	}
	t.paramFuncs = nil
	for _, p := range s.paramFuncs {
		// A func that the peer lacks is nil, and has its own signature.
		own := &FuncParam{p.Description, p.Index, p.Sig.withoutValues()}
		if p.Index < len(l.Params) {
			// The callee of the method calls its funcs.
			if own.Sig, err = p.Sig.forPeer(l.Params[p.Index].Func, !calls, peer); err != nil {
				return nil, err
			}
		}
		t.paramFuncs = append(t.paramFuncs, own)
	}
	return t, nil
}

// withItem returns st with another codec of the same items.
func (st *Stream) withItem(item *codec.Codec) *Stream {
	t := *st
	t.Item = item
	return &t
}
