package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// An ignored is a place in results that a replay does not compare, as ids and times. It is written as
// secret places are, with the methods in front of it if it is not one of all: "Shop.* result 1.ID".
type ignored struct {
	flag    string
	pattern string // of methods, "" for all
	result  int    // from 0
	path    string // in the result: "Rows[].ID", "" for all of it
}

// ignoredPlace is the form of a place.
var ignoredPlace = regexp.MustCompile(`^(?:(\S+) )?result ([1-9][0-9]{0,3})(|[.\[].*)$`)

// parseIgnored parses the flags --ignore.
func parseIgnored(flags []string) (list []ignored, err error) {
	for _, flag := range flags {
		parts := ignoredPlace.FindStringSubmatch(flag)
		if parts == nil {
			return nil, usage("--ignore %s: want a place as in bsrpc describe, with or without methods: 'result 1.ID' or 'Shop.* result 1[].ID'", clean(flag, maxWord))
		}
		if parts[1] != "" {
			if err := checkPattern(parts[1]); err != nil {
				return nil, usage("--ignore %s: %v", clean(flag, maxWord), err)
			}
		}
		if strings.Contains(strings.ReplaceAll(parts[3], "[]", ""), "[") {
			return nil, usage("--ignore %s: [] stands for each element of a list or map, and single ones have no place", clean(flag, maxWord))
		}
		n, _ := strconv.Atoi(parts[2])
		list = append(list, ignored{flag, parts[1], n - 1, strings.TrimPrefix(parts[3], ".")})
	}
	return list, nil
}

// of reports whether g is about a method.
func (g *ignored) of(name string) bool { return g.pattern == "" || matches(g.pattern, name) }

// steps returns the steps of the path: names, and [] for elements.
func (g *ignored) steps() []string {
	return strings.FieldsFunc(strings.ReplaceAll(g.path, "[]", ".[]"), func(r rune) bool { return r == '.' })
}

// fits returns nil if a method has the place.
func (g *ignored) fits(m *layout.Method) error {
	if g.result >= len(m.Results) {
		return fmt.Errorf("%s.%s has no result %d", m.Service, m.Name, g.result+1)
	}
	l, path := m.Results[g.result], g.path
	if l.Kind == layout.Stream {
		path = strings.TrimPrefix(strings.TrimPrefix(path, "[]"), ".")
		if l = l.Elem; path == g.path && path != "" {
			return fmt.Errorf("result %d of %s.%s is a stream; [] stands for its items", g.result+1, m.Service, m.Name)
		}
	}
	if path == "" {
		return nil
	}
	value, err := zero(l)
	text, ok := value.(json.RawMessage)
	if err != nil || !ok {
		return nil // unknown: a place that does not exist ignores nothing
	}
	data, err := layout.ParseJSON(nil, l, text)
	if err != nil {
		return nil
	}
	_, err = layout.JSON{Secret: []string{path}, MaxSize: -1}.Append(nil, l, data)
	return cmp.Or(errors.Unwrap(err), err)
}

// checkIgnored returns an error for a flag --ignore with a place that none of its methods has, at the
// server or in the recording: it may be misspelt.
func (r *replay) checkIgnored(s *script) error {
	var all []*layout.Method
	for _, m := range r.target.methods {
		all = append(all, m.layout)
	}
	for _, step := range s.steps {
		if c := step.call; c.results != nil && c.method != "" {
			all = append(all, c.results)
		}
	}
	for i := range r.skip {
		if err := r.skip[i].check(all); err != nil {
			return err
		}
	}
	return nil
}

// check returns an error for a place in none of the methods.
func (g *ignored) check(all []*layout.Method) (err error) {
	names := map[string]bool{}
	for _, m := range all {
		name := m.Service + "." + m.Name
		if !g.of(name) {
			continue
		}
		names[name] = true
		if err = g.fits(m); err == nil {
			return nil
		}
	}
	switch {
	case len(names) == 0:
		err = errors.New("no method of the server or the recording matches")
	case len(names) > 1:
		err = errors.New("none of the methods has this place; bsrpc describe shows their results")
	}
	return usage("--ignore %s: %s", clean(g.flag, maxWord), clean(err.Error(), maxErrorText))
}

// ignores returns the places in result i of a call that are not compared. A place for all methods is not in
// each of them.
func (r *replay) ignores(c *liveCall, i int) (list places) {
	for _, g := range r.skip {
		if g.result == i && g.of(c.recordedCall.method) && (g.fits(c.recordedCall.results) == nil || g.fits(c.method.layout) == nil) {
			list = append(list, g.steps())
		}
	}
	return list
}

// places are places in a value, each the steps to it.
type places [][]string

// whole reports whether the value itself is among them.
func (p places) whole() bool {
	return slices.ContainsFunc(p, func(steps []string) bool { return len(steps) == 0 })
}

// below returns those within a member, or within an element for "[]". An element of a map is a
// member in JSON.
func (p places) below(step string) (list places) {
	for _, steps := range p {
		if len(steps) > 0 && (steps[0] == step || steps[0] == "[]") {
			list = append(list, steps[1:])
		}
	}
	return list
}
