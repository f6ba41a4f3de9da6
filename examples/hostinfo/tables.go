package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// printTables prints the processes with the most memory, the mounts, and the served
// folder, at most rows of each.
func printTables(ctx context.Context, out io.Writer, host *Host, rows int) error {
	processes, err := host.Processes(ctx)
	if err != nil {
		fmt.Fprintf(out, "no processes: %v\n\n", err) // continue with the rest
	} else {
		slices.SortStableFunc(processes, func(a, b Process) int { return cmp.Compare(b.Resident, a.Resident) })
		table(out, "process\tparent\tstate\tthreads\tMiB\tCPU\tname", processes, rows, func(p Process) string {
			return fmt.Sprintf("%d\t%d\t%s\t%d\t%d\t%v\t%s",
				p.ID, p.Parent, p.State, p.Threads, p.Resident>>20, p.CPU, printable(p.Name))
		})
	}

	mounts, err := host.Mounts(ctx)
	if err != nil {
		fmt.Fprintf(out, "no mounts: %v\n\n", err)
	} else {
		table(out, "mounted\ttype\ton\toptions", mounts, rows, func(m Mount) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s",
				printable(m.Source), printable(m.Type), printable(m.Folder), printable(strings.Join(m.Options, ",")))
		})
	}

	files, err := host.List(ctx, ".")
	if err != nil {
		return err
	}
	table(out, "mode\tbytes\tmodified\tname", files, rows, func(f File) string {
		return fmt.Sprintf("%v\t%d\t%s\t%s", f.Mode, f.Size, f.Modified.Local().Format(time.DateTime), printable(f.Name))
	})
	return nil
}

// table prints a heading and up to n lines of list. Tabs separate the columns.
func table[T any](out io.Writer, heading string, list []T, n int, line func(T) string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heading)
	for _, v := range list[:min(n, len(list))] {
		fmt.Fprintln(w, line(v))
	}
	w.Flush()
	if len(list) > n {
		fmt.Fprintf(out, "and %d more\n", len(list)-n)
	}
	fmt.Fprintln(out)
}

// printable quotes names with control characters or invalid UTF-8, for terminals.
func printable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
