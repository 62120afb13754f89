// gofd: the same as rights, by package fd of github.com/ftrvxmtrx/fd, which the caller has put below GOPATH.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"fd"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func main() {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: os.Args[2], Net: "unix"})
	check(err)
	n, err := strconv.Atoi(os.Args[3])
	check(err)
	if os.Args[1] == "put" {
		files := make([]*os.File, n)
		for i := range files {
			files[i], err = os.Open(os.Args[4])
			check(err)
		}
		check(fd.Put(c, files...))
		return
	}
	files, err := fd.Get(c, n, []string{"first"})
	check(err)
	for _, f := range files {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		check(err)
		fmt.Println(name)
	}
	if files[0].Name() != "first" {
		fmt.Println("name", files[0].Name())
	}
	fmt.Println("got", len(files), "truncated", false)
}
