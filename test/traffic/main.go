package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/signetproxy/signet/test/figures"
)

func main() {
	// The load and the backends are of this process: what they leave is collected
	// seldom, as Signet and Envoy need the processors.
	debug.SetGCPercent(1000)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "traffic: "+err.Error())
		os.Exit(1)
	}
}

// options are what a user may choose; zero values leave it to the scenario.
type options struct {
	binary    string
	progress  io.Writer
	scenarios []scenario
	hosts     []int
	changes   int
	rate      float64
	runs      int
}

func run(ctx context.Context, w io.Writer, args []string) error {
	o := options{progress: w}
	flags := flag.NewFlagSet("traffic", flag.ContinueOnError)
	names := flags.String("scenario", "", "scenarios, as D1,D3; default: all\n"+figures.Describe(scenarios()))
	hosts := flags.String("hosts", "", "numbers of hosts, as 1000,5000; default: each scenario's own")
	flags.StringVar(&o.binary, "signet", "bin/signet", "the signet binary")
	flags.IntVar(&o.changes, "changes", 0, "changes of each kind; default: each scenario's own")
	flags.Float64Var(&o.rate, "rate", 0, "requests a second beside the changes; default: each scenario's own")
	flags.IntVar(&o.runs, "runs", 3, "runs of each scenario and size, each on a new folder with new processes")
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
	if o.hosts, err = numbers(*hosts); err != nil {
		return err
	}
	r := figures.New("hosts", w)
	measure(ctx, r, &o)
	r.Summarize()
	r.Summary = append(r.Summary, ratios(r.Summary)...)
	r.Print(w)
	return errors.Join(r.Err(), ctx.Err(), r.Write(*out))
}

func numbers(list string) ([]int, error) {
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--hosts %q: want numbers above 0", list)
		}
		out = append(out, n)
	}
	return out, nil
}
