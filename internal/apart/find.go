package apart

import (
	"errors"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Registry is the methods of a server for one caller.
type Registry[M comparable] interface {
	numbering.Registry[M]

	// Known returns a version of m made before; the zero M for none.
	Known(m M, hash [32]byte) M
}

// A Finder finds the methods of requests without a connection, at a server: by name, and each
// in the version of its caller. It is for one request.
type Finder[M comparable, R Registry[M]] struct {
	Registry   R
	Needs      func(m M) string // why m can be called over a connection only; "" if it need not
	MaxMessage int              // of the server
}

// A Wanted is the method of a request.
type Wanted struct {
	Method string
	Hash   [32]byte
	Layout string     // the text of Hash; "" if the server may know it
	Knows  [][32]byte // other layouts that the caller understands
	Size   int        // bytes of the arguments
}

// Find returns the method of w. With differs, its caller must have the server's layout first;
// then m does not count. With why, the call is refused; m is then the zero M for an unknown
// method.
func (f *Finder[M, R]) Find(w *Wanted) (m M, differs *method.Description, why *fault.Fault) {
	var none M
	if len(w.Method) > numbering.MaxName {
		return none, nil, fault.Refusal(fault.InvalidArgument, "method name of %d bytes, want at most %d", len(w.Method), numbering.MaxName)
	}
	service, name, _ := method.SplitName(w.Method)
	if m = f.Registry.Service(service)[name]; m == none {
		return none, nil, f.unknown(w.Method, service, name)
	}
	d := f.Registry.Describe(m)
	standIn, _, denied := f.Registry.Access(m)
	switch {
	case denied:
		return standIn, nil, fault.Refusal(fault.PermissionDenied, "%s: the client has no role that may call it", d.Name)
	case f.Needs(m) != "":
		return m, nil, fault.Refusal(fault.Unimplemented, "%s: %s; use a connection", d.Name, f.Needs(m))
	case w.Size > f.MaxMessage:
		return m, nil, fault.Refusal(fault.ResourceExhausted, "%s: message of %d bytes, the server's MaxMessage is %d", d.Name, w.Size, f.MaxMessage)
	case w.Hash == d.Hash:
		return m, nil, nil
	}
	made, why := f.version(w, m, d)
	switch {
	case why != nil:
		return m, nil, why
	case made == none:
		return none, d, nil
	}
	return made, nil, nil
}

// version returns m as its caller knows it; the zero M if that is not possible with what the
// request says. A layout counts only with the hash of its text: versions are kept by their hash,
// and a false one would be found by other callers too.
func (f *Finder[M, R]) version(w *Wanted, m M, d *method.Description) (made M, why *fault.Fault) {
	understood := slices.Contains(w.Knows, d.Hash)
	if w.Layout == "" {
		if understood {
			made = f.Registry.Known(m, w.Hash)
		}
		return made, nil
	}
	if method.DescriptionOf("", w.Layout).Hash != w.Hash {
		return made, fault.Refusal(fault.InvalidArgument, "%s: the hash of the request is not that of its layout", d.Name)
	}
	compiled, err := f.Registry.Version(m, w.Layout, w.Hash)
	if err != nil {
		return made, fault.Refusal(fault.InvalidArgument, "%s: the layout of the request: %w", d.Name, err)
	}
	if understood {
		made = compiled
	}
	return made, nil
}

// unknown returns the refusal of an unknown method, with similar names.
func (f *Finder[M, R]) unknown(full, service, name string) *fault.Fault {
	var t numbering.Table[M]
	answers, _, why := t.Answer(f.Registry, &wire.BindRequest{Service: service, Names: []string{name}})
	if why != nil {
		return why
	}
	return numbering.Unknown(fault.Cut(full, 256), fault.Cut(service, 256), &answers[0])
}

// maxBindBody limits the body of a request that compares a contract: names, and texts up to
// their own limit.
const maxBindBody = 2 * numbering.MaxTexts

// readBind reads the body of a request that compares a contract: the flags of a BIND frame before the
// body of one.
func readBind(body []byte) (*wire.BindRequest, error) {
	if len(body) > 0 && len(body) <= maxBindBody {
		if flags := wire.Flags(body[0]); flags&^(wire.Describe|wire.Texts) == 0 {
			return wire.ReadBindRequest(body[1:], flags)
		}
	}
	return nil, errors.New("flags of another version")
}

// BoundService returns the service in the body of a request that compares a contract; "" for a body
// that is not one.
func BoundService(body []byte) string {
	if r, err := readBind(body); err == nil {
		return r.Service
	}
	return ""
}

// Bind answers a request that compares a contract. what names the request in errors.
func (f *Finder[M, R]) Bind(what string, body []byte) (*wire.BindRequest, []wire.BindResult, *fault.Fault) {
	r, err := readBind(body)
	if err != nil {
		return nil, nil, fault.Refusal(fault.InvalidArgument, "%s: %w", what, err)
	}
	var none M
	var problems []string
	for _, name := range r.Names {
		m := f.Registry.Service(r.Service)[name]
		if m == none {
			continue
		}
		if _, _, denied := f.Registry.Access(m); !denied && f.Needs(m) != "" {
			problems = append(problems, f.Registry.Describe(m).Name+": "+f.Needs(m))
		}
	}
	var t numbering.Table[M]
	answers, texts, why := t.Answer(f.Registry, r)
	switch {
	case why != nil:
	case len(problems) > 0:
		why = fault.Refusal(fault.Unimplemented, "%s; use a connection, or leave it out of the contract", strings.Join(problems[:min(len(problems), 8)], "; "))
	case texts > uint64(f.MaxMessage):
		why = fault.Refusal(fault.ResourceExhausted, "the answer to %s contains %d bytes of layouts, but the server's MaxMessage is %d; bind fewer methods", what, texts, f.MaxMessage)
	}
	return r, answers, why
}
