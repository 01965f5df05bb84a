package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// EnvoyVariable is the environment variable that may hold Envoy's path.
	EnvoyVariable = "SIGNET_ENVOY"
	// EnvoyVersion is the version that this Signet is made and tested for.
	EnvoyVersion = "1.40.0"

	versionTimeout = 20 * time.Second
)

// Errors of [Find] and [FindVersion].
var (
	ErrNoEnvoy    = errors.New("no Envoy found")
	ErrEnvoyBad   = errors.New("not a usable Envoy")
	ErrEnvoyIsOld = errors.New("this Envoy is too old")
)

// Find returns the path of the Envoy to run. A given path, then $SIGNET_ENVOY,
// is taken at its word: when it is wrong, that is an error. Else it is the
// tools' cache and then $PATH. [ErrNoEnvoy] lists where it looked.
func Find(given string) (string, error) {
	return find(given, os.Getenv, os.UserCacheDir, exec.LookPath)
}

func find(
	given string, getenv func(string) string, cacheDir func() (string, error), lookPath func(string) (string, error),
) (string, error) {
	var looked []string
	for _, place := range []struct{ name, path string }{
		{"the given path", given},
		{"$" + EnvoyVariable, getenv(EnvoyVariable)},
	} {
		if place.path == "" {
			looked = append(looked, place.name+": not set")
			continue
		}
		if err := executable(place.path); err != nil {
			return "", fmt.Errorf("%w: %s is %q: %w", ErrNoEnvoy, place.name, place.path, err)
		}
		return absolute(place.path)
	}
	if dir, err := cacheDir(); err != nil {
		looked = append(looked, "the tools' cache: "+err.Error())
	} else {
		path := filepath.Join(dir, "signet", "tools", "envoy-"+EnvoyVersion, "envoy")
		if err := executable(path); err == nil {
			return path, nil
		}
		looked = append(looked, path+": not there (make tools puts it there)")
	}
	if path, err := lookPath("envoy"); err == nil {
		return absolute(path)
	}
	looked = append(looked, `$PATH: no "envoy" in it`)
	return "", fmt.Errorf("%w: looked at:\n  %s\ngive its path with --envoy or $%s",
		ErrNoEnvoy, strings.Join(looked, "\n  "), EnvoyVariable)
}

func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrNoEnvoy, path, err)
	}
	return abs, nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("look at it: %w", err)
	case info.IsDir():
		return fmt.Errorf("%w: it is a folder", ErrEnvoyBad)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%w: it is not executable", ErrEnvoyBad)
	}
	return nil
}

// Version is a released version of Envoy.
type Version struct{ Major, Minor, Patch int }

// String returns "major.minor.patch".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

func (v Version) tested() bool {
	return EnvoyVersion == v.String() || strings.HasPrefix(EnvoyVersion, fmt.Sprintf("%d.%d.", v.Major, v.Minor))
}

func (v Version) older(o Version) bool {
	if v.Major != o.Major {
		return v.Major < o.Major
	}
	return v.Minor < o.Minor
}

var versionText = regexp.MustCompile(`version: [0-9a-f]*/(\d+)\.(\d+)\.(\d+)`)

// FindVersion asks the binary for its version. A version before that of
// [EnvoyVersion] is [ErrEnvoyIsOld]; what is no Envoy is [ErrEnvoyBad].
func FindVersion(ctx context.Context, path string) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Version{}, fmt.Errorf("%w: %s --version: %w", ErrEnvoyBad, path, err)
	}
	v, err := parseVersion(string(out))
	if err != nil {
		return Version{}, fmt.Errorf("%s --version: %w", path, err)
	}
	want, err := parseVersion("version: /" + EnvoyVersion)
	if err != nil {
		return Version{}, err
	}
	if v.older(want) {
		return v, fmt.Errorf("%w: %s is %s, want %s or later of its series (make tools fetches it)",
			ErrEnvoyIsOld, path, v, EnvoyVersion)
	}
	return v, nil
}

func parseVersion(text string) (Version, error) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("%w: it answers %q", ErrEnvoyBad, strings.TrimSpace(text))
	}
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(m[i+1]); err != nil {
			return Version{}, fmt.Errorf("%w: it answers %q", ErrEnvoyBad, strings.TrimSpace(text))
		}
	}
	return Version{Major: n[0], Minor: n[1], Patch: n[2]}, nil
}
