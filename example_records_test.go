package bsrpc_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/bsrpc/bsrpc"
)

// A sensor of dust sends ten bytes each second.
func ExampleNewDecoder() {
	type report struct {
		_        uint16 `bsrpc:"be2,const=0xAAC0"`
		PM25     uint16 // 0.1 µg/m³
		PM10     uint16
		ID       uint16 `bsrpc:"be2"`
		Checksum uint8
		_        uint8 `bsrpc:"const=0xAB"`
	}
	var port io.Reader = strings.NewReader("\xaa\xc0\x8c\x00\x94\x00\xbc\xf9\xd5\xab" + "\xaa\xc0\xd4\x04\x3a\x0a\xa1\x60\x1d\xab" + "\xaa\xc0\xd4")
	dec := bsrpc.NewDecoder(port)
	for {
		var r report
		err := dec.Decode(&r)
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(r.ID, r.PM25, r.PM10)
	}
	// Output:
	// 48377 140 148
	// 41312 1236 2618
	// bsrpc: report.PM25: want 2 bytes, have 1, offset 22
}

// A point, and what follows it.
func ExampleDecode() {
	var p struct{ X, Y int16 }
	rest, err := bsrpc.Decode([]byte("\x01\x00\xff\xffmore"), &p)
	fmt.Println(p, string(rest), err)
	// Output: {1 -1} more <nil>
}
