package bsrpc_test

// Bytes of real devices, read with tags alone. Each is cited with the place it comes from.

import (
	"bytes"
	"io"
	"reflect"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Swift Binary Protocol, of the receivers of Swift Navigation: a frame and its message
// MSG_VEL_NED, a velocity. The checksum covers everything behind the preamble.
type (
	sbpFrame[T any] struct {
		_       uint8 `bsrpc:"const=0x55"`
		Type    uint16
		Sender  uint16 // the end of the receiver's serial number
		Length  uint8  // of the message, in bytes
		Message T
		CRC     uint16
	}
	sbpVelocity struct {
		TimeOfWeek                           uint32 // ms
		North, East, Down                    int32  // mm/s
		HorizontalAccuracy, VerticalAccuracy uint16
		Satellites, Flags                    uint8
	}
)

// Five messages of a Piksi in two seconds, from swift-nav/libsbp:
// c/test/auto_check_sbp_navigation_22.c (spec/tests/yaml/swiftnav/sbp/navigation/test_MsgVelNED.yaml).
var sbpCapture = []string{
	"55 0e02 d388 16 28f47a13 03000000 fcffffff f3ffffff 0000 0000 0e 00 56d1",
	"55 0e02 d388 16 1cf67a13 fcffffff ffffffff e8ffffff 0000 0000 0f 00 10e4",
	"55 0e02 d388 16 10f87a13 00000000 fdffffff f4ffffff 0000 0000 0f 00 0ba4",
	"55 0e02 d388 16 04fa7a13 02000000 03000000 e8ffffff 0000 0000 0f 00 98d0",
	"55 0e02 d388 16 f8fb7a13 01000000 00000000 ebffffff 0000 0000 0f 00 b678",
}

func TestCapturedVelocities(t *testing.T) {
	want := []sbpVelocity{
		{326825000, 3, -4, -13, 0, 0, 14, 0},
		{326825500, -4, -1, -24, 0, 0, 15, 0},
		{326826000, 0, -3, -12, 0, 0, 15, 0},
		{326826500, 2, 3, -24, 0, 0, 15, 0},
		{326827000, 1, 0, -21, 0, 0, 15, 0},
	}
	var stream []byte
	for _, frame := range sbpCapture {
		stream = append(stream, unhex(t, frame)...)
	}
	dec := bsrpc.NewDecoder(bytes.NewReader(stream))
	var again bytes.Buffer
	enc := bsrpc.NewEncoder(&again)
	for i := range want {
		var f sbpFrame[sbpVelocity]
		if err := dec.Decode(&f); err != nil {
			t.Fatal(err)
		}
		if f.Message != want[i] || f.Type != 0x20e || f.Sender != 35027 || int(f.Length) != 22 {
			t.Errorf("frame %d: %+v", i, f)
		}
		start := again.Len()
		if err := enc.Encode(f); err != nil {
			t.Fatal(err)
		}
		if sum := crcCCITT(again.Bytes()[start+1 : again.Len()-2]); sum != f.CRC {
			t.Errorf("frame %d: checksum %04x, want %04x", i, f.CRC, sum)
		}
	}
	if err := dec.Decode(new(sbpFrame[sbpVelocity])); err != io.EOF || !bytes.Equal(again.Bytes(), stream) {
		t.Errorf("%v, % x", err, again.Bytes())
	}
	// The frame of any message.
	type anyMessage struct {
		_            uint8 `bsrpc:"const=0x55"`
		Type, Sender uint16
		Payload      []byte `bsrpc:"len=le1"`
		CRC          uint16
	}
	var m anyMessage
	if rest, err := bsrpc.Decode(stream, &m); err != nil || len(m.Payload) != 22 || m.CRC != 0xd156 || len(rest) != len(stream)*4/5 {
		t.Errorf("%v, %+v", err, m)
	}
}

// crcCCITT is the CRC-16 of XMODEM.
func crcCCITT(data []byte) (sum uint16) {
	for _, b := range data {
		sum ^= uint16(b) << 8
		for range 8 {
			carry := sum&0x8000 != 0
			if sum <<= 1; carry {
				sum ^= 0x1021
			}
		}
	}
	return sum
}

// A RuuviTag, a sensor of the weather, sends its data in Bluetooth advertisements: flags, and
// the manufacturer's data in format 5 (RAWv2).
type (
	advertisement struct {
		Parts []advertised `bsrpc:"rest"`
	}
	advertised struct {
		Data []byte `bsrpc:"len=le1"` // its kind first
	}
	ruuvi struct {
		_           uint8  `bsrpc:"const=0xff"` // manufacturer's data
		_           uint16 `bsrpc:"const=0x0499"`
		_           uint8  `bsrpc:"const=5"`
		Temperature int16  `bsrpc:"be2"` // 0.005 degrees
		Humidity    uint16 `bsrpc:"be2"` // 0.0025 %
		Pressure    uint16 `bsrpc:"be2"` // Pa, above 50,000
		X, Y, Z     int16  `bsrpc:"be2"` // mg
		Power       uint16 `bsrpc:"be2"` // 11 bits of mV above 1,600, 5 bits of 2 dBm above -40
		Movements   uint8
		Sequence    uint16 `bsrpc:"be2"`
		Address     uint64 `bsrpc:"be6"`
	}
)

// The tag DA:77:B2:94:F8:79, from issue 1024 of ruuvi/ruuvi.gateway_esp.c on GitHub. The
// gateway gives the address beside these data.
const ruuviCapture = "0201061bff99040506c56988b7d2003c0018040495d6e44715da77b294f879"

func TestCapturedAdvertisement(t *testing.T) {
	data := unhex(t, ruuviCapture)
	var a advertisement
	if err := bsrpc.Unmarshal(data, &a); err != nil || len(a.Parts) != 2 || !bytes.Equal(a.Parts[0].Data, []byte{1, 6}) {
		t.Fatalf("%v, %+v", err, a)
	}
	var r ruuvi
	if err := bsrpc.Unmarshal(a.Parts[1].Data, &r); err != nil {
		t.Fatal(err)
	}
	want := ruuvi{Temperature: 1733, Humidity: 27016, Pressure: 47058, X: 60, Y: 24, Z: 1028, Power: 0x95d6, Movements: 0xe4, Sequence: 0x4715, Address: 0xda77b294f879}
	if r != want {
		t.Errorf("%+v", r)
	}
	if mV, dBm := 1600+r.Power>>5, 2*int(r.Power&31)-40; mV != 2798 || dBm != 4 {
		t.Errorf("%d mV, %d dBm", mV, dBm)
	}
	var err error
	if a.Parts[1].Data, err = bsrpc.Marshal(r); err != nil {
		t.Fatal(err)
	}
	if again, err := bsrpc.Marshal(a); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%v, % x", err, again)
	}
}

// Crossfire, of receivers of model aircraft: the frame with statistics of the link. Its length
// counts what follows, and its checksum covers that.
type linkStatistics struct {
	_                     uint8    `bsrpc:"const=0xc8"`
	_                     uint8    `bsrpc:"const=12"`
	_                     uint8    `bsrpc:"const=0x14"`
	UpRSSI                [2]uint8 // -dBm, of two antennas
	UpQuality             uint8    // %
	UpSNR                 int8     // dB
	Antenna, Mode, Power  uint8
	DownRSSI, DownQuality uint8
	DownSNR               int8
	CRC                   uint8
}

// From the log of a receiver in pull request 880 of ExpressLRS/ExpressLRS on GitHub.
const linkCapture = "c8 0c 14 1c00 64 06 00 02 00 00 00 00 e9"

func TestCapturedLinkStatistics(t *testing.T) {
	data := unhex(t, linkCapture)
	var s linkStatistics
	want := linkStatistics{UpRSSI: [2]uint8{28, 0}, UpQuality: 100, UpSNR: 6, Mode: 2, CRC: 0xe9}
	if err := bsrpc.Unmarshal(data, &s); err != nil || !reflect.DeepEqual(s, want) {
		t.Fatalf("%v, %+v", err, s)
	}
	again, err := bsrpc.Marshal(s)
	if err != nil || !bytes.Equal(again, data) {
		t.Fatalf("%v, % x", err, again)
	}
	var sum uint8 // CRC-8 of DVB-S2
	for _, b := range again[2 : len(again)-1] {
		sum ^= b
		for range 8 {
			carry := sum&0x80 != 0
			if sum <<= 1; carry {
				sum ^= 0xd5
			}
		}
	}
	if sum != s.CRC {
		t.Errorf("checksum %02x, want %02x", s.CRC, sum)
	}
}
