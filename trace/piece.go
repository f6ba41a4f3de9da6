package trace

import (
	"fmt"
	"time"
)

// A Direction is an end of a connection, as the sender of bytes. The client is the end that
// has opened the connection.
type Direction uint8

// The directions.
const (
	FromClient Direction = iota
	FromServer
)

var directions = [...]string{"client", "server"}

// String returns the name of the sender, "client" or "server".
func (d Direction) String() string {
	if int(d) < len(directions) {
		return directions[d]
	}
	return fmt.Sprintf("direction %d", uint8(d))
}

// MarshalText returns the name of the sender.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// other returns the receiver.
func (d Direction) other() Direction { return 1 - d&1 }

// A Piece is some bytes of a conversation, cut anywhere, or the end of one direction.
type Piece struct {
	Time  time.Time
	Conn  uint32 // tells the connections of a recording apart
	From  Direction
	Bytes []byte // not kept
	End   string // if not empty: why From sends nothing more, such as "EOF"
}
