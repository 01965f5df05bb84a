package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// SupervisorCommand is the hidden command by which a binary runs
// [SupervisorMain].
const SupervisorCommand = "host-supervisor"

// The descriptors that a supervisor inherits.
const (
	commandFD = 3 + iota // read: one command a line; its end is the parent's end
	eventFD              // written: one event a line
	lockFD               // held: the lock of the folder
)

// The words that go over the two pipes. An event has its detail after a space.
const (
	commandStart = "start"
	eventStarted = "started"
	eventExited  = "exited"
	eventFailed  = "failed"
)

const supervisorUsage = "usage: " + SupervisorCommand + " FOLDER STOP-TIMEOUT ENVOY [ARGUMENT...]; Signet starts it itself"

// SupervisorMain supervises one Envoy for a parent that called [Run]; args are
// those after [SupervisorCommand]. It returns the exit code, when its parent
// is gone or done, Envoy has ended and the folder is removed. Only Run can
// give it the descriptors that it needs.
//
// A binary that calls Run looks for the command before anything else, flags
// included, since Envoy's own follow:
//
//	if len(os.Args) > 1 && os.Args[1] == host.SupervisorCommand {
//		os.Exit(host.SupervisorMain(os.Args[2:]))
//	}
func SupervisorMain(args []string) int {
	s, err := newSupervisor(args)
	if err == nil {
		err = s.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervisor:", err)
		return 1
	}
	return 0
}

type supervisor struct {
	folder   string
	stop     time.Duration
	envoy    []string
	commands *os.File
	events   *os.File
	lock     *os.File

	child  *exec.Cmd
	exited chan error // of child
}

var errSupervisor = errors.New(supervisorUsage)

func newSupervisor(args []string) (*supervisor, error) {
	if len(args) < 3 {
		return nil, errSupervisor
	}
	stop, err := time.ParseDuration(args[1])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSupervisor, err)
	}
	s := &supervisor{folder: args[0], stop: stop, envoy: args[2:]}
	for _, f := range []struct {
		fd   uintptr
		name string
		to   **os.File
	}{{commandFD, "commands", &s.commands}, {eventFD, "events", &s.events}, {lockFD, "lock", &s.lock}} {
		// Envoy shall inherit none of them: it would keep pipe and lock alive.
		closeOnExec(f.fd)
		*f.to = os.NewFile(f.fd, f.name)
		if _, err := (*f.to).Stat(); err != nil {
			return nil, fmt.Errorf("%w: %w", errSupervisor, err)
		}
	}
	return s, checkFolder(s.folder, s.lock)
}

func (s *supervisor) run() error {
	// The kernel kills Envoy when the thread that started it ends: so it is
	// always this one, which lives as long as the process.
	runtime.LockOSThread()
	// Only the end of the parent ends a supervisor. Caught and not ignored,
	// because Envoy would inherit that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)

	commands := make(chan string)
	go readLines(s.commands, commands)
	for {
		select {
		case command, open := <-commands:
			if !open {
				return s.end()
			}
			if command == commandStart {
				s.start()
			}
		case err := <-s.exited:
			s.report(eventExited, s.status(err))
			s.child, s.exited = nil, nil
		}
	}
}

func (s *supervisor) start() {
	if s.child != nil {
		s.report(eventFailed, "it runs already")
		return
	}
	//nolint:noctx // the parent chose this binary; the end of the commands is what ends it
	child := exec.Command(s.envoy[0], s.envoy[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = envoyAttributes()
	if err := child.Start(); err != nil {
		s.report(eventFailed, err.Error())
		return
	}
	s.child, s.exited = child, make(chan error, 1)
	go func(exited chan<- error) { exited <- child.Wait() }(s.exited)
	s.report(eventStarted, fmt.Sprint(child.Process.Pid))
}

// end stops Envoy and removes the folder.
func (s *supervisor) end() error {
	if s.child != nil {
		s.stopChild()
	}
	err := checkFolder(s.folder, s.lock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.RemoveAll(s.folder); err != nil {
		return fmt.Errorf("remove the runtime folder: %w", err)
	}
	return nil
}

func (s *supervisor) stopChild() {
	// An error means that it has ended already, which the next lines find out.
	_ = s.child.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(s.stop)
	defer timer.Stop()
	select {
	case err := <-s.exited:
		s.report(eventExited, s.status(err))
	case <-timer.C:
		_ = s.child.Process.Kill()
		s.report(eventExited, s.status(<-s.exited))
	}
}

func (s *supervisor) status(err error) string {
	if s.child.ProcessState != nil {
		return s.child.ProcessState.String()
	}
	return fmt.Sprint(err)
}

// report tells the parent. When it is gone, the commands end, and that counts.
func (s *supervisor) report(event, detail string) {
	_, _ = fmt.Fprintln(s.events, event, detail)
}

// readLines sends each line, and closes the channel at the end.
func readLines(r io.Reader, lines chan<- string) {
	defer close(lines)
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		lines <- scanner.Text()
	}
}
