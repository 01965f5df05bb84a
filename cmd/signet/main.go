// Command signet is Signet: the operator's side and the Envoys' side in one
// binary. Each subcommand is thin: it reads flags and calls a package.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/signetproxy/signet/provisioner/host"
)

// version is set by the linker.
var version = "dev"

func main() {
	// Envoy's own flags follow the supervisor's command: cobra must not see them.
	if len(os.Args) > 1 && os.Args[1] == host.SupervisorCommand {
		os.Exit(host.SupervisorMain(os.Args[2:]))
	}
	keepHeapSmall()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, errInvalid):
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "signet: "+err.Error())
		os.Exit(exitCode(err))
	}
}

// errInvalid ends a command with exit code 1 after it has said why.
var errInvalid = errors.New("an object is invalid")

// exitCode is 2 for a wrong call or a failure of Signet itself, so that 1 is
// left for "an object is invalid".
func exitCode(error) int { return 2 }
