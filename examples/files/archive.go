package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// An archive is a folder as a stream of bytes: a tar, and behind it the SHA-256 of the tar.
// Folders and regular files travel, links and devices do not.

const block = 512 // of a tar, which pads with it

// sizeOf returns about the bytes of a folder's archive.
func sizeOf(folder *os.Root) (size int64, err error) {
	err = fs.WalkDir(folder.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		size += block
		if d.Type().IsRegular() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			size += (info.Size() + block - 1) / block * block
		}
		return nil
	})
	return size + block + sha256.Size, err
}

// send writes the archive of a folder.
func send(w io.Writer, folder *os.Root) error {
	sum := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(w, sum))
	err := fs.WalkDir(folder.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != ".":
			return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o777})
		case d.Type().IsRegular():
			return sendFile(archive, folder, name)
		}
		return nil
	})
	if err == nil {
		err = archive.Close()
	}
	if err == nil {
		_, err = w.Write(sum.Sum(nil))
	}
	return err
}

// sendFile adds a file to an archive. A file that changes its size meanwhile is an error.
func sendFile(archive *tar.Writer, folder *os.Root, name string) error {
	f, err := folder.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size()}); err != nil {
		return err
	}
	if _, err := io.Copy(archive, f); err != nil {
		return err
	}
	return archive.Flush()
}

// receive stores an archive of at most max bytes in an empty folder, and compares its
// SHA-256. The names in an archive are the peer's: only a root may open them.
func receive(r io.Reader, folder *os.Root, max int64) error {
	sum := sha256.New()
	archive := tar.NewReader(io.TeeReader(r, sum))
	for size := int64(0); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return cut(err)
		}
		if size += block; h.Size > max-size {
			return fmt.Errorf("the folder has more than %d bytes, the flag -max of this end", max)
		}
		size += h.Size
		if err := receiveOne(archive, folder, h); err != nil {
			return cut(err)
		}
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r, want); err != nil {
		return cut(err)
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return errors.New("the SHA-256 of the received bytes is not the sender's")
	}
	return nil
}

// receiveOne stores one entry of an archive.
func receiveOne(archive io.Reader, folder *os.Root, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return folder.Mkdir(h.Name, 0o777)
	case tar.TypeReg:
		f, err := folder.OpenFile(h.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, h.FileInfo().Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(f, archive)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("%q: neither a folder nor a regular file", h.Name)
}

// cut returns err, for an end of the bytes before that of the archive
// io.ErrUnexpectedEOF.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
