package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A workload is what is called, by how many callers, in which size.
type workload struct {
	kind    string // small, bulk, items, conns, beside, idle, inflight
	callers int    // of conns, each on a connection of its own
	size    int    // bytes of a bulk, connections of idle
}

// conns returns on how many connections the callers are.
func (w workload) conns() int {
	if w.kind == "conns" {
		return w.callers
	}
	return 1
}

// ofMemory is whether memory is measured, and not calls.
func (w workload) ofMemory() bool {
	return w.kind == "idle" || w.kind == "inflight" || w.kind == "idlestreams"
}

const (
	itemCount  = 1000
	besideSize = 16 << 20
	idleConns  = 1000
)

// groups are names for several workloads.
var groups = map[string][]string{
	"small":   {"small/1", "small/64", "small/512"},
	"bulk":    {"bulk/64KiB", "bulk/1MiB", "bulk/16MiB"},
	"items":   {"items/1", "items/16"},
	"calls":   {"small", "bulk", "items"},
	"all":     {"calls", "beside", "idle"},
	"streams": {"down", "downvalues", "up", "upvalues", "pingpong/1", "pingpong/64", "read/1GiB"},
	"extra":   {"bare/64", "bare/512", "intercepted/64", "each", "idlestreams"},
	"check":   {"calls", "intercepted/64", "down", "downvalues", "up", "upvalues", "pingpong/1", "pingpong/64", "read/64MiB"},
	"callers": powers("small/%d", 1, maxCallers, 4),
	"sizes":   {"bulk/16B", "bulk/64B", "bulk/256B", "bulk/1KiB", "bulk/4KiB", "bulk/16KiB", "bulk/64KiB", "bulk/256KiB", "bulk/1MiB", "bulk/4MiB", "bulk/16MiB", "bulk/64MiB"},
	"conns":   {"conns/1", "conns/4", "conns/16", "conns/64", "conns/256", "conns/1000"},
	"memory":  {"idle/1", "idle/10", "idle/100", "idle", "inflight/1", "inflight/16", "inflight/64", "inflight/256", "inflight/1024"},
	"growth":  {"callers", "conns", "sizes", "memory"},
}

func powers(format string, from, to, by int) []string {
	var names []string
	for n := from; n <= to; n *= by {
		names = append(names, fmt.Sprintf(format, n))
	}
	return names
}

// parseWorkloads reads names of workloads and groups, without repetition.
func parseWorkloads(names []string) ([]workload, error) {
	var all []workload
	seen := make(map[workload]bool)
	for _, name := range names {
		ws := make([]workload, 1)
		var err error
		if group, ok := groups[name]; ok {
			ws, err = parseWorkloads(group)
		} else {
			ws[0], err = parseWorkload(name)
		}
		if err != nil {
			return nil, err
		}
		for _, w := range ws {
			if !seen[w] {
				seen[w] = true
				all = append(all, w)
			}
		}
	}
	return all, nil
}

func parseWorkload(name string) (workload, error) {
	kind, arg, _ := strings.Cut(name, "/")
	switch {
	case name == "beside":
		return workload{kind: kind, callers: 2, size: besideSize}, nil
	case name == "idlestreams":
		return workload{kind: kind, callers: 1, size: idleStreams}, nil
	case name == "down" || name == "downvalues" || name == "up" || name == "upvalues" || name == "each":
		return workload{kind: kind, callers: 1}, nil
	case kind == "read":
		n, err := parseLength(arg)
		return workload{kind: kind, callers: 1, size: n}, err
	case name == "idle":
		return workload{kind: kind, callers: 1, size: idleConns}, nil
	case kind == "bulk":
		n, err := parseSize(arg)
		return workload{kind: kind, callers: 1, size: n}, err
	case kind == "idle":
		n, err := parseCount(name, arg)
		return workload{kind: kind, callers: 1, size: n}, err
	case kind == "small" || kind == "items" || kind == "conns" || kind == "inflight" || kind == "pingpong" || kind == "bare" || kind == "intercepted":
		n, err := parseCount(name, arg)
		return workload{kind: kind, callers: n}, err
	}
	return workload{}, fmt.Errorf("workload %q: there are small/CALLERS, bulk/SIZE, items/CALLERS, conns/CONNECTIONS, idle/CONNECTIONS, inflight/CALLS, beside, idle, down, downvalues, up, upvalues, pingpong/STREAMS, read/SIZE, each, bare/CALLERS, intercepted/CALLERS, idlestreams, and groups of them: all, calls, streams, extra, check, growth", name)
}

func parseCount(name, arg string) (int, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 || n > maxCallers {
		return 0, fmt.Errorf("workload %q: want one of 1 to %d", name, maxCallers)
	}
	return n, nil
}

// reduced is a workload of its kind that a test can afford.
func (w workload) reduced() workload {
	switch w.kind {
	case "beside":
		w.size = 256 << 10
	case "idle", "idlestreams":
		w.size = min(w.size, 5)
	case "read":
		w.size = min(w.size, 1<<20)
	}
	return w
}

func (w workload) String() string {
	switch w.kind {
	case "read":
		return "read/" + formatLength(w.size)
	case "bulk":
		return "bulk/" + formatSize(w.size)
	case "small", "items", "conns", "inflight", "pingpong", "bare", "intercepted":
		return fmt.Sprintf("%s/%d", w.kind, w.callers)
	case "idle":
		if w.size != idleConns {
			return fmt.Sprintf("%s/%d", w.kind, w.size)
		}
	}
	return w.kind
}

// title says what a workload is.
func (w workload) title() string {
	callers := "1 caller"
	if w.callers > 1 {
		callers = fmt.Sprintf("%d callers", w.callers)
	}
	switch w.kind {
	case "down", "downvalues":
		return "a stream of small items from the server, by " + w.by()
	case "up", "upvalues":
		return "a stream of small items to the server, by " + w.by()
	case "each":
		return "small items from the server, by a callback without results"
	case "pingpong":
		return fmt.Sprintf("small items there and back on %d streams, one at a time on each", w.callers)
	case "read":
		return formatLength(w.size) + " by an io.Reader, from the server"
	case "idlestreams":
		return fmt.Sprintf("memory of an open stream, of %d on one connection; the server's with its goroutine", w.size)
	case "bare":
		return "small, a handler without a context, " + callers
	case "intercepted":
		return "small, an interceptor at both ends, " + callers
	case "small":
		return "a struct of {int64, string of 16, uint32, float64}, " + callers
	case "bulk":
		return formatSize(w.size) + " of bytes, " + callers
	case "items":
		return fmt.Sprintf("%d of {int64, 3 float64, string of 8}, %s", itemCount, callers)
	case "conns":
		return fmt.Sprintf("small, %s, connections as many", callers)
	case "inflight":
		return fmt.Sprintf("memory of a call that waits in its handler, of %d on one connection", w.callers)
	case "beside":
		return "small by one caller while " + formatSize(w.size) + " of bytes go there and back on the same connection"
	}
	return fmt.Sprintf("memory of an idle connection, of %d", w.size)
}

var units = []struct {
	name string
	n    int
}{{"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func formatSize(n int) string {
	for _, u := range units {
		if n >= u.n && n%u.n == 0 {
			return strconv.Itoa(n/u.n) + u.name
		}
	}
	return "0B"
}

func parseSize(s string) (int, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		n, err := strconv.Atoi(digits)
		if ok && err == nil && n > 0 && n <= 64<<20/u.n && n*u.n >= 8 {
			return n * u.n, nil
		}
	}
	return 0, fmt.Errorf("size %q: want one of 8B to 64MiB", s)
}

// by returns how the items of a stream are passed.
func (w workload) by() string {
	if strings.HasSuffix(w.kind, "values") {
		return "value"
	}
	return "pointer"
}

// parseLength reads the length of read: up to 1GiB, in MiB.
func parseLength(s string) (int, error) {
	if s == "1GiB" {
		return 1 << 30, nil
	}
	return parseSize(s)
}

func formatLength(n int) string {
	if n == 1<<30 {
		return "1GiB"
	}
	return formatSize(n)
}
