// rights: descriptors over a Unix socket by the Go library alone, in the shape that its programs use: one message, no
// payload of its own.
//
//	rights put SOCKET N PATH   sends N descriptors of PATH
//	rights get SOCKET N        receives N, and says their numbers and what they are
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func put(c *net.UnixConn, n int, path string) {
	fds := make([]int, n)
	for i := range fds {
		f, err := os.Open(path)
		check(err)
		fds[i] = int(f.Fd())
	}
	f, err := c.File()
	check(err)
	check(syscall.Sendmsg(int(f.Fd()), nil, syscall.UnixRights(fds...), nil, 0))
}

func get(c *net.UnixConn, n int) {
	f, err := c.File()
	check(err)
	oob := make([]byte, syscall.CmsgSpace(n*4))
	_, oobn, flags, _, err := syscall.Recvmsg(int(f.Fd()), nil, oob, 0)
	check(err)
	msgs, err := syscall.ParseSocketControlMessage(oob[:oobn])
	check(err)
	count := 0
	for i := range msgs {
		fds, err := syscall.ParseUnixRights(&msgs[i])
		check(err)
		for _, fd := range fds {
			name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			check(err)
			fmt.Println(name)
			count++
		}
	}
	fmt.Println("got", count, "truncated", flags&syscall.MSG_CTRUNC != 0)
}

func main() {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: os.Args[2], Net: "unix"})
	check(err)
	n, err := strconv.Atoi(os.Args[3])
	check(err)
	if os.Args[1] == "put" {
		put(c, n, os.Args[4])
	} else {
		get(c, n)
	}
}
