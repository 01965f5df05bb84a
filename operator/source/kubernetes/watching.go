package kubernetes

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// watching is a kind that is watched now.
type watching struct {
	kind   *kind
	synced <-chan struct{}
	wake   chan<- struct{}

	mu     sync.Mutex
	events map[source.Key]client.Object // nil: it is gone

	// Of the run's goroutine, for a custom kind: what was delivered of it, and
	// since when discovery does not know it.
	present map[source.Key]struct{}
	missing time.Time
}

// watch starts to watch a kind.
func (s *Source) watch(ctx context.Context, k *kind) (*watching, error) {
	informer, err := s.cache.GetInformer(ctx, k.watched(), cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", k.gvk.Kind, err)
	}
	w := &watching{kind: k, wake: s.wake, events: map[source.Key]client.Object{}, present: map[source.Key]struct{}{}}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.note(o, false) },
		UpdateFunc: func(_, o any) { w.note(o, false) },
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
	}
	w.mu.Lock()
	w.events[key] = object
	w.mu.Unlock()
	w.signal()
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

// probe asks which custom kinds the API server has, again and again, and hands
// each answer on. A failed probe is no answer.
func (s *Source) probe(ctx context.Context, to chan<- map[schema.GroupVersionKind]bool) {
	for {
		found, err := s.discover(ctx)
		pause := s.options.ProbeInterval
		if err != nil {
			s.log.V(1).Info("discovery failed", "error", err.Error())
			pause = min(pause, time.Second)
		} else {
			select {
			case <-ctx.Done():
				return
			case to <- found:
			}
		}
		if !rest(ctx, pause) {
			return
		}
	}
}

func (s *Source) discover(ctx context.Context) (map[schema.GroupVersionKind]bool, error) {
	found, asked := map[schema.GroupVersionKind]bool{}, map[schema.GroupVersion]bool{}
	for _, k := range s.kinds {
		gv := k.gvk.GroupVersion()
		if !k.custom || asked[gv] {
			continue
		}
		asked[gv] = true
		list := &metav1.APIResourceList{}
		err := s.discovery.Get().AbsPath("/apis", gv.Group, gv.Version).Do(ctx).Into(list)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("discovery of %s: %w", gv, err)
		}
		for i := range list.APIResources {
			found[gv.WithKind(list.APIResources[i].Kind)] = true
		}
	}
	return found, nil
}
