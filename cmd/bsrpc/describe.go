package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc/introspect"
)

// maxList limits the words of a list that are printed.
const maxList = 64

func newDescribe(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "describe [ADDRESS] [SERVICE | SERVICE.METHOD]",
		Short: "describe methods: signature, options, secrets, hash, and how to call them",
		Long: `describe prints the signature of methods as in Go, with their options, secrets and hash, and
a call to start from: of one method, of a service, or of all services but bsrpc.v1.`,
		ValidArgsFunction: t.complete(true, true),
		RunE: t.connected(0, 1, func(cmd *cobra.Command, s *server, args []string) error {
			methods, err := s.named(cmd, args)
			if err != nil {
				return err
			}
			for i, m := range methods {
				if s.json {
					err = writeJSON(cmd.OutOrStdout(), m.asJSON())
				} else {
					err = m.describe(cmd.OutOrStdout(), i > 0)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// named returns the methods of a service or one method, and without a name all but those of
// bsrpc.v1. A service may have the name of what could be a method.
func (s *server) named(cmd *cobra.Command, names []string) ([]*method, error) {
	if len(names) == 0 {
		all, err := s.methods(cmd.Context(), "")
		return slices.DeleteFunc(all, func(m *method) bool { return m.layout.Service == introspect.Service }), err
	}
	name := names[0]
	methods, err := s.methods(cmd.Context(), name)
	if f, ok := err.(*failure); !ok || f.Exit != exitMismatch || !strings.Contains(name, ".") {
		return methods, err
	}
	m, one := s.method(cmd.Context(), name)
	return []*method{m}, one
}

// describe prints a method for people, below an empty line if it is not the first one.
func (m *method) describe(w io.Writer, further bool) error {
	var b strings.Builder
	if further {
		b.WriteString("\n")
	}
	for line := range strings.Lines(m.signature(true)) {
		// Tabs are those of signature; names and types are identifiers.
		tabs := len(line) - len(strings.TrimLeft(line, "\t"))
		b.WriteString(line[:tabs] + clean(strings.TrimSuffix(line[tabs:], "\n"), maxSignature) + "\n")
	}
	for _, row := range []struct {
		name  string
		words []string
	}{
		{"kind", []string{m.Kind}},
		{"options", m.Options},
		{"secret", m.Secrets},
		{"hash", []string{hex.EncodeToString(m.Hash[:])}},
	} {
		if len(row.words) > 0 {
			fmt.Fprintf(&b, "    %-8s %s\n", row.name, cleanList(row.words))
		}
	}
	if example := m.example(); example != "" {
		fmt.Fprintf(&b, "    %-8s %s\n", "call", clean(example, maxSample))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cleanList returns words for a terminal, on one line.
func cleanList(words []string) string {
	var list []string
	for i, w := range words {
		if i == maxList {
			list = append(list, fmt.Sprintf("and %d more", len(words)-i))
			break
		}
		list = append(list, clean(w, maxWord))
	}
	return strings.Join(list, ", ")
}

// asJSON returns the description of a method.
func (m *method) asJSON() any {
	return struct {
		Name      string   `json:"name"`
		Signature string   `json:"signature"`
		Layout    string   `json:"layout"`
		Hash      string   `json:"hash"`
		Kind      string   `json:"kind"`
		Params    []string `json:"params,omitempty"`
		Options   []string `json:"options,omitempty"`
		Secrets   []string `json:"secrets,omitempty"`
	}{m.Name, m.signature(false), m.Layout, hex.EncodeToString(m.Hash[:]), m.Kind, m.Params, m.Options, m.Secrets}
}
