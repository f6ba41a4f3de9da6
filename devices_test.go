package bsrpc_test

import (
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Frames of devices and files, from their public specifications, with tags alone.

// A ubxFrame is any message of a u-blox receiver.
type ubxFrame struct {
	_         uint16 `bsrpc:"be2,const=0xB562"`
	Class, ID uint8
	Payload   []byte `bsrpc:"len=le2"`
	SumA      uint8
	SumB      uint8
}

// A navSat is the payload of UBX-NAV-SAT. The number of satellites stands before reserved
// bytes; the end of the payload says the same.
type navSat struct {
	TimeOfWeek uint32
	Version    uint8
	Count      uint8
	_          [2]byte `bsrpc:"pad"`
	Satellites []struct {
		System, Number, Strength uint8
		Elevation                int8
		Azimuth, Residual        int16
		Flags                    uint32
	} `bsrpc:"rest"`
}

// A registers is the answer to a read of Modbus registers, on a serial line.
type registers struct {
	Unit uint8
	_    uint8    `bsrpc:"const=3"`
	Regs []uint16 `bsrpc:"bytes=le1,be2"`
	CRC  uint16
}

// A canFrame is that of Linux, struct can_frame.
type canFrame struct {
	ID   uint32
	Size uint8
	_    [3]byte `bsrpc:"pad"`
	Data [8]byte
}

// An ntpPacket has no length at all.
type ntpPacket struct {
	Flags, Stratum                         uint8
	Poll, Precision                        int8
	Delay, Dispersion                      uint32 `bsrpc:"be4"`
	Reference                              [4]byte
	Updated, Origin, Received, Transmitted uint64 `bsrpc:"be8"`
}

// A wave is a file of samples. Sizes are in bytes.
type wave struct {
	_          uint32 `bsrpc:"be4,const=0x52494646"` // RIFF
	Size       uint32
	_          uint32 `bsrpc:"be4,const=0x57415645"` // WAVE
	_          uint32 `bsrpc:"be4,const=0x666d7420"` // fmt
	_          uint32 `bsrpc:"const=16"`
	_          uint16 `bsrpc:"const=1"` // PCM
	Channels   uint16
	Rate       uint32
	ByteRate   uint32
	BlockAlign uint16
	_          uint16  `bsrpc:"const=16"`             // bits
	_          uint32  `bsrpc:"be4,const=0x64617461"` // data
	Samples    []int16 `bsrpc:"bytes=le4"`
}

// A capture is the header of a pcap file, a packetHead that of a packet.
type (
	capture struct {
		_        uint32 `bsrpc:"const=0xa1b2c3d4"`
		_        uint16 `bsrpc:"const=2"`
		_        uint16 `bsrpc:"const=4"`
		Zone     int32
		Accuracy uint32
		Longest  uint32
		Network  uint32
	}
	packetHead struct{ Seconds, Micros, Captured, Length uint32 }
)

var frames = []struct {
	name, bytes string
	want        any
}{
	{"UBX-ACK-ACK", "b562 05 01 0200 06 01 0f 38", &ubxFrame{Class: 5, ID: 1, Payload: []byte{6, 1}, SumA: 0x0f, SumB: 0x38}},
	{"Modbus", "11 03 06 ae41 5652 4340 49ad", &registers{Unit: 0x11, Regs: []uint16{0xae41, 0x5652, 0x4340}, CRC: 0xad49}},
	{"CAN", "23010000 02 000000 beef000000000000", &canFrame{ID: 0x123, Size: 2, Data: [8]byte{0xbe, 0xef}}},
	{"NTP", "1b 00 00 00 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 e8e2a3c480000000",
		&ntpPacket{Flags: 0x1b, Transmitted: 0xe8e2a3c480000000}},
	{"WAV", "52494646 28000000 57415645 666d7420 10000000 0100 0100 401f0000 803e0000 0200 1000 64617461 04000000 ff7f 0080",
		&wave{Size: 40, Channels: 1, Rate: 8000, ByteRate: 16000, BlockAlign: 2, Samples: []int16{32767, -32768}}},
	{"pcap", "d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000", &capture{Longest: 65535, Network: 1}},
}

func TestFramesOfDevices(t *testing.T) {
	for _, tt := range frames {
		data := unhex(t, tt.bytes)
		got := reflect.New(reflect.TypeOf(tt.want).Elem())
		if err := bsrpc.Unmarshal(data, got.Interface()); err != nil || !reflect.DeepEqual(got.Interface(), tt.want) {
			t.Errorf("%s: %v, %+v", tt.name, err, got.Elem())
		}
		if again, err := bsrpc.Marshal(tt.want); err != nil || !slices.Equal(again, data) {
			t.Errorf("%s: %v, % x, want % x", tt.name, err, again, data)
		}
	}
}

// A payload whose count stands apart from its elements: its own end is enough.
func TestNavSat(t *testing.T) {
	payload := unhex(t, "40420f00 01 02 ffff 00 05 2c 2d 8700 0300 5f190000 02 0b 21 f6 2c01 fdff 11000000")
	var s navSat
	if err := bsrpc.Unmarshal(payload, &s); err != nil || int(s.Count) != len(s.Satellites) || s.Satellites[1].Elevation != -10 || s.Satellites[0].Azimuth != 135 {
		t.Fatalf("%v, %+v", err, s)
	}
	f := ubxFrame{Class: 1, ID: 0x35}
	var err error
	if f.Payload, err = bsrpc.Marshal(s); err != nil {
		t.Fatal(err)
	}
	payload[6], payload[7] = 0, 0 // noise is not sent back
	if !slices.Equal(f.Payload, payload) {
		t.Errorf("% x", f.Payload)
	}
	for _, b := range append([]byte{f.Class, f.ID, byte(len(payload)), 0}, payload...) {
		f.SumA += b
		f.SumB += f.SumA
	}
	data, err := bsrpc.Marshal(f)
	var again ubxFrame
	if err != nil || bsrpc.Unmarshal(data, &again) != nil || !reflect.DeepEqual(again, f) {
		t.Errorf("%v, %+v", err, again)
	}
}

// Packets of a file follow their heads. The size of one is not next to its bytes.
func TestPackets(t *testing.T) {
	data := unhex(t, "d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000"+
		"00e1f505 01000000 02000000 3c000000 cafe"+"00e1f505 02000000 01000000 01000000 01")
	var c capture
	rest, err := bsrpc.Decode(data, &c)
	var packets [][]byte
	for err == nil && len(rest) > 0 {
		var h packetHead
		if rest, err = bsrpc.Decode(rest, &h); err == nil {
			packets = append(packets, rest[:h.Captured])
			rest = rest[h.Captured:]
		}
	}
	if err != nil || !reflect.DeepEqual(packets, [][]byte{{0xca, 0xfe}, {1}}) {
		t.Errorf("%v, %x", err, packets)
	}
}

// unhex returns the bytes of a hexadecimal text with spaces.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
