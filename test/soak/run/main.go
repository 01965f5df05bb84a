// Command run soaks Signet for some minutes and says what it found:
//
//	go run ./test/soak/run --minutes 5 --seed 1
//
// Exit code 1 means that something was violated.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/test/controlplane"
	"github.com/signetproxy/signet/test/soak"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case host.SupervisorCommand:
			os.Exit(host.SupervisorMain(os.Args[2:]))
		case controlplane.Command:
			os.Exit(controlplane.Main(os.Args[2:]))
		}
	}
	failed, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

func run() (failed bool, err error) {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	minutes := flags.Float64("minutes", 5, "how long")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano()), "which sequence of operations; by default another each time")
	rate := flags.Float64("rate", 60, "requests per second and fleet")
	refusals := flags.Bool("refusals", true, "have Envoys refuse some hosts and clusters")
	to := flags.String("to", "", "folder for history.jsonl, summary.json and the logs; by default one that is made, and named when something is found")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return false, fmt.Errorf("flags: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *to == "" {
		if *to, err = os.MkdirTemp("", "signet-soak-"); err != nil {
			return false, fmt.Errorf("folder: %w", err)
		}
	} else if err := os.MkdirAll(*to, 0o700); err != nil {
		return false, fmt.Errorf("folder: %w", err)
	}
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		return false, fmt.Errorf("folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := into(ctx, *to, soak.Config{
		Seed: *seed, Duration: time.Duration(*minutes * float64(time.Minute)), Rate: *rate, Calm: true, Dir: dir, NoRefusals: !*refusals,
		Progress: func(p soak.Progress) {
			_, _ = fmt.Fprintf(os.Stdout, "%6.0f s  seed %d  %d operations  %d requests (%d not 200)  %d restarts  %s\n",
				p.Elapsed.Seconds(), *seed, p.Operations, p.Requests, p.Errors, p.Restarts, p.Doing)
		},
	})
	if s != nil {
		err = errors.Join(err, s.Print(os.Stdout))
		failed = s.Verdict.Failed()
	}
	if failed || err != nil {
		_, _ = fmt.Fprintf(os.Stdout, "the history and the logs are in %s\nto replay: make soak MINUTES=%g SEED=%d\n"+
			"a seed that found something becomes a row of the table in test/soak/soak_test.go\n", *to, *minutes, *seed)
	}
	return failed, err
}

// into runs with what is recorded going to files of a folder.
func into(ctx context.Context, to string, cfg soak.Config) (s *soak.Summary, err error) {
	files := map[string]*os.File{}
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, name := range []string{"history.jsonl", "envoys.log", "control-plane.log", "summary.json"} {
		f, err := os.OpenFile(filepath.Join(to, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
		files[name] = f
	}
	record := bufio.NewWriterSize(files["history.jsonl"], 1<<20)
	cfg.Record, cfg.Output, cfg.Log = record, files["control-plane.log"], logTo(files["envoys.log"])
	s, err = soak.Run(ctx, cfg)
	err = errors.Join(err, record.Flush())
	if s != nil {
		err = errors.Join(err, s.JSON(files["summary.json"]))
	}
	return s, err
}

func logTo(f *os.File) logr.Logger {
	return funcr.NewJSON(func(line string) { _, _ = fmt.Fprintln(f, line) }, // a log that cannot be written is no finding
		funcr.Options{LogTimestamp: true, TimestampFormat: "15:04:05.000000"})
}
