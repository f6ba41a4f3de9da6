package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/trace"
)

// Pieces arrive as they were added, also if their decoder is slow; the connection waits only when
// it is far ahead.
func TestPieceQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got, want strings.Builder
		begin := make(chan struct{})
		q := newPieceQueue(func(p *trace.Piece) {
			<-begin
			got.WriteString(p.From.String() + " " + string(p.Bytes) + " " + p.End + "\n")
		})
		q.most = 16 << 10
		var b []byte
		for i := range 10 {
			b = bytes.Repeat([]byte{'a' + byte(i)}, 1<<10)
			p := &trace.Piece{From: trace.Direction(i % 2), Bytes: b[:len(b)-i]}
			if i == 9 {
				p.End = "EOF"
			}
			want.WriteString(p.From.String() + " " + string(p.Bytes) + " " + p.End + "\n")
			q.add(p)
		}
		waited := true
		go func() {
			for range 10 {
				q.add(&trace.Piece{Bytes: b})
			}
			waited = false
		}()
		synctest.Wait()
		if !waited || len(q.waiting.bytes)+q.busy > q.most+len(b) {
			t.Errorf("%d bytes are waiting", len(q.waiting.bytes)+q.busy)
		}
		close(begin)
		synctest.Wait()
		if waited {
			t.Error("the connection still waits")
		}
		for range 10 {
			want.WriteString("client " + string(bytes.Clone(b)) + " \n")
		}
		if !q.close() || got.String() != want.String() {
			t.Errorf("%d bytes, want %d", got.Len(), want.Len())
		}
	})
}

// A panic of the decoder ends the lines alone.
func TestPieceQueuePanic(t *testing.T) {
	q := newPieceQueue(func(p *trace.Piece) { panic("no") })
	for range 100 {
		q.add(&trace.Piece{Bytes: make([]byte, 1<<20)})
	}
	if q.close() {
		t.Error("the panic is not reported")
	}
}
