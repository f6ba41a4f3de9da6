package codec

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Less common types, each compared with handwritten code.

type benchLeaf struct{ A, B int64 }

type benchRegister struct {
	A uint32 `bsrpc:"be4"`
	B uint64 `bsrpc:"be8"`
	C uint16 `bsrpc:"be2"`
	D uint32 `bsrpc:"be4"`
}

var (
	benchMap = func() map[string]uint32 {
		m := make(map[string]uint32)
		for i := range uint32(100) {
			m[fmt.Sprintf("name %03d", i)] = i
		}
		return m
	}()
	benchPointers = func() (list []*benchLeaf) {
		for i := range int64(100) {
			list = append(list, &benchLeaf{i, -i})
		}
		return list
	}()
	benchNested = func() (list [][]uint32) {
		for range 100 {
			list = append(list, []uint32{1, 2, 3, 4, 5, 6, 7, 8})
		}
		return list
	}()
	benchBig = func() (list []benchRegister) {
		for i := range uint32(100) {
			list = append(list, benchRegister{i, uint64(i), uint16(i), i})
		}
		return list
	}()
)

// openHand and closeHand write the lengths before the elements of a slice.
func openHand(b []byte, count int) ([]byte, int) {
	return binary.LittleEndian.AppendUint32(append(b, 0, 0, 0, 0), uint32(count)), len(b)
}

func closeHand(b []byte, at int) []byte {
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// countHand reads the lengths before the elements of a slice.
func countHand(b []byte, least int) (rest []byte, count int, ok bool) {
	if len(b) < 8 || int(binary.LittleEndian.Uint32(b)) != len(b)-4 {
		return nil, 0, false
	}
	count = int(binary.LittleEndian.Uint32(b[4:]))
	return b[8:], count, count <= (len(b)-8)/least
}

func appendMapHand(b []byte, m map[string]uint32) []byte {
	b, at := openHand(b, len(m))
	keys := slices.AppendSeq(make([]string, 0, len(m)), maps.Keys(m))
	slices.Sort(keys)
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(k)))
		b = append(b, k...)
		b = binary.LittleEndian.AppendUint32(b, m[k])
	}
	return closeHand(b, at)
}

func readMapHand(b []byte) (map[string]uint32, bool) {
	b, count, ok := countHand(b, 8)
	if !ok {
		return nil, false
	}
	m := make(map[string]uint32, count)
	last := ""
	for i := range count {
		if len(b) < 4 {
			return nil, false
		}
		n := int(binary.LittleEndian.Uint32(b))
		if b = b[4:]; n > len(b)-4 {
			return nil, false
		}
		k := string(b[:n])
		if i > 0 && k <= last {
			return nil, false
		}
		last = k
		m[k] = binary.LittleEndian.Uint32(b[n:])
		b = b[n+4:]
	}
	return m, len(b) == 0
}

func appendPointersHand(b []byte, list []*benchLeaf) []byte {
	b, at := openHand(b, len(list))
	for _, p := range list {
		if p == nil {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		b = binary.LittleEndian.AppendUint64(b, uint64(p.A))
		b = binary.LittleEndian.AppendUint64(b, uint64(p.B))
	}
	return closeHand(b, at)
}

func readPointersHand(b []byte) ([]*benchLeaf, bool) {
	b, count, ok := countHand(b, 1)
	if !ok {
		return nil, false
	}
	list := make([]*benchLeaf, count)
	for i := range list {
		switch {
		case len(b) == 0 || b[0] > 1 || b[0] == 1 && len(b) < 17:
			return nil, false
		case b[0] == 0:
			b = b[1:]
			continue
		}
		list[i] = &benchLeaf{int64(binary.LittleEndian.Uint64(b[1:])), int64(binary.LittleEndian.Uint64(b[9:]))}
		b = b[17:]
	}
	return list, len(b) == 0
}

func appendNestedHand(b []byte, list [][]uint32) []byte {
	b, at := openHand(b, len(list))
	for _, inner := range list {
		var in int
		b, in = openHand(b, len(inner))
		for _, n := range inner {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		b = closeHand(b, in)
	}
	return closeHand(b, at)
}

func readNestedHand(b []byte) ([][]uint32, bool) {
	b, count, ok := countHand(b, 8)
	if !ok {
		return nil, false
	}
	list := make([][]uint32, count)
	for i := range list {
		if len(b) < 8 || int(binary.LittleEndian.Uint32(b)) > len(b)-4 {
			return nil, false
		}
		n := int(binary.LittleEndian.Uint32(b)) + 4
		inner, count, ok := countHand(b[:n], 4)
		if !ok || len(inner) != 4*count {
			return nil, false
		}
		b = b[n:]
		list[i] = make([]uint32, count)
		for j := range list[i] {
			list[i][j] = binary.LittleEndian.Uint32(inner[4*j:])
		}
	}
	return list, len(b) == 0
}

func appendBigHand(b []byte, list []benchRegister) []byte {
	b, at := openHand(b, len(list))
	for i := range list {
		v := &list[i]
		b = binary.BigEndian.AppendUint32(b, v.A)
		b = binary.BigEndian.AppendUint64(b, v.B)
		b = binary.BigEndian.AppendUint16(b, v.C)
		b = binary.BigEndian.AppendUint32(b, v.D)
	}
	return closeHand(b, at)
}

func readBigHand(b []byte) ([]benchRegister, bool) {
	b, count, ok := countHand(b, 18)
	if !ok || len(b) != 18*count {
		return nil, false
	}
	list := make([]benchRegister, count)
	for i := range list {
		list[i] = benchRegister{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint16(b[12:]), binary.BigEndian.Uint32(b[14:])}
		b = b[18:]
	}
	return list, true
}

func BenchmarkShapes(b *testing.B) {
	benchShape(b, "map", &benchMap, appendMapHand, readMapHand)
	benchShape(b, "pointers", &benchPointers, appendPointersHand, readPointersHand)
	benchShape(b, "nested", &benchNested, appendNestedHand, readNestedHand)
	benchShape(b, "bigendian", &benchBig, appendBigHand, readBigHand)
}

func benchShape[T any](b *testing.B, name string, v *T, appendHand func([]byte, T) []byte, readHand func([]byte) (T, bool)) {
	b.Run(name+"/append/hand", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = appendHand(buf[:0], *v)
		}
	})
	b.Run(name+"/append/codec", func(b *testing.B) { benchAppend(b, v) })
	b.Run(name+"/read/hand", func(b *testing.B) {
		data := appendHand(nil, *v)
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := readHand(data); !ok {
				b.Fatal("not read")
			}
		}
	})
	b.Run(name+"/read/codec", func(b *testing.B) { benchRead(b, v) })
}
