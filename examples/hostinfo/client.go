package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/bsrpc/bsrpc"
)

// client prints the tables of the server at addr and copies the file.
func (p program) client(ctx context.Context, addr string) error {
	client, err := bsrpc.Dial(ctx, "tcp", addr, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	host, err := bsrpc.Bind[Host](ctx, client, "Host")
	if err != nil {
		return err
	}
	if err := printTables(ctx, p.out, host, p.rows); err != nil || p.copy == "" {
		return err
	}
	to, err := os.Create(p.to)
	if err != nil {
		return err
	}
	size, err := copyFile(ctx, host, p.copy, to)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "copied %s: %d bytes, and the SHA-256 agrees\n", printable(p.copy), size)
	return nil
}
