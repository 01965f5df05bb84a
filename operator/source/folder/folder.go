package folder

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/manifest"
)

// Stdin is the path of Read that stands for its reader.
const Stdin = "-"

// Options of a folder.
type Options struct {
	// Log tells what was read; the zero value tells nothing.
	Log logr.Logger
}

// New returns the source of the manifests below dir, watched until it ends.
func New(dir string, o Options) source.Source {
	return &folder{root: dir, log: o.Log, watcher: newWatcher}
}

// Read reads the manifests below a folder, of one file, or of in if path is
// Stdin, once. What is wrong with a manifest is a problem of the batch; the
// error says that path itself cannot be read.
func Read(path string, in io.Reader) (source.Batch, error) {
	f := &folder{root: path}
	if err := f.open(); err != nil {
		return source.Batch{}, err
	}
	if path == Stdin {
		text, err := io.ReadAll(in)
		if err != nil {
			return source.Batch{}, fmt.Errorf("standard input: %w", err)
		}
		f.take([]reading{f.parse(Stdin, text)}, time.Time{})
		return f.store.commit(), nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return source.Batch{}, fmt.Errorf("manifests: %w", err)
	case !info.IsDir():
		f.root = filepath.Dir(path)
		f.take([]reading{f.read(filepath.Base(path))}, time.Time{})
		return f.store.commit(), nil
	}
	if f.tree, err = newTree(path, nil); err != nil {
		return source.Batch{}, err
	}
	if err := f.first(); err != nil {
		return source.Batch{}, err
	}
	return f.store.commit(), nil
}

// folder is one run of the source.
type folder struct {
	root    string
	log     logr.Logger
	watcher func() (watcher, error)
	decoder *manifest.Decoder
	tree    *tree
	store   *store
	// contents of a file; tests have others.
	contents func(path string) ([]byte, stamp, error)
	// pending are events that came while files were read.
	pending []event
}

func (f *folder) open() error {
	var err error
	if f.decoder, err = manifest.NewDecoder(); err != nil {
		return fmt.Errorf("folder %s: %w", f.root, err)
	}
	f.store = newStore(f.decoder)
	if f.contents == nil {
		f.contents = contents
	}
	return nil
}

// Run implements source.Source. It fails if dir cannot be read or watched.
func (f *folder) Run(ctx context.Context, sink source.Sink) error {
	if err := f.open(); err != nil {
		return err
	}
	w, err := f.watcher()
	if err != nil {
		return fmt.Errorf("folder %s: %w", f.root, err)
	}
	defer w.close()
	stop := context.AfterFunc(ctx, w.interrupt)
	defer stop()
	if f.tree, err = newTree(f.root, w); err != nil {
		return err
	}
	if err := f.first(); err != nil {
		return err
	}
	f.deliver(sink, true)
	for err == nil {
		err = f.step(sink)
	}
	if ctx.Err() != nil {
		return nil // and interrupted the watcher
	}
	return fmt.Errorf("folder %s: %w", f.root, err)
}

// step waits for events and delivers what they have changed.
func (f *folder) step(sink source.Sink) error {
	events := f.pending
	if f.pending = nil; len(events) == 0 {
		var err error
		if events, err = f.tree.watch.next(f.patience(time.Now())); err != nil {
			return err
		}
	}
	s := newScan(time.Now())
	f.tree.handle(events, s)
	f.tree.again(s)
	readings := f.look(s)
	if len(readings) > 0 {
		// A file that a writer has opened since was read empty, perhaps.
		var err error
		if f.pending, err = f.tree.watch.next(0); err != nil {
			return err
		}
		readings = f.tree.whole(readings, f.pending)
	}
	endpoints, rest := f.store.part(readings)
	if len(endpoints) > 0 && len(rest) > 0 {
		// Together with the rest they would wait for its translation.
		f.take(endpoints, s.now)
		f.deliver(sink, false)
		readings = rest
	}
	f.take(readings, s.now)
	f.release(s.now)
	f.deliver(sink, false)
	return nil
}

// deliver hands on what has changed, if anything has.
func (f *folder) deliver(sink source.Sink, first bool) {
	b := f.store.commit()
	if len(b.Changed) == 0 && len(b.Deleted) == 0 && b.Problems == nil && !first {
		return
	}
	f.log.V(1).Info("manifests read", "changed", len(b.Changed), "deleted", len(b.Deleted))
	for _, p := range b.Problems {
		f.log.V(1).Info("manifest problem", "problem", p.String())
	}
	sink.Apply(b)
}

// first takes all that is there.
func (f *folder) first() error {
	s := newScan(time.Now())
	if err := f.tree.start(s); err != nil {
		return fmt.Errorf("folder %s: %w", f.root, err)
	}
	f.take(f.look(s), s.now)
	return nil
}

// look reads what a scan says has changed.
func (f *folder) look(s *scan) []reading {
	f.store.note(f.tree.problems())
	for path := range s.touched {
		if f.store.isUnread(path) {
			s.reads(path)
		}
	}
	var out []reading
	for _, path := range slices.Sorted(maps.Keys(s.gone)) {
		if !s.read[path] { // else the reading decides
			out = append(out, reading{path: path, gone: true})
		}
	}
	return append(out, f.readAll(slices.Sorted(maps.Keys(s.read)))...)
}

func (f *folder) take(readings []reading, now time.Time) {
	for _, r := range readings {
		if f.tree != nil {
			f.tree.took(&r)
		}
		switch {
		case r.same:
		case r.gone:
			f.store.remove(r.path, now)
		default:
			f.store.put(r.path, r.digest, r.file)
		}
	}
}
