package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

const (
	maxPart    = 4 << 20 // bytes of one ReadAt
	maxEntries = 50_000  // per folder; with names of 255 bytes they fit in a message of 16 MiB
)

// List returns the entries of a folder, sorted by name.
func (s service) List(folder string) ([]File, error) {
	f, err := s.open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(maxEntries + 1)
	if err != nil && err != io.EOF {
		return nil, withName(folder, err)
	}
	if len(names) > maxEntries {
		return nil, fmt.Errorf("%s: more than %d entries", folder, maxEntries)
	}
	slices.Sort(names)
	var files []File
	for _, name := range names {
		info, err := s.root.Lstat(folder + "/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed in the meantime
		}
		if err != nil {
			return nil, err
		}
		files = append(files, fileOf(info))
	}
	return files, nil
}

// Stat describes a file. It follows symbolic links.
func (s service) Stat(name string) (File, error) {
	info, err := s.root.Stat(name)
	if err != nil {
		return File{}, err
	}
	return fileOf(info), nil
}

// ReadAt returns up to n bytes of a file from offset on.
func (s service) ReadAt(name string, offset int64, n int) ([]byte, error) {
	if n < 1 || n > maxPart {
		return nil, fmt.Errorf("%s: a part is 1 to %d bytes", name, maxPart)
	}
	f, err := s.openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	part := make([]byte, n)
	n, err = f.ReadAt(part, offset)
	if err != nil && err != io.EOF {
		return nil, withName(name, err)
	}
	return part[:n], nil
}

// SHA256 returns the checksum of a whole file. It returns early if ctx ends.
func (s service) SHA256(ctx context.Context, name string) (sum [sha256.Size]byte, err error) {
	f, err := s.openRegular(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	for err == nil {
		if err = ctx.Err(); err == nil {
			_, err = io.CopyN(h, f, maxPart)
		}
	}
	if err != io.EOF {
		return sum, withName(name, err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// openRegular opens a regular file. It refuses others, such as terminals and disks.
func (s service) openRegular(name string) (*os.File, error) {
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// open opens a file or folder below the root. O_NONBLOCK avoids waiting for the other
// end of a named pipe.
func (s service) open(name string) (*os.File, error) {
	return s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func fileOf(info fs.FileInfo) File {
	return File{info.Name(), info.Size(), info.Mode(), info.ModTime()}
}

// withName replaces the path in err by the caller's: the location of the served folder is
// not for clients.
func withName(name string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return &fs.PathError{Op: p.Op, Path: name, Err: p.Err}
	}
	return err
}
