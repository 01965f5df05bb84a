// Command cmd writes docs/envoyfleet.md to standard output, from the CRD of
// EnvoyFleet whose path is its one argument. operator/api/generate.sh runs it.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/signetproxy/signet/operator/api/reference"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments: give the path of the CRD", len(args))
	}
	crd, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("reading the CRD: %w", err)
	}
	text, err := reference.Markdown(crd, reference.EnvoyFleet())
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("writing the reference: %w", err)
	}
	return nil
}
