package status

import (
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errBehind says that the cache does not show yet what was written last: compared
// with it, what is wrong would seem right, and nothing would be written.
var errBehind = errors.New("the cache is behind the last write")

const (
	// untilShown is between two looks at a cache that is behind.
	untilShown = 50 * time.Millisecond
	// lookAgain is when an object is looked at again after it was written.
	lookAgain = time.Second
)

// writes are the versions of objects that this writer has made and that the cache
// has not shown yet.
type writes struct {
	mu       sync.Mutex
	versions map[item]string
}

func newWrites() *writes { return &writes{versions: map[item]string{}} }

// wrote notes the version that a write has made; "" for an object that is gone.
func (w *writes) wrote(i item, version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if version == "" {
		delete(w.versions, i)
		return
	}
	w.versions[i] = version
}

// check returns errBehind for an object as it was before the last write.
func (w *writes) check(i item, o client.Object) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.versions[i]
	if !ok {
		return nil
	}
	// Versions that cannot be compared are taken for new: who waits for them
	// would wait for ever.
	if order, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), last); err == nil && order < 0 {
		return errBehind
	}
	delete(w.versions, i)
	return nil
}

// gone forgets an object.
func (w *writes) gone(i item) { w.wrote(i, "") }
