// Command cmd writes Signet's own image as an OCI archive: `make image`.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
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
	envoys := flags.String("envoy", os.Getenv("SIGNET_ENVOY"),
		"Envoy for this machine, or for several as linux/amd64=path,linux/arm64=path; default: $SIGNET_ENVOY")
	uncompressed := flags.Bool("uncompressed", false, "write a larger archive in less time")
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
			Envoy: envoyOf(*envoys, architecture),
		})
		if err != nil {
			return err
		}
		spec.Compress = !*uncompressed
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

// envoyOf chooses the Envoy of an architecture from what --envoy says; empty if
// there is none.
func envoyOf(list, architecture string) string {
	architecture = cmp.Or(architecture, runtime.GOARCH)
	for entry := range strings.SplitSeq(list, ",") {
		platform, path, ok := strings.Cut(entry, "=")
		switch {
		case ok && platform == "linux/"+architecture:
			return path
		case !ok && architecture == runtime.GOARCH:
			return entry
		}
	}
	return ""
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
