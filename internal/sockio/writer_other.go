//go:build !unix

package sockio

import "net"

// A Writer is of use on Unix systems only.
type Writer struct{}

// NewWriter returns nil.
func NewWriter(net.Conn) *Writer { return nil }

// TryWrite returns 0.
func (w *Writer) TryWrite([]byte) int { return 0 }
