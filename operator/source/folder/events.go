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
			if e.kind == overflowed {
				continue // what comes after the lost events is told again
			}
			return
		}
		if t.missing != "" {
			continue // it is of a folder that has left
		}
		if e.kind == lapsed {
			t.lapse(e.path, s)
			e.kind = removed
		}
		if e.kind == modified {
			t.modify(e.path, s)
			continue
		}
		for _, rel := range slices.Sorted(maps.Keys(t.pointing[e.path])) {
			t.targetEvent(rel, e.kind, s)
		}
		rel, err := filepath.Rel(t.absolute, e.path)
		if err != nil || t.dirs[filepath.Dir(rel)] == nil {
			continue // a neighbour of the folder, or of a link's target
		}
		t.event(rel, e.kind, s)
	}
	t.revisit(s)
}

// event looks at an entry of a folder. A file is read when its writer has
// closed it or put it in place; until then what it said before holds.
func (t *tree) event(rel string, kind eventKind, s *scan) {
	t.stirred = s.now
	if kind != touched {
		t.isClosed(rel)
	}
	parent, name := t.dirs[filepath.Dir(rel)], filepath.Base(rel)
	info, err := os.Lstat(t.path(rel))
	gone := isGone(err)
	regular := err == nil && info.Mode().IsRegular()
	switch {
	case kind == touched:
		t.touch(rel, s)
		return
	case gone:
		if !t.vanishes(rel, s) {
			return
		}
	case regular && (kind == removed || t.waits(rel, kind, info, s)):
		return // another event follows
	default:
		t.visit(rel, s)
	}
	if regular || isManifest(name) && gone {
		return
	}
	parent.doubtLinks(filepath.Dir(rel), name, s)
}

// vanishes forgets an entry that has gone, unless what leads to it has: of that,
// something else tells.
func (t *tree) vanishes(rel string, s *scan) bool {
	if !t.isHere() {
		t.all(s)
		return false
	}
	if _, err := os.Stat(t.path(filepath.Dir(rel))); isGone(err) {
		return false
	}
	t.leave(rel, s)
	return true
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
		t.isClosed(rel)
	}
	switch kind {
	case touched:
		t.touch(rel, s)
		return
	case created, removed:
		info, err := os.Stat(t.path(rel))
		if err == nil && info.Mode().IsRegular() && (kind == removed || t.waits(rel, kind, info, s)) {
			return // another event follows
		}
	case written, moved, modified, lapsed, overflowed:
	}
	t.visit(rel, s)
}
