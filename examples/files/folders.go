package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
)

// Files is the contract shared by client and server.
type Files struct {
	// Get returns a folder: about the bytes of its archive, and the archive.
	Get func(ctx context.Context, name string) (size int64, archive io.ReadCloser, err error)

	// Put receives a new folder. The folder exists once Put has returned without an error,
	// and an incomplete one never does. The tag lets an upload take longer than
	// ClientOptions.DefaultCallTimeout, as Put returns only at its end.
	Put func(ctx context.Context, name string, archive io.Reader) error `bsrpc:"timeout=none"`
}

// folders implements the contract below a root, at the server. The client has one for its
// own disk: a copy is a Get of one end and a Put of the other.
type folders struct {
	root *os.Root // no path leads out of it
	max  int64    // bytes of a received folder
}

// Get returns the archive of a folder.
func (f folders) Get(name string) (size int64, archive io.ReadCloser, err error) {
	folder, err := f.root.OpenRoot(name)
	if err != nil {
		return 0, nil, err
	}
	if size, err = sizeOf(folder); err != nil {
		folder.Close()
		return 0, nil, err
	}
	r, w := io.Pipe()
	go func() {
		defer folder.Close()
		w.CloseWithError(send(w, folder)) // nil ends the stream, an error fails it
	}()
	return size, r, nil
}

// Put stores an archive as a folder. The bytes collect in a second folder until they are
// complete.
func (f folders) Put(name string, archive io.Reader) error {
	name = path.Clean(name)
	partial := name + ".partial"
	if err := f.root.Mkdir(partial, 0o777); err != nil {
		return err // also if the same folder is on its way already
	}
	defer f.root.RemoveAll(partial)
	if _, err := f.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "put", Path: name, Err: fs.ErrExist}
	}
	folder, err := f.root.OpenRoot(partial)
	if err != nil {
		return err
	}
	err = receive(archive, folder, f.max)
	if err := errors.Join(err, folder.Close()); err != nil {
		return err
	}
	return f.root.Rename(partial, name)
}
