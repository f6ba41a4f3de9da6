package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Mounts returns the mounted file systems in the order of mounting.
func (s service) Mounts() ([]Mount, error) {
	text, err := s.readProc("self/mounts")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoProc
	}
	if err != nil {
		return nil, err
	}
	var list []Mount
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 {
			return nil, fmt.Errorf("/proc/self/mounts, line %d: want at least 4 fields, have %d", len(list)+1, len(f))
		}
		list = append(list, Mount{unescape(f[0]), unescape(f[1]), unescape(f[2]), strings.Split(unescape(f[3]), ",")})
	}
	return list, nil
}

// unescape replaces octal escapes, such as \040 for a space.
func unescape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n, c := 1, uint64(s[0])
		if s[0] == '\\' && len(s) >= 4 {
			if octal, err := strconv.ParseUint(s[1:4], 8, 8); err == nil {
				n, c = 4, octal
			}
		}
		b.WriteByte(byte(c))
		s = s[n:]
	}
	return b.String()
}
