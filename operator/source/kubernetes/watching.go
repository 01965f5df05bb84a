package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// watching is a kind that is watched now.
type watching struct {
	kind *kind
	// version is the one in which it is watched.
	version schema.GroupVersionKind
	synced  <-chan struct{}
	wake    chan<- struct{}

	mu     sync.Mutex
	events map[source.Key]client.Object // nil: it is gone

	// Of the run's goroutine, for a custom kind: what was delivered of it, and
	// since when discovery does not know it.
	present map[source.Key]struct{}
	missing time.Time
	// former is what other versions of the kind have delivered, until this one is synced.
	former map[source.Key]struct{}
}

// known is what is delivered of the kind, in whatever version.
func (w *watching) known() map[source.Key]struct{} {
	if len(w.former) == 0 {
		return w.present
	}
	out := maps.Clone(w.former)
	maps.Copy(out, w.present)
	return out
}

// watch starts to watch a kind in one of its versions.
func (s *Source) watch(ctx context.Context, k *kind, version schema.GroupVersionKind) (*watching, error) {
	informer, err := s.cache.GetInformer(ctx, k.watched(version), cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", k.gvk.Kind, err)
	}
	w := &watching{kind: k, version: version, wake: s.wake, events: map[source.Key]client.Object{}, present: map[source.Key]struct{}{}}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { w.note(o, false) },
		UpdateFunc: func(was, o any) {
			w.note(o, false)
			if s.options.Rewritten != nil && k.custom && version == k.gvk {
				w.compare(was, o, s.options.Rewritten)
			}
		},
		DeleteFunc: func(o any) { w.note(o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", k.gvk.Kind, err)
	}
	w.synced = registration.HasSyncedChecker().Done()
	go func() {
		select {
		case <-ctx.Done():
		case <-w.synced:
			w.signal()
		}
	}()
	return w, nil
}

// note records an event; of several about one object the last one counts.
func (w *watching) note(o any, gone bool) {
	if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	object, ok := o.(client.Object)
	if !ok {
		return
	}
	key := source.Key{GroupVersionKind: w.kind.gvk, Namespace: object.GetNamespace(), Name: object.GetName()}
	if gone {
		object = nil
	} else if object = w.kind.read(object); object == nil {
		return // not of the schema that the version has
	}
	w.mu.Lock()
	w.events[key] = object
	w.mu.Unlock()
	w.signal()
}

// compare tells of an object that is the same but for what is not its spec.
func (w *watching) compare(was, is any, rewritten func(source.Key)) {
	a, aOK := was.(client.Object)
	b, bOK := is.(client.Object)
	if aOK && bOK && a.GetUID() == b.GetUID() && a.GetGeneration() == b.GetGeneration() && a.GetResourceVersion() != b.GetResourceVersion() {
		rewritten(source.Key{GroupVersionKind: w.kind.gvk, Namespace: b.GetNamespace(), Name: b.GetName()})
	}
}

func (w *watching) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watching) isSynced() bool {
	select {
	case <-w.synced:
		return true
	default:
		return false
	}
}

// take returns the events that have come together. There are none before the
// kind's first list is whole.
func (w *watching) take() map[source.Key]client.Object {
	if !w.isSynced() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		return nil
	}
	events := w.events
	w.events = map[source.Key]client.Object{}
	return events
}
