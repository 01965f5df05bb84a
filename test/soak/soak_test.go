package soak

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/test/controlplane"
	"github.com/signetproxy/signet/test/soak/model"
)

// The test binary is also the control plane and the supervisor of Envoys.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case host.SupervisorCommand:
			os.Exit(host.SupervisorMain(os.Args[2:]))
		case controlplane.Command:
			os.Exit(controlplane.Main(os.Args[2:]))
		}
	}
	m.Run()
}

// seeds are sequences that every test runs: those that found something, and
// what that was.
var seeds = map[string]struct {
	reason     string
	seed       uint64
	operations int
}{
	"EveryKind": {"its operations are of every kind", everyKind, 80},
}

const everyKind = 1

// run soaks for a number of operations, and prints what it found if a test
// fails by it.
func run(t *testing.T, cfg Config) *Summary {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var output strings.Builder
	cfg.Dir, cfg.Log, cfg.Output = dir, logr.Discard(), &output
	cfg.Duration, cfg.Rate = 5*time.Minute, 40 // operations end it
	s, err := Run(t.Context(), cfg)
	if err != nil {
		t.Errorf("seed %d: %v", cfg.Seed, err)
	}
	if s == nil {
		t.Fatalf("seed %d: no summary; the control plane said:\n%s", cfg.Seed, &output)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		var text strings.Builder
		_ = s.Print(&text)
		t.Logf("replay: make soak MINUTES=1 SEED=%d\n%s\nthe control plane said:\n%s", cfg.Seed, &text, tail(output.String()))
	})
	return s
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

func TestSoak(t *testing.T) {
	for name, c := range seeds {
		t.Run(name, func(t *testing.T) {
			s := run(t, Config{Seed: c.seed, Operations: c.operations})
			if s.Verdict == nil || s.Verdict.Failed() {
				t.Errorf("seed %d (%s): violations", c.seed, c.reason)
			}
			for i := range operations {
				if c.seed == everyKind && s.Operations[operations[i].name] == 0 {
					t.Errorf("seed %d: %q is not among the operations: take more of them", c.seed, operations[i].name)
				}
			}
			// A run that saw nothing proves nothing.
			for what, n := range map[string]int{
				"answers": s.Codes[200], "restarts of the control plane": s.Restarts, "streams that spied": s.Spied,
				"looks into Envoys": s.Inspected, "answers judged exactly": s.Verdict.Exact,
			} {
				if n == 0 {
					t.Errorf("seed %d: there were no %s", c.seed, what)
				}
			}
		})
	}
}

// What is served otherwise than it is written must be found out: the manifests
// are changed behind the model's back. The sequence of operations must be that
// of any other run with the seed.
func TestTamperingIsFound(t *testing.T) {
	var sequence []string
	cases := map[string]struct {
		reason string
		tamper func(file, content string, ports map[string]int) string
		want   model.Kind
	}{
		"Unverified": {
			"validation is dropped",
			func(_, content string, _ map[string]int) string { return dropValidation(content) },
			model.Unverified,
		},
		"Elsewhere": {
			"a service has another's endpoint",
			func(file, content string, ports map[string]int) string {
				if !strings.Contains(file, "-endpoints-") {
					return content
				}
				return strings.ReplaceAll(content, fmt.Sprint("port: ", ports["plain0"], "\n"), fmt.Sprint("port: ", ports["trap-cleartext"], "\n"))
			},
			model.WrongTarget,
		},
		"Lost": {
			"a host is removed",
			func(file, content string, _ map[string]int) string {
				if strings.Contains(file, "-host-3.") {
					return ""
				}
				return content
			},
			model.Lost,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := run(t, Config{Seed: everyKind, Operations: 12, Tamper: c.tamper})
			if s.Verdict.ByKind[c.want] == 0 {
				t.Errorf("%s: found %v, want %q among them", c.reason, s.Verdict.ByKind, c.want)
			}
			if sequence == nil {
				sequence = s.Sequence
			}
			if diff := cmp.Diff(sequence, s.Sequence); diff != "" {
				t.Errorf("%s: the seed's operations are not the same (-one run, +another):\n%s", c.reason, diff)
			}
		})
	}
}

// dropValidation takes every validation block out of a manifest.
func dropValidation(content string) string {
	var out []string
	skip := 0
	for line := range strings.SplitSeq(content, "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if skip > 0 && indent > skip {
			continue
		}
		skip = 0
		if strings.TrimSpace(line) == "validation:" {
			skip = indent
			continue
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
