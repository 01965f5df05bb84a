package freeport_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/signetproxy/signet/test/freeport"
)

const asked = 200

// A port is given once, to one process, and not by the kernel.
func TestPortIsGivenOnce(t *testing.T) {
	if os.Getenv("PORTS_OF_A_CHILD") != "" {
		for range asked {
			_, _ = fmt.Fprintln(os.Stdout, "port", freeport.For(t)) // the parent counts them
		}
		return
	}
	given := map[string]bool{}
	for range asked {
		a := freeport.AddressFor(t)
		if given[a] {
			t.Fatalf("%s was given twice", a)
		}
		given[a] = true
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", a)
		if err != nil {
			t.Fatalf("a free port: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	for range 5 { // 200 of 18,000 meet 200 others in nine of ten runs
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPortIsGivenOnce$")
		child.Env = append(os.Environ(), "PORTS_OF_A_CHILD=1", "GORACE=atexit_sleep_ms=0")
		out, err := child.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		ports := 0
		for line := range strings.Lines(string(out)) {
			n, ok := strings.CutPrefix(strings.TrimSpace(line), "port ")
			if !ok {
				continue
			}
			ports++
			if given["127.0.0.1:"+n] {
				t.Fatalf("port %s was given to two processes", n)
			}
		}
		if ports != asked {
			t.Fatalf("a process was given %d ports of %d", ports, asked)
		}
	}
}
