package folder

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/signetproxy/signet/operator/source"
)

// counts are the watches that a folder holds.
type counts struct {
	mu      sync.Mutex
	watches map[string]int
}

func (c *counts) change(path string, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watches[path] += by; c.watches[path] == 0 {
		delete(c.watches, path)
	}
}

func (c *counts) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.watches)
}

// counted is a watcher whose watches are counted. It says when it is asked for
// events: then all that it told before has been looked at.
type counted struct {
	watcher
	*counts

	asked chan<- struct{}
}

func (w counted) add(path string, what interest) error {
	err := w.watcher.add(path, what)
	if err == nil {
		w.change(path, 1)
	}
	return err
}

func (w counted) remove(path string) {
	w.watcher.remove(path)
	w.change(path, -1)
}

func (w counted) next(wait time.Duration) ([]event, error) {
	select {
	case w.asked <- struct{}{}:
	default:
	}
	return w.watcher.next(wait)
}

// NewCounted is New, with the watches that the source holds, by path, and when
// to look at them again.
func NewCounted(dir string) (s source.Source, watches func() map[string]int, asked <-chan struct{}) {
	c, again := &counts{watches: map[string]int{}}, make(chan struct{}, 1)
	return &folder{root: dir, watcher: func() (watcher, error) {
		w, err := newWatcher()
		return counted{w, c, again}, err
	}}, c.all, again
}

// Watches are those that a folder should hold as it is now; false if a link in
// it leads nowhere, which keeps what it led to.
func Watches(dir string) (map[string]int, bool) {
	want := map[string]int{filepath.Dir(dir): 1}
	return want, addWatches(want, dir, nil)
}

func addWatches(want map[string]int, dir string, above []fs.FileInfo) bool {
	self, err := os.Stat(dir)
	entries, listed := os.ReadDir(dir)
	if err != nil || listed != nil {
		return false
	}
	want[dir]++
	above = append(above, self)
	whole := true
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		whole = addEntry(want, filepath.Join(dir, e.Name()), above) && whole
	}
	return whole
}

func addEntry(want map[string]int, path string, above []fs.FileInfo) bool {
	info, err := os.Stat(path)
	target, resolved := filepath.EvalSymlinks(path)
	if err != nil || resolved != nil {
		return false
	}
	if is, err := os.Lstat(path); err == nil && is.Mode()&fs.ModeSymlink != 0 && (info.IsDir() || isManifest(filepath.Base(path))) {
		want[filepath.Dir(target)]++
	}
	if !info.IsDir() {
		return true
	}
	for _, a := range above {
		if os.SameFile(a, info) {
			return true
		}
	}
	return addWatches(want, path, above)
}
