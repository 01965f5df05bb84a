package kubernetes

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

// A fence keeps what opens a way to a Service (a route, the Service, endpoints)
// from being delivered before the policies that were there when it came. Each kind
// has a watch of its own, and nothing orders these: a route may come before the
// policy that was written before it, and then a Service that speaks TLS looks as if
// it spoke cleartext. So the policies are listed once more, after the object has
// come, and it waits for those of the list. No fence is needed where a policy of
// the whole Service is delivered, be it while the object waits, where no route
// sends to the Service, or where the object was delivered with it before: what an
// edit costs stays as it is.
//
// A list costs what there is in the namespace. It is not begun before the policy
// had the time to come by itself, and then the object goes on without it; what
// comes meanwhile shares it.
//
// A fence is a content that nobody holds: those who want it wait until it is
// settled.

// policyKind is the kind of policies.
var policyKind = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("BackendTLSPolicy")

// fenceKind stands for the list of policies of a namespace, at a time.
var fenceKind = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("BackendTLSPolicyList")

const (
	// fenceFirst is the time before which the policies are not listed: mostly a
	// watch is behind another by less.
	fenceFirst = 2 * time.Millisecond
	// fenceAgain is the time after which the policies are listed again that a fence
	// still waits for: they may have gone.
	fenceAgain = 500 * time.Millisecond
)

// fences is what is known of policies and of those who wait for them.
type fences struct {
	// last numbers the fences, and joined are those, by namespace, that what comes
	// now may still share.
	last   int
	joined map[string]joinable
	// delivered are the versions of the policies that were, and about how many of
	// them are about the whole of a Service.
	delivered map[source.Key]policed
	about     map[source.Key]int
	// uses are those of the objects that were delivered, as far as a fence is about
	// them, and routes those of the routes that have come; sent counts the routes
	// that send to a Service.
	uses, routes map[source.Key][]source.Key
	sent         map[source.Key]int
	// open are the fences that wait for policies, and waiting, by Service, the
	// objects that wait at a fence for its sake.
	open    map[source.Key]*content
	waiting map[source.Key]map[source.Key]struct{}
}

// joinable is a fence whose list has not begun before a time.
type joinable struct {
	fence source.Key
	until time.Time
}

// policed is a policy that was delivered.
type policed struct {
	version string
	targets []source.Key
}

func newFences() fences {
	return fences{
		joined: map[string]joinable{}, delivered: map[source.Key]policed{}, about: map[source.Key]int{},
		uses: map[source.Key][]source.Key{}, routes: map[source.Key][]source.Key{}, sent: map[source.Key]int{},
		open: map[source.Key]*content{}, waiting: map[source.Key]map[source.Key]struct{}{},
	}
}

// fence returns the fences that an object must wait for, by Service. It goes on to
// wait for the same for a Service for which it waits already, however often it is
// changed.
func (c *contents) fence(h *holder, key source.Key, o client.Object) map[source.Key]source.Key {
	uses := c.source.options.Uses(o)
	if isRoute(key) {
		c.fences.send(key, uses)
	}
	var out map[source.Key]source.Key
	for _, s := range uses {
		if c.fences.sent[s] == 0 || c.fences.about[s] > 0 || slices.Contains(c.fences.uses[key], s) || !c.source.watches(s.Namespace) {
			continue
		}
		if out == nil {
			out = map[source.Key]source.Key{}
		}
		if h != nil && h.fences[s].Kind != "" {
			out[s] = h.fences[s]
			continue
		}
		namespace := s.Namespace
		if !c.complete && len(c.source.options.Namespaces) == 0 {
			namespace = metav1.NamespaceAll // one list for all that there is at the start
		}
		out[s] = c.fences.join(namespace, time.Now())
	}
	return out
}

// join returns a fence whose list begins after now.
func (f *fences) join(namespace string, now time.Time) source.Key {
	j := f.joined[namespace]
	if !now.Before(j.until) {
		f.last++
		j = joinable{
			fence: source.Key{GroupVersionKind: fenceKind, Namespace: namespace, Name: strconv.Itoa(f.last)},
			until: now.Add(fenceFirst),
		}
		f.joined[namespace] = j
	}
	return j.fence
}

// wait notes the Services for whose sake an object waits.
func (f *fences) wait(key source.Key, fences map[source.Key]source.Key) {
	for s := range fences {
		if f.waiting[s] == nil {
			f.waiting[s] = map[source.Key]struct{}{}
		}
		f.waiting[s][key] = struct{}{}
	}
}

// pass notes that an object waits no more.
func (f *fences) pass(key source.Key, fences map[source.Key]source.Key) {
	for s := range fences {
		delete(f.waiting[s], key)
		if len(f.waiting[s]) == 0 {
			delete(f.waiting, s)
		}
	}
}

// policed lets those go on who wait for the sake of Services that have a policy
// now.
func (c *contents) policed(services []source.Key) {
	for _, s := range services {
		for key := range maps.Clone(c.fences.waiting[s]) {
			if h := c.holders[key]; h != nil && h.pending != nil {
				c.arrive(key, h.pending)
			}
		}
	}
}

// passed notes that an object is delivered.
func (c *contents) passed(key source.Key, o client.Object) {
	if key.GroupVersionKind == policyKind {
		c.unpoliced(key)
		p := policed{version: o.GetResourceVersion(), targets: c.source.options.Targets(o)}
		c.fences.delivered[key] = p
		for _, s := range p.targets {
			c.fences.about[s]++
		}
		c.policed(p.targets)
		c.unfence(key)
		return
	}
	uses := c.source.options.Uses(o)
	if len(uses) > 0 && (isRoute(key) || c.fences.sent[uses[0]] > 0) {
		c.fences.uses[key] = uses
	} else {
		delete(c.fences.uses, key)
	}
}

// isRoute tells routes from Services and endpoints.
func isRoute(key source.Key) bool { return key.Group == gatewayv1.GroupName }

// send notes which Services a route sends to.
func (f *fences) send(route source.Key, services []source.Key) {
	for _, s := range f.routes[route] {
		f.sent[s]--
		if f.sent[s] == 0 {
			delete(f.sent, s)
		}
	}
	delete(f.routes, route)
	if len(services) == 0 {
		return
	}
	f.routes[route] = services
	for _, s := range services {
		f.sent[s]++
	}
}

// left notes that an object is gone.
func (c *contents) left(key source.Key) {
	delete(c.fences.uses, key)
	if isRoute(key) {
		c.fences.send(key, nil)
	}
	if key.GroupVersionKind == policyKind {
		c.unpoliced(key)
		c.unfence(key)
	}
}

func (c *contents) unpoliced(key source.Key) {
	for _, s := range c.fences.delivered[key].targets {
		c.fences.about[s]--
		if c.fences.about[s] == 0 {
			delete(c.fences.about, s)
		}
	}
	delete(c.fences.delivered, key)
}

// unfence settles the fences that waited for a policy and for no other.
func (c *contents) unfence(key source.Key) {
	for f, x := range c.fences.open {
		version, waits := x.missing[key]
		if !waits || c.isOlder(key, version) {
			continue
		}
		delete(x.missing, key)
		if len(x.missing) == 0 {
			delete(c.fences.open, f)
			c.settled(x)
		}
	}
}

// isOlder says that a policy was delivered in a version before the given one; one
// that is gone is not.
func (c *contents) isOlder(key source.Key, version string) bool {
	p, ok := c.fences.delivered[key]
	if !ok {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(p.version, version)
	return err != nil || order < 0
}

func isFence(key source.Key) bool { return key.GroupVersionKind == fenceKind }

// settleFence takes a list of policies. Whoever may not list them watches nothing
// of the Gateway API either: then there is none.
func (c *contents) settleFence(f *fetch) {
	x := f.of
	if x.settled {
		return
	}
	x.missing = map[source.Key]string{}
	for key, version := range f.versions {
		if _, ok := c.fences.delivered[key]; !ok || c.isOlder(key, version) {
			x.missing[key] = version
		}
	}
	if len(x.missing) == 0 {
		delete(c.fences.open, f.key)
		c.settled(x)
		return
	}
	c.fences.open[f.key] = x
	c.readAfter(fenceAgain, f.key, x)
}

// list returns the versions of the policies of a namespace that are there now.
func (s *Source) list(ctx context.Context, namespace string) (map[source.Key]string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(fenceKind)
	if err := s.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil // the kind is gone
		}
		return nil, err //nolint:wrapcheck // persist judges it
	}
	out := make(map[source.Key]string, len(list.Items))
	for i := range list.Items {
		o := &list.Items[i]
		out[source.Key{GroupVersionKind: policyKind, Namespace: o.Namespace, Name: o.Name}] = o.ResourceVersion
	}
	return out, nil
}
