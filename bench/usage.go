package main

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// A usage is what a process has used since it began, and its memory now.
type usage struct {
	CPU     time.Duration
	Mallocs uint64
	Heap    uint64 // in use, stacks included
	RSS     uint64 // zero where it is not known
	Held    int64  // calls that have come to the gate
}

func measureUsage() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return usage{CPU: cpu, Mallocs: m.Mallocs, Heap: m.HeapInuse + m.StackInuse, RSS: residentSet(), Held: held.waiting.Load()}
}

func residentSet() uint64 {
	b, _ := os.ReadFile("/proc/self/statm")
	if f := bytes.Fields(b); len(f) > 1 {
		n, _ := strconv.ParseUint(string(f[1]), 10, 64)
		return n * uint64(os.Getpagesize())
	}
	return 0
}

// sub returns what was used since an earlier usage.
func (u usage) sub(o usage) usage {
	u.CPU -= o.CPU
	u.Mallocs -= o.Mallocs
	return u
}

func (u usage) plus(o usage) usage {
	u.CPU += o.CPU
	u.Mallocs += o.Mallocs
	return u
}
