package rig

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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
}

// Watch begins to follow a kind; judge says of each version of an object whether
// it is as it should be. Whoever calls it calls Stop.
func (r *Rig) Watch(ctx context.Context, list client.ObjectList, judge func(client.Object) bool) (*Watcher, error) {
	w, err := r.Client.Watch(ctx, list, client.InNamespace(Namespace))
	if err != nil {
		return nil, fmt.Errorf("watch %T: %w", list, err)
	}
	out := &Watcher{
		watch: w, judge: judge, done: make(chan struct{}), last: time.Now(),
		good: map[string]bool{}, writes: map[string]int{}, changed: make(chan struct{}),
	}
	go out.run()
	return out, nil
}

func (w *Watcher) run() {
	defer close(w.done)
	for e := range w.watch.ResultChan() {
		o, ok := e.Object.(client.Object)
		if !ok {
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
			return last, fmt.Errorf("%d of %d objects are as they should be, and the watch has ended", has, n)
		case <-changed:
		}
	}
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
