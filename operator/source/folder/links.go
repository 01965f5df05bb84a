package folder

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// link is a symbolic link, and what it led to when it was looked at last. It
// may lead through any number of others, and no event tells of all of them:
// once a second it is compared with what it leads to then.
type link struct {
	// target is absolute, and stays when it is gone; "" until it is there.
	target string
	// watched tells whether the target's folder is; lapsed, that the kernel has
	// ended that since.
	watched, lapsed bool
	// self is what is there; folder is the folder of it.
	self, folder identity
	// lost is set while it leads to nothing that can be seen.
	lost bool
}

// follow watches the folder of what a symbolic link leads to, and tells whether
// it leads elsewhere than before. A link that leads nowhere keeps the folder
// that it led to.
func (t *tree) follow(rel string) (elsewhere bool) {
	if t.watch == nil {
		return false
	}
	l := t.links[rel]
	if l == nil {
		l = &link{}
		t.links[rel] = l
	}
	if text, err := os.Readlink(t.path(rel)); err == nil {
		t.dirs[filepath.Dir(rel)].links[filepath.Base(rel)] = strings.Split(text, string(filepath.Separator))
	}
	next, err := t.resolve(rel)
	if l.lost = err != nil; l.lost {
		return false // reading it says what is wrong
	}
	target := next.target
	elsewhere = l.target != target
	switch err := t.watch.add(filepath.Dir(target), everything); {
	case err == nil:
		next.watched = true
	case isGone(err):
		next.lost = true // it has gone since
	default:
		t.unwatchable(rel, fmt.Errorf("watch %s: %w", filepath.Dir(target), err))
	}
	t.unpoint(rel, l)
	*l = next
	if t.pointing[target] == nil {
		t.pointing[target] = map[string]bool{}
	}
	t.pointing[target][rel] = true
	return elsewhere
}

// resolve says where a link leads, what is there, and in which folder. What is
// replaced before the folder is watched is seen as another at the next look.
func (t *tree) resolve(rel string) (link, error) {
	target, err := filepath.EvalSymlinks(t.path(rel))
	if err != nil {
		return link{}, err //nolint:wrapcheck // only whether there is one matters
	}
	info, err := os.Stat(target)
	if err != nil {
		return link{}, err //nolint:wrapcheck // see above
	}
	folder, err := os.Stat(filepath.Dir(target))
	if err != nil {
		return link{}, err //nolint:wrapcheck // see above
	}
	return link{target: target, self: identityOf(info), folder: identityOf(folder)}, nil
}

// unfollow forgets a symbolic link.
func (t *tree) unfollow(rel string) {
	if l := t.links[rel]; l != nil {
		t.unpoint(rel, l)
		delete(t.links, rel)
	}
}

func (t *tree) unpoint(rel string, l *link) {
	if l.watched {
		t.watch.remove(filepath.Dir(l.target))
	}
	delete(t.pointing[l.target], rel)
	if len(t.pointing[l.target]) == 0 {
		delete(t.pointing, l.target)
	}
}

// names are what the tree calls a path: what is there, and what links to it.
func (t *tree) names(path string) []string {
	out := slices.Sorted(maps.Keys(t.pointing[path]))
	if rel, err := filepath.Rel(t.absolute, path); err == nil && t.dirs[filepath.Dir(rel)] != nil {
		out = append(out, rel)
	}
	return out
}

// lapse notes that the kernel watches a folder no more: links may lead into it.
func (t *tree) lapse(folder string, s *scan) {
	for rel, l := range t.links {
		if l.watched && filepath.Dir(l.target) == folder {
			l.lapsed = true
			s.doubts(rel)
		}
	}
}

// revisit looks at links that events say may lead elsewhere now.
func (t *tree) revisit(s *scan) {
	if len(s.doubted) > 0 {
		t.compare(maps.Keys(s.doubted), s)
		clear(s.doubted)
	}
}

// compare visits those of some links that lead elsewhere than they did.
func (t *tree) compare(links iter.Seq[string], s *scan) {
	var stale []string
	folders := map[string]identity{}
	for rel := range links {
		if l := t.links[rel]; l != nil && t.isStale(rel, l, folders) {
			stale = append(stale, rel)
		}
	}
	slices.Sort(stale)
	for _, rel := range stale {
		t.unprompted(s, func() { t.visit(rel, s) })
	}
}

// isStale tells whether a link leads to something else than it did, at the cost
// of a system call. Folders are those that were looked at for others.
func (t *tree) isStale(rel string, l *link, folders map[string]identity) bool {
	info, err := os.Stat(t.path(rel))
	if err != nil || l.lost {
		return l.lost == (err == nil)
	}
	switch {
	case l.lapsed:
		return true
	case info.IsDir() && l.self != identityOf(info), !info.IsDir() && t.stamps[rel].identity != identityOf(info):
		return true // of another size, it is being written, and its close is told
	}
	dir := filepath.Dir(l.target)
	if _, looked := folders[dir]; !looked {
		if info, err := os.Stat(dir); err == nil {
			folders[dir] = identityOf(info)
		} else {
			folders[dir] = identity{}
		}
	}
	return folders[dir] != l.folder
}

// doubtLinks has the links of a folder looked at that lead through another
// entry of it, which has changed.
func (d *dir) doubtLinks(rel, entry string, s *scan) {
	for name, through := range d.links {
		if name != entry && slices.Contains(through, entry) {
			s.doubts(filepath.Join(rel, name))
		}
	}
}
