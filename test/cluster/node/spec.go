package node

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Name is the name of a cluster's one node.
const Name = "node"

// Ranges are a cluster's addresses.
type Ranges struct {
	// Host and Node are the ends of the link between the host and the node.
	Host, Node netip.Prefix
	// Pods, Services and LoadBalancers are what the node serves.
	Pods, Services, LoadBalancers netip.Prefix
}

// KubernetesService is the address of the Service kubernetes/default.
func (r Ranges) KubernetesService() netip.Addr { return r.Services.Addr().Next() }

// DNS is the address of the Service of the cluster's DNS.
func (r Ranges) DNS() netip.Addr {
	a := r.Services.Addr()
	for range 10 {
		a = a.Next()
	}
	return a
}

// APIServer is the URL of the API server, for the host and for the node.
func (r Ranges) APIServer() string { return "https://" + r.Node.Addr().String() + ":6443" }

// Spec is all that a node is told.
type Spec struct {
	Ranges Ranges
	// State is the cluster's folder.
	State Dir
	// Command is this program, for the components that are part of it.
	Command string
	// Tools are the folders of etcd, Kubernetes, containerd and the CNI plugins.
	Tools []string
	// CgroupRoot is the name of the cluster's folder in each cgroup hierarchy.
	CgroupRoot string
	// APIServerFlags come after the node's own.
	APIServerFlags []string
	// Tied ends the cluster when the process that started it ends.
	Tied bool
}

// Dir is a cluster's folder, and says where in it things are.
type Dir string

// File is a file or folder in the state folder.
func (d Dir) File(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Config is a configuration file.
func (d Dir) Config(name string) string { return d.File("etc", name) }

// Log is the log of a component.
func (d Dir) Log(component string) string { return d.File("log", component+".log") }

// Control is the socket of the node's control server.
func (d Dir) Control() string { return d.File("run", "control.sock") }

// Containerd is containerd's socket.
func (d Dir) Containerd() string { return d.File("run", "containerd", "containerd.sock") }

// Write stores the spec for Init to read.
func (s *Spec) Write() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("node's spec: %w", err)
	}
	return os.WriteFile(s.State.Config("node.json"), data, 0o600)
}

// ReadSpec reads the spec of a state folder.
func ReadSpec(state Dir) (*Spec, error) {
	data, err := os.ReadFile(state.Config("node.json"))
	if err != nil {
		return nil, fmt.Errorf("node's spec: %w", err)
	}
	s := &Spec{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("node's spec %s: %w", state.Config("node.json"), err)
	}
	return s, nil
}
