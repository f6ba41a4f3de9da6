package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// options say what is measured, and how.
type options struct {
	Peers     []string      `json:"peers"`
	Workloads []string      `json:"workloads"`
	Rounds    int           `json:"rounds"`
	Time      time.Duration `json:"time_ns"`
	Network   string        `json:"network"`
	Child     bool          `json:"child"`
	Procs     int           `json:"-"` // GOMAXPROCS of the processes that measure, 0 for the default
	Profile   string        `json:"-"` // directory for CPU profiles, "" for none
}

// A report is everything that one command has measured.
type report struct {
	conditions
	Versions map[string]string `json:"versions"` // of the peers' modules
	Results  []result          `json:"results"`
}

// conditions are where, when and how something was measured.
type conditions struct {
	Date    time.Time `json:"date"`
	Go      string    `json:"go"`
	System  string    `json:"system"`
	CPU     string    `json:"cpu"`
	CPUs    int       `json:"cpus"`
	Procs   int       `json:"gomaxprocs"`
	Options options   `json:"options"`
}

// run measures round by round and peer by peer, each in a process of its own:
// a machine's speed drifts within minutes, and what is left in a heap costs
// whoever comes next.
func (o options) run(progress io.Writer) (*report, error) {
	if o.Rounds < 1 || o.Time <= 0 || o.Procs < 0 || o.Network != "tcp" && o.Network != "unix" {
		return nil, errors.New("want at least 1 round, a time above 0, no CPUs below 0, and the network tcp or unix")
	}
	ws, err := parseWorkloads(o.Workloads)
	if err != nil {
		return nil, err
	}
	o.Workloads = nil
	for _, w := range ws {
		o.Workloads = append(o.Workloads, w.String())
	}
	for _, name := range o.Peers {
		if _, err := findPeer(name); err != nil {
			return nil, err
		}
	}
	rep := newReport(o)
	for round := range o.Rounds {
		for _, name := range o.Peers {
			fmt.Fprintf(progress, "round %d of %d: %s\n", round+1, o.Rounds, name)
			for _, part := range processes(ws) {
				rep.Results = append(rep.Results, o.runJob(name, part, round)...)
			}
		}
	}
	return rep, nil
}

// processes divides workloads: memory is measured in processes that have done
// nothing before.
func processes(ws []workload) [][]workload {
	var calls []workload
	var parts [][]workload
	for _, w := range ws {
		if w.ofMemory() {
			parts = append(parts, []workload{w})
		} else {
			calls = append(calls, w)
		}
	}
	if len(calls) > 0 {
		parts = append([][]workload{calls}, parts...)
	}
	return parts
}

// runJob runs a job in a process of its own. What a process that ended early
// has not measured is an error in the results.
func (o options) runJob(name string, ws []workload, round int) []result {
	j := job{Peer: name, Round: round, Time: o.Time, Network: o.Network, Child: o.Child, Procs: o.Procs, Profile: o.Profile}
	for _, w := range ws {
		j.Workloads = append(j.Workloads, w.String())
	}
	results, err := j.runProcess(30*time.Second + time.Duration(len(ws))*(10*o.Time+5*time.Second))
	for _, w := range ws[len(results):] {
		results = append(results, result{Peer: name, Workload: w.String(), Round: round, Error: fmt.Sprint("process ended: ", err)})
	}
	return results
}

func (j job) runProcess(limit time.Duration) (results []result, err error) {
	arg, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd, err := command("job", string(arg))
	if err != nil {
		return nil, err
	}
	if j.Procs > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprint("GOMAXPROCS=", j.Procs))
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	err = cmd.Wait()
	timer.Stop()
	for dec := json.NewDecoder(&out); ; {
		var r result
		if dec.Decode(&r) != nil {
			return results, err
		}
		results = append(results, r)
	}
}

func newReport(o options) *report {
	return &report{
		conditions: conditions{
			Date:    time.Now().UTC().Truncate(time.Second),
			Go:      runtime.Version(),
			System:  runtime.GOOS + "/" + runtime.GOARCH,
			CPU:     cpuName(),
			CPUs:    runtime.NumCPU(),
			Procs:   o.procs(),
			Options: o,
		},
		Versions: versions(),
	}
}

// procs returns the GOMAXPROCS of the processes that measure.
func (o options) procs() int { return cmp.Or(o.Procs, runtime.GOMAXPROCS(0)) }

// workloads returns what was measured.
func (c conditions) workloads() (ws []workload) {
	for _, name := range c.Options.Workloads {
		if w, err := parseWorkload(name); err == nil { // else somebody has edited the file
			ws = append(ws, w)
		}
	}
	return ws
}

// cpuName returns the name of the processor, where Linux tells it.
func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// versions returns the versions of the modules that are measured.
func versions() map[string]string {
	vs := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return vs
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "google.golang.org/grpc", "google.golang.org/protobuf", "storj.io/drpc", "github.com/containerd/ttrpc", "connectrpc.com/connect":
			vs[m.Path] = m.Version
		}
	}
	return vs
}
