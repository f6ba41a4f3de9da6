package numbering

import (
	"slices"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// Calls without a connection: each may reach another server, with another version of the method.

// A Version is a version of a method at servers.
type Version struct {
	Hash [32]byte
	Sig  *method.Signature // for calls to them
}

// maxVersions limits the versions that a Versions knows, and the attempts of one call.
const maxVersions = 8

// Versions are the versions of a method that servers have, beside the caller's own. It is safe for
// concurrent use.
type Versions struct {
	known atomic.Pointer[[]Version] // the newest last
}

// All returns the known versions. The caller must not modify the slice.
func (v *Versions) All() []Version {
	if list := v.known.Load(); list != nil {
		return *list
	}
	return nil
}

// Add adds a version, in place of the oldest one if there are too many.
func (v *Versions) Add(hash [32]byte, sig *method.Signature) {
	for {
		was := v.known.Load()
		var list []Version
		if was != nil {
			list = slices.DeleteFunc(slices.Clone(*was), func(k Version) bool { return k.Hash == hash })
		}
		list = append(list, Version{hash, sig})
		list = list[max(0, len(list)-maxVersions):]
		if v.known.CompareAndSwap(was, &list) {
			return
		}
	}
}

// A Negotiation finds a version of a method on which the caller and the server of a call agree.
type Negotiation struct {
	Wanted
	Peer     string
	Versions *Versions

	Call Attempts
}

// Attempts are what a Negotiation needs of its call.
type Attempts interface {
	// Try makes an attempt. The server may have one of the versions known, or the caller's own;
	// layout is the text of that, or "". differs says that the call has not run, because the
	// server has the version with this text.
	Try(known []Version, layout string) (differs string, err error)

	// Usable returns why the arguments of the call cannot go to a server with this signature.
	Usable(*method.Signature) error
}

// Run makes attempts, beginning with these versions, until one does not differ. It
// returns the versions of that. The error is that of the call, or one for a server whose
// version does not fit: then with the differences.
func (n *Negotiation) Run(known []Version) ([]Version, []Difference, error) {
	layout := ""
	for range maxVersions {
		differs, err := n.Call.Try(known, layout)
		if differs == "" || err != nil {
			return known, nil, err
		}
		hash := method.DescriptionOf("", differs).Hash
		if hash == n.Hash {
			return nil, nil, fault.New(fault.Internal, fault.NotRun, "%s: %s says that the layouts differ, but they are equal", n.Name, n.Peer)
		}
		again := slices.ContainsFunc(known, func(v Version) bool { return v.Hash == hash })
		sig, found := method.VersionOf(n.Sig, n.tree(), differs, n.Peer)
		if sig == nil || again && layout != "" { // the server compares too, and has found that they do not fit
			list, err := differences(&Binding{Peer: n.Peer}, n.Wanted, differs, found)
			if err == nil {
				n.explain(list)
			}
			return nil, list, err
		}
		if n.Versions.Add(hash, sig); !again {
			if err := n.Call.Usable(sig); err != nil {
				return nil, nil, err
			}
			known = append(slices.Clip(known), Version{hash, sig})
		}
		layout = n.Layout
	}
	return nil, nil, fault.New(fault.Unavailable, fault.NotRun, "%s: %d attempts have reached servers with other versions of the method each", n.Name, maxVersions)
}
