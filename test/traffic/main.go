// Command traffic measures how long a change takes to reach traffic: manifests
// in a folder, `signet standalone` as a process of its own, a real Envoy, a TLS
// backend with validation. It prints a table and, with --json, writes the
// figures. It is a measurement, not a test: it fails only when an answer is
// wrong.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "traffic: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("traffic", flag.ContinueOnError)
	var (
		signet = flags.String("signet", "bin/signet", "the signet binary")
		hosts  = flags.String("hosts", "1000,20000", "numbers of hosts, half of them HTTPS, each with a Service of its own")
		n      = flags.Int("changes", 100, "changes of each kind")
		runs   = flags.Int("runs", 1, "runs; the table shows each")
		out    = flags.String("json", "", "file for the figures")
	)
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	var all []Figure
	for i := range *runs {
		for h := range strings.SplitSeq(*hosts, ",") {
			count, err := strconv.Atoi(h)
			if err != nil {
				return fmt.Errorf("--hosts %q: %w", *hosts, err)
			}
			figures, err := measure(ctx, *signet, count, *n)
			for _, f := range figures {
				f.Run = i + 1
				all = append(all, f)
			}
			if err != nil {
				return fmt.Errorf("%d hosts: %w", count, err)
			}
		}
	}
	fmt.Printf("\n%-4s %-8s %-20s %8s %8s %8s %6s %10s %10s\n", "run", "hosts", "change", "p50 ms", "p99 ms", "max ms", "n", "signet MiB", "envoy MiB")
	for _, f := range all {
		fmt.Printf("%-4d %-8d %-20s %8.2f %8.2f %8.2f %6d %10d %10d\n", f.Run, f.Hosts, f.Change, f.P50, f.P99, f.Max, f.Changes, f.SignetMiB, f.EnvoyMiB)
	}
	if *out == "" {
		return nil
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	if err := os.WriteFile(*out, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	return nil
}

// Figure is one row of the table; times are in milliseconds from the rename of
// the file to the first answer that shows the change.
type Figure struct {
	Run       int     `json:"run"`
	Hosts     int     `json:"hosts"`
	Change    string  `json:"change"`
	Changes   int     `json:"changes"`
	P50       float64 `json:"p50ms"`
	P99       float64 `json:"p99ms"`
	Max       float64 `json:"maxms"`
	SignetMiB int     `json:"signetMiB"`
	EnvoyMiB  int     `json:"envoyMiB"`
}
