package folder

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/signetproxy/signet/operator/source"
)

// Editors and git remove a file before they write what takes its place. So what
// a vanished file stated is held back until the folder has settled: until no
// event has come for a moment, no new file is open and git is not at work.
// Nothing else waits.
const (
	// quiet is how long a writer may take between two calls.
	quiet = time.Millisecond
	// holdLimit is the most that an object is held back.
	holdLimit = 100 * time.Millisecond
	// stillLimit is how long a new file that stands still counts as open.
	stillLimit = 200 * time.Millisecond
	// writeLimit is the same for an unfinished one.
	writeLimit = 10 * time.Second
)

// unclosed is a file whose writer has not closed it yet, as far as is known.
type unclosed struct {
	since    time.Time
	size     int64
	modified time.Time
	// unfinished is set for a file that was read before, and that is empty now or
	// was seen to be written: what it held is not let go before its writer has had
	// time.
	unfinished bool
}

// until is when it is read though nobody has closed it.
func (o unclosed) until() time.Time {
	if o.unfinished {
		return o.since.Add(writeLimit)
	}
	return o.since.Add(stillLimit)
}

// opens notes a file that was created.
func (t *tree) opens(rel string, info fs.FileInfo, s *scan) {
	if !isHidden(filepath.Base(rel)) {
		t.open[rel] = unclosed{since: s.now, size: info.Size(), modified: info.ModTime()}
	}
}

// waits tells whether a file has a writer who will close it, and notes it.
func (t *tree) waits(rel string, kind eventKind, info fs.FileInfo, s *scan) bool {
	if kind != created || isHardLink(info) {
		return false
	}
	t.opens(rel, info, s)
	return true
}

// awaits tells whether a file is left alone though a look found it: nothing says
// that it is whole. What is as it was read last need not be read, what differs
// waits for its writer. A file that was never read has nothing to lose.
func (t *tree) awaits(rel string, info fs.FileInfo, s *scan) bool {
	was, known := t.stamps[rel]
	if _, open := t.open[rel]; !open {
		if !known {
			return false
		}
		if was != stampOf(info) {
			t.open[rel] = unclosed{s.now, info.Size(), info.ModTime(), info.Size() == 0 || t.writing[rel]}
		}
	}
	delete(s.gone, rel)
	return true
}

// modify notes that files are being written: until they are closed, what they
// said before holds.
func (t *tree) modify(path string, s *scan) {
	for _, rel := range t.names(path) {
		delete(s.read, rel)
		if _, known := t.stamps[rel]; known {
			t.writing[rel] = true
		} else if _, open := t.open[rel]; !open && t.isFile(rel) {
			t.open[rel] = unclosed{since: s.now} // it is new, and was not told of before
		}
	}
}

// isClosed notes that a file is whole, or gone.
func (t *tree) isClosed(rel string) {
	delete(t.open, rel)
	delete(t.writing, rel)
}

// whole are the readings of files that nobody has begun to write since.
func (t *tree) whole(readings []reading, since []event) []reading {
	begun := map[string]bool{}
	for _, e := range since {
		if e.kind == modified {
			for _, rel := range t.names(e.path) {
				begun[rel] = true
			}
		}
	}
	return slices.DeleteFunc(readings, func(r reading) bool { return !r.gone && begun[r.path] })
}

// closes looks at the files that nobody writes.
func (t *tree) closes(s *scan) {
	for rel, o := range t.open {
		if s.now.Before(o.until()) {
			continue
		}
		info, err := os.Stat(t.path(rel))
		if err == nil && (info.Size() != o.size || !info.ModTime().Equal(o.modified)) {
			o.since, o.size, o.modified = s.now, info.Size(), info.ModTime()
			t.open[rel] = o
			continue
		}
		delete(t.open, rel)
		if err == nil && (info.Size() > 0 || o.unfinished) {
			t.visit(rel, s) // a name of a whole file, perhaps, which nobody will close
		}
	}
}

// patience is how long a folder may wait for events.
func (f *folder) patience(now time.Time) time.Duration {
	due := now.Add(f.tree.patience(now))
	for _, o := range f.tree.open {
		due = sooner(due, o.until())
	}
	if since, held := f.store.oldest(); held && f.tree.missing == "" {
		due = sooner(due, later(since, f.tree.entered).Add(holdLimit))
		if len(f.tree.open) == 0 {
			due = sooner(due, f.tree.stirred.Add(quiet))
		}
	}
	return max(0, due.Sub(now))
}

// release lets go of what has been held back long enough. What a folder that
// is gone held last stays.
func (f *folder) release(now time.Time) {
	if _, held := f.store.oldest(); !held || f.tree.missing != "" {
		return
	}
	settled := len(f.tree.open) == 0 && !now.Before(f.tree.stirred.Add(quiet))
	if settled && isGitAtWork(f.tree.dirs["."].resolved) {
		f.tree.stirred, settled = now, false
	}
	switch {
	case settled:
		f.store.release(now)
	case !now.Before(f.tree.entered.Add(holdLimit)):
		f.store.release(now.Add(-holdLimit))
	}
}

// isGitAtWork tells whether git is changing the work tree that a folder is in.
// It may be longer between two files than others, and says so by a lock.
func isGitAtWork(dir string) bool {
	for {
		git := filepath.Join(dir, ".git")
		if info, err := os.Stat(git); err == nil {
			if !info.IsDir() {
				git = gitFolder(dir, git)
			}
			_, err := os.Lstat(filepath.Join(git, "index.lock"))
			return err == nil
		}
		if dir == filepath.Dir(dir) {
			return false
		}
		dir = filepath.Dir(dir)
	}
}

// gitFolder is where the file .git of a linked work tree or a submodule leads.
func gitFolder(dir, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return file
	}
	git := strings.TrimSpace(strings.TrimPrefix(string(text), "gitdir:"))
	if filepath.IsAbs(git) {
		return git
	}
	return filepath.Join(dir, git)
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// orphan is an object whose files have vanished.
type orphan struct {
	key   source.Key
	since time.Time
}

// hold keeps what a vanished file alone stated.
func (s *store) hold(vanished *file, now time.Time) {
	for _, stated := range vanished.objects {
		o := s.objects[stated.Key]
		if len(o.claims) == 0 && (o.accepted != nil || o.closed) {
			s.orphans[stated.Key] = now
			s.waiting = append(s.waiting, orphan{stated.Key, now})
		}
	}
}

// oldest says since when the orphan that has waited longest has.
func (s *store) oldest() (time.Time, bool) {
	for ; len(s.waiting) > 0; s.waiting = s.waiting[1:] {
		if first := s.waiting[0]; s.orphans[first.key].Equal(first.since) {
			return first.since, true
		}
	}
	s.waiting = nil
	return time.Time{}, false
}

// release has the orphans since then, or before, go with the next commit.
func (s *store) release(then time.Time) {
	for {
		since, held := s.oldest()
		if !held || since.After(then) {
			return
		}
		key := s.waiting[0].key
		delete(s.orphans, key)
		s.touched[key] = true
	}
}
