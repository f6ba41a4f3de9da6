// Package sockio reads and writes sockets with system calls of its own, below package net.
//
// A [NewReader] and a [Writer] bypass Go's scheduler. An ordinary system call notifies the scheduler that it
// may block. In an idle process this wakes the runtime's monitor thread, once per round trip between
// two processes. Go's sockets are non-blocking and wait in the poller, so the
// notification has no use. The price: the garbage collector cannot stop the
// goroutine during the call, so reads and writes should be short, up to about 64 KiB. A Writer
// makes an ordinary system call for more.
//
// A Writer writes what a socket takes at once, and never waits.
package sockio
