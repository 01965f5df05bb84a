package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/signetproxy/signet/test/cluster/node"
)

// Cluster is a cluster of this machine.
type Cluster struct {
	layout *layout
	state  node.Dir
	record record
	// ended is closed when Init has ended; nil when another process started it.
	ended chan struct{}
	// lifeline ends a tied cluster when it is closed.
	lifeline *os.File
}

// record is what is remembered of a cluster between two commands.
type record struct {
	Name string `json:"name"`
	// PID of Init, on the host.
	PID  int `json:"pid"`
	Slot int `json:"slot"`
	// LinkIndex is the host's index of the link.
	LinkIndex int         `json:"linkIndex"`
	Ranges    node.Ranges `json:"ranges"`
	// Ready says that Up has ended well.
	Ready bool `json:"ready"`
}

// patience is how long Up and Down wait for something that must happen.
const (
	patienceUp   = 3 * time.Minute
	patienceDown = 30 * time.Second
)

// ErrNotUp means that there is no cluster of that name.
var ErrNotUp = errors.New("there is no such cluster: run make cluster-up")

// errBusy means that a cluster is being started or ended.
var errBusy = errors.New("another command works on it, try again")

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.record.Name }

// Kubeconfig is the file by which the host reaches it as an administrator.
func (c *Cluster) Kubeconfig() string { return c.state.File("kubeconfig") }

// Ranges are its addresses, all of which the host reaches.
func (c *Cluster) Ranges() node.Ranges { return c.record.Ranges }

// Folder holds all of its files.
func (c *Cluster) Folder() string { return string(c.state) }

// PID is, on the host, that of the process whose end is the cluster's.
func (c *Cluster) PID() int { return c.record.PID }

// Link is the name of the host's end of its link.
func (c *Cluster) Link() string { return link(c.record.Slot) }

// Cgroups are its folders in the machine's cgroup hierarchies.
func (c *Cluster) Cgroups() ([]string, error) { return cgroups(c.cgroupRoot()) }

// Logs is the folder of its components' logs.
func (c *Cluster) Logs() string { return c.state.File("log") }

// Kubectl is the kubectl of its version, Helm the pinned Helm, which may not be
// installed.
func (c *Cluster) Kubectl() string { return filepath.Join(c.layout.tool("kubernetes"), "kubectl") }

// Helm is the pinned Helm.
func (c *Cluster) Helm() string { return filepath.Join(c.layout.tool("helm"), "helm") }

// Config is an administrator's configuration of client-go, without client-side
// limits.
func (c *Cluster) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// Client is an administrator's client.
func (c *Cluster) Client() (*kubernetes.Clientset, error) {
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// Apply applies manifests by kubectl, as an administrator.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	cmd := exec.CommandContext(ctx, c.Kubectl(), "--kubeconfig", c.Kubeconfig(), "apply", "--server-side", "--filename=-")
	cmd.Stdin = strings.NewReader(manifests)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, out)
	}
	return nil
}

// locked runs do while no other command works on the cluster of that name.
// The lock's file goes when the cluster is not there.
func locked(l *layout, name string, do func() error) error {
	if err := os.MkdirAll(filepath.Dir(string(l.state(name))), 0o700); err != nil {
		return fmt.Errorf("clusters' folder: %w", err)
	}
	path := string(l.state(name)) + ".lock"
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", name, err)
	}
	defer func() { _ = file.Close() }() // which unlocks it
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("cluster %s: %w: %w", name, errBusy, err)
	}
	mine, err := file.Stat()
	if err != nil {
		return fmt.Errorf("cluster %s: %w", name, err)
	}
	// Who had the lock until now may have removed the file.
	if now, err := os.Stat(path); err != nil || !os.SameFile(mine, now) {
		return fmt.Errorf("cluster %s: %w", name, errBusy)
	}
	err = do()
	if _, there := os.Stat(string(l.state(name))); errors.Is(there, fs.ErrNotExist) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// Up starts a cluster and returns when it serves: its node and its DNS are
// Ready. What a crash of the same name left is removed first; a cluster that
// runs is an error. When it fails, nothing is left but the error.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	l, err := newLayout()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("a cluster needs root: it makes namespaces, mounts and links")
	}
	if err := l.complete(); err != nil {
		return nil, fmt.Errorf("a tool is missing: %w", err)
	}
	c := &Cluster{layout: l, state: l.state(o.Name), record: record{Name: o.Name}}
	err = locked(l, o.Name, func() error {
		if err := tidy(ctx, c); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(ctx, patienceUp, fmt.Errorf("no success within %s", patienceUp))
		defer cancel()
		if err := c.up(ctx, &o); err != nil {
			err = fmt.Errorf("cluster %s: %w\n%s", o.Name, err, c.Tails())
			//nolint:contextcheck // what is started is ended, whatever ended it
			return errors.Join(err, c.end(context.Background()))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// tidy removes what a crash has left of a cluster of the same name.
func tidy(ctx context.Context, c *Cluster) error {
	if lives, err := alive(c.state); err != nil || lives {
		return errors.Join(err, fmt.Errorf("cluster %s runs: end it first (make cluster-down)", c.Name()))
	}
	old, err := Open(c.Name())
	if errors.Is(err, ErrNotUp) {
		old = c
	} else if err != nil {
		return err
	}
	if err := old.end(ctx); err != nil {
		return fmt.Errorf("what an earlier cluster left: %w", err)
	}
	return nil
}

// remember writes the record.
func (c *Cluster) remember() error {
	data, err := json.Marshal(c.record)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return os.WriteFile(c.state.File("cluster.json"), data, 0o600)
}

// Open finds a cluster that Up started; ErrNotUp if there is none.
func Open(name string) (*Cluster, error) {
	o := Options{Name: name}
	if err := o.complete(); err != nil {
		return nil, err
	}
	l, err := newLayout()
	if err != nil {
		return nil, err
	}
	c := &Cluster{layout: l, state: l.state(o.Name)}
	data, err := os.ReadFile(c.state.File("cluster.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cluster %s: %w", o.Name, ErrNotUp)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", o.Name, err)
	}
	if err := json.Unmarshal(data, &c.record); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", o.Name, err)
	}
	return c, nil
}

// Down ends the cluster, or removes what is left of one, and returns when
// nothing is there any more. A name without a cluster is no error.
func Down(ctx context.Context, name string) error {
	c, err := Open(name)
	if errors.Is(err, ErrNotUp) {
		o := Options{Name: name}
		l, err := newLayout()
		if err := errors.Join(err, o.complete()); err != nil {
			return err
		}
		c = &Cluster{layout: l, state: l.state(o.Name), record: record{Name: o.Name}}
	} else if err != nil {
		return err
	}
	return c.Down(ctx)
}

// Down is the function Down for this cluster.
func (c *Cluster) Down(ctx context.Context) error {
	return locked(c.layout, c.record.Name, func() error { return c.end(ctx) })
}

func (c *Cluster) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patienceDown, fmt.Errorf("not within %s", patienceDown))
	defer cancel()
	if c.lifeline != nil {
		_ = c.lifeline.Close() // before the go-ahead this ends it too
	}
	if c.record.PID != 0 {
		if err := kill(ctx, c.state, c.record.PID); err != nil {
			return fmt.Errorf("cluster %s: %w", c.record.Name, err)
		}
	}
	if c.ended != nil {
		<-c.ended
	}
	if c.record.LinkIndex != 0 {
		if err := disconnect(ctx, link(c.record.Slot), c.record.LinkIndex); err != nil {
			return fmt.Errorf("cluster %s: %w", c.record.Name, err)
		}
	}
	return c.remove(ctx)
}

// remove removes what is left when no process is.
func (c *Cluster) remove(ctx context.Context) error {
	if lives, err := alive(c.state); err != nil || lives {
		return errors.Join(err, fmt.Errorf("cluster %s still runs, and its record %s does not say where",
			c.record.Name, c.state.File("cluster.json")))
	}
	if err := removeCgroups(ctx, c.cgroupRoot()); err != nil {
		return fmt.Errorf("cluster %s: %w", c.record.Name, err)
	}
	if err := os.RemoveAll(string(c.state)); err != nil {
		return fmt.Errorf("cluster %s: its folder: %w", c.record.Name, err)
	}
	return nil
}

func (c *Cluster) cgroupRoot() string { return "signet-cluster-" + c.record.Name }

// Tails are the last lines of each log.
func (c *Cluster) Tails() string {
	var out strings.Builder
	logs, _ := filepath.Glob(filepath.Join(c.Logs(), "*.log")) // the pattern is right
	for _, log := range logs {
		data, err := os.ReadFile(log)
		if err != nil || len(data) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(&out, "--- %s\n%s\n", filepath.Base(log), strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return out.String()
}

// build puts the test bed's programs into the cluster's folder, and gives that
// which runs in the namespaces. They are built in a folder that all clusters
// share, so that nothing is linked anew without need.
func (c *Cluster) build(ctx context.Context) (program string, err error) {
	shared := filepath.Join(c.layout.cache, "programs")
	if err := os.MkdirAll(shared, 0o700); err != nil {
		return "", fmt.Errorf("programs: %w", err)
	}
	lock, err := os.Open(shared)
	if err != nil {
		return "", fmt.Errorf("programs: %w", err)
	}
	defer func() { _ = lock.Close() }() // which unlocks it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("programs: %w", err)
	}
	if err := c.layout.build(ctx, shared); err != nil {
		return "", err
	}
	for _, name := range []string{"cmd", "echo", "pause"} {
		// A build replaces the file, and leaves this one as it is.
		err = errors.Join(err, os.Link(filepath.Join(shared, name), c.state.File("bin", name)))
	}
	return c.state.File("bin", "cmd"), err
}

// connect makes the link and remembers it.
func (c *Cluster) connect(ctx context.Context) error {
	slot, err := connect(ctx, c.record.PID)
	if err != nil {
		return err
	}
	i, err := net.InterfaceByName(link(slot))
	if err != nil {
		return fmt.Errorf("link %s: %w", link(slot), err)
	}
	c.record.Slot, c.record.LinkIndex, c.record.Ranges = slot, i.Index, ranges(slot)
	return c.remember()
}
