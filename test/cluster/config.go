package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/signetproxy/signet/test/cluster/node"
)

// Options shape a cluster; the zero value is a good one.
type Options struct {
	// Name tells clusters apart: up to 20 lower-case letters, digits and
	// dashes. Empty is "signet".
	Name string
	// APIServerFlags are added to kube-apiserver's, as "--feature-gates=X=true".
	APIServerFlags []string
	// Progress gets one line a phase, with the time that it took.
	Progress func(line string)
	// tied ends the cluster with this process.
	tied bool
}

// DefaultName is the name of the cluster that `make cluster-up` starts.
const DefaultName = "signet"

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$`)

func (o *Options) complete() error {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if !validName.MatchString(o.Name) {
		return fmt.Errorf("cluster name %q: up to 20 lower-case letters, digits and inner dashes are wanted", o.Name)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return nil
}

// slots is how many clusters may run side by side.
const slots = 32

// ranges are the addresses of a slot, as the package's documentation says.
func ranges(slot int) node.Ranges {
	at := func(third, fourth, bits int) netip.Prefix {
		n := 18<<16 + slot*16<<8 + third<<8 + fourth
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(n >> 16), byte(n >> 8), byte(n)}), bits)
	}
	return node.Ranges{
		Pods: at(0, 0, 22), Services: at(4, 0, 23), LoadBalancers: at(6, 0, 24),
		Host: at(7, 1, 30), Node: at(7, 2, 30),
	}
}

// link is the name of a slot's link on the host.
func link(slot int) string { return fmt.Sprintf("signet%d", slot) }

// layout says where things are on this machine.
type layout struct {
	// repository is the folder of this module, cache that of the tools and of
	// the clusters.
	repository, cache string
	// versions are those of test/tools/versions.
	versions map[string]string
}

func newLayout() (*layout, error) {
	l := &layout{versions: map[string]string{}}
	var err error
	if l.repository, err = repository(); err != nil {
		return nil, err
	}
	if l.cache = os.Getenv("SIGNET_CACHE"); l.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("cache folder: %w: set SIGNET_CACHE", err)
		}
		l.cache = filepath.Join(base, "signet")
	}
	if l.cache, err = filepath.Abs(l.cache); err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	for _, hidden := range []string{"/var/", "/run/"} {
		if strings.HasPrefix(l.cache, hidden) {
			return nil, fmt.Errorf("cache folder %s: a cluster has a %s of its own and would not see it: set SIGNET_CACHE", l.cache, hidden)
		}
	}
	if err := l.readVersions(); err != nil {
		return nil, err
	}
	return l, nil
}

// repository is the folder of go.mod, above the working folder.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working folder: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "test", "tools", "versions")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the working folder is not within Signet's repository, whose tools a cluster needs")
		}
	}
}

func (l *layout) readVersions() error {
	file, err := os.Open(filepath.Join(l.repository, "test", "tools", "versions"))
	if err != nil {
		return fmt.Errorf("versions of the tools: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, version, ok := strings.Cut(lines.Text(), "_VERSION="); ok && !strings.HasPrefix(name, "#") {
			l.versions[name] = version
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("versions of the tools: %w", err)
	}
	return nil
}

// tool is the folder of a tool, by the names of test/tools/install.
func (l *layout) tool(name string) string {
	version := strings.ToUpper(strings.TrimSuffix(name, "-node"))
	return filepath.Join(l.cache, "tools", name+"-"+l.versions[version])
}

// envoy is the Envoy that everything uses.
func (l *layout) envoy() string {
	if own := os.Getenv("SIGNET_ENVOY"); own != "" {
		return own
	}
	return filepath.Join(l.tool("envoy"), "envoy")
}

// nodeTools are the folders of the node's PATH.
func (l *layout) nodeTools() []string {
	return []string{l.tool("etcd"), l.tool("kubernetes"), l.tool("kubernetes-node"), l.tool("containerd"), l.tool("cni")}
}

// complete says which tools are missing.
func (l *layout) complete() error {
	files := []string{l.envoy(), filepath.Join(l.tool("coredns"), "coredns")}
	for folder, names := range map[string][]string{
		"etcd":            {"etcd"},
		"kubernetes":      {"kube-apiserver", "kubectl"},
		"kubernetes-node": {"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"},
		"containerd":      {"containerd", "containerd-shim-runc-v2", "ctr"},
		"cni":             {"host-local", "loopback", "ptp", "portmap"},
	} {
		for _, name := range names {
			files = append(files, filepath.Join(l.tool(folder), name))
		}
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w: run make tool-cluster", err)
		}
	}
	return nil
}

// state is the folder of a cluster.
func (l *layout) state(name string) node.Dir {
	return node.Dir(filepath.Join(l.cache, "clusters", name))
}
