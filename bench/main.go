// Bench measures bsrpc beside other RPC libraries of Go, beside a plain echo
// of bytes and beside a typed echo by hand. README.md says what is measured.
//
//	go run . [-peers a,b] [-workloads x,y] [-rounds N] [-time 300ms] [-network tcp|unix] [-child] [-cpu N] [-json file]
//	go run . -check recorded.json [-tolerance 1.15]
//	go run . -record recorded.json
//	go run . -plot dir -json file
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	if os.Getenv(roleVariable) != "" {
		check(runRole(os.Args[1:]))
		return
	}
	c := parseFlags()
	if c.plots != "" {
		check(plotFile(c.json, c.plots))
		return
	}
	good, err := c.measure(os.Stdout, os.Stderr)
	check(err)
	if !good {
		os.Exit(1)
	}
}

// A commandLine is what the flags say.
type commandLine struct {
	options
	json, plots   string // files, "" for none
	check, record string
	tolerance     float64 // of check
}

func parseFlags() *commandLine {
	c := new(commandLine)
	peers := flag.String("peers", "", "peers, with commas (default all; of -check and -record "+echoPeers+")")
	workloads := flag.String("workloads", "", "workloads and groups, with commas (default all; of -check and -record check)")
	flag.IntVar(&c.Rounds, "rounds", 5, "how often everything is measured")
	flag.DurationVar(&c.Time, "time", 300*time.Millisecond, "of each workload, peer and round")
	flag.StringVar(&c.Network, "network", "tcp", "tcp or unix")
	flag.BoolVar(&c.Child, "child", false, "the server in a process of its own")
	flag.IntVar(&c.Procs, "cpu", 0, "GOMAXPROCS of the processes that measure, 0 for the default")
	flag.StringVar(&c.json, "json", "", "write all results to this file")
	flag.StringVar(&c.Profile, "profile", "", "write CPU profiles into this directory")
	flag.StringVar(&c.check, "check", "", "compare bsrpc's ratios to the echoes with this file; exit with 1 if some are worse")
	flag.Float64Var(&c.tolerance, "tolerance", defaultTolerance, "how many times worse than recorded a ratio may be, for -check")
	flag.StringVar(&c.record, "record", "", "write bsrpc's ratios to the echoes to this file, for -check")
	flag.StringVar(&c.plots, "plot", "", "make plots of the results in the file of -json, in this directory")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("argument %q: there are only flags", flag.Arg(0))
	}
	if c.tolerance < 1 {
		log.Fatalf("-tolerance %v: want 1 or more", c.tolerance)
	}
	defaultPeers, defaultWorkloads := allPeers(), "all"
	if c.check != "" || c.record != "" {
		defaultPeers, defaultWorkloads = echoPeers, "check"
	}
	c.Peers = strings.Split(cmp.Or(*peers, defaultPeers), ",")
	c.Workloads = strings.Split(cmp.Or(*workloads, defaultWorkloads), ",")
	return c
}

// measure measures, writes the files that are wanted, and then what is worse
// than recorded, or tables. It is good unless something is worse.
func (c *commandLine) measure(out, progress io.Writer) (good bool, err error) {
	var was record
	if c.check != "" {
		if err := readJSON(c.check, &was); err != nil {
			return false, err
		}
		if err := was.fits(c.options); err != nil {
			return false, err
		}
	}
	rep, err := c.run(progress)
	if err != nil {
		return false, err
	}
	if c.json != "" {
		if err := writeJSON(c.json, rep); err != nil {
			return false, err
		}
	}
	if c.record != "" {
		rec, err := newRecord(rep)
		if err == nil {
			err = writeJSON(c.record, rec)
		}
		if err != nil {
			return false, err
		}
	}
	if c.check != "" {
		fmt.Fprintf(out, "recorded: %s\nnow:      %s\n\n", was.headline(), rep.headline())
		found, compared := was.check(rep, c.tolerance)
		found, err := was.confirm(found, c.tolerance, func(workloads []string) (*report, error) {
			again := *c
			again.Workloads = workloads
			return again.run(progress)
		})
		if err != nil {
			return false, err
		}
		writeRegressions(out, found, compared, c.tolerance)
		return len(found) == 0, nil
	}
	rep.writeTables(out)
	return true, nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// echoPeers are those that -check measures.
const echoPeers = "plain,typed,bsrpc"

func allPeers() string {
	var names []string
	for _, p := range peers {
		names = append(names, p.name())
	}
	return strings.Join(names, ",")
}

// runRole is this program as a child of itself.
func runRole(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "job":
		var j job
		if err := json.Unmarshal([]byte(args[1]), &j); err != nil {
			return err
		}
		enc := json.NewEncoder(os.Stdout)
		return j.run(func(r result) error { return enc.Encode(r) })
	case len(args) == 3 && args[0] == "serve":
		return serveAsChild(args[1], args[2], os.Stdin, os.Stdout)
	}
	return fmt.Errorf("no role %q", args)
}
