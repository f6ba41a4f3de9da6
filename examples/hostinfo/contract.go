package main

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"time"
)

// Host is the contract shared by client and server.
type Host struct {
	Processes func(ctx context.Context) ([]Process, error)
	Mounts    func(ctx context.Context) ([]Mount, error)

	// List returns the entries of a folder. "." is the served folder.
	List func(ctx context.Context, folder string) ([]File, error)
	// Stat describes one file.
	Stat func(ctx context.Context, name string) (File, error)
	// ReadAt returns up to n bytes of a regular file, at most maxPart. At the end
	// of the file it returns none.
	ReadAt func(ctx context.Context, name string, offset int64, n int) ([]byte, error)
	// SHA256 returns the checksum of a whole file. The timeout is for large files.
	SHA256 func(ctx context.Context, name string) ([sha256.Size]byte, error) `bsrpc:"timeout=10m"`
}

// A Process is a running process.
type Process struct {
	ID, Parent int
	Name       string // any bytes, not necessarily UTF-8
	State      string // R, S, D, Z or another letter of proc(5)
	Threads    int
	Resident   int64         // memory in bytes
	CPU        time.Duration // time used so far
}

// A Mount is a mounted file system.
type Mount struct {
	Source, Folder, Type string
	Options              []string
}

// A File is an entry of a folder.
type File struct {
	Name     string // any bytes, not necessarily UTF-8
	Size     int64
	Mode     fs.FileMode
	Modified time.Time
}
