// Package sockread reads sockets without telling Go's scheduler.
//
// An ordinary system call tells the scheduler that it may last, and where the
// process was idle before, that wakes the runtime's monitor thread: once in
// every round of two processes that wait for each other. But a Go socket waits in the
// poller, not in a system call. So nothing is lost if the scheduler is not told,
// as long as little is read, some 64 KiB: the collector cannot stop the goroutine
// meanwhile.
package sockread
