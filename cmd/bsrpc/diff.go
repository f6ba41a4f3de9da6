package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc/layout"
)

const diffHelp = `diff compares the methods of OLD with those of NEW: what changed, whether old and new
programs work together, and which end to deploy first.

OLD and NEW are an address, @profile, or a file of bsrpctest.Golden. A file has all
released versions of its methods: each is compared with NEW, whose newest ones count.
With a file the services in it are compared, otherwise all but bsrpc.v1.

The exit code is 4 if the change does not fit the order of deployment:

  --first servers   (default) released clients work with NEW
  --first clients   clients of NEW work with released servers
  --first either    both
  --same            nothing differs at all`

// maxDifferences limits the lines of a method.
const maxDifferences = 40

func newDiff(t *target) *cobra.Command {
	var order string
	var same bool
	cmd := &cobra.Command{
		Use:               "diff OLD NEW",
		Short:             "compare two servers, or a server with released contracts; exit code 4 if programs are parted",
		Long:              diffHelp,
		ValidArgsFunction: t.completeProfiles(cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || t.address != "" || t.profile != "" {
				return usage("want two arguments, each an address, @profile or a file, without --address and --profile: bsrpc diff OLD NEW")
			}
			first := first(order)
			switch {
			case first != firstServers && first != firstClients && first != firstEither:
				return usage("--first %s: want servers, clients or either", clean(order, maxWord))
			case same && cmd.Flags().Changed("first"):
				return usage("--same allows no change, so --first has no effect; give one of them")
			}
			a, err := t.side(cmd, args[0])
			if err != nil {
				return about(args[0], err)
			}
			b, err := t.side(cmd, args[1])
			if err != nil {
				return about(args[1], err)
			}
			changes, unchanged := compareSides(a, b)
			if err := t.printChanges(cmd.OutOrStdout(), changes, unchanged); err != nil {
				return err
			}
			if same && len(changes) > 0 {
				return unknown("%s and %s differ, and --same is set", clean(a.name, maxWord), clean(b.name, maxWord))
			}
			return parted(changes, first)
		},
	}
	cmd.Flags().StringVar(&order, "first", string(firstServers), "the `end` to be deployed first: servers, clients or either")
	cmd.Flags().BoolVar(&same, "same", false, "exit code 4 for any difference")
	return cmd
}

// about returns the error of one side, which it names.
func about(name string, err error) error {
	f := *failureOf(err)
	if !strings.Contains(f.Message, name) {
		f.Message = clean(name, maxWord) + ": " + f.Message
	}
	return &f
}

// parted returns the error of a change that does not fit an order of deployment.
func parted(changes []methodChange, order first) error {
	var clients, servers []string
	add := func(list *[]string, name string, v compatibility) {
		if len(v.breaks) > 0 && (len(*list) == 0 || (*list)[len(*list)-1] != name) {
			*list = append(*list, name)
		}
	}
	for _, c := range changes {
		if order != firstClients {
			add(&clients, c.name, c.newServer)
		}
		if order != firstServers {
			add(&servers, c.name, c.newClient)
		}
	}
	if len(clients)+len(servers) == 0 {
		return nil
	}
	f := &failure{Exit: exitMismatch, Message: "the change parts programs that are in use"}
	if len(clients) > 0 {
		f.Details = append(f.Details, "old clients do not work with new servers: "+firstOf(clients))
	}
	if len(servers) > 0 {
		f.Details = append(f.Details, "new clients do not work with old servers: "+firstOf(servers))
	}
	all := firstEither
	for _, c := range changes {
		all = all.and(c.first)
	}
	if all == firstNeither {
		f.Details = append(f.Details, "keep these methods as they are and add others, or change them in steps; docs/evolution.md lists all changes")
	} else {
		f.Details = append(f.Details, fmt.Sprintf("deploy %s first, and check with --first %[1]s; or keep these methods as they are", all))
	}
	return f
}

// printChanges prints the changes, and a summary.
func (t *target) printChanges(w io.Writer, changes []methodChange, same int) error {
	all := firstEither
	for _, c := range changes {
		all = all.and(c.first)
		var err error
		if t.json {
			err = writeJSON(w, c.asJSON())
		} else {
			_, err = io.WriteString(w, c.text())
		}
		if err != nil {
			return err
		}
	}
	if t.json {
		return writeJSON(w, map[string]any{"differ": len(changes), "same": same, "first": all})
	}
	text := count(same, "method") + ", all the same"
	if len(changes) > 0 {
		text = fmt.Sprintf("%d the same, %s; deploy first: %s", same, count(len(changes), "difference"), all)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// count returns a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// text returns the lines of a change.
func (c *methodChange) text() string {
	head := clean(c.name, maxWord) + " " + c.kind
	if c.released != "" {
		head += " since the release of " + c.released
	}
	lines := []string{head + "; deploy first: " + string(c.first)}
	for _, d := range c.found {
		lines = append(lines, clean(changeText(d), maxErrorText))
	}
	for _, v := range []struct {
		ends string
		compatibility
	}{{"new client, old server: ", c.newClient}, {"old client, new server: ", c.newServer}} {
		if c.kind != "changed" {
			break // the head says it
		}
		for _, d := range v.breaks {
			lines = append(lines, clean(v.ends+d.String(), maxErrorText))
		}
		for _, d := range v.loses {
			lines = append(lines, clean(v.ends+lossText(d), maxErrorText))
		}
	}
	if more := len(lines) - maxDifferences; more > 0 {
		lines = append(lines[:maxDifferences], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n    ") + "\n"
}

// changeText describes a difference of an old and a new version.
func changeText(d layout.Difference) string {
	place := d.Place
	switch {
	case d.Client == "" && d.Server == "":
		return place // a summary
	case place == "":
		place = "the call"
	}
	old, now := strings.CutPrefix(d.Client, "calls it ")
	switch {
	case now:
		return place + ": " + old + " is called " + strings.TrimSuffix(strings.TrimPrefix(d.Server, "calls it "), " (renamed)")
	case d.Client == "":
		return place + ": new, " + d.Server
	case d.Server == "":
		return place + ": gone, was " + d.Client
	}
	return place + ": was " + d.Client + ", is " + d.Server
}

// lossText describes a difference that Bind accepts.
func lossText(d layout.Difference) string {
	if strings.HasSuffix(d.Fix, "without a member") {
		end := "server"
		if d.Client == "" {
			end = "client"
		}
		return d.Place + ": the " + end + " does not know it, and reads a union without a member"
	}
	return d.Place + ": calls that set it fail, not run, unless it is ignorable"
}

// asJSON returns a change for JSON.
func (c *methodChange) asJSON() any {
	type difference struct {
		Place string `json:"place"`
		Old   string `json:"old,omitempty"`
		New   string `json:"new,omitempty"`
	}
	type reason struct {
		Place  string `json:"place"`
		Breaks bool   `json:"breaks"`
		Text   string `json:"text"`
	}
	reasons := func(v compatibility) []reason {
		list := []reason{}
		for _, d := range v.breaks {
			list = append(list, reason{d.Place, true, d.String()})
		}
		for _, d := range v.loses {
			list = append(list, reason{d.Place, false, lossText(d)})
		}
		return list
	}
	differences := []difference{}
	for _, d := range c.found {
		differences = append(differences, difference{d.Place, d.Client, d.Server})
	}
	return struct {
		Method      string       `json:"method"`
		Change      string       `json:"change"`
		Released    string       `json:"released,omitempty"`
		First       first        `json:"first"`
		Differences []difference `json:"differences"`
		NewClient   []reason     `json:"newClientOldServer"`
		OldClient   []reason     `json:"oldClientNewServer"`
	}{Method: c.name, Change: c.kind, Released: c.released, First: c.first, Differences: differences,
		NewClient: reasons(c.newClient), OldClient: reasons(c.newServer)}
}
