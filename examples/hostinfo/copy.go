package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// copyFile copies a file of the server to out, part by part, and compares the SHA-256 of
// the copy with the server's.
func copyFile(ctx context.Context, host *Host, name string, out io.Writer) (size int64, err error) {
	file, err := host.Stat(ctx, name)
	if err != nil {
		return 0, err
	}
	sum := sha256.New()
	for size < file.Size {
		part, err := host.ReadAt(ctx, name, size, maxPart)
		if err != nil {
			return size, err
		}
		if len(part) == 0 {
			return size, fmt.Errorf("%s: became shorter during the copy", printable(name))
		}
		sum.Write(part)
		if _, err := out.Write(part); err != nil {
			return size, err
		}
		size += int64(len(part))
	}
	want, err := host.SHA256(ctx, name)
	if err != nil {
		return size, err
	}
	if [sha256.Size]byte(sum.Sum(nil)) != want {
		return size, fmt.Errorf("%s: the copy's SHA-256 is not the server's; the file changed meanwhile, copy it again", printable(name))
	}
	return size, nil
}
