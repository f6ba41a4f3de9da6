package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const help = `bsrpc lists, describes and calls the methods of any bsrpc server.

An ADDRESS is host:port, unix:path for a unix socket, or @name for a profile of the
config. With --address or --profile it is not among the arguments.

Exit codes:
  0  success
  1  an error of the application, a service that is not ready, or a replay that differs
  2  wrong usage: arguments, flags or files; nothing has been called
  3  network: not connected, connection lost, refused, out of time
  4  an unknown service or method, or a mismatch; a change that parts programs in use
  130  interrupted; watch, top, tap and bench end with 0

Text of the server is printed without control characters, and cut if it is long.`

// run runs the command and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	f := failureOf(err)
	if asJSON, _ := root.PersistentFlags().GetBool("json"); asJSON {
		writeJSON(stderr, map[string]any{"error": f})
	} else {
		fmt.Fprintln(stderr, "bsrpc: "+f.text())
	}
	return f.Exit
}

// newRoot returns the command with all others below it.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "bsrpc",
		Short: "list, describe and call the methods of any bsrpc server",
		Long:  help,
		Example: `  bsrpc list 127.0.0.1:7342
  bsrpc describe 127.0.0.1:7342 Supply
  bsrpc call 127.0.0.1:7342 Supply.Set 1200`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if meant := similar(cmd, args[0]); len(meant) > 0 {
					return usage("unknown command %q; did you mean %s?", args[0], strings.Join(meant, " or "))
				}
				return usage("unknown command %q; see bsrpc --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.Version = version()
	root.SetVersionTemplate("bsrpc {{.Version}}\n")
	t := new(target)
	t.addFlags(root.PersistentFlags())
	t.stderr = root.ErrOrStderr
	root.RegisterFlagCompletionFunc("profile", t.completeProfileFlag)
	root.AddCommand(newTap(t), newWatch(t), newCert(t))
	root.AddCommand(newList(t), newDescribe(t), newCall(t), newHealth(t))
	root.AddCommand(newDiff(t), newGen(t), newBench(t), newTop(t))
	addCompletion(root)
	return root
}

// version returns the version of the command, as the go command has recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + ", " + info.GoVersion
}

// similar returns the commands below cmd whose names are closest to a misspelt one.
func similar(cmd *cobra.Command, name string) []string {
	for cmd.SuggestionsMinimumDistance = 1; cmd.SuggestionsMinimumDistance <= 2; cmd.SuggestionsMinimumDistance++ {
		if meant := cmd.SuggestionsFor(name); len(meant) > 0 {
			return meant
		}
	}
	return nil
}

// similarNames returns the names that are closest to a misspelt one, as similar does for commands.
func similarNames(names []string, name string) []string {
	list := new(cobra.Command)
	for _, n := range names {
		list.AddCommand(&cobra.Command{Use: n, Run: func(*cobra.Command, []string) {}})
	}
	return similar(list, name)
}

// wantedValues are the values that flags of a type take, for errors.
var wantedValues = map[string]string{
	"duration": "a time with its unit, such as 5s or 1m30s", "int": "a whole number", "uint64": "a whole number, 0 or more", "bool": "true or false",
}

// flagError returns the error for a flag that is unknown, or has a wrong value.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &invalid):
		wanted, ok := wantedValues[invalid.GetFlag().Value.Type()]
		if wanted = "want " + wanted; !ok {
			wanted = invalid.Unwrap().Error()
		}
		return usage("--%s %s: %s", invalid.GetFlag().Name, clean(invalid.GetValue(), maxWord), wanted)
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if meant := similarNames(names, unknown.GetSpecifiedName()); len(meant) > 0 {
			return usage("unknown flag --%s; did you mean --%s?", clean(unknown.GetSpecifiedName(), maxWord), strings.Join(meant, " or --"))
		}
	}
	return usage("%v; see %s --help, and write -- before arguments that begin with -", err, cmd.CommandPath())
}
