package main

import (
	"errors"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/trace"
)

// A methodFilter are the patterns of --method: full names or services, with the wildcards of path.Match. An
// empty filter matches everything.
type methodFilter []string

// check returns an error for a pattern that is not valid.
func (f methodFilter) check() error {
	for _, pattern := range f {
		if err := checkPattern(pattern); err != nil {
			return usage("--method %s: %v", clean(pattern, maxWord), err)
		}
	}
	return nil
}

// checkPattern returns what is wrong with a pattern.
func checkPattern(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return errors.New("want SERVICE.METHOD or SERVICE, with * for any text and ? for a character")
	}
	return nil
}

// matches reports whether a method passes, by its full name. A func among the arguments of a call
// belongs to the method of this call. What is not part of a call, or of an unknown one, has no name.
func (f methodFilter) matches(name string) bool {
	name, _, _ = strings.Cut(name, "(")
	return len(f) == 0 || name != "" && slices.ContainsFunc(f, func(pattern string) bool { return matches(pattern, name) })
}

// matches reports whether a pattern matches the full name of a method, or its service.
func matches(pattern, name string) bool {
	full, _ := path.Match(pattern, name)
	service, _ := path.Match(pattern, name[:max(strings.LastIndexByte(name, '.'), 0)])
	return full || service
}

// missed returns what is wrong with a filter that matches no method of a server, "" for one that does. It names
// the methods of the services in patterns, or all services.
func (f methodFilter) missed(d *description) string {
	services, methods := map[string]bool{}, []string{}
	for name, m := range d.methods {
		if f.matches(name) {
			return ""
		}
		service := m.layout.Service
		services[service] = true
		if slices.ContainsFunc(f, func(pattern string) bool { return strings.HasPrefix(pattern, service+".") }) {
			methods = append(methods, name)
		}
	}
	has := "the services " + some(slices.Sorted(maps.Keys(services)))
	if slices.Sort(methods); len(methods) > 0 {
		has = some(methods)
	}
	return "no method of the server matches " + f.String() + "; it has " + has
}

// String returns the filter as flags.
func (f methodFilter) String() string {
	return clean("--method "+strings.Join(f, " --method "), maxErrorText)
}

// A methodSet is the full names of the methods of calls, at most maxMethods.
type methodSet map[string]bool

// add adds the method of an event. That of a func is the method of its call; other events have none.
func (s methodSet) add(e *trace.Event) {
	if name, _, _ := strings.Cut(e.Method, "("); name != "" && len(s) < maxMethods {
		s[name] = true
	}
}

// unmatched returns the error of a filter that matches none of the calls in a file.
func (f methodFilter) unmatched(file string, called methodSet) error {
	has := "none at all"
	if len(called) > 0 {
		has = "calls of " + firstOf(slices.Sorted(maps.Keys(called)))
	}
	return unknown("%s has no call that matches %s; it has %s", file, f.String(), has)
}

// opened is the event of a connection that a client has opened.
const opened = "open"

// connLines writes the lines of a connection that pass the filter. Lines that belong to no
// call have no method: with a filter, the first and the last ones of a connection are written if it has
// a call that passes, so that a call without an answer has its reason.
type connLines struct {
	*tap
	w     io.Writer
	conn  uint32
	begun bool         // a line has been written
	first *trace.Event // waits for that
}

// event writes the line of an event, within the func of its decoder.
func (c *connLines) event(e *trace.Event) error {
	if !c.methods.matches(e.Method) && !(c.begun && e.Frame == trace.End) {
		return nil
	}
	return c.write(e)
}

// note writes a line about the connection that is not one of its frames. With a filter, that of its
// beginning waits for others.
func (c *connLines) note(what string, from trace.Direction, text string) {
	e := &trace.Event{Time: time.Now(), Name: connName(c.conn), From: from, Frame: what, Fields: []trace.Field{{Value: text}}}
	if what == opened && len(c.methods) > 0 {
		c.first = e
		return
	}
	c.write(e)
}

// write writes the line of an event.
func (c *connLines) write(e *trace.Event) error {
	if first := c.first; first != nil {
		c.first = nil
		if err := c.writeEvent(c.w, c.conn, first); err != nil {
			return err
		}
	}
	c.begun = true
	return c.writeEvent(c.w, c.conn, e)
}
