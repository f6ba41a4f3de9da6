package main

import (
	"encoding/binary"
	"errors"
	"math"
)

// The codec by hand: what the typed echo sends, and the reference of the
// benchmarks of codecs. Numbers are little-endian, lengths four bytes.

var errShort = errors.New("message cut off")

func appendSmall(dst []byte, s *Small) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.ID))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s.Name)))
	dst = append(dst, s.Name...)
	dst = binary.LittleEndian.AppendUint32(dst, s.Flags)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.Value))
}

func readSmall(b []byte, s *Small) error {
	if len(b) < 12 {
		return errShort
	}
	s.ID = int64(binary.LittleEndian.Uint64(b))
	n := int(binary.LittleEndian.Uint32(b[8:]))
	if b = b[12:]; n < 0 || len(b) < n || len(b)-n != 12 {
		return errShort
	}
	s.Name = string(b[:n])
	s.Flags = binary.LittleEndian.Uint32(b[n:])
	s.Value = math.Float64frombits(binary.LittleEndian.Uint64(b[n+4:]))
	return nil
}

func appendItems(dst []byte, items []Item) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(items)))
	for i := range items {
		it := &items[i]
		dst = binary.LittleEndian.AppendUint64(dst, uint64(it.ID))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(it.X))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(it.Y))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(it.Z))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(it.Name)))
		dst = append(dst, it.Name...)
	}
	return dst
}

const itemMin = 36 // bytes of an item with an empty name

func readItems(b []byte) ([]Item, error) {
	if len(b) < 4 {
		return nil, errShort
	}
	n := int(binary.LittleEndian.Uint32(b))
	if b = b[4:]; n < 0 || n > len(b)/itemMin {
		return nil, errShort
	}
	items := make([]Item, n)
	for i := range items {
		if len(b) < itemMin {
			return nil, errShort
		}
		it := &items[i]
		it.ID = int64(binary.LittleEndian.Uint64(b))
		it.X = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
		it.Y = math.Float64frombits(binary.LittleEndian.Uint64(b[16:]))
		it.Z = math.Float64frombits(binary.LittleEndian.Uint64(b[24:]))
		l := int(binary.LittleEndian.Uint32(b[32:]))
		if b = b[itemMin:]; l < 0 || l > len(b) {
			return nil, errShort
		}
		it.Name, b = string(b[:l]), b[l:]
	}
	return items, nil
}
