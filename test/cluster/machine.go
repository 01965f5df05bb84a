package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signetproxy/signet/test/cluster/node"
)

// start runs Init in new namespaces. It waits there for a byte on the pipe
// that is returned.
func start(program string, state node.Dir) (*exec.Cmd, *os.File, error) {
	ahead, lifeline, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	defer func() { _ = ahead.Close() }() // Init has its own
	log, err := os.OpenFile(state.Log("init"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("log: %w", err)
	}
	defer func() { _ = log.Close() }()
	// Without a context: it outlives this process.
	cmd := exec.Command(program, node.InitCommand, string(state))
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.ExtraFiles = []*os.File{ahead} // node.GoAhead
	cmd.Env = []string{"HOME=/root", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true, // what ends the terminal does not end the cluster
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("new namespaces: %w", err), lifeline.Close())
	}
	return cmd, lifeline, nil
}

// alive says whether Init of this folder lives.
func alive(state node.Dir) (bool, error) {
	file, err := os.Open(state.File(node.AliveFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("alive file: %w", err)
	}
	defer func() { _ = file.Close() }()
	err = unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("alive file: %w", err)
	}
	return false, nil
}

// kill ends Init, and so all that runs in its namespaces, and waits until the
// kernel has ended them. The number of a process that is gone may be another's
// by now, which is why it counts only while the alive file is locked.
func kill(ctx context.Context, state node.Dir, pid int) error {
	handle, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(handle) }()
	if lives, err := alive(state); err != nil || !lives {
		return err
	}
	if err := unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return waitFor(ctx, "the end of the cluster's processes", func() error {
		ended := []unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}
		if n, err := unix.Poll(ended, 100); err != nil || n == 0 {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
}

// connect makes the link between the host and a new node, in the first slot
// that is free. The link's name is what tells that a slot is taken.
func connect(ctx context.Context, pid int) (slot int, err error) {
	for slot := range slots {
		r := ranges(slot)
		name := link(slot)
		_, err := output(ctx, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(pid))
		if err != nil {
			if _, taken := net.InterfaceByName(name); taken == nil {
				continue
			}
			return 0, err
		}
		commands := [][]string{
			{"address", "add", r.Host.String(), "dev", name},
			{"link", "set", name, "up"},
		}
		for _, to := range []string{r.Pods.String(), r.Services.String(), r.LoadBalancers.String()} {
			commands = append(commands, []string{"route", "add", to, "via", r.Node.Addr().String(), "dev", name})
		}
		for _, c := range commands {
			if _, err := output(ctx, "ip", c...); err != nil {
				return 0, err
			}
		}
		return slot, nil
	}
	return 0, fmt.Errorf("all %d slots are taken: end clusters that are not needed (ip link shows %s and so on)", slots, link(0))
}

// disconnect removes the cluster's link, known by its index, since another
// cluster may have its name by now. The kernel would do it too, but only when
// the last connection that waits for an answer has given up.
func disconnect(ctx context.Context, name string, index int) error {
	return waitFor(ctx, "the end of the link "+name, func() error {
		if i, err := net.InterfaceByName(name); err == nil && i.Index == index {
			_, err := output(ctx, "ip", "link", "delete", name)
			return err
		}
		return nil
	})
}

// cgroups are the cluster's folders in the machine's cgroup hierarchies.
func cgroups(root string) ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("cgroups: %w", err)
	}
	var folders []string
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			folders = append(folders, filepath.Join(fields[1], root))
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders), nil
}

func makeCgroups(root string) error {
	folders, err := cgroups(root)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("cgroups: %w", err)
		}
	}
	return nil
}

// removeCgroups removes the folders, the innermost first. The kernel refuses
// for a moment after the last process of one has ended.
func removeCgroups(ctx context.Context, root string) error {
	folders, err := cgroups(root)
	if err != nil {
		return err
	}
	return waitFor(ctx, "empty cgroups", func() error {
		var errs []error
		for _, folder := range folders {
			var inside []string
			err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					inside = append(inside, path)
				}
				return nil
			})
			slices.Reverse(inside)
			for _, path := range inside {
				err = errors.Join(err, unix.Rmdir(path))
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// waitFor tries until it succeeds or the context ends; then it tells what it
// waited for and the last failure.
func waitFor(ctx context.Context, what string, try func() error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func dial(ctx context.Context, socket string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

// output runs a command and gives what it says; when it fails, so does the
// error.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
