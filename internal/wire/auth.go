package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxAuth is the longest AUTH frame. Nothing of a peer that has not proved who it is may be
// longer.
const MaxAuth = 8 << 10

// The fields of an AUTH frame, which have a list of types of their own.
const (
	authUser  FieldType = 1
	authToken FieldType = 2
)

// AppendAuth appends an AUTH frame. An empty field is absent. It is an error if the frame would
// be too long.
func AppendAuth(dst []byte, user, token string) ([]byte, error) {
	var body []byte
	for t, text := range [...]string{authUser: user, authToken: token} {
		if text != "" {
			body = appendFieldHead(body, FieldType(t), len(text))
			body = append(body, text...)
		}
	}
	if headerSize+len(body) > MaxAuth {
		return dst, fmt.Errorf("credentials of %d bytes, want at most %d", len(body), MaxAuth-headerSize)
	}
	return append(AppendHeader(dst, &Frame{Type: Auth, BodySize: len(body)}), body...), nil
}

// ReadAuth reads an AUTH frame after its size and type. Errors contain nothing of the
// credentials.
func ReadAuth(payload []byte) (user, token string, err error) {
	if len(payload) < headerSize-BasicHeaderSize {
		return "", "", errors.New("an AUTH frame without a header")
	}
	flags, rest := payload[0], payload[headerSize-BasicHeaderSize:]
	if arg, id := binary.LittleEndian.Uint16(payload[1:]), binary.LittleEndian.Uint64(payload[3:]); flags != 0 || arg != 0 || id != 0 {
		return "", "", errors.New("an AUTH frame with reserved parts of its header")
	}
	err = ReadFields(rest, func(t FieldType, v []byte) (known bool, err error) {
		switch t {
		case authUser:
			user = string(v)
		case authToken:
			token = string(v)
		default:
			return false, nil
		}
		return true, nil
	})
	return user, token, err
}
