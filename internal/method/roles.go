package method

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// everybody is the role of all peers.
const everybody = "*"

// Allows reports whether a peer with these roles may call f. Without roles of its own f is for
// all peers.
func (f *Func) Allows(roles []string) bool {
	if f.Roles == nil || f.Roles[0] == everybody {
		return true
	}
	return slices.ContainsFunc(f.Roles, func(role string) bool { return slices.Contains(roles, role) })
}

// ResolveRoles sets the roles of all methods: those in their tags so far. Of several entries the
// most specific one counts: that of table for the method, the tag, that of table for the service
// ("Greeter.*"). authenticated is false if no peer can have a role.
//
// The problems are mistakes in table, roles that no peer can have, and methods without roles
// beside others with: a forgotten method would be open to all.
func (t *Table[M]) ResolveRoles(table map[string]string, authenticated bool) (problems []string) {
	entries := make(map[string][]string)
	for _, key := range slices.Sorted(maps.Keys(table)) {
		list, err := codec.ParseRoles(table[key])
		if err != nil {
			problems = append(problems, fmt.Sprintf("Roles: %q: %v", key, err))
		}
		service, all := strings.CutSuffix(key, ".*")
		if _, known := t.Find(key); !known && (!all || t.Service(service) == nil) {
			problems = append(problems, fmt.Sprintf("Roles: %q: no such method or service is registered; want Service.Method or Service.*", key))
		}
		entries[key] = list
	}
	var without, needy []string
	for m := range t.All() {
		f := m.self()
		service, _, _ := SplitName(f.Name)
		for _, list := range [][]string{entries[f.Name], f.Roles, entries[service+".*"]} {
			if list != nil {
				f.Roles = list
				break
			}
		}
		if f.Roles == nil {
			without = append(without, f.Name)
		} else if f.Roles[0] != everybody {
			needy = append(needy, f.Name)
		}
	}
	if len(without) < t.Len() && len(without) > 0 {
		problems = append(problems, fmt.Sprintf("some methods have roles, and these have none: %s; tag them roles=, or list them in Roles; \"*\" is for all clients", namesOf(without)))
	}
	if len(needy) > 0 && !authenticated {
		problems = append(problems, fmt.Sprintf("no client can have a role without Authenticate, but these methods need one: %s", namesOf(needy)))
	}
	return problems
}

// WithRoles returns the name of a method with roles, "" if there is none.
func (t *Table[M]) WithRoles() string {
	for m := range t.All() {
		if f := m.self(); f.Roles != nil {
			return f.Name
		}
	}
	return ""
}

// namesOf returns a list of names for an error.
func namesOf(list []string) string {
	const most = 100
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
