package main

import (
	_ "github.com/fxamacker/cbor/v2"
	_ "github.com/kelindar/binary"
	_ "github.com/vmihailenco/msgpack/v5"
	_ "gonum.org/v1/plot"
)
