package status

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/translator/ir"
)

// Manager is the field manager of statuses.
const Manager = "signet-status"

const (
	defaultWorkers = 16
	fewWorkers     = 4
	// aside is how long a look stands aside for the change itself, which the same
	// processors and the same API server bring to traffic; what comes in a row to
	// one object becomes one write.
	aside      = 20 * time.Millisecond
	firstRetry = 50 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Options make a Writer. Client, Reader and the two functions are required.
type Options struct {
	// Client writes.
	Client client.Client
	// Reader reads objects as the API server has them, from a cache.
	Reader client.Reader
	// HTTPProxy and EnvoyFleet return the status that an object should have,
	// without times; false for an object that is another controller's, or gone.
	// They are called from many goroutines and must not block.
	HTTPProxy  func(ir.Name) (contourv1.HTTPProxyStatus, bool)
	EnvoyFleet func(ir.Name) (v1alpha1.EnvoyFleetStatus, bool)
	// Gateway returns, in the same way, the status of an object of the Gateway API: a
	// pointer to the type of the kind's status, or to a gatewayv1.RouteStatus, or an Over
	// with one.
	// Nil writes none.
	Gateway func(Kind, ir.Name) (any, bool)
	// Workers write at the same time, beside four at most for the kinds of which
	// there are few; 0 is 16.
	Workers int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log logr.Logger
}

// Kind is a kind of objects whose status is written.
type Kind string

// The kinds.
const (
	HTTPProxy  Kind = "HTTPProxy"
	EnvoyFleet Kind = "EnvoyFleet"
)

// item is one object to look at.
type item struct {
	kind Kind
	name ir.Name
}

func (i item) key() client.ObjectKey {
	return client.ObjectKey{Namespace: i.name.Namespace, Name: i.name.Name}
}

// Writer writes statuses. Its methods may be called from any goroutine.
type Writer struct {
	options Options
	// many is for routes and the like; few is for those that tell of them, which
	// would stand behind all of them in one line.
	many, few queue
	own       *writes
	settling  settling
}

// New makes a writer; it writes nothing before Run.
func New(o Options) *Writer {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Writer{
		options: o, many: newQueue(), few: newQueue(), own: newWrites(), settling: settling{waits: map[item]*wait{}},
	}
}

// Touch has an object looked at, soon. It never blocks.
func (w *Writer) Touch(k Kind, n ir.Name) {
	i := item{k, n}
	w.queueOf(i).AddAfter(i, aside)
}

// look has an object looked at as soon as a worker is free.
func (w *Writer) look(i item) { w.queueOf(i).Add(i) }

type queue = workqueue.TypedRateLimitingInterface[item]

func newQueue() queue {
	return workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[item](firstRetry, lastRetry))
}

func (w *Writer) queueOf(i item) queue {
	switch i.kind {
	case GatewayClass, Gateway, ListenerSet, EnvoyFleet:
		return w.few
	default:
		return w.many
	}
}

// Run writes until ctx ends. It runs once.
func (w *Writer) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		w.many.ShutDown()
		w.few.ShutDown()
	})
	defer stop()
	var workers sync.WaitGroup
	work := func(q queue, n int) {
		for range n {
			workers.Go(func() {
				for w.next(ctx, q) {
				}
			})
		}
	}
	work(w.many, w.options.Workers)
	work(w.few, min(w.options.Workers, fewWorkers))
	workers.Wait()
	return nil
}

func (w *Writer) next(ctx context.Context, q queue) bool {
	i, shutdown := q.Get()
	if shutdown {
		return false
	}
	defer q.Done(i)
	switch err := w.write(ctx, i); {
	case err == nil || ctx.Err() != nil:
		q.Forget(i)
	case errors.Is(err, errBehind):
		q.AddAfter(i, untilShown)
	default:
		// Another version of the object is nothing to tell of: it is read again.
		if !apierrors.IsConflict(err) {
			w.options.Log.Error(err, "a status cannot be written: it is tried again", "kind", i.kind, "object", i.name.String())
		}
		q.AddRateLimited(i)
	}
	return true
}

func (w *Writer) write(ctx context.Context, i item) error {
	now := metav1.NewTime(w.options.Now().UTC().Truncate(time.Second))
	switch i.kind {
	case HTTPProxy:
		want, ok := w.options.HTTPProxy(i.name)
		if !ok {
			return nil
		}
		o := &contourv1.HTTPProxy{}
		if found, err := w.read(ctx, i, o); !found || err != nil {
			return err
		}
		if next, differs := proxy(&o.Status, &want, now); differs {
			return w.apply(ctx, i, contourv1.GroupVersion.WithKind(string(i.kind)), o, &next)
		}
	case EnvoyFleet:
		want, ok := w.options.EnvoyFleet(i.name)
		if !ok {
			return nil
		}
		o := &v1alpha1.EnvoyFleet{}
		if found, err := w.read(ctx, i, o); !found || err != nil {
			return err
		}
		if next, differs := fleet(&o.Status, &want, now); differs {
			return w.apply(ctx, i, v1alpha1.GroupVersion.WithKind(string(i.kind)), o, &next)
		}
	default:
		return w.writeGateway(ctx, i, now)
	}
	return nil
}

// read reads an object that is not older than what was written of it.
func (w *Writer) read(ctx context.Context, i item, o client.Object) (bool, error) {
	err := w.options.Reader.Get(ctx, i.key(), o)
	if apierrors.IsNotFound(err) {
		w.own.gone(i)
		return false, nil
	}
	if unwatched := (*cache.ErrResourceNotCached)(nil); errors.As(err, &unwatched) {
		return false, nil // its CRD has gone, or has an older version alone, whose status is not ours
	}
	if err != nil {
		return false, fmt.Errorf("read: %w", err)
	}
	return true, w.own.check(i, o)
}

// wrote notes a write, and has the object looked at once the cache shows it.
func (w *Writer) wrote(i item, o client.Object) {
	w.own.wrote(i, o.GetResourceVersion())
	w.queueOf(i).AddAfter(i, lookAgain)
}

// apply writes the status of that very object: of another with its name it
// would be a lie, which the UID prevents.
func (w *Writer) apply(ctx context.Context, i item, gvk schema.GroupVersionKind, o client.Object, status any) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	// The API server makes a null, which it refuses, of what loses all its
	// fields: so the list of addresses is always there.
	if balancer, ok := content["loadBalancer"].(map[string]any); ok && len(balancer) == 0 {
		balancer["ingress"] = []any{}
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	u.SetGroupVersionKind(gvk)
	u.SetNamespace(o.GetNamespace())
	u.SetName(o.GetName())
	u.SetUID(o.GetUID())
	err = w.options.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u),
		client.FieldOwner(Manager), client.ForceOwnership)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	w.wrote(i, u)
	return nil
}
