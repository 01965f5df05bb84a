package kubernetes

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// silent is a cache whose informers are never synced.
type silent struct{ cache.Cache }

func (silent) RemoveInformer(context.Context, client.Object) error { return nil }

func (s silent) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return silentInformer{}, nil
}

type silentInformer struct{ cache.Informer }

func (silentInformer) AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return silentHandle{}, nil
}

type silentHandle struct{}

func (silentHandle) HasSynced() bool                          { return false }
func (silentHandle) HasSyncedChecker() toolscache.DoneChecker { return silentHandle{} }
func (silentHandle) Name() string                             { return "silent" }
func (silentHandle) Done() <-chan struct{}                    { return nil }

// switched is a run in which routes are watched, and two of them delivered.
func switched(t *testing.T) (*run, *kind) {
	t.Helper()
	c := fenced(t, slicedOptions())
	k := &kind{gvk: routeKind, custom: true, object: func() client.Object { return farRoute() }}
	c.source.kinds, c.source.cache, c.source.log = []*kind{k}, silent{}, logr.Discard()
	c.arrives(routeKind, "one", "1", "")
	c.arrives(routeKind, "two", "1", "")
	c.batch()
	w := &watching{kind: k, version: k.gvk, present: map[source.Key]struct{}{keyOf(routeKind, "one"): {}, keyOf(routeKind, "two"): {}}}
	return &run{source: c.source, contents: c, watches: map[*kind]*watching{k: w}, complete: true}, k
}

func (r *run) finds(t *testing.T, k *kind, versions ...string) {
	t.Helper()
	for _, version := range versions {
		found := map[*kind]schema.GroupVersionKind{}
		if version != "" {
			found[k] = schema.GroupVersionKind{Group: k.gvk.Group, Version: version, Kind: k.gvk.Kind}
		}
		if err := r.probed(t.Context(), &probed{found: found}); err != nil {
			t.Fatal(err)
		}
	}
}

// The kind was watched in another version, whose first list became whole between two
// looks at it: all objects were taken for gone, and came back.
func TestKindInAnotherVersionLosesNothingWhileItSyncs(t *testing.T) {
	for range 2000 {
		r, k := switched(t)
		synced := make(chan struct{})
		events := map[source.Key]client.Object{}
		for key := range r.watches[k].present {
			o := farRoute()
			o.Namespace, o.Name = key.Namespace, key.Name
			events[key] = o
		}
		w := &watching{kind: k, synced: synced, present: map[source.Key]struct{}{}, former: r.watches[k].present, events: events}
		r.watches[k] = w
		r.sink = source.SinkFunc(func(b source.Batch) {
			if len(b.Deleted) > 0 {
				t.Fatalf("deleted: %v", b.Deleted)
			}
		})
		go close(synced)
		for w.former != nil {
			r.step()
		}
		r.step()
	}
}

// Discovery showed one version, another, and the first again, before anything was
// listed: what was gone meanwhile stayed for ever.
func TestKindThatIsSwitchedTwiceForgetsNothing(t *testing.T) {
	r, k := switched(t)
	r.finds(t, k, "v1beta1", k.gvk.Version)
	got := slices.Collect(maps.Keys(r.watches[k].former))
	if len(got) != 2 {
		t.Errorf("former: %v, want both", got)
	}
}

// The kind was let go at once, as nothing of it was listed in its new version yet.
func TestKindInAnotherVersionIsNotLetGoBeforeItsTime(t *testing.T) {
	r, k := switched(t)
	r.finds(t, k, "v1beta1", "", "")
	r.contents.deletes(t, "discovery may have forgotten it for a moment")
	if r.watches[k] == nil {
		t.FailNow()
	}
	r.watches[k].missing = time.Now().Add(-letGoAfter)
	r.finds(t, k, "")
	r.contents.deletes(t, "it had its minute", "HTTPRoute one", "HTTPRoute two")
}
