package method

import (
	"strings"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// About returns what the description of f says beside its layout: the names of the parameters,
// the options of its contract and its roles, and the places tagged secret. It is not a method,
// which the linker would keep in every client.
func About(f *Func) (params, options, secrets []string) {
	var in, out []*codec.Tag
	if f.tag != nil {
		params, options = f.tag.Names, f.tag.Options()
		in, out = f.tag.Params, f.tag.Results
	}
	if f.Roles != nil {
		options = append(options, "roles="+strings.Join(f.Roles, "|"))
	}
	secrets = append(codec.Secrets("parameter", f.Sig.params, in), codec.Secrets("result", f.Sig.results, out)...)
	return params, options, secrets
}

// Annotate gives an idempotent method of the library what a contract would: the names of its
// parameters, and roles.
func Annotate(f *Func, names, roles []string) {
	f.tag = &codec.MethodTag{ID: -1, Idempotent: true, Names: names}
	f.Roles = roles
}
