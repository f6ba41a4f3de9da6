package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Processes returns the running processes, sorted by id.
func (s service) Processes() ([]Process, error) {
	entries, err := fs.ReadDir(s.proc, ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Process
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue // not a process
		}
		stat, err := s.readProc(e.Name() + "/stat")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // ended in the meantime
		}
		if err != nil {
			return nil, err
		}
		p, err := parseProcess(stat)
		if err != nil {
			return nil, fmt.Errorf("/proc/%s/stat: %w", e.Name(), err)
		}
		list = append(list, p)
	}
	if list == nil {
		return nil, errNoProc
	}
	slices.SortFunc(list, func(a, b Process) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// parseProcess parses /proc/ID/stat: the id, the name in parentheses, possibly with
// spaces and parentheses itself, and the fields from number 3 on. See proc(5).
func parseProcess(stat string) (Process, error) {
	head, rest, ok := cutLast(stat, ") ")
	id, name, ok2 := strings.Cut(head, " (")
	fields := strings.Fields(rest)
	if !ok || !ok2 || len(fields) < 22 {
		return Process{}, errors.New("not in the format of proc(5)")
	}
	var errs []error
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		errs = append(errs, err)
		return n
	}
	field := func(n int) int64 { return number(fields[n-3]) }
	const tick = time.Second / 100 // of times for user space, independent of the kernel's timer
	p := Process{
		ID:       int(number(id)),
		Parent:   int(field(4)),
		Name:     name,
		State:    fields[0],
		Threads:  int(field(20)),
		Resident: field(24) * int64(os.Getpagesize()),
		CPU:      time.Duration(field(14)+field(15)) * tick,
	}
	return p, errors.Join(errs...)
}

// cutLast is like strings.Cut, but splits at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
