package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolswatch "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var errNoReason = errors.New("nobody says why")

// Watcher follows the objects of a kind in Namespace, by a watch of its own.
type Watcher struct {
	watch watch.Interface
	judge func(client.Object) bool
	done  chan struct{}

	mu      sync.Mutex
	good    map[string]bool
	writes  map[string]int
	last    time.Time
	changed chan struct{}
	ended   error // what the API server said when it ended the watch for good
}

// Watch begins to follow a kind; judge says of each version of an object whether
// it is as it should be. Whoever calls it calls Stop. An API server that ends the
// watch, as it does with one that is slow, is asked to go on from there: no write
// is missed.
func (r *Rig) Watch(ctx context.Context, list client.ObjectList, judge func(client.Object) bool) (*Watcher, error) {
	if err := r.Client.List(ctx, list, client.InNamespace(Namespace)); err != nil {
		return nil, fmt.Errorf("list %T: %w", list, err)
	}
	out := &Watcher{
		judge: judge, done: make(chan struct{}), last: time.Now(),
		good: map[string]bool{}, writes: map[string]int{}, changed: make(chan struct{}),
	}
	if err := meta.EachListItem(list, func(o runtime.Object) error {
		if o, ok := o.(client.Object); ok && judge(o) {
			out.good[o.GetName()] = true
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list %T: %w", list, err)
	}
	var err error
	out.watch, err = toolswatch.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), from{r.Client, list})
	if err != nil {
		return nil, fmt.Errorf("watch %T: %w", list, err)
	}
	go out.run()
	return out, nil
}

// from watches a kind from a version on.
type from struct {
	client client.WithWatch
	list   client.ObjectList
}

// WatchWithContext implements cache.WatcherWithContext.
func (f from) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return f.client.Watch(ctx, f.list, &client.ListOptions{Namespace: Namespace, Raw: &o})
}

func (w *Watcher) run() {
	defer close(w.done)
	for e := range w.watch.ResultChan() {
		o, ok := e.Object.(client.Object)
		if !ok {
			w.mu.Lock()
			w.ended = apierrors.FromObject(e.Object)
			w.mu.Unlock()
			continue
		}
		is := e.Type != watch.Deleted && w.judge(o)
		w.mu.Lock()
		w.last = time.Now()
		if e.Type == watch.Modified {
			w.writes[o.GetName()]++
		}
		if is {
			w.good[o.GetName()] = true
		} else {
			delete(w.good, o.GetName())
		}
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
	}
}

// Stop ends the watch.
func (w *Watcher) Stop() {
	w.watch.Stop()
	<-w.done
}

// Good waits until n objects are as they should be, and returns when that was.
func (w *Watcher) Good(ctx context.Context, n int) (time.Time, error) {
	for {
		w.mu.Lock()
		has, last, changed := len(w.good), w.last, w.changed
		w.mu.Unlock()
		if has >= n {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("%d of %d objects are as they should be: %w", has, n, ctx.Err())
		case <-w.done:
			return last, fmt.Errorf("%d of %d objects are as they should be, and the watch has ended: %w", has, n, w.reason())
		case <-changed:
		}
	}
}

// reason is why the watch has ended.
func (w *Watcher) reason() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.ended, errNoReason)
}

// Quiet waits until nothing was written for so long.
func (w *Watcher) Quiet(ctx context.Context, long time.Duration) error {
	for {
		w.mu.Lock()
		left := long - time.Since(w.last)
		w.mu.Unlock()
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("writing does not end: %w", ctx.Err())
		case <-timer.C:
		}
	}
}

// Writes is how often each object was written since the watch began, its
// creation left out, and how often all were together.
func (w *Watcher) Writes() (each map[string]int, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	each = map[string]int{}
	for name, n := range w.writes {
		each[name] = n
		all += n
	}
	return each, all
}
