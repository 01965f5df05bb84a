package kubernetes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	restclient "k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// Options make a Source. Config is required.
type Options struct {
	// Config reaches the API server.
	Config *restclient.Config
	// Namespaces to read; none is all of them. With some, a Role in each is
	// enough.
	Namespaces []string
	// References lists the Secrets and ConfigMaps that whoever takes the
	// batches reads for an object. It must depend on the object alone. Nil is
	// none.
	References func(client.Object) []source.Key
	// Uses lists the Services that an object opens a way to: those that a route
	// sends to, a Service itself, that of an EndpointSlice. Targets lists those that
	// a BackendTLSPolicy is about as a whole, with every port. The former are not
	// delivered before the policies that were there when they came. Both must depend
	// on the object alone. Nil is none.
	Uses, Targets func(client.Object) []source.Key
	// Backends lists the Services that a route of any kind sends to. One that is new
	// to the route is not used before the EndpointSlices that were there. It must
	// depend on the object alone. Nil is none.
	Backends func(client.Object) []source.Key
	// Lacks lists what an object asks for and is not there: objects by name, and without
	// one those of a kind and namespace of which none is as it asks for. There returns
	// what is, likewise. An object is not delivered before what it lacks and was there
	// when it came. Nil is nothing.
	Lacks func(o client.Object, there func(source.Key) []client.Object) []source.Key
	// Rewritten is told of an object of a kind with a CRD of which somebody has written
	// what is not its spec, its status for one. It must not block. Nil is nobody.
	Rewritten func(source.Key)
	// ProbeInterval is the time between two looks for CRDs; 0 is 3 s.
	ProbeInterval time.Duration
	Log           logr.Logger
}

// Source reads an API server. Make it with New, run it once with Run.
type Source struct {
	options   Options
	log       logr.Logger
	kinds     []*kind
	cache     cache.Cache
	client    client.Client
	discovery restclient.Interface
	wake      chan struct{}
}

// letGoAfter is how long discovery must miss a kind of which objects are known
// before they are given up. When a CRD is removed, its objects are deleted
// first, so there is no hurry; an API server that is starting may not have
// found its CRDs yet, and must not take all hosts down.
const letGoAfter = time.Minute

// New makes a source; it reads nothing before Run.
func New(o Options) (*Source, error) {
	o.ProbeInterval = cmp.Or(o.ProbeInterval, 3*time.Second)
	for _, f := range []*func(client.Object) []source.Key{&o.References, &o.Uses, &o.Targets, &o.Backends} {
		if *f == nil {
			*f = func(client.Object) []source.Key { return nil }
		}
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	config := restclient.CopyConfig(o.Config)
	// The API server's own flow control is fairer than a limit in each client.
	config.QPS, config.Burst = -1, 0
	httpClient, err := restclient.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	s := &Source{options: o, log: o.Log, kinds: servedKinds(), wake: make(chan struct{}, 1)}
	mapper := mapperOf(s.kinds)
	if s.cache, err = cache.New(config, cache.Options{
		HTTPClient: httpClient, Scheme: scheme, Mapper: mapper,
		DefaultNamespaces: namespaces(o.Namespaces), DefaultTransform: trim(scheme),
		// The graph holds the same objects, which nobody changes.
		DefaultUnsafeDisableDeepCopy: new(true),
		ReaderFailOnMissingInformer:  true,
		NewInformer: func(
			lw toolscache.ListerWatcher, o runtime.Object, _ time.Duration, indexers toolscache.Indexers,
		) toolscache.SharedIndexInformer {
			// No resync: every consumer is level based.
			return toolscache.NewSharedIndexInformer(patient(lw, s.log), o, 0, indexers)
		},
	}); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if s.client, err = client.New(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	d, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	s.discovery = d.RESTClient()
	return s, nil
}

func namespaces(names []string) map[string]cache.Config {
	if len(names) == 0 {
		return nil
	}
	out := map[string]cache.Config{}
	for _, n := range names {
		out[n] = cache.Config{}
	}
	return out
}

func (s *Source) watches(namespace string) bool {
	return len(s.options.Namespaces) == 0 || slices.Contains(s.options.Namespaces, namespace)
}

// Cache reads the objects as the API server has them, their status included.
// What it returns must not be changed. It fails for a kind that is not watched.
func (s *Source) Cache() client.Reader { return s.cache }

// Run implements source.Source.
func (s *Source) Run(ctx context.Context, sink source.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- s.cache.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			s.log.Error(err, "the cache ended with an error")
		}
	}()
	probes := make(chan probed)
	go s.probe(ctx, probes)

	r := &run{source: s, sink: sink, contents: newContents(ctx, s), watches: map[*kind]*watching{}}
	for _, k := range s.kinds {
		if !k.always() {
			continue
		}
		if err := r.start(ctx, k, k.gvk); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-stopped:
			stopped <- nil
			if err == nil {
				err = errors.New("nobody told it to")
			}
			return fmt.Errorf("cache ended: %w", err)
		case p := <-probes:
			if err := r.probed(ctx, &p); err != nil {
				return err
			}
		case f := <-r.contents.fetched:
			r.contents.settle(f)
		case <-s.wake:
		}
		r.step()
	}
}

// run is the state of one Run, of its goroutine alone.
type run struct {
	source   *Source
	sink     source.Sink
	contents *contents
	watches  map[*kind]*watching
	// known is set when discovery has answered.
	known    bool
	complete bool
}

func (r *run) start(ctx context.Context, k *kind, version schema.GroupVersionKind) error {
	w, err := r.source.watch(ctx, k, version)
	if err != nil {
		return err
	}
	r.watches[k] = w
	return nil
}

// probed starts and ends watches by what discovery says.
func (r *run) probed(ctx context.Context, p *probed) error {
	now := time.Now()
	for _, k := range r.source.kinds {
		if k.always() {
			continue
		}
		version, found := p.found[k]
		w, watched := r.watches[k]
		switch {
		case found && !watched:
			r.source.log.Info("kind is watched", "kind", version.String())
			if err := r.start(ctx, k, version); err != nil {
				return err
			}
		case found && version == w.version:
			w.missing = time.Time{}
		case found:
			// Its objects are the same in the other version.
			r.source.log.Info("kind is watched in another version", "kind", version.String())
			if err := r.replace(ctx, w, version); err != nil {
				return err
			}
		case watched:
			if w.missing.IsZero() {
				w.missing = now
			}
			objects := len(w.known())
			if objects > 0 && now.Sub(w.missing) < letGoAfter {
				continue
			}
			r.source.log.Info("kind is let go: its CRD is gone", "kind", k.gvk.String(), "objects", objects)
			if err := r.end(ctx, w); err != nil {
				return err
			}
		}
	}
	r.known = true
	r.contents.unlistable(p.problems())
	r.contents.refresh()
	return nil
}

// replace goes on in another version. What the former one delivered and the new
// one does not have is found when the new one is synced.
func (r *run) replace(ctx context.Context, w *watching, version schema.GroupVersionKind) error {
	if err := r.source.cache.RemoveInformer(ctx, w.kind.watched(w.version)); err != nil {
		return fmt.Errorf("let go %s: %w", w.version, err)
	}
	next, err := r.source.watch(ctx, w.kind, version)
	if err != nil {
		return err
	}
	next.former = w.known()
	r.watches[w.kind] = next
	return nil
}

func (r *run) end(ctx context.Context, w *watching) error {
	if err := r.source.cache.RemoveInformer(ctx, w.kind.watched(w.version)); err != nil {
		return fmt.Errorf("let go %s: %w", w.kind.gvk.Kind, err)
	}
	for key := range w.known() {
		r.contents.depart(key)
	}
	delete(r.watches, w.kind)
	return nil
}

// step takes what has come and delivers what is ready. What goes may have to wait for
// what comes, of any kind: that is taken first. Of what goes, routes are taken before
// what they use, in the reverse order of the kinds.
func (r *run) step() {
	synced := r.known
	var ends []source.Key
	for _, k := range r.source.kinds {
		w, ok := r.watches[k]
		if !ok {
			continue
		}
		// Asked once: what comes in between would be taken for gone.
		isSynced := w.isSynced()
		synced = synced && isSynced
		if isSynced {
			ends = append(ends, r.takeAll(w)...)
		}
	}
	for _, key := range slices.Backward(ends) {
		r.contents.depart(key)
	}
	b := r.contents.batch()
	if !r.complete && synced && r.contents.waiting == 0 {
		r.complete, r.contents.complete = true, true
	} else if len(b.Changed) == 0 && len(b.Deleted) == 0 && b.Problems == nil {
		return
	}
	b.Complete = r.complete
	r.source.log.V(1).Info("objects read", "changed", len(b.Changed), "deleted", len(b.Deleted), "complete", b.Complete)
	r.sink.Apply(b)
}

// takeAll takes what has come of a kind whose first list is whole, and returns what has
// gone.
func (r *run) takeAll(w *watching) []source.Key {
	var ends []source.Key
	for key, o := range w.take() {
		switch {
		case w.kind.onDemand && o == nil:
			r.contents.changed(key, "")
		case w.kind.onDemand:
			r.contents.changed(key, o.GetResourceVersion())
		case o == nil:
			delete(w.present, key)
			ends = append(ends, key)
		default:
			if !w.kind.always() {
				w.present[key] = struct{}{}
			}
			r.contents.arrive(key, o)
		}
	}
	for key := range w.former {
		if _, ok := w.present[key]; !ok {
			ends = append(ends, key)
		}
	}
	w.former = nil
	return ends
}

// sortProblems sorts by object.
func sortProblems(p []source.Problem) {
	slices.SortFunc(p, func(a, b source.Problem) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Message, b.Message))
	})
}
