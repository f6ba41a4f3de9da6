// Package trace prints what two ends of a connection say to each other.
//
// A [Decoder] turns the bytes of a conversation into events, one for each frame, and an [Event]
// prints as one line. [NewConn] does both for a connection in a program. A [Writer] and a
// [Reader] keep conversations in a file, see docs/recordings.md.
//
//	09:30:00.000120 > REQUEST        c2                 31  Greeter.Hello left=20s 7 bytes
//	09:30:00.000410 < RESPONSE       c2                 29  Greeter.Hello after=290µs 13 bytes
//
// The columns are the time, the direction (> from the client), the frame, the call, the size of
// the frame in bytes, and the rest. c2 is call 2 of the client, and s2 call 2 of the server. Ids
// above 65,535 have a dot before the low 16 bits: c3.1 is 3<<16 + 1, call 3 in slot 1 of a client
// in Go.
//
// Lines contain values of arguments, results, items and metadata only where [Options] allow
// it, and never a token. The texts of errors are shown. What a peer has sent is quoted, so that
// it cannot control a terminal.
//
// A Decoder accepts any bytes. It needs at most about 64 MiB for one conversation, and
// usually a few KiB: one frame of each end, 4 MiB of unfinished messages, 1 MiB of
// names and layouts, and the open calls, 16,384 of each end. Values of messages and items above
// 1 MiB are not decoded. An event for each of these limits exists: what is not known is
// shown by its length, or without its name.
package trace
