package main

import "github.com/spf13/cobra"

// maxLine limits the bytes of a signature in a list.
const maxLine = 200

func newList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list [ADDRESS] [SERVICE]",
		Short: "list the services, or the methods of a service",
		Long: `list prints the names of the server's services, or the signatures of the methods of one.
bsrpc.v1 is the service by which every server describes itself.`,
		ValidArgsFunction: t.complete(true, false),
		RunE: t.connected(0, 1, func(cmd *cobra.Command, s *server, args []string) error {
			if len(args) == 0 {
				return s.listServices(cmd)
			}
			methods, err := s.methods(cmd.Context(), args[0])
			for _, m := range methods {
				if err := s.printLine(cmd.OutOrStdout(), m.Name, clean(m.signature(false), maxLine)); err != nil {
					return err
				}
			}
			return err
		}),
	}
}

// listServices prints the names of the services.
func (s *server) listServices(cmd *cobra.Command) error {
	names, err := s.services(cmd.Context())
	for _, name := range names {
		if err := s.printLine(cmd.OutOrStdout(), name, name); err != nil {
			return err
		}
	}
	return err
}
