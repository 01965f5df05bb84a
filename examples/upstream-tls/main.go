// Command upstream-tls is Signet's main job on one page: it makes an authority
// and certificates in a scratch folder, starts an HTTPS backend that demands
// client certificates, runs `signet standalone` on the manifests beside this
// file, an HTTPProxy's or, with --api gateway, those of the Gateway API that mean
// the same, sends a request and shows what was verified.
package main

import (
	"bytes"
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

//go:embed manifests/*.yaml gateway/*.yaml
var manifests embed.FS

func main() {
	signet := flag.String("signet", "bin/signet", "the signet binary")
	api := flag.String("api", httpProxy, "whose manifests: httpproxy or gateway")
	once := flag.Bool("once", false, "end after the first answers; exit non-zero when they are wrong")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *signet, *api, *once)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "upstream-tls: "+err.Error())
		os.Exit(1)
	}
}

// Whose manifests are served, with the folder that they are in.
const (
	httpProxy = "httpproxy"
	gateway   = "gateway"
)

var folders = map[string]string{httpProxy: "manifests", gateway: "gateway"}

func run(ctx context.Context, signet, api string, once bool) error {
	if folders[api] == "" {
		return fmt.Errorf("--api %q: want %s or %s", api, httpProxy, gateway)
	}
	scratch, err := os.MkdirTemp("", "signet-upstream-tls-")
	if err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }() // a leftover is harmless
	step("certificates and manifests in %s", scratch)
	httpPort, httpsPort := freePort(8080), freePort(8443)
	w, err := newWorld(scratch, api, httpPort)
	if err != nil {
		return err
	}
	defer w.backend.Close()
	step("HTTPS backend on %s, client certificates required", w.backend.Address())

	step("%s standalone on http://127.0.0.1:%d", signet, httpPort)
	forProxies := httpPort
	if api == gateway { // a Gateway names its ports itself, and must find them free
		forProxies = freePort(8081)
	}
	cmd := exec.CommandContext(ctx, signet, "standalone", "--manifests", w.manifests,
		"--http-port", fmt.Sprint(forProxies), "--https-port", fmt.Sprint(httpsPort))
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

// copyManifests writes the files of an API into dir, for a port.
func copyManifests(dir, api string, port int) error {
	files, err := fs.Glob(manifests, folders[api]+"/*.yaml")
	if err != nil {
		return fmt.Errorf("manifests: %w", err)
	}
	for _, f := range files {
		b, err := manifests.ReadFile(f)
		if err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
		b = bytes.ReplaceAll(b, []byte("port: 80\n"), fmt.Appendf(nil, "port: %d\n", port))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600); err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
	}
	return nil
}
