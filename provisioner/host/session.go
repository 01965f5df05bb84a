package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/signetproxy/signet/provisioner/bootstrap"
	"github.com/signetproxy/signet/provisioner/certificate"
)

const (
	bootstrapFile = "envoy.json"
	adminFile     = "admin.sock"

	// logDelay is how long the end of Envoy's log is awaited after its end.
	logDelay = 2 * time.Second
	// writeAgain is the wait after a failed write: an identity has hours left.
	writeAgain = 10 * time.Second
)

// errBroken says that a session cannot go on: its supervisor or its folder is
// gone.
var errBroken = errors.New("the supervisor of Envoy or its folder is gone")

// session is one supervisor with one folder. It starts Envoy as often as
// needed, and is used by one goroutine.
type session struct {
	config  Config
	process Process // PID is 0 while none runs
	folder  *folder
	cmd     *exec.Cmd
	command *os.File
	events  chan string
	outputs []*lineWriter
	done    chan error // the supervisor's end

	written certificate.Identity
	changed <-chan struct{}
}

// openSession makes the folder, then the supervisor, then the files, so that
// there is someone to remove them.
func openSession(c Config, p Process) (*session, error) {
	f, err := openFolder(c.Folder, c.Log)
	if err != nil {
		return nil, err
	}
	p.Folder, p.AdminSocket = f.path, f.file(adminFile)
	s := &session{config: c, process: p, folder: f, events: make(chan string), done: make(chan error, 1)}
	if err := s.spawn(); err != nil {
		return nil, errors.Join(err, f.remove())
	}
	if err := s.writeFiles(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) spawn() error {
	commandRead, commandWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	eventRead, eventWrite, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("start the supervisor: %w", err), commandRead.Close(), commandWrite.Close())
	}
	c := s.config
	args := append([]string{}, c.Supervisor[1:]...)
	args = append(args, s.folder.path, c.StopTimeout.String(), s.process.Path)
	args = append(args, s.envoyArguments()...)
	//nolint:noctx // this binary; it ends when it has ended Envoy, not when a context does
	cmd := exec.Command(c.Supervisor[0], args...)
	cmd.ExtraFiles = []*os.File{commandRead, eventWrite, s.folder.lock}
	cmd.SysProcAttr = supervisorAttributes()
	cmd.WaitDelay = logDelay
	cmd.Stderr = s.output(logEnvoy(c.Log.WithName("envoy")))
	if cmd.Stdout = c.Stdout; c.Stdout == nil {
		stdout := c.Log.WithName("envoy").WithName("stdout")
		cmd.Stdout = s.output(func(line string) { stdout.Info(line) })
	}
	err = cmd.Start()
	err = errors.Join(err, commandRead.Close(), eventWrite.Close())
	if err != nil {
		if cmd.Process != nil {
			err = errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
		return errors.Join(fmt.Errorf("start the supervisor %q: %w", c.Supervisor[0], err),
			commandWrite.Close(), eventRead.Close())
	}
	s.cmd, s.command, s.process.Supervisor = cmd, commandWrite, cmd.Process.Pid
	go func() {
		readLines(eventRead, s.events)
		err := cmd.Wait()
		s.done <- errors.Join(err, eventRead.Close())
	}()
	return nil
}

func (s *session) output(pass func(string)) *lineWriter {
	w := &lineWriter{pass: pass}
	s.outputs = append(s.outputs, w)
	return w
}

func (s *session) envoyArguments() []string {
	args := []string{
		"--config-path", s.folder.file(bootstrapFile),
		"--disable-hot-restart", // it would leave shared memory and sockets
		"--log-level", s.config.LogLevel,
		"--log-format", envoyLogFormat,
		"--log-format-escaped",
	}
	if s.config.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.FormatUint(uint64(s.config.Concurrency), 10))
	}
	return args
}

func (s *session) writeFiles() error {
	if err := s.writeIdentity(); err != nil {
		return err
	}
	c := s.config
	content, err := bootstrap.Bootstrap(bootstrap.Config{
		Fleet:             c.Fleet,
		NodeID:            c.NodeID,
		XDSAddress:        c.XDSAddress,
		ServerName:        s.written.ServerName,
		CertificateFolder: s.folder.path,
		AdminSocket:       s.process.AdminSocket,
		MaxHeapBytes:      c.MaxHeapBytes,
		MaxConnections:    c.MaxConnections,
	})
	if err != nil {
		return fmt.Errorf("render the bootstrap: %w", err)
	}
	return s.folder.write(bootstrapFile, content)
}

// writeIdentity writes what has changed of the identity since the last call.
// The trust goes first: an old identity is good for longer than old trust.
func (s *session) writeIdentity() error {
	id, changed, err := s.config.Identities.Watch(s.config.Fleet)
	if err != nil {
		return fmt.Errorf("get the identity of fleet %s: %w", s.config.Fleet, err)
	}
	s.changed = changed
	if !bytes.Equal(id.TrustPEM, s.written.TrustPEM) {
		content, err := bootstrap.Trust(id.TrustPEM)
		if err != nil {
			return fmt.Errorf("render the trusted authorities: %w", err)
		}
		if err := s.folder.write(bootstrap.TrustFile, content); err != nil {
			return err
		}
	}
	if s.written.KeyPair == nil || id.KeyPair.Fingerprint() != s.written.KeyPair.Fingerprint() {
		if err := s.writeKeyPair(id.KeyPair); err != nil {
			return err
		}
	}
	s.written = id
	return nil
}

func (s *session) writeKeyPair(pair *certificate.KeyPair) error {
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	content, err := bootstrap.Identity(pair.CertificatePEM(), key)
	if err != nil {
		return fmt.Errorf("render the identity: %w", err)
	}
	if err := s.folder.write(bootstrap.IdentityFile, content); err != nil {
		return err
	}
	s.config.Log.V(1).Info("wrote the identity of Envoy", "fleet", s.config.Fleet.String(), "certificate", pair.String())
	return nil
}

// refresh writes a changed identity. When that fails, Envoy serves on with the
// old one, and the channel says when to try again.
func (s *session) refresh() <-chan time.Time {
	err := s.writeIdentity()
	if err == nil {
		return nil
	}
	s.changed = nil
	s.config.Log.Error(err, "cannot renew the identity of Envoy: trying again", "after", writeAgain.String())
	return s.config.Clock.After(writeAgain)
}

// start starts Envoy.
func (s *session) start() error {
	if _, err := os.Stat(s.folder.file(bootstrapFile)); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	if _, err := fmt.Fprintln(s.command, commandStart); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}

// run serves one Envoy until it ends, and returns how that went: nil when the
// context ended first.
func (s *session) run(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	var again <-chan time.Time
	if s.changed == nil {
		again = s.refresh()
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	close(watched)
	defer func() { stop(); <-watched }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
			again = s.refresh()
		case <-again:
			again = s.refresh()
		case event, open := <-s.events:
			if !open {
				return errBroken
			}
			word, detail, _ := strings.Cut(event, " ")
			if word != eventStarted {
				s.process.PID = 0
				return fmt.Errorf("envoy %s: %s", word, detail)
			}
			if err := s.started(detail); err != nil {
				return err
			}
			done := make(chan struct{})
			watched = done
			go func(p Process) { defer close(done); s.awaitReady(watching, p) }(s.process)
		}
	}
}

func (s *session) started(pid string) error {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return fmt.Errorf("%w: process id: %w", errBroken, err)
	}
	s.process.PID = n
	s.config.Log.Info("Envoy started", "pid", n, "version", s.process.Version.String(), "path", s.process.Path)
	if s.config.OnStart != nil {
		s.config.OnStart(s.process)
	}
	return nil
}

func (s *session) awaitReady(ctx context.Context, p Process) {
	if newAdmin(p.AdminSocket).ready(ctx) != nil {
		return
	}
	s.config.Log.Info("Envoy is ready", "pid", p.PID)
	if s.config.OnReady != nil {
		s.config.OnReady(p)
	}
}

// drain lets requests in flight end.
func (s *session) drain(ctx context.Context) {
	if s.process.PID == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	if err := newAdmin(s.process.AdminSocket).drain(ctx); err != nil {
		s.config.Log.Info("Envoy ends with requests in flight", "reason", err.Error(), "waited", s.config.DrainTimeout.String())
	}
}

// close ends Envoy, the supervisor and the folder.
func (s *session) close() error {
	errs := []error{s.command.Close()}
	// After its own time-out the supervisor kills Envoy. Were it stuck, its
	// death would.
	timer := time.AfterFunc(s.config.StopTimeout+2*logDelay, func() { _ = s.cmd.Process.Kill() })
	for range s.events { // what happens now is of no interest
	}
	err := <-s.done
	timer.Stop()
	for _, w := range s.outputs {
		w.flush()
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("supervisor: %w", err))
	}
	return errors.Join(append(errs, s.folder.remove())...)
}
