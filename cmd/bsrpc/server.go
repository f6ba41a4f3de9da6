package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/layout"
)

// Limits of what a server may say about itself. Those of one layout are package layout's.
const (
	maxMethods     = 10_000
	maxServices    = 10_000
	maxDescription = 16 << 20 // bytes of all texts together
)

// A contract is what the commands need of introspect.Contract: servers whose other methods
// differ will do.
type contract struct {
	Services    func(ctx context.Context) ([]string, error)                                   `bsrpc:"optional"`
	Methods     func(ctx context.Context, service string) iter.Seq2[introspect.Method, error] `bsrpc:"optional"`
	Health      func(ctx context.Context, service string) (introspect.Health, error)
	WatchHealth func(ctx context.Context, service string) iter.Seq2[introspect.Health, error]
}

// A server is a connected server, and its description.
type server struct {
	*bsrpc.Client
	*target
	about *contract
}

// A method is a method as the server describes it, checked.
type method struct {
	introspect.Method
	layout *layout.Method
}

// open returns the server of a client.
func (t *target) open(ctx context.Context, client *bsrpc.Client) (*server, error) {
	ctx, cancel := t.limit(ctx, false)
	defer cancel()
	about, err := bsrpc.Bind[contract](ctx, client, introspect.Service)
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Code == bsrpc.CodeUnimplemented && !e.Remote {
		return nil, unknown("%s is a basic server, which does not describe its methods", t.address)
	}
	if err != nil {
		return nil, err
	}
	return &server{client, t, about}, nil
}

// services returns the names of the services.
func (s *server) services(ctx context.Context) ([]string, error) {
	ctx, cancel := s.limit(ctx, false)
	defer cancel()
	names, err := s.about.Services(ctx)
	if err != nil {
		return nil, described(err)
	}
	if len(names) > maxServices {
		return nil, lie("more than %d services", maxServices)
	}
	for _, name := range names {
		if m, err := layout.ParseMethod(name + ".M()"); err != nil || m.Service != name {
			return nil, lie("a service with the name %q", clean(name, 64))
		}
	}
	return names, nil
}

// methods returns the methods of a service, or of all for "".
func (s *server) methods(ctx context.Context, service string) ([]*method, error) {
	ctx, cancel := s.limit(ctx, false)
	defer cancel()
	var list []*method
	size := 0
	for about, err := range s.about.Methods(ctx, service) {
		var e *bsrpc.Error
		if errors.As(err, &e) && e.Code == bsrpc.CodeNotFound {
			return nil, s.noService(ctx, service)
		}
		if err != nil {
			return nil, described(err)
		}
		size += len(about.Name) + len(about.Layout) + len(about.Kind)
		for _, words := range [][]string{about.Params, about.Options, about.Secrets} {
			for _, w := range words {
				size += len(w) + 16
			}
		}
		if len(list) == maxMethods || size > maxDescription {
			return nil, lie("more than %d methods, or %d bytes of texts", maxMethods, maxDescription)
		}
		m, err := checked(about)
		if err != nil {
			return nil, err
		}
		if service != "" && m.layout.Service != service {
			return nil, lie("the method %s among those of %s", m.Name, clean(service, 64))
		}
		list = append(list, m)
	}
	return list, nil
}

// checked returns a method whose description is consistent.
func checked(about introspect.Method) (*method, error) {
	l, err := layout.ParseMethod(about.Layout)
	switch {
	case err != nil:
		return nil, lie("a layout of %q that is none: %v", clean(about.Name, 64), err)
	case l.Service+"."+l.Name != about.Name:
		return nil, lie("the layout of %s.%s as that of %q", l.Service, l.Name, clean(about.Name, 64))
	case sha256.Sum256([]byte("bsrpc method 1\n"+about.Layout)) != about.Hash:
		return nil, lie("another hash of %s than that of its layout", about.Name)
	case len(about.Params) != 0 && len(about.Params) != len(l.Params):
		return nil, lie("%d names for the %d parameters of %s", len(about.Params), len(l.Params), about.Name)
	}
	return &method{about, l}, nil
}

// method returns a method by its full name.
func (s *server) method(ctx context.Context, name string) (*method, error) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 1 || dot == len(name)-1 {
		return nil, usage("method %q: want SERVICE.METHOD; bsrpc list shows them", clean(name, 64))
	}
	list, err := s.methods(ctx, name[:dot])
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range list {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name[dot+1:])
	}
	return nil, unknown("the server has no method %s; %s", clean(name, 128), meant(names, name[dot+1:], name[:dot]))
}

// noService returns the error for a service that the server does not have.
func (s *server) noService(ctx context.Context, service string) error {
	names, err := s.services(ctx)
	if err != nil {
		return err
	}
	if dot := strings.LastIndexByte(service, '.'); dot > 0 && slices.Contains(names, service[:dot]) {
		return unknown("the server has no service %s; %s is one, and bsrpc describe takes methods too", clean(service, 128), service[:dot])
	}
	return unknown("the server has no service %s; %s", clean(service, 128), meant(names, service, "it"))
}

// meant returns what owner has in place of a misspelt name: the one that differs in case alone, all if they are
// few, or else those that are similar.
func meant(names []string, name, owner string) string {
	var near []string // by their length: a server may have any number of names of any length
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return "did you mean " + n + "?"
		}
		if d := len(n) - len(name); -2 <= d && d <= 2 || d > 0 && d < maxWord && strings.EqualFold(n[:len(name)], name) {
			near = append(near, n)
		}
	}
	if len(names) > mostNames && len(name) <= 128 {
		if list := similarNames(near, name); len(list) > 0 && len(list) <= 3 {
			return "did you mean " + strings.Join(list, " or ") + "? bsrpc list shows all"
		}
	}
	return owner + " has " + some(names)
}

// some returns the first names of a list, for an error.
func some(names []string) string {
	text := firstOf(names)
	if strings.HasSuffix(text, " more") {
		text += "; bsrpc list shows them"
	}
	return text
}

// mostNames is the most names of a list in an error.
const mostNames = 8

// firstOf returns the first names of a list, and the number of others.
func firstOf(names []string) string {
	if n := len(names) - mostNames; n > 0 {
		return strings.Join(names[:mostNames], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}

// described returns the error of a description.
func described(err error) error {
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Code == bsrpc.CodeUnimplemented {
		return unknown("the server does not describe its methods (HideDescription)")
	}
	return err
}

// lie returns the error for a description that cannot be true.
func lie(format string, args ...any) error {
	return unknown("the server's description is not valid: it has %s", fmt.Sprintf(format, args...))
}

// param returns the name of a parameter, or "" without.
func (m *method) param(i int) string {
	if i < len(m.Params) && m.Params[i] != "_" {
		return m.Params[i]
	}
	return ""
}

// results returns pointers for the results of a call, as JSON.
func (m *method) results() (list []any) {
	for _, l := range m.layout.Results {
		switch l.Kind {
		case layout.Stream:
			list = append(list, new(iter.Seq2[json.RawMessage, error]))
		case layout.Reader:
			list = append(list, new(io.ReadCloser))
		default:
			list = append(list, new(json.RawMessage))
		}
	}
	return list
}

// returnsReader reports whether a result is a reader.
func (m *method) returnsReader() bool {
	return slices.ContainsFunc(m.layout.Results, func(l *layout.Type) bool { return l.Kind == layout.Reader })
}

// streams reports whether a parameter or a result is a stream or a reader.
func (m *method) streams() bool {
	return slices.ContainsFunc(slices.Concat(m.layout.Params, m.layout.Results), func(l *layout.Type) bool {
		return l.Kind == layout.Stream || l.Kind == layout.Reader
	})
}
