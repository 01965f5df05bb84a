package folder

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// handle looks at what events say has changed.
func (t *tree) handle(events []event, s *scan) {
	for _, e := range events {
		if e.kind == overflowed || e.path == t.absolute && (e.kind != touched || t.missing != "") {
			t.all(s)
			return
		}
		if t.missing != "" {
			continue // it is of a folder that has left
		}
		for _, rel := range slices.Sorted(maps.Keys(t.links[e.path])) {
			t.targetEvent(rel, e.kind, s)
		}
		rel, err := filepath.Rel(t.absolute, e.path)
		if err != nil || t.dirs[filepath.Dir(rel)] == nil {
			continue // a neighbour of the folder, or of a link's target
		}
		t.event(rel, e.kind, s)
	}
}

// event looks at an entry of a folder. A file is read when its writer has
// closed it or put it in place; until then what it said before holds.
func (t *tree) event(rel string, kind eventKind, s *scan) {
	t.stirred = s.now
	if kind != touched {
		delete(t.open, rel)
	}
	parent, name := t.dirs[filepath.Dir(rel)], filepath.Base(rel)
	info, err := os.Lstat(t.path(rel))
	gone := isGone(err)
	regular := err == nil && info.Mode().IsRegular()
	switch {
	case kind == touched:
		t.touch(rel, s)
		return
	case gone && !t.isHere():
		t.all(s) // not the entry has gone, but what leads to it
		return
	case gone:
		t.leave(rel, s)
	case regular && (kind == removed || t.waits(rel, kind, info, s)):
		return // another event follows
	case kind != removed:
		t.visit(rel, s)
	}
	if regular || isManifest(name) && gone {
		return
	}
	t.revisitLinks(parent, filepath.Dir(rel), s)
}

// touch looks at what new attributes may have made readable.
func (t *tree) touch(rel string, s *scan) {
	s.touched[rel] = true
	if d := t.dirs[rel]; d != nil {
		for name := range d.files {
			s.touched[filepath.Join(rel, name)] = true
		}
	}
	if _, troubled := t.troubles[rel]; troubled {
		t.retry(rel, s)
	}
}

// targetEvent looks at a link whose target has changed.
func (t *tree) targetEvent(rel string, kind eventKind, s *scan) {
	if kind != touched {
		delete(t.open, rel)
	}
	switch kind {
	case touched:
		t.touch(rel, s)
		return
	case created:
		if info, err := os.Stat(t.path(rel)); err == nil && info.Mode().IsRegular() && t.waits(rel, kind, info, s) {
			return
		}
	case written, moved, removed, overflowed:
	}
	t.visit(rel, s)
}

// revisitLinks looks at the symbolic links of a folder: another entry, through
// which they may lead, has changed.
func (t *tree) revisitLinks(d *dir, rel string, s *scan) {
	for _, name := range slices.Sorted(maps.Keys(d.links)) {
		t.visit(filepath.Join(rel, name), s)
	}
}
