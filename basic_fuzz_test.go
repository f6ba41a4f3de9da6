package bsrpc

import (
	"encoding/binary"
	"io"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// For any input, a server answers each complete frame once, in order, with a valid
// frame, and does not crash.
func FuzzBasicServer(f *testing.F) {
	var all string
	for _, frame := range recordedFrames(f) {
		f.Add([]byte(frame), true)
		f.Add([]byte(frame), false)
		all += frame
	}
	f.Add([]byte(all+all), true)
	f.Add([]byte(all[:len(all)-3]), true)
	f.Add([]byte("\x00\x00\x00\x00\x05\x00\x00\x00\x01\xff\xff\xff\xff\x01"), true)
	f.Fuzz(func(t *testing.T, input []byte, admitted bool) {
		synctest.Test(t, func(t *testing.T) {
			clerk := newBasicClerk()
			close(clerk.release)
			go func() {
				for range clerk.began {
				}
			}()
			srv := basicServer(t, clerk, &ServerOptions{MaxMessage: 1 << 16})
			p := rawDial(t, srv)
			if admitted {
				p.ask(basicInit, basicAdmitted)
			}
			answers := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(p.nc)
				answers <- b
			}()
			go p.nc.Write(input)
			synctest.Wait()
			p.nc.Close()
			got, want := countAnswers(t, <-answers), countFrames(input, admitted)
			if got != want {
				t.Errorf("%d answers to %d frames", got, want)
			}
			<-p.served
			srv.Close()
			close(clerk.began)
		})
	})
}

// countFrames returns the number of frames in input answered by a server.
func countFrames(input []byte, admitted bool) (n int) {
	if !admitted && len(input) > 8 {
		if payload := input[5:]; string(payload[3:min(7, len(payload))]) == "bsrp" {
			input = nil
		}
	}
	longest := int64(wire.MaxInit)
	if admitted {
		longest = 1<<16 + 2
	}
	for len(input) >= 4 {
		size := int64(binary.LittleEndian.Uint32(input))
		if size < wire.BasicHeaderSize {
			input = input[4:]
			n++
			continue
		}
		if size-wire.BasicHeaderSize > longest {
			if admitted {
				return n + 1 // the last
			}
			return n
		}
		if size > int64(len(input)) {
			return n
		}
		frame := input[:size]
		input = input[size:]
		n++
		if !admitted && frame[4] == 0 {
			if size < 8 {
				return n // closed
			}
			if frame[5] == 0 {
				admitted, longest = true, 1<<16+2
			}
		}
	}
	return n
}

// countAnswers returns the number of frames in a server's output.
func countAnswers(t *testing.T, output []byte) (n int) {
	for ; len(output) > 0; n++ {
		if len(output) < wire.BasicHeaderSize {
			t.Fatalf("%x is left", output)
		}
		typ, size := wire.ReadBasicHeader(output)
		output = output[wire.BasicHeaderSize:]
		if size < 0 || size > int64(len(output)) {
			t.Fatalf("%v announces %d bytes of %d", typ, size, len(output))
		}
		if typ == wire.Exception {
			name, _, err := wire.ReadException(output[:size])
			if err != nil || basic.SafeName(name, "") != name {
				t.Fatalf("%q, %v", name, err)
			}
		}
		output = output[size:]
	}
	return n
}
