// Package freeport gives tests TCP and UDP ports of loopback on which they, or an
// Envoy of theirs, listen later. A port is given once: to no other process that
// asks here while this one lives, and the kernel gives it to nobody, since it is
// below the range from which it serves those who ask for any.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
)

const (
	// lowest and end bound what is given; end is below the ranges of Linux (32768,
	// or what it is set to), of other systems (49152), and of node ports (30000).
	lowest, end = 12000, 30000
	// attempts are enough unless most ports are taken.
	attempts = 1000
	ranges   = "/proc/sys/net/ipv4/ip_local_port_range"
)

// reserved holds what keeps other processes from the ports given here.
var reserved struct {
	sync.Mutex
	locks []net.Listener
}

// Free returns a port on which nobody listens.
func Free() (int, error) {
	limit := upper()
	if limit <= lowest {
		return 0, fmt.Errorf("no port from %d on is below the range of %s: raise that", lowest, ranges)
	}
	for range attempts {
		n := lowest + rand.IntN(limit-lowest)
		if reserve(n) && isFree(n) {
			return n, nil
		}
	}
	return 0, errors.New("no port is free")
}

// Address returns a host:port of 127.0.0.1 on which nobody listens.
func Address() (string, error) {
	n, err := Free()
	if err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n)), nil
}

// TB is the part of testing.TB that is used.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// For returns a port on which nobody listens, or fails the test.
func For(t TB) int {
	t.Helper()
	n, err := Free()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return n
}

// AddressFor returns a host:port of 127.0.0.1 on which nobody listens, or fails
// the test.
func AddressFor(t TB) string {
	t.Helper()
	a, err := Address()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return a
}

// upper is below the range from which the kernel gives ports.
func upper() int {
	text, err := os.ReadFile(ranges)
	if err != nil {
		return end
	}
	var first int
	if _, err := fmt.Sscan(string(text), &first); err != nil {
		return end
	}
	return min(first, end)
}

// reserve says whether no process had reserved a port, and does so until this
// one ends. Linux alone has names of sockets that end with their process.
func reserve(n int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "unix", fmt.Sprintf("@signet-test-port-%d", n))
	if err != nil {
		return false
	}
	reserved.Lock()
	defer reserved.Unlock()
	reserved.locks = append(reserved.locks, l)
	return true
}

// isFree says whether nobody listens on a port, of any address.
func isFree(n int) bool {
	var lc net.ListenConfig
	address := net.JoinHostPort("", strconv.Itoa(n))
	tcp, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return false
	}
	udp, err := lc.ListenPacket(context.Background(), "udp", address)
	return errors.Join(tcp.Close(), err) == nil && udp.Close() == nil
}
