package folder

import "github.com/signetproxy/signet/operator/source"

// NewDenied is New, but watching a path fails as deny says.
func NewDenied(dir string, deny func(path string) error) source.Source {
	return &folder{root: dir, watcher: func() (watcher, error) {
		w, err := newWatcher()
		return denied{w, deny}, err
	}}
}

type denied struct {
	watcher

	deny func(path string) error
}

func (d denied) add(path string, what interest) error {
	if err := d.deny(path); err != nil {
		return err
	}
	return d.watcher.add(path, what)
}
