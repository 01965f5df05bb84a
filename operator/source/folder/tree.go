package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/signetproxy/signet/operator/source"
)

// tree knows the folders below the root and which files in them are manifests,
// and keeps the watcher at them. It reads no file.
type tree struct {
	// root as it was given; absolute is the same, absolute.
	root, absolute string
	watch          watcher // nil to look once
	dirs           map[string]*dir
	// links are the symbolic links; pointing are the same by their targets.
	links    map[string]*link
	pointing map[string]map[string]bool
	// stamps are the files that were read, as they were then.
	stamps map[string]stamp
	// unread are the files that could not be, though they are there.
	unread map[string]bool
	// self is the root as it was entered; parent, whether its parent is watched.
	self   fs.FileInfo
	parent bool
	// missing says why the root cannot be read, once it was.
	missing string
	// entered is when all was looked at last; stirred, when an event came.
	entered, stirred time.Time
	// open are the new files that wait for their writers to close them.
	open map[string]unclosed
	// writing are the others that were modified since they were closed last.
	writing map[string]bool
	// troubles are the paths that cannot be read or watched.
	troubles map[string]source.Problem
	// checked is when they were looked at last without an event.
	checked time.Time
}

// dir is one folder; its path is relative to the root, "." for the root.
type dir struct {
	// resolved is the path without symbolic links, to notice cycles.
	resolved string
	// self is the folder that is there.
	self identity
	// files and folders in it, with whether each is a symbolic link.
	files, folders map[string]bool
	// links are those that are, with the names in their texts, so that an event
	// need not look at all of them.
	links map[string][]string
}

func (d *dir) add(entries map[string]bool, name string, link bool) {
	entries[name] = link
	delete(d.links, name)
	if link {
		d.links[name] = nil
	}
}

// scan collects what a look at the tree found.
type scan struct {
	now        time.Time
	read, gone map[string]bool
	// touched files have new attributes: worth a look if they were unreadable.
	touched map[string]bool
	// doubted links may lead elsewhere.
	doubted map[string]bool
	// unprompted is set while nothing says that the files seen are whole.
	unprompted bool
}

func newScan(now time.Time) *scan {
	return &scan{
		now: now, read: map[string]bool{}, gone: map[string]bool{}, touched: map[string]bool{}, doubted: map[string]bool{},
	}
}

func (s *scan) doubts(link string) { s.doubted[link] = true }

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
		links: map[string]*link{}, pointing: map[string]map[string]bool{}, stamps: map[string]stamp{},
		unread: map[string]bool{},
		open:   map[string]unclosed{}, writing: map[string]bool{}, troubles: map[string]source.Problem{},
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

func (t *tree) path(rel string) string { return filepath.Join(t.absolute, rel) }

// enter begins to watch a folder, then looks at what is in it: nothing that
// comes later is missed. If it fails, what was known of the folder stays.
func (t *tree) enter(rel, resolved string, self identity, s *scan) error {
	entries, err := t.list(rel)
	if err != nil {
		return err
	}
	d := t.dirs[rel]
	if d == nil {
		d = &dir{files: map[string]bool{}, folders: map[string]bool{}, links: map[string][]string{}}
		t.dirs[rel] = d
	} else {
		t.unwatch(rel) // list has counted it once more
	}
	defer func(was bool) { s.unprompted = was }(s.unprompted)
	s.unprompted = s.unprompted && d.self == self // another folder was put in place with all that is in it
	d.resolved, d.self = resolved, self
	here := make(map[string]bool, len(entries))
	for _, e := range entries {
		here[e.Name()] = true
	}
	for _, known := range []map[string]bool{d.files, d.folders} {
		for name := range known {
			if !here[name] {
				t.leave(filepath.Join(rel, name), s)
			}
		}
	}
	for _, e := range entries {
		t.visit(filepath.Join(rel, e.Name()), s)
	}
	return nil
}

// list watches a folder and says what is in it.
func (t *tree) list(rel string) ([]fs.DirEntry, error) {
	if t.watch != nil {
		if err := t.watch.add(t.path(rel), everything); err != nil {
			return nil, fmt.Errorf("watch %s: %w", t.path(rel), err)
		}
	}
	entries, err := os.ReadDir(t.path(rel))
	if err != nil {
		t.unwatch(rel)
		return nil, err //nolint:wrapcheck // it names the path
	}
	return entries, nil
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// visit looks at one path as it is now.
func (t *tree) visit(rel string, s *scan) {
	parent, name := t.dirs[filepath.Dir(rel)], filepath.Base(rel)
	if parent == nil || isHidden(name) {
		return
	}
	delete(t.troubles, rel)
	info, err := os.Lstat(t.path(rel))
	if err != nil {
		if isGone(err) {
			t.leave(rel, s)
		} else {
			t.unreadable(filepath.Dir(rel), err) // whose entries can be listed, but not looked at
		}
		return
	}
	link := info.Mode()&fs.ModeSymlink != 0
	if link {
		info, err = os.Stat(t.path(rel))
	}
	switch {
	case err != nil:
		t.lost(rel, parent, err, s)
	case info.IsDir():
		t.folder(rel, parent, link, info, s)
	case info.Mode().IsRegular() && isManifest(name):
		t.file(rel, parent, link, info, s)
	default:
		t.leave(rel, s)
	}
}

// lost looks at a symbolic link that leads to nothing that can be seen. What it
// led to is away for a moment, perhaps: what that held stays.
func (t *tree) lost(rel string, parent *dir, err error, s *scan) {
	name := filepath.Base(rel)
	link := parent.folders[name]
	if !link && isManifest(name) {
		t.file(rel, parent, true, nil, s) // reading it says what is wrong
		return
	}
	if !link {
		t.leave(rel, s)
	}
	if t.dirs[rel] == nil && (isGone(err) || errors.Is(err, syscall.ELOOP)) {
		t.leadsNowhere(rel, err)
	} else {
		t.unreadable(rel, err)
	}
	parent.add(parent.folders, name, true)
	t.follow(rel)
}

func (t *tree) folder(rel string, parent *dir, link bool, info fs.FileInfo, s *scan) {
	name := filepath.Base(rel)
	if was, known := parent.folders[name]; !known || was != link {
		t.leave(rel, s)
	}
	resolved := filepath.Join(parent.resolved, name)
	if link {
		var err error
		if resolved, err = filepath.EvalSymlinks(t.path(rel)); err != nil {
			t.lost(rel, parent, err, s) // it has gone since
			return
		}
	}
	parent.add(parent.folders, name, link)
	if link {
		t.follow(rel)
	}
	if t.isCycle(filepath.Dir(rel), resolved) {
		t.vacate(rel, s)
		return
	}
	switch err := t.enter(rel, resolved, identityOf(info), s); {
	case err == nil:
	case isGone(err) && link:
		t.lost(rel, parent, err, s)
	case isGone(err):
		t.vacate(rel, s)
	default:
		t.unreadable(rel, err)
	}
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

// file looks at a file; info is nil if it is a link that leads nowhere.
func (t *tree) file(rel string, parent *dir, link bool, info fs.FileInfo, s *scan) {
	if _, known := t.dirs[rel]; known {
		t.leave(rel, s)
	}
	parent.add(parent.files, filepath.Base(rel), link)
	elsewhere := false
	if link {
		elsewhere = t.follow(rel)
	} else {
		t.unfollow(rel)
	}
	if info != nil && s.unprompted && !elsewhere && t.awaits(rel, info, s) {
		return
	}
	if _, known := t.stamps[rel]; !known && info != nil && info.Size() == 0 {
		t.opens(rel, info, s) // in a new folder, a file is not told of before it is closed
	}
	s.reads(rel)
}

// took notes what a file was when it was read.
func (t *tree) took(r *reading) {
	delete(t.unread, r.path)
	l := t.links[r.path]
	switch {
	case t.watch == nil || r.gone || !t.isFile(r.path):
	case r.stamp != stamp{}:
		t.stamps[r.path] = r.stamp
	case l == nil || !l.lost:
		t.unread[r.path] = true
	}
}

// isFile tells whether a path is one of the files that are read.
func (t *tree) isFile(rel string) bool {
	d := t.dirs[filepath.Dir(rel)]
	if d == nil {
		return false
	}
	_, is := d.files[filepath.Base(rel)]
	return is
}

// leave forgets a path and all below it.
func (t *tree) leave(rel string, s *scan) {
	t.vacate(rel, s)
	delete(t.troubles, rel)
	parent, name := t.dirs[filepath.Dir(rel)], filepath.Base(rel)
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
	delete(t.stamps, rel)
	delete(t.writing, rel)
	delete(t.unread, rel)
}

// vacate forgets all below a path.
func (t *tree) vacate(rel string, s *scan) {
	d, ok := t.dirs[rel]
	if !ok {
		return
	}
	for name := range d.files {
		t.leave(filepath.Join(rel, name), s)
	}
	for name := range d.folders {
		t.leave(filepath.Join(rel, name), s)
	}
	t.unwatch(rel)
	delete(t.dirs, rel)
}

func (t *tree) unwatch(rel string) {
	if t.watch != nil {
		t.watch.remove(t.path(rel))
	}
}
