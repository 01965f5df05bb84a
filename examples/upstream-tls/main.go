// Command upstream-tls is Signet's main job on one page: it makes an authority
// and certificates in a scratch folder, starts an HTTPS backend that demands
// client certificates, runs `signet standalone` on the manifests beside this
// file, sends a request and shows what was verified.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

//go:embed manifests/*.yaml
var manifests embed.FS

func main() {
	signet := flag.String("signet", "bin/signet", "the signet binary")
	once := flag.Bool("once", false, "end after the first answers; exit non-zero when they are wrong")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *signet, *once)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "upstream-tls: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, signet string, once bool) error {
	scratch, err := os.MkdirTemp("", "signet-upstream-tls-")
	if err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }() // a leftover is harmless
	step("certificates and manifests in %s", scratch)
	w, err := newWorld(scratch)
	if err != nil {
		return err
	}
	defer w.backend.Close()
	step("HTTPS backend on %s, client certificates required", w.backend.Address())

	httpPort, httpsPort := freePort(8080), freePort(8443)
	step("%s standalone on http://127.0.0.1:%d", signet, httpPort)
	cmd := exec.CommandContext(ctx, signet, "standalone", "--manifests", w.manifests,
		"--http-port", fmt.Sprint(httpPort), "--https-port", fmt.Sprint(httpsPort))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it through us
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w (make build makes it)", signet, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	defer func() {
		if stopped {
			return
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			fmt.Printf("stopping signet: %v\n", err)
		}
		if err := <-ended; err != nil {
			fmt.Printf("signet ended: %v\n", err)
		}
	}()

	if err := w.firstAnswers(ctx, httpPort, ended); err != nil {
		return err
	}
	if once {
		return nil
	}
	w.suggest(signet, httpPort)
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		stopped = true
		return fmt.Errorf("signet standalone ended: %w", err)
	}
}

func step(format string, args ...any) { fmt.Printf("==> "+format+"\n", args...) }

// copyManifests writes the files beside this one into dir.
func copyManifests(dir string) error {
	files, err := fs.Glob(manifests, "manifests/*.yaml")
	if err != nil {
		return fmt.Errorf("manifests: %w", err)
	}
	for _, f := range files {
		b, err := manifests.ReadFile(f)
		if err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600); err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
	}
	return nil
}
