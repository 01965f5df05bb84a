package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/signetproxy/signet/operator/source"
)

// lookAgain is how often a tree looks at what no event may tell of.
const lookAgain = time.Second

// patience is how long a tree may wait for events.
func (t *tree) patience(now time.Time) time.Duration {
	return max(0, t.checked.Add(lookAgain).Sub(now))
}

// again looks at what is due without an event.
func (t *tree) again(now time.Time, s *scan) {
	if t.patience(now) > 0 {
		return
	}
	t.checked = now
	for _, rel := range slices.Sorted(maps.Keys(t.troubles)) {
		t.retry(rel, s) // also when another has freed the watches that it needs
	}
}

// retry looks anew at a path that is in trouble.
func (t *tree) retry(rel string, s *scan) {
	if rel == "." {
		t.all(s)
		return
	}
	t.visit(rel, s)
}

// all looks at everything anew.
func (t *tree) all(s *scan) {
	switch err := t.start(s); {
	case err == nil:
		t.missing = ""
	case isGone(err):
		t.missing = "the folder is gone; what it held last serves on until it is back"
	default:
		t.missing = "the folder cannot be read: " + reason(err) + "; what it held last serves on"
	}
}

// start looks at everything. It fails if the root cannot be read or watched.
func (t *tree) start(s *scan) error {
	resolved, err := filepath.EvalSymlinks(t.absolute)
	if err == nil {
		err = mustBeFolder(resolved)
	}
	if err != nil {
		return err
	}
	if t.watch != nil && len(t.dirs) == 0 {
		// The parent tells when the folder itself is replaced.
		if err := t.watch.add(filepath.Dir(t.absolute)); err != nil {
			return fmt.Errorf("watch %s: %w", filepath.Dir(t.absolute), err)
		}
	}
	delete(t.troubles, ".")
	return t.enter(".", resolved, s)
}

func mustBeFolder(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the path
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", path)
	}
	return nil
}

// unreadable notes a path that is looked at again; what it held stays.
func (t *tree) unreadable(rel string, err error) {
	t.troubles[rel] = source.Problem{File: rel, Message: "cannot be read: " + reason(err), Severity: source.Error}
}

// unwatchable notes a link that is read, but whose target cannot be watched.
func (t *tree) unwatchable(rel string, err error) {
	t.troubles[rel] = source.Problem{
		File: rel, Severity: source.Warning,
		Message: "read once a second: what it leads to cannot be watched: " + reason(err),
	}
}

// problems are what is wrong with the folder as a whole, and with folders in it.
func (t *tree) problems() []source.Problem {
	var out []source.Problem
	if t.missing != "" {
		out = append(out, source.Problem{File: ".", Message: t.missing, Severity: source.Error})
	}
	for _, rel := range slices.Sorted(maps.Keys(t.troubles)) {
		out = append(out, t.troubles[rel])
	}
	return out
}

// reason is an error without the path, which a problem has.
func reason(err error) string {
	if in := (*fs.PathError)(nil); errors.As(err, &in) {
		err = in.Err
	} else if in := errors.Unwrap(err); in != nil {
		err = in
	}
	return err.Error()
}
