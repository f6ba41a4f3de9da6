package main

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"time"
)

// Host is the contract: what client and server share.
type Host struct {
	Processes func(ctx context.Context) ([]Process, error)
	Mounts    func(ctx context.Context) ([]Mount, error)

	// List returns the entries of a folder, "." the one that is served.
	List func(ctx context.Context, folder string) ([]File, error)
	// Stat describes one file.
	Stat func(ctx context.Context, name string) (File, error)
	// ReadAt returns up to n bytes of a regular file, at most maxPart, and
	// none at its end.
	ReadAt func(ctx context.Context, name string, offset int64, n int) ([]byte, error)
	// SHA256 returns the sum of a whole file, which may take a while.
	SHA256 func(ctx context.Context, name string) ([sha256.Size]byte, error) `bsrpc:"timeout=10m"`
}

// A Process is one running program.
type Process struct {
	ID, Parent int
	Name       string // not always UTF-8, like every name on Linux
	State      string // R, S, D, Z or another letter of proc(5)
	Threads    int
	Resident   int64         // bytes of memory
	CPU        time.Duration // used so far
}

// A Mount is one mounted file system.
type Mount struct {
	Source, Folder, Type string
	Options              []string
}

// A File is one entry of a folder.
type File struct {
	Name     string // not always UTF-8
	Size     int64
	Mode     fs.FileMode
	Modified time.Time
}
