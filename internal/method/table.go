package method

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

const maxMethods = 1 << 16

// A Table has the methods of a server. M is the server's type of a method and embeds a
// *Func. A Table is not safe for concurrent use with Add.
type Table[M entry] struct {
	ByID bool // Command is used: IDs must be unique

	services map[string]map[string]M // by service, then by name within it
	byID     map[int]M
	list     []M
}

type entry interface {
	comparable
	self() *Func
}

func (f *Func) self() *Func { return f }

// Add enters the methods of a service, all or none. Its error lists the given problems
// and its own.
func (t *Table[M]) Add(service string, methods []M, problems []Problem) error {
	for _, m := range methods {
		f := m.self()
		if other, ok := t.Find(f.Name); ok {
			problems = append(problems, Problem{f.Name, twice(other.self().from, f.from)})
		}
		if ValidService(service) == nil {
			problems = append(problems, f.problems()...)
		}
	}
	problems = append(problems, t.idProblems(methods)...)
	if n := len(t.list) + len(methods); n > maxMethods {
		problems = append(problems, Problem{service, fmt.Sprintf("makes %d methods, a server has at most %d", n, maxMethods)})
	}
	if err := ServiceError("register", service, problems); err != nil {
		return err
	}
	if t.services == nil {
		t.services, t.byID = make(map[string]map[string]M), make(map[int]M)
	}
	if t.services[service] == nil {
		t.services[service] = make(map[string]M)
	}
	for _, m := range methods {
		f := m.self()
		t.services[service][f.Name[len(service)+1:]] = m
		if t.ByID && f.ID >= 0 {
			t.byID[f.ID] = m
		}
		t.list = append(t.list, m)
	}
	return nil
}

// twice explains which two registrations want one name.
func twice(first, second string) string {
	if first == second {
		return fmt.Sprintf("registered twice, both times %s; register it once, or under another name", second)
	}
	return fmt.Sprintf("registered twice, first %s, now %s; leave one out, or give it another name", first, second)
}

// idProblems reports the IDs of several methods.
func (t *Table[M]) idProblems(methods []M) (problems []Problem) {
	own := make(map[int]M)
	for _, m := range methods {
		f := m.self()
		if !t.ByID || f.ID < 0 {
			continue
		}
		other, taken := t.byID[f.ID]
		if !taken {
			other, taken = own[f.ID]
		}
		if taken {
			problems = append(problems, Problem{f.Name, fmt.Sprintf("id=%d is %s's; a server with Basic needs different ones", f.ID, other.self().Name)})
		}
		own[f.ID] = m
	}
	return problems
}

// Find returns the method of a full name.
func (t *Table[M]) Find(full string) (m M, ok bool) {
	service, name, _ := SplitName(full)
	m, ok = t.services[service][name]
	return m, ok
}

// Service returns the methods of a service by their names, nil if there is no such
// service. Only Add changes the map.
func (t *Table[M]) Service(name string) map[string]M { return t.services[name] }

// Services returns the names of all services.
func (t *Table[M]) Services() iter.Seq[string] { return maps.Keys(t.services) }

// Command returns the method of an ID.
func (t *Table[M]) Command(id int) (m M, ok bool) {
	m, ok = t.byID[id]
	return m, ok
}

// Len returns the number of methods.
func (t *Table[M]) Len() int { return len(t.list) }

// All returns all methods, in the order in which they were added.
func (t *Table[M]) All() iter.Seq[M] { return slices.Values(t.list) }
