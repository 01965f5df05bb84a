//go:build !linux

package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fsnotify/fsnotify"
)

// portable is a watcher by fsnotify. It does not tell when a writer closes a
// file: a file is read after every write, and half of one may be read, until
// the next write makes it whole.
type portable struct {
	*fsnotify.Watcher

	count map[string]int
}

func newWatcher() (watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	return &portable{w, map[string]int{}}, nil
}

func (w *portable) add(path string, _ interest) error {
	if err := w.Add(path); err != nil {
		return err //nolint:wrapcheck // the caller names the path
	}
	w.count[path]++
	return nil
}

func (w *portable) remove(path string) {
	if w.count[path]--; w.count[path] <= 0 {
		delete(w.count, path)
		// It fails if the folder is gone, and the watch with it.
		_ = w.Remove(path)
	}
}

func (w *portable) next(wait time.Duration) ([]event, error) {
	var out []event
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil, nil
	case e, ok := <-w.Events:
		if !ok {
			return nil, fsnotify.ErrClosed
		}
		out = append(out, eventOf(e))
	case err := <-w.Errors:
		if err == nil {
			return nil, fsnotify.ErrClosed
		}
		return w.failed(err)
	}
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return out, nil
			}
			out = append(out, eventOf(e))
		default:
			return out, nil
		}
	}
}

func (*portable) failed(err error) ([]event, error) {
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		return []event{{kind: overflowed}}, nil
	}
	return nil, fmt.Errorf("watch files: %w", err)
}

func eventOf(e fsnotify.Event) event {
	switch {
	case e.Has(fsnotify.Remove), e.Has(fsnotify.Rename):
		return event{e.Name, removed}
	case e.Has(fsnotify.Create):
		return event{e.Name, moved}
	case e.Has(fsnotify.Write):
		return event{e.Name, written}
	default:
		return event{e.Name, touched}
	}
}

func (w *portable) interrupt() { w.close() }

func (w *portable) close() { _ = w.Close() }

func isHardLink(fs.FileInfo) bool { return true }

// identity is not known everywhere: what is replaced by a name alone is seen
// when an event tells of it.
type identity struct{}

func identityOf(fs.FileInfo) identity { return identity{} }

// stamp differs when what a file says may differ.
type stamp struct {
	identity

	size, modified int64
}

func stampOf(info fs.FileInfo) stamp {
	return stamp{size: info.Size(), modified: info.ModTime().UnixNano()}
}
