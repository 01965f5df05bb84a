package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	envoyhost "github.com/signetproxy/signet/provisioner/host"
)

// Both forms of the example run, and mean the same: what each side saw of the
// other is checked by the example itself.
func TestExampleRuns(t *testing.T) {
	if _, err := envoyhost.Find(""); err != nil {
		t.Fatal(err)
	}
	signet := filepath.Join(t.TempDir(), "signet")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-race", "-o", signet, "../../cmd/signet").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for api := range folders {
		t.Run(api, func(t *testing.T) {
			if err := run(t.Context(), signet, api, true); err != nil {
				t.Error(err)
			}
		})
	}
	if err := run(t.Context(), signet, "ingress", true); err == nil {
		t.Error("an API that is not served is no error")
	}
}
