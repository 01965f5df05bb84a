package host

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func program(t *testing.T, dir, name, script string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	given := program(t, dir, "given", "")
	variable := program(t, dir, "variable", "")
	cached := program(t, dir, filepath.Join("cache", "signet", "tools", "envoy-1.40.0", "envoy"), "")
	inPath := program(t, dir, "path/envoy", "")
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason                 string
		given, variable, cache string
		path                   string // what $PATH has
		want                   string
		names                  []string // in the error
	}{
		"given":          {"what the user names comes first", given, variable, "cache", inPath, given, nil},
		"variable":       {"then the environment", "", variable, "cache", inPath, variable, nil},
		"cache":          {"then what make tools fetched", "", "", "cache", inPath, cached, nil},
		"path":           {"then what the system has", "", "", "empty", inPath, inPath, nil},
		"no cache":       {"a user without a cache folder may have one in the path", "", "", "", inPath, inPath, nil},
		"nowhere":        {"the error lists every place and what to do", "", "", "empty", "", "", []string{"$SIGNET_ENVOY: not set", filepath.Join(dir, "empty", "signet"), "make tools", "$PATH", "--envoy"}},
		"given missing":  {"a wrong path is not made up for by another", filepath.Join(dir, "none"), variable, "cache", inPath, "", []string{"given path", filepath.Join(dir, "none")}},
		"given folder":   {"a folder is no program", dir, variable, "cache", inPath, "", []string{"given path", "folder"}},
		"given plain":    {"a file that cannot be executed is none", plain, "", "cache", inPath, "", []string{"not executable"}},
		"variable wrong": {"a wrong variable is an error too", "", plain, "cache", inPath, "", []string{"$SIGNET_ENVOY", "not executable"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := find(tc.given,
				func(key string) string { return map[string]string{EnvoyVariable: tc.variable}[key] },
				func() (string, error) {
					if tc.cache == "" {
						return "", errors.New("no home")
					}
					return filepath.Join(dir, tc.cache), nil
				},
				func(string) (string, error) {
					if tc.path == "" {
						return "", exec.ErrNotFound
					}
					return tc.path, nil
				})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
			if failed := tc.want == ""; failed != errors.Is(err, ErrNoEnvoy) {
				t.Fatalf("%s: error %v, want ErrNoEnvoy %v", tc.reason, err, failed)
			}
			for _, part := range tc.names {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: the error does not tell %q: %v", tc.reason, part, err)
				}
			}
		})
	}
}

func TestFindVersion(t *testing.T) {
	dir := t.TempDir()
	cases := map[string]struct {
		reason string
		script string
		want   Version
		err    error
		tested bool
	}{
		"tested": {"the version that this is made for", "echo; echo 'envoy  version: 9e5580/1.40.0/Clean/RELEASE/BoringSSL'; echo", Version{1, 40, 0}, nil, true},
		"patch":  {"a patch of it", "echo 'envoy  version: 9e5580/1.40.3/Clean/RELEASE/BoringSSL'", Version{1, 40, 3}, nil, true},
		"newer":  {"a newer one is run, with a warning", "echo 'envoy  version: 9e5580/1.41.0/Clean/RELEASE/BoringSSL'", Version{1, 41, 0}, nil, false},
		"two":    {"as is a new series", "echo 'envoy  version: 9e5580/2.0.0/Clean/RELEASE/BoringSSL'", Version{2, 0, 0}, nil, false},
		"older":  {"an older one lacks what the configuration needs", "echo 'envoy  version: 9e5580/1.39.9/Clean/RELEASE/BoringSSL'", Version{1, 39, 9}, ErrEnvoyIsOld, false},
		"other":  {"another program", "echo 'nginx version: 1.0'", Version{}, ErrEnvoyBad, false},
		"fails":  {"a program that does not start here", "exit 1", Version{}, ErrEnvoyBad, false},
		"huge":   {"a number that is none", "echo 'version: a/99999999999999999999.1.1'", Version{}, ErrEnvoyBad, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := FindVersion(t.Context(), program(t, dir, name, tc.script))
			if !errors.Is(err, tc.err) {
				t.Errorf("%s: error %v, want %v", tc.reason, err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
			if got.tested() != tc.tested {
				t.Errorf("%s: tested %v, want %v", tc.reason, got.tested(), tc.tested)
			}
		})
	}
}

// TestRunRefuses collects what Run does not try again.
func TestRunRefuses(t *testing.T) {
	envoy := program(t, t.TempDir(), "envoy", "echo 'version: a/1.40.0'")
	cases := map[string]struct {
		reason string
		config Config
		want   error
	}{
		"no identities": {"an Envoy without identity gets nothing", Config{Envoy: envoy}, ErrConfig},
		"log level":     {"Envoy would refuse to start", Config{Envoy: envoy, Identities: newKeeper(t), LogLevel: "loud"}, ErrConfig},
		"no Envoy":      {"nothing to run", Config{Envoy: filepath.Join(t.TempDir(), "none"), Identities: newKeeper(t)}, ErrNoEnvoy},
		"no Envoy's":    {"not an Envoy", Config{Envoy: program(t, t.TempDir(), "envoy", ""), Identities: newKeeper(t)}, ErrEnvoyBad},
		"no folder":     {"nowhere to write", Config{Envoy: envoy, Identities: newKeeper(t), Folder: filepath.Join(t.TempDir(), "none")}, ErrFolder},
		"no supervisor": {"the supervisor's program is not there", Config{
			Envoy: envoy, Identities: newKeeper(t), Fleet: fleet, XDSAddress: "127.0.0.1:1",
			Folder: shortDir(t), Supervisor: []string{filepath.Join(t.TempDir(), "none")},
		}, os.ErrNotExist},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := Run(t.Context(), tc.config); !errors.Is(err, tc.want) {
				t.Errorf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if tc.config.Folder != "" {
				if left, err := os.ReadDir(tc.config.Folder); err == nil && len(left) > 0 {
					t.Errorf("%s: left behind: %v", tc.reason, left)
				}
			}
		})
	}
}

func TestRunRefusesABadAddress(t *testing.T) {
	dir := shortDir(t)
	err := Run(t.Context(), Config{
		Envoy: program(t, t.TempDir(), "envoy", "echo 'version: a/1.40.0'"), Identities: newKeeper(t), Fleet: fleet,
		XDSAddress: "nowhere", Folder: dir, Log: testLog(t),
	})
	if err == nil || !strings.Contains(err.Error(), "XDSAddress") {
		t.Errorf("error %v, want one that names XDSAddress", err)
	}
	if left := children(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
