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

const (
	// lookAgain is how often a tree looks at what no event may tell of.
	lookAgain = time.Second
	// lookSoon is the same while its root is gone.
	lookSoon = 20 * time.Millisecond
)

// patience is how long a tree may wait for events.
func (t *tree) patience(now time.Time) time.Duration {
	interval := lookAgain
	if t.missing != "" {
		interval = lookSoon
	}
	return max(0, t.checked.Add(interval).Sub(now))
}

// again looks at what is due without an event.
func (t *tree) again(s *scan) {
	t.closes(s)
	if t.patience(s.now) > 0 {
		return
	}
	t.checked = s.now
	if !t.isHere() {
		t.all(s)
	}
	if t.missing != "" {
		return
	}
	t.compare(maps.Keys(t.links), s)
	for rel := range t.unread {
		if _, open := t.open[rel]; !open && !t.writing[rel] {
			s.reads(rel)
		}
	}
	for _, rel := range slices.Sorted(maps.Keys(t.troubles)) {
		t.retry(rel, s) // also when another has freed the watches that it needs
	}
}

// isHere tells whether the root is the folder that is watched: it may be
// replaced through any of its ancestors, of which no event tells.
func (t *tree) isHere() bool {
	info, err := os.Stat(t.absolute)
	return err == nil && t.missing == "" && os.SameFile(info, t.self)
}

// retry looks anew at a path that is in trouble.
func (t *tree) retry(rel string, s *scan) {
	if rel == "." {
		t.all(s)
		return
	}
	t.unprompted(s, func() { t.visit(rel, s) })
}

// unprompted looks where no event says that a file is whole.
func (*tree) unprompted(s *scan, look func()) {
	defer func(was bool) { s.unprompted = was }(s.unprompted)
	s.unprompted = true
	look()
}

// all looks at everything anew.
func (t *tree) all(s *scan) {
	var err error
	t.unprompted(s, func() { err = t.start(s) })
	switch {
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
	t.watchParent()
	resolved, err := filepath.EvalSymlinks(t.absolute)
	if err != nil {
		return err //nolint:wrapcheck // it names the path
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return err //nolint:wrapcheck // it names the path
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", resolved)
	}
	delete(t.troubles, ".")
	if err := t.enter(".", resolved, identityOf(info), s); err != nil {
		return err
	}
	t.self = info
	t.entered, t.stirred = s.now, s.now
	if s.unprompted {
		t.entered = s.now.Add(stillLimit) // by when the files that differ are read
	}
	return nil
}

// watchParent has the parent tell at once when the folder itself is replaced.
// Where it may not, isHere sees it later.
func (t *tree) watchParent() {
	parent := filepath.Dir(t.absolute)
	if t.watch == nil || t.watch.add(parent, namesAlone) != nil {
		return
	}
	if t.parent {
		t.watch.remove(parent) // of before, which may have been another folder
	}
	t.parent = true
}

// unreadable notes a path that is looked at again; what it held stays.
func (t *tree) unreadable(rel string, err error) {
	t.troubles[rel] = source.Problem{File: rel, Message: "cannot be read: " + reason(err), Severity: source.Error}
}

// leadsNowhere notes a link that never led to anything. It may be to a folder.
func (t *tree) leadsNowhere(rel string, err error) {
	to, _ := os.Readlink(t.path(rel)) // it may have gone since
	t.troubles[rel] = source.Problem{
		File: rel, Severity: source.Warning,
		Message: fmt.Sprintf("is a link to %q, which cannot be followed: %s: make what it leads to, or remove it", to, reason(err)),
	}
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
