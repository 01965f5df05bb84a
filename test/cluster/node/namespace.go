package node

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// machineSysctls are those that the kubelet would set for the whole machine,
// with the values that it wants to find. Files of their content lie over them.
var machineSysctls = map[string]string{
	"kernel/keys/root_maxbytes": "25000000",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// sysctls is the folder of all of them.
const sysctls = "/proc/sys/"

// networkSysctls belong to the network namespace.
var networkSysctls = map[string]string{
	"net/ipv4/ip_forward": "1",
	// A client that polls an address without a Service behind it gets an answer
	// each time, not one a second.
	"net/ipv4/icmp_ratelimit": "0",
	// Connections whose process is gone give up soon, and so let go of the
	// namespace when the cluster has ended.
	"net/ipv4/tcp_orphan_retries": "1",
}

// mounts makes the file system the node's own: what it mounts is seen by its
// pods and by nobody outside.
func mounts(state Dir) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, folder := range []string{"run", "var", "var/lib", "var/log", "var/tmp"} {
		if err := os.MkdirAll(state.File(folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", state.File("var", "run")); err != nil {
		return err
	}
	for _, folder := range []string{"run", "var"} {
		if err := unix.Mount(state.File(folder), "/"+folder, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount /%s: %w", folder, err)
		}
	}
	for name, value := range machineSysctls {
		if err := coverSysctl(state, name, value); err != nil {
			return err
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts with pods: %w", err)
	}
	return nil
}

func coverSysctl(state Dir, name, value string) error {
	sysctl := sysctls + name
	if _, err := os.Stat(sysctl); os.IsNotExist(err) {
		return nil // this kernel has none
	}
	file := state.File("sysctl", strings.ReplaceAll(name, "/", "."))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(file, sysctl, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cover %s: %w", sysctl, err)
	}
	return nil
}

// network gives the node its addresses. The host's end of the link is the way
// out, so that the node's own processes reach load balancers as pods do.
func network(ctx context.Context, r *Ranges) error {
	for name, value := range networkSysctls {
		if err := os.WriteFile(sysctls+name, []byte(value), 0o600); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	commands := []string{
		"ip link set lo up",
		"ip address add " + r.Node.String() + " dev eth0",
		"ip link set eth0 up",
		"ip route add default via " + r.Host.Addr().String(),
	}
	// A virtual address that kube-proxy does not serve, or not yet, is refused at
	// once. Without this a connection that comes between its two tables' changes
	// would go to the host and hang until its client gives up. What is served has
	// another destination by the time that these rules see it.
	for _, chain := range []string{"FORWARD", "OUTPUT"} {
		for _, virtual := range []netip.Prefix{r.Services, r.LoadBalancers} {
			commands = append(commands, "iptables --wait --append "+chain+" --destination "+virtual.String()+" --jump REJECT")
		}
	}
	for _, command := range commands {
		argv := strings.Fields(command)
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return nil
}
