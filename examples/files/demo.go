package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// demonstrate serves an empty folder, copies another one there and back, and makes two
// mistakes.
func (p program) demonstrate(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "files")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	served, mine := filepath.Join(dir, "served"), filepath.Join(dir, "mine")
	if err := errors.Join(os.Mkdir(served, 0o777), writeSample(mine)); err != nil {
		return err
	}
	p.addr = "127.0.0.1:0"
	return p.serve(served, func(addr string) error {
		p.addr = addr
		return p.dial(ctx, func(server *Files) error {
			if err := p.put(ctx, server, mine, "photos"); err != nil {
				return err
			}
			if err := p.get(ctx, server, "photos", filepath.Join(dir, "copy")); err != nil {
				return err
			}
			fmt.Fprintln(p.out, "both copies have the SHA-256 of their sender")
			err := p.get(ctx, server, "films", filepath.Join(dir, "films"))
			fmt.Fprintf(p.out, "get films: %v; errors.Is(err, fs.ErrNotExist) is %v\n", err, errors.Is(err, fs.ErrNotExist))
			err = p.put(ctx, server, mine, "photos")
			fmt.Fprintf(p.out, "put photos: %v; errors.Is(err, fs.ErrExist) is %v\n", err, errors.Is(err, fs.ErrExist))
			return nil
		})
	})
}

// writeSample writes a folder of 20 MB.
func writeSample(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "raw"), 0o777); err != nil {
		return err
	}
	for name, size := range map[string]int64{"readme.txt": 100, "raw/1": 15e6, "raw/2": 5e6, "raw/empty": 0} {
		f, err := os.Create(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), size)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
