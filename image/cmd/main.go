// Command cmd writes Signet's own image as an OCI archive: `make image`.
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/signetproxy/signet/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image: "+err.Error())
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	output := flags.String("output", "bin", "folder that the archive is written to")
	version := flags.String("version", "dev", "version of Signet, and tag of the image")
	platforms := flags.String("platforms", "", "comma-separated, as linux/amd64,linux/arm64; empty is this machine's")
	module := flags.String("module", ".", "folder of the repository")
	if err := flags.Parse(args); err != nil {
		return err //nolint:wrapcheck // it is the whole answer to a wrong call
	}
	created, err := sourceDate()
	if err != nil {
		return err
	}
	architectures, err := architectures(*platforms)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "signet-image-")
	if err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	specs := make([]image.Spec, 0, len(architectures))
	for _, architecture := range architectures {
		spec, err := image.Signet(ctx, image.SignetOptions{
			Module: *module, Scratch: scratch, Version: *version, Architecture: architecture, Created: created,
		})
		if err != nil {
			return err
		}
		specs = append(specs, spec)
	}
	file := filepath.Join(*output, "signet-"+*version+".tar")
	digest, err := image.WriteFile(file, specs...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s %s@%s\n", file, specs[0].Name, digest)
	return err //nolint:wrapcheck // there is nobody left to tell
}

func architectures(platforms string) ([]string, error) {
	if platforms == "" {
		return []string{""}, nil
	}
	var list []string
	for platform := range strings.SplitSeq(platforms, ",") {
		architecture, ok := strings.CutPrefix(platform, "linux/")
		if !ok || architecture == "" {
			return nil, fmt.Errorf("platform %q: Signet runs on linux/ARCHITECTURE alone", platform)
		}
		list = append(list, architecture)
	}
	return list, nil
}

// sourceDate is the moment that reproducible builds agree on, SOURCE_DATE_EPOCH
// in seconds since 1970; zero without it.
func sourceDate() (time.Time, error) {
	text, ok := os.LookupEnv("SOURCE_DATE_EPOCH")
	if !ok {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: seconds since 1970 are wanted: %w", text, err)
	}
	return time.Unix(seconds, 0), nil
}
