package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// The image held signet alone, at a path that no pod of a fleet looks at: the
// pods call `signet envoy bootstrap` and `envoy` by name.
func TestSignetsImageHoldsWhatItsPodsCall(t *testing.T) {
	envoy, err := exec.LookPath("true") // any program with libraries
	if err != nil {
		t.Skip("this machine has no program called true")
	}
	module, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Signet(t.Context(), SignetOptions{Module: module, Scratch: t.TempDir(), Version: "v1", Envoy: envoy})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.Environment, "PATH=/usr/local/bin") {
		t.Errorf("the environment is %q: programs are called by name", s.Environment)
	}
	for _, want := range []string{"/usr/local/bin/signet", "/usr/local/bin/envoy", "/etc/ssl/certs/ca-certificates.crt"} {
		i := slices.IndexFunc(s.Files, func(f File) bool { return f.Path == want })
		if i < 0 {
			t.Errorf("%s is not in the image", want)
			continue
		}
		if source := s.Files[i].Source; source != "" {
			if _, err := os.Stat(source); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Signet(t.Context(), SignetOptions{Module: module, Version: "v1"}); !errors.Is(err, ErrNoEnvoy) {
		t.Errorf("without an Envoy the error is %v", err)
	}
}
