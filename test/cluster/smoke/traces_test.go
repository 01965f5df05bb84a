package smoke

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/signetproxy/signet/test/cluster"
)

// trace is all by which a cluster can be noticed from outside.
type trace struct {
	pid, namespace string
	link           *net.Interface
	folder         string
	cgroups        []string
}

// traces looks at a running cluster. What it cannot see there it could not
// miss later, so each must be there.
func traces(t *testing.T, c *cluster.Cluster) trace {
	t.Helper()
	namespace, err := os.Readlink("/proc/" + strconv.Itoa(c.PID()) + "/ns/net")
	must(t, err)
	link, err := net.InterfaceByName(c.Link())
	must(t, err)
	cgroups, err := c.Cgroups()
	must(t, err)
	tr := trace{
		pid: strconv.Itoa(c.PID()), namespace: namespace, link: link, folder: c.Folder(), cgroups: cgroups,
	}
	if n := tr.count(); n < 8 {
		t.Fatalf("cluster %s has %d processes in its network namespace, want its components", c.Name(), n)
	}
	if len(cgroups) == 0 {
		t.Fatal("this machine has no cgroups")
	}
	return tr
}

// count counts the processes that are in the cluster's network namespace.
func (tr *trace) count() int {
	n := 0
	processes, _ := filepath.Glob("/proc/[0-9]*/ns/net") // the pattern is right
	for _, p := range processes {
		if namespace, err := os.Readlink(p); err == nil && namespace == tr.namespace {
			n++
		}
	}
	return n
}

// ended says which processes are left.
func (tr *trace) ended() error {
	if n := tr.count(); n != 0 {
		return fmt.Errorf("%d processes are left of a cluster", n)
	}
	return nil
}

// gone says what is left.
func (tr *trace) gone(t *testing.T) {
	t.Helper()
	if err := tr.ended(); err != nil {
		t.Error(err)
	}
	if now, err := net.InterfaceByName(tr.link.Name); err == nil && now.Index == tr.link.Index {
		t.Errorf("the link %s is left", tr.link.Name)
	}
	for _, path := range append([]string{tr.folder}, tr.cgroups...) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	if strings.Contains(string(mounts), tr.folder) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
}
