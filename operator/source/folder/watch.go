package folder

import "time"

// watcher tells what happens in folders. It is used by one goroutine,
// interrupt apart.
type watcher interface {
	// add watches the entries of the folder to which an absolute path leads, or
	// their names alone: of a neighbour's writes nothing needs to be told. A
	// path may be added several times; it is watched until it was removed as
	// often. The error matches fs.ErrNotExist if there is nothing.
	add(path string, what interest) error
	remove(path string)
	// next blocks until something has happened and returns all of it that is
	// pending, in order; nothing if nothing has while it waits.
	next(wait time.Duration) ([]event, error)
	// interrupt makes next fail from now on.
	interrupt()
	close()
}

type interest int

const (
	everything interest = iota
	namesAlone
)

// event says that something has happened to an entry of a watched folder. What
// is true now is for the reader to see.
type event struct {
	path string
	kind eventKind
}

type eventKind int

const (
	// written: a file's writer has closed it.
	written eventKind = iota
	// created: it is there, but a file is still empty or being written.
	created
	// moved: it is there, and whole.
	moved
	// modified: a writer is at work, who will close it.
	modified
	// removed: it is not there any more, or is another.
	removed
	// lapsed: the kernel has ended the watch of a folder, which is gone or not
	// mounted any more. Nothing tells what has come in its place.
	lapsed
	// touched: its attributes have changed.
	touched
	// overflowed: events were lost.
	overflowed
)
