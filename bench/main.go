// Bench measures bsrpc beside other RPC libraries of Go, beside a plain echo
// of bytes and beside a typed echo by hand. README.md says what is measured.
//
//	go run . [-peers a,b] [-workloads x,y] [-rounds N] [-time 300ms] [-network tcp|unix] [-child] [-cpu N] [-json file]
//	go run . -plot dir -json file
package main

import (
	"encoding/json"
	"flag"
	"fmt"
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
	var o options
	peerNames := flag.String("peers", allPeers(), "peers, with commas")
	workloads := flag.String("workloads", "all", "workloads and groups, with commas")
	flag.IntVar(&o.Rounds, "rounds", 5, "how often everything is measured")
	flag.DurationVar(&o.Time, "time", 300*time.Millisecond, "of each workload, peer and round")
	flag.StringVar(&o.Network, "network", "tcp", "tcp or unix")
	flag.BoolVar(&o.Child, "child", false, "the server in a process of its own")
	flag.IntVar(&o.Procs, "cpu", 0, "GOMAXPROCS of the processes that measure, 0 for the default")
	file := flag.String("json", "", "write all results to this file")
	flag.StringVar(&o.Profile, "profile", "", "write CPU profiles into this directory")
	plots := flag.String("plot", "", "make plots of the results in the file of -json, in this directory")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("argument %q: there are only flags", flag.Arg(0))
	}
	if *plots != "" {
		check(plotFile(*file, *plots))
		return
	}
	o.Peers, o.Workloads = strings.Split(*peerNames, ","), strings.Split(*workloads, ",")
	rep, err := o.run(os.Stderr)
	check(err)
	if *file != "" {
		b, err := json.MarshalIndent(rep, "", "\t")
		check(err)
		check(os.WriteFile(*file, append(b, '\n'), 0o666))
	}
	rep.writeTables(os.Stdout)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

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
