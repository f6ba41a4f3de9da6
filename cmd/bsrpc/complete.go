package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionTimeout limits what a shell waits for the names of a server, and maxCompletions
// their number.
const (
	completionTimeout = 2 * time.Second
	maxCompletions    = 1_000
)

// complete returns the completion of the argument behind the address: services, methods, or
// both. Names are identifiers, as the description is checked.
func (t *target) complete(services, methods bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if t.address == "" && t.profile == "" && len(args) == 0 {
			return t.profileNames(word), cobra.ShellCompDirectiveNoFileComp // an address
		}
		args, err := t.split(args)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // arguments of a method: files, for one
		}
		if t.timeout == 0 || t.timeout > completionTimeout {
			t.timeout = completionTimeout
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), t.timeout)
		defer cancel()
		return t.names(ctx, word, services, methods)
	}
}

// names returns the names of the server that begin with word. Services alone come first; those
// of a method follow once its service is written.
func (t *target) names(ctx context.Context, word string, services, methods bool) (list []string, d cobra.ShellCompDirective) {
	d = cobra.ShellCompDirectiveNoFileComp
	s, err := t.connect(ctx)
	if err != nil {
		return nil, d
	}
	defer s.Close()
	add := func(name, about string) {
		if strings.HasPrefix(name, word) && len(list) < maxCompletions {
			if about != "" {
				name += "\t" + clean(about, 80)
			}
			list = append(list, name)
		}
	}
	if services {
		names, _ := s.services(ctx)
		for _, name := range names {
			add(name, "")
		}
	}
	if methods {
		all, _ := s.methods(ctx, "")
		for _, m := range all {
			add(m.Name, strings.TrimPrefix(m.signature(false), m.Name))
		}
	}
	return list, d
}

// addCompletion adds the command completion of cobra. A shell that it does not know is an error: its help in
// place of a script would be run by a shell.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion")
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Short, cmd.Long = "complete services and methods in a shell", "completion prints a script for a shell. The help of each shell says where to put it."
		var shells []string
		for _, shell := range cmd.Commands() {
			shells = append(shells, shell.Name())
			shell.Short = "the script for " + shell.Name()
		}
		cmd.Args, cmd.RunE = nil, func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("completion %s: want one of %s", clean(args[0], maxWord), strings.Join(shells, ", "))
			}
			return cmd.Help()
		}
	}
}
