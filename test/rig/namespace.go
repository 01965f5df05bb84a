package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Address is what backends listen on: of TEST-NET-1 (RFC 5737), and on loopback
// in the namespace of a rig.
const Address = "192.0.2.1"

// inside tells a process that it is the one in the namespaces.
const inside = "SIGNET_RIG_INSIDE"

// Inside runs main in network, process and mount namespaces of its own, and
// returns its exit code: it starts this program again there, with the same
// arguments. Who is not root needs a kernel that lets users make namespaces.
func Inside(main func() int) int {
	if os.Getenv(inside) == "" {
		return enter()
	}
	if err := errors.Join(os.Unsetenv(inside), ownProc(), ownLoopback()); err != nil {
		fmt.Fprintln(os.Stderr, "namespaces of the rig:", err)
		return 1
	}
	return main()
}

func enter() int {
	// The child's end follows that of the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "namespaces of the rig: %v: be root, or let users make namespaces (user.max_user_namespaces)\n", err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	err := cmd.Wait()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended) && ended.ExitCode() > 0:
		return ended.ExitCode()
	default:
		fmt.Fprintln(os.Stderr, "in the namespaces of the rig:", err)
		return 1
	}
}

// ownProc shows this namespace's processes below /proc.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// ownLoopback brings loopback up, and gives it Address.
func ownLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOOPBACK)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	alias, err := unix.NewIfreq("lo:1")
	if err != nil {
		return fmt.Errorf("alias of loopback: %w", err)
	}
	if err := alias.SetInet4Addr([]byte{192, 0, 2, 1}); err != nil {
		return fmt.Errorf("address of loopback: %w", err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias); err != nil {
		return fmt.Errorf("give loopback the address %s: %w", Address, err)
	}
	return nil
}
