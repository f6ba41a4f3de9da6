package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/layout"
)

// maxContractFile limits the bytes of a file of released texts.
const maxContractFile = 64 << 20

// A side is one side of a comparison: the methods of a server, or those of a file.
type side struct {
	name     string               // as on the command line
	file     bool                 // otherwise a server
	services []string             // of a file
	methods  map[string][]release // by full name, the newest release last
	order    []string             // the keys of methods
}

// A release is one version of a method.
type release struct {
	date     string // in a file
	clients  bool   // its servers are out of use, by the word clients in a file
	optional bool   // a client may go on without it, by the contract of a server
	text     string
	layout   *layout.Method
}

// side reads one side of a comparison.
func (t *target) side(cmd *cobra.Command, name string) (*side, error) {
	s := &side{name: name, methods: make(map[string][]release)}
	info, err := os.Stat(name)
	if s.file = err == nil && info.Mode().IsRegular(); s.file {
		return s, s.readFile()
	}
	if _, _, err := net.SplitHostPort(name); err != nil && !strings.HasPrefix(name, unixPrefix) && !strings.HasPrefix(name, profileMark) {
		return nil, usage("%s is neither a file, nor an address such as host:port or unix:path", clean(name, maxWord))
	}
	other := *t
	other.address = ""
	if _, err := other.split([]string{name}); err != nil {
		return nil, err
	}
	server, err := other.connect(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer server.Close()
	list, err := server.methods(cmd.Context(), "")
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if m.layout.Service != introspect.Service {
			s.add(release{optional: slices.Contains(m.Options, "optional"), text: m.Layout, layout: m.layout})
		}
	}
	return s, nil
}

// add adds a version of a method. Equal ones count once.
func (s *side) add(r release) {
	name := r.layout.Service + "." + r.layout.Name
	if _, ok := s.methods[name]; !ok {
		s.order = append(s.order, name)
	}
	s.methods[name] = append(s.methods[name], r)
}

// readFile reads a file of bsrpctest.Golden: lines with a date, the word clients in some, and
// the text of a method; comments after #.
func (s *side) readFile() error {
	data, err := readFile(s.name, maxContractFile)
	if err != nil {
		return usage("%v", err)
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := parseRelease(line)
		if err != nil {
			return usage("%s:%d: %v", clean(s.name, maxWord), n, err)
		}
		s.add(r)
		if !slices.Contains(s.services, r.layout.Service) {
			s.services = append(s.services, r.layout.Service)
		}
	}
	if len(s.methods) == 0 {
		return usage("%s has no methods; BSRPC_GOLDEN=update go test writes those of a contract", clean(s.name, maxWord))
	}
	for _, list := range s.methods {
		slices.SortStableFunc(list, func(a, b release) int { return strings.Compare(a.date, b.date) })
	}
	return nil
}

// parseRelease parses a line of a file.
func parseRelease(line string) (r release, err error) {
	date, text, _ := strings.Cut(line, " ")
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return r, errors.New("want a date and the text of a method, as in 2026-01-31 Shop.Pay(int.le8) bool")
	}
	r.date = date
	r.text, r.clients = strings.CutPrefix(strings.TrimLeft(text, " "), "clients ")
	r.text = strings.TrimLeft(r.text, " ")
	if r.layout, err = layout.ParseMethod(r.text); err != nil {
		return r, fmt.Errorf("the text of the method: %w", err)
	}
	return r, nil
}

// newest returns the version of a method in use now.
func (s *side) newest(name string) (release, bool) {
	list := s.methods[name]
	if len(list) == 0 {
		return release{}, false
	}
	return list[len(list)-1], true
}
