package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// tree knows the folders below the root and which files in them are manifests,
// and keeps the watcher at them. It reads no file.
type tree struct {
	// root as it was given; absolute is the same, absolute.
	root, absolute string
	watch          watcher // nil to look once
	dirs           map[string]*dir
	// targets are what symbolic links lead to, absolute; links the reverse.
	targets map[string]string
	links   map[string]map[string]bool
}

// dir is one folder; its path is relative to the root, "." for the root.
type dir struct {
	// resolved is the path without symbolic links, to notice cycles.
	resolved string
	// files and folders in it, with whether each is a symbolic link; links are
	// those that are, so that an event need not look at all of them.
	files, folders map[string]bool
	links          map[string]bool
}

func (d *dir) add(entries map[string]bool, name string, link bool) {
	entries[name] = link
	delete(d.links, name)
	if link {
		d.links[name] = true
	}
}

// scan collects what a look at the tree found.
type scan struct {
	read, gone map[string]bool
	// touched files have new attributes: worth a look if they were unreadable.
	touched map[string]bool
	// problem of the folder as a whole.
	problem string
}

func newScan() *scan {
	return &scan{read: map[string]bool{}, gone: map[string]bool{}, touched: map[string]bool{}}
}

func (s *scan) reads(path string) {
	delete(s.gone, path)
	s.read[path] = true
}

func (s *scan) misses(path string) {
	delete(s.read, path)
	s.gone[path] = true
}

func newTree(root string, w watcher) (*tree, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", root, err)
	}
	return &tree{
		root: root, absolute: absolute, watch: w, dirs: map[string]*dir{},
		targets: map[string]string{}, links: map[string]map[string]bool{},
	}, nil
}

// isManifest tells by its name whether a file is read. Hidden files and
// editors' copies are not.
func isManifest(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return !isHidden(name)
	default:
		return false
	}
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") }

// isLink tells whether a file is a symbolic link.
func (t *tree) isLink(path string) bool {
	d, ok := t.dirs[filepath.Dir(path)]
	return ok && d.files[filepath.Base(path)]
}

// all looks at everything anew.
func (t *tree) all(s *scan) error {
	resolved, err := filepath.EvalSymlinks(t.absolute)
	if err == nil {
		err = mustBeFolder(resolved)
	}
	if err != nil {
		if len(t.dirs) == 0 {
			return err
		}
		s.problem = "the folder is gone; what it held last serves on until it is back"
		return nil
	}
	if t.watch != nil && len(t.dirs) == 0 {
		// The parent tells when the folder itself is replaced.
		if err := t.watch.add(filepath.Dir(t.absolute)); err != nil {
			return err
		}
	}
	t.leave(".", s)
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

func (t *tree) path(rel string) string { return filepath.Join(t.absolute, rel) }

// enter begins to watch a folder, then looks at what is in it: nothing that
// comes later is missed.
func (t *tree) enter(rel, resolved string, s *scan) error {
	if t.watch != nil {
		if err := t.watch.add(t.path(rel)); err != nil {
			return ignoreGone(err)
		}
	}
	t.dirs[rel] = &dir{resolved: resolved, files: map[string]bool{}, folders: map[string]bool{}, links: map[string]bool{}}
	entries, err := os.ReadDir(t.path(rel))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // it names the path
	}
	for _, e := range entries {
		if err := t.visit(filepath.Join(rel, e.Name()), s); err != nil {
			return err
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// visit looks at one path as it is now.
func (t *tree) visit(rel string, s *scan) error {
	parent, name := t.dirs[filepath.Dir(rel)], filepath.Base(rel)
	if parent == nil || isHidden(name) {
		return nil
	}
	info, err := os.Lstat(t.path(rel))
	if err != nil {
		t.leave(rel, s)
		return nil //nolint:nilerr // it is not there
	}
	link := info.Mode()&fs.ModeSymlink != 0
	if link {
		if info, err = os.Stat(t.path(rel)); err != nil {
			if isManifest(name) {
				return t.file(rel, parent, link, s) // reading it says what is wrong
			}
			t.leave(rel, s)
			return nil
		}
	}
	switch {
	case info.IsDir():
		return t.folder(rel, parent, link, s)
	case info.Mode().IsRegular() && isManifest(name):
		return t.file(rel, parent, link, s)
	default:
		t.leave(rel, s)
		return nil
	}
}

func (t *tree) folder(rel string, parent *dir, link bool, s *scan) error {
	t.leave(rel, s)
	resolved := filepath.Join(parent.resolved, filepath.Base(rel))
	if link {
		var err error
		if resolved, err = filepath.EvalSymlinks(t.path(rel)); err != nil {
			return nil //nolint:nilerr // it has gone since
		}
	}
	parent.add(parent.folders, filepath.Base(rel), link)
	if link {
		if err := t.follow(rel); err != nil {
			return err
		}
	}
	if t.isCycle(filepath.Dir(rel), resolved) {
		return nil
	}
	return t.enter(rel, resolved, s)
}

// isCycle tells whether a folder contains itself by a symbolic link.
func (t *tree) isCycle(rel, resolved string) bool {
	for {
		if t.dirs[rel].resolved == resolved {
			return true
		}
		if rel == "." {
			return false
		}
		rel = filepath.Dir(rel)
	}
}

func (t *tree) file(rel string, parent *dir, link bool, s *scan) error {
	if _, known := t.dirs[rel]; known {
		t.leave(rel, s)
	}
	parent.add(parent.files, filepath.Base(rel), link)
	s.reads(rel)
	if !link {
		return nil
	}
	return t.follow(rel)
}

// leave forgets a path and all below it.
func (t *tree) leave(rel string, s *scan) {
	parent, name := t.dirs[filepath.Dir(rel)], filepath.Base(rel)
	if d, ok := t.dirs[rel]; ok {
		for name := range d.files {
			t.leave(filepath.Join(rel, name), s)
		}
		for name := range d.folders {
			t.leave(filepath.Join(rel, name), s)
		}
		t.unwatch(rel)
		delete(t.dirs, rel)
	}
	if parent == nil || rel == "." {
		return
	}
	if _, ok := parent.files[name]; ok {
		s.misses(rel)
	}
	if parent.files[name] || parent.folders[name] {
		t.unfollow(rel)
	}
	delete(parent.files, name)
	delete(parent.folders, name)
	delete(parent.links, name)
}

func (t *tree) unwatch(rel string) {
	if t.watch != nil {
		t.watch.remove(t.path(rel))
	}
}

// follow watches the folder of what a symbolic link leads to. A link that
// leads nowhere keeps the folder that it led to.
func (t *tree) follow(rel string) error {
	target, err := filepath.EvalSymlinks(t.path(rel))
	if t.watch == nil || err != nil || t.targets[rel] == target {
		return nil //nolint:nilerr // it is read, and that says what is wrong
	}
	t.unfollow(rel)
	if err := t.watch.add(filepath.Dir(target)); err != nil {
		return ignoreGone(err)
	}
	t.targets[rel] = target
	if t.links[target] == nil {
		t.links[target] = map[string]bool{}
	}
	t.links[target][rel] = true
	return nil
}

func (t *tree) unfollow(rel string) {
	target, ok := t.targets[rel]
	if !ok {
		return
	}
	delete(t.targets, rel)
	delete(t.links[target], rel)
	if len(t.links[target]) == 0 {
		delete(t.links, target)
	}
	t.watch.remove(filepath.Dir(target))
}

// handle looks at what events say has changed.
func (t *tree) handle(events []event, s *scan) error {
	for _, e := range events {
		if e.kind == overflowed || e.path == t.absolute && e.kind != touched {
			return t.all(s)
		}
		for _, rel := range slices.Sorted(maps.Keys(t.links[e.path])) {
			if err := t.targetEvent(rel, e.kind, s); err != nil {
				return err
			}
		}
		rel, err := filepath.Rel(t.absolute, e.path)
		if err != nil || t.dirs[filepath.Dir(rel)] == nil {
			continue // a neighbour of the folder, or of a link's target
		}
		if err := t.event(rel, e.kind, s); err != nil {
			return err
		}
	}
	return nil
}

// event looks at an entry of a folder. A file is read when its writer has
// closed it or put it in place; until then what it said before holds.
func (t *tree) event(rel string, kind eventKind, s *scan) error {
	parent, name := t.dirs[filepath.Dir(rel)], filepath.Base(rel)
	info, err := os.Lstat(t.path(rel))
	gone := err != nil
	regular := !gone && info.Mode().IsRegular()
	switch {
	case kind == touched:
		if parent.files[name] || regular {
			s.touched[rel] = true
		}
		return nil
	case gone:
		t.leave(rel, s)
	case regular && (kind == removed || kind == created && !isHardLink(info)):
		return nil // another event follows
	case kind != removed:
		if err := t.visit(rel, s); err != nil {
			return err
		}
	}
	if regular || isManifest(name) && gone {
		return nil //nolint:nilerr // gone is an answer
	}
	return t.revisitLinks(parent, filepath.Dir(rel), s)
}

// targetEvent looks at a link whose target has changed.
func (t *tree) targetEvent(rel string, kind eventKind, s *scan) error {
	switch kind {
	case touched:
		s.touched[rel] = true
		return nil
	case created:
		if info, err := os.Stat(t.path(rel)); err == nil && info.Mode().IsRegular() && !isHardLink(info) {
			return nil // its writer will close it
		}
	case written, moved, removed, overflowed:
	}
	return t.visit(rel, s)
}

// revisitLinks looks at the symbolic links of a folder: another entry, through
// which they may lead, has changed.
func (t *tree) revisitLinks(d *dir, rel string, s *scan) error {
	for _, name := range slices.Sorted(maps.Keys(d.links)) {
		if err := t.visit(filepath.Join(rel, name), s); err != nil {
			return err
		}
	}
	return nil
}
