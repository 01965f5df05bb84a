package validate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
)

// RefusedError says which part Envoy does not take, and why.
type RefusedError struct {
	Part string
	// Words are Envoy's own.
	Words string
}

// Error implements error.
func (r *RefusedError) Error() string { return "Envoy refuses " + r.Part + ": " + r.Words }

// Run has the Envoy at path validate all parts at once. Where it refuses them
// it is asked again for halves, until it has named one part: the error is its
// [RefusedError] then.
func Run(ctx context.Context, path string, parts ...Part) error {
	words, err := run(ctx, path, parts)
	if err != nil || words == "" {
		return err
	}
	if len(parts) == 1 {
		return &RefusedError{Part: parts[0].Name, Words: words}
	}
	half := len(parts) / 2
	for _, some := range [][]Part{parts[:half], parts[half:]} {
		if err := Run(ctx, path, some...); err != nil {
			return err
		}
	}
	return fmt.Errorf("each half of the parts %s to %s is taken, and not both: %s",
		parts[0].Name, parts[len(parts)-1].Name, words)
}

// run returns what Envoy says of what it refuses.
func run(ctx context.Context, path string, parts []Part) (words string, err error) {
	config, err := Bootstrap(parts...)
	if err != nil {
		return "", err
	}
	// The binary form is read ten times as fast as the others.
	body, err := proto.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	dir, err := os.MkdirTemp("", "signet-validate-")
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "bootstrap.pb")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	out, err := exec.CommandContext(ctx, path, "--mode", "validate", "--log-level", "error", "--log-format", "%v", "-c", file).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return strings.TrimSpace(exit.String() + ": " + string(out)), nil
	}
	if err != nil {
		return "", fmt.Errorf("running %s: %w", path, err)
	}
	return "", nil
}
