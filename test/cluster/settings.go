package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"golang.org/x/sys/unix"

	"github.com/signetproxy/signet/test/cluster/node"
)

//go:embed settings
var settings embed.FS

// values are what the settings are filled in with.
type values struct {
	*node.Spec
	Pause, CoreDNS, CNI string
	MaxOpenFiles        uint64
}

// fill renders one of the settings.
func (v *values) fill(name string) ([]byte, error) {
	t, err := template.ParseFS(settings, "settings/"+name)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return out.Bytes(), nil
}

// writeSettings writes the components' configuration files.
func writeSettings(l *layout, spec *node.Spec) error {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	// More than the hard limit is not given to a root without CAP_SYS_RESOURCE.
	v := &values{Spec: spec, Pause: PauseImage, CoreDNS: l.coreDNSImage(), CNI: l.tool("cni"), MaxOpenFiles: files.Max}
	for file, name := range map[string]string{
		"containerd.toml":   "containerd.toml",
		"cni/pods.conflist": "pods.conflist",
		"kubelet.yaml":      "kubelet.yaml",
		"kube-proxy.yaml":   "kube-proxy.yaml",
		"coredns.yaml":      "coredns.yaml",
	} {
		content, err := v.fill(name)
		if err != nil {
			return err
		}
		file = spec.State.Config(file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
	}
	// There is no DNS outside the cluster.
	return os.WriteFile(spec.State.Config("resolv.conf"), []byte("# no name server\n"), 0o600)
}
