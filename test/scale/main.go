package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/rig"
)

func main() { os.Exit(rig.Inside(inside)) }

func inside() int {
	// The load and the backends are of this process: what they leave is collected
	// seldom, as Signet and Envoy need the processors.
	debug.SetGCPercent(1000)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scale: "+err.Error())
		return 1
	}
	return 0
}

// options are what a user may choose; zero values leave it to the scenario.
type options struct {
	rig       rig.Options
	scenarios []scenario
	objects   int
	secrets   int
	changes   int
	runs      int
}

func run(ctx context.Context, w io.Writer, args []string) error {
	o := options{}
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	names := flags.String("scenario", "", "scenarios, as S1,S3; default: all\n"+figures.Describe(scenarios()))
	binary := flags.String("signet", "bin/signet", "the signet binary")
	flags.StringVar(&o.rig.Install, "install", "docs/kubernetes/install.yaml", "the manifests that users apply")
	flags.IntVar(&o.objects, "objects", 0, "HTTPProxies or HTTPRoutes; default: each scenario's own")
	flags.IntVar(&o.secrets, "secrets", -1, "unrelated Secrets; default: each scenario's own")
	flags.IntVar(&o.changes, "changes", 0, "changes of each kind; default: each scenario's own")
	flags.IntVar(&o.runs, "runs", 1, "runs of each scenario, each on a new API server with new processes")
	out := flags.String("json", "", "file for the figures")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return fmt.Errorf("arguments: %w", err)
	}
	var err error
	if o.scenarios, err = figures.Choose(scenarios(), *names); err != nil {
		return err
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return fmt.Errorf("--signet: %w", err)
	}
	o.rig.Signet, o.rig.Progress = []string{path, "operator"}, w
	r := figures.New("objects", w)
	measure(ctx, r, &o)
	r.Summarize()
	r.Print(w)
	return errors.Join(r.Err(), ctx.Err(), r.Write(*out))
}
