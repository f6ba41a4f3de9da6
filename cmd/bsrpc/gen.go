package main

import (
	"fmt"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc/introspect"
)

const genGoHelp = `gen go writes the contracts of a server's services as a Go file: structs of funcs with
tags, and the types in them. Their hashes are those of the server.

A layout has no names of types, so they come from parameters, fields and methods. Limits
such as max=, and the words utf8 and ignorable, are not in a layout: add them by hand.
Types with an encoding of their own are imported: those of the standard library are known,
others need --type. A method with another one is left out, with a comment and a warning.`

func newGen(t *target) *cobra.Command {
	gen := &cobra.Command{
		Use:   "gen",
		Short: "write a contract from a live server as source",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown language %q; want bsrpc gen go ADDRESS", clean(args[0], maxWord))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	gen.AddCommand(newGenGo(t))
	return gen
}

// genFlags are the flags of gen go.
type genFlags struct {
	pkg, out string
	types    []string
}

func newGenGo(t *target) *cobra.Command {
	var f genFlags
	cmd := &cobra.Command{
		Use:               "go [ADDRESS] [SERVICE...]",
		Short:             "write contracts from a live server as a Go file",
		Long:              genGoHelp,
		ValidArgsFunction: t.complete(true, false),
		RunE: t.connected(0, -1, func(cmd *cobra.Command, s *server, args []string) error {
			src, err := f.source()
			if err == nil {
				err = replaceable(f.out)
			}
			if err != nil {
				return err
			}
			services, err := s.generated(cmd, args)
			if err != nil {
				return err
			}
			src.reserve(services)
			for _, service := range services {
				methods, err := s.methods(cmd.Context(), service)
				if err != nil {
					return err
				}
				src.contract(service, methods)
			}
			return s.writeSource(cmd, src, f.out)
		}),
	}
	cmd.Flags().StringVar(&f.pkg, "package", "", "`name` of the package (default: that of the folder of -o, or contract)")
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "`file` to write, in place of standard output")
	cmd.Flags().StringArrayVar(&f.types, "type", nil, "a type with an encoding of its own, `lab.Key=example.com/lab`; repeat for more")
	return cmd
}

// source returns the empty source of the flags.
func (f *genFlags) source() (*source, error) {
	pkg := f.pkg
	if pkg == "" {
		pkg = "contract"
		if dir, err := filepath.Abs(filepath.Dir(f.out)); err == nil && f.out != "" && token.IsIdentifier(filepath.Base(dir)) {
			pkg = filepath.Base(dir)
		}
	}
	if !token.IsIdentifier(pkg) || pkg == "_" {
		return nil, usage("--package %q: want the name of a Go package", clean(pkg, maxWord))
	}
	types := make(map[string]string)
	for _, word := range f.types {
		name, file, ok := strings.Cut(word, "=")
		if !ok || !strings.Contains(name, ".") || file == "" || strings.ContainsAny(file, "\"`\\ ") || strings.ContainsFunc(file, func(r rune) bool { return !printable(r) }) {
			return nil, usage("--type %q: want a type and its import path, as in --type lab.Key=example.com/lab", clean(word, maxWord))
		}
		types[name] = file
	}
	return newSource(pkg, types), nil
}

// replaceable returns an error if file exists, and gen go has not written it.
func replaceable(file string) error {
	about, err := os.Stat(file)
	if err != nil || !about.Mode().IsRegular() {
		return nil // a new one, a pipe, or writing it says what is wrong
	}
	f, err := os.Open(file)
	if err != nil {
		return usage("-o: %v", err)
	}
	defer f.Close()
	begin := make([]byte, len(sourceMark))
	if n, err := io.ReadFull(f, begin); n > 0 && (err != nil || string(begin) != sourceMark) {
		return usage("-o: %s exists, and its first line is not that of bsrpc gen go; give a new name, or remove it", file)
	}
	return nil
}

// generated returns the services to generate: those named, or all but the library's.
func (s *server) generated(cmd *cobra.Command, names []string) ([]string, error) {
	if len(names) > 0 {
		slices.Sort(names)
		return slices.Compact(names), nil
	}
	all, err := s.services(cmd.Context())
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(name string) bool { return name == introspect.Service })
	if len(all) == 0 {
		return nil, unknown("the server has no services beside %s", introspect.Service)
	}
	return all, nil
}

// writeSource writes a source to a file or standard output, and warns of methods without.
func (s *server) writeSource(cmd *cobra.Command, src *source, out string) error {
	text, err := src.bytes()
	if err != nil {
		return err
	}
	about := struct {
		File    string       `json:"file,omitempty"`
		Source  string       `json:"source,omitempty"`
		Package string       `json:"package"`
		Methods int          `json:"methods"`
		Left    []leftMethod `json:"leftOut,omitempty"`
	}{File: out, Package: src.pkg, Methods: src.methods, Left: src.left}
	if out != "" {
		if err := os.WriteFile(out, text, 0o666); err != nil {
			return usage("-o: %v", err)
		}
	}
	switch {
	case s.json:
		if out == "" {
			about.Source = string(text)
		}
		return writeJSON(cmd.OutOrStdout(), about)
	case out == "":
		_, err = cmd.OutOrStdout().Write(text)
	default:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: package %s, %s\n", clean(out, maxWord), src.pkg, count(src.methods, "method"))
	}
	for _, l := range src.left {
		s.warn(l.Method + " is left out: " + l.Reason)
	}
	return err
}
