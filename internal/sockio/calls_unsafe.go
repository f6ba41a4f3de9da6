//go:build !bsrpc_safe && linux && !race && !386 && !s390x

package sockio

import (
	"syscall"
	"unsafe"
)

// recv is recv(2) with MSG_DONTWAIT. b must not be empty.
func recv(fd uintptr, b []byte) (int, syscall.Errno) {
	return transfer(syscall.SYS_RECVFROM, fd, b, syscall.MSG_DONTWAIT)
}

// maxRaw is how many bytes send writes without the scheduler: a frame of a stream of bytes with its
// header, and the records of TLS.
const maxRaw = 64<<10 + 512

// send is send(2) with MSG_DONTWAIT. It returns 0 after an error; the next ordinary write fails
// too, perhaps with a broken pipe where this one had a reset. Above maxRaw bytes it is write(2). b must not be empty.
func send(fd uintptr, b []byte) int {
	if len(b) > maxRaw {
		return write(fd, b)
	}
	n, _ := transfer(syscall.SYS_SENDTO, fd, b, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	return n
}

// transfer is recvfrom(2) or sendto(2) without an address. With MSG_DONTWAIT it never blocks, even if
// another holder of the descriptor has made it blocking. It returns 0 with an error.
//
// The conversion to uintptr is valid because it is part of the call expression,
// and b stays reachable. The kernel reads or writes within b only, before transfer returns.
func transfer(call, fd uintptr, b []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(call, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
			continue
		}
		return 0, errno
	}
}
