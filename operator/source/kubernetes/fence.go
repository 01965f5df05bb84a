package kubernetes

import (
	"maps"
	"slices"
	"strconv"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/source"
)

// A fence keeps an object from being delivered before others that were there when
// it came. Each kind has a watch of its own, and nothing orders these.
//
// What opens a way to a Service (a route, the Service, endpoints) waits for
// BackendTLSPolicies: without the policy that was written before it a Service that
// speaks TLS looks as if it spoke cleartext. No fence is needed where a policy of
// the whole Service is delivered, be it while the object waits, where no route
// sends to the Service, or where the object was delivered with it before: what an
// edit costs stays as it is.
//
// A route waits for EndpointSlices: without them it leads nowhere, and one that led
// to another Service before would lose requests. No fence is needed where a slice
// of the Service is delivered, where the route was delivered with the Service
// before, or before the first list is complete, as nothing is served then.
//
// What must be waited for is listed once more, after the object has come: policies
// by namespace, slices by Service. A list is not begun before what is missing had
// the time to come by itself, and then the object goes on without it; what comes
// meanwhile shares it.
//
// A fence is a content that nobody holds: those who want it wait until it is
// settled.

var (
	policyKind = schema.GroupVersion(gatewayv1.GroupVersion).WithKind("BackendTLSPolicy")
	sliceKind  = discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice")

	// policyFence stands for the list of policies of a namespace, at a time, and
	// sliceFence for that of the slices of a Service.
	policyFence = policyKind.GroupVersion().WithKind("BackendTLSPolicyList")
	sliceFence  = sliceKind.GroupVersion().WithKind("EndpointSliceList")
)

const (
	// fenceFirst is the time before which nothing is listed: mostly a watch is
	// behind another by less.
	fenceFirst = 2 * time.Millisecond
	// fenceAgain is the time after which is listed again what a fence still waits
	// for: it may have gone.
	fenceAgain = 500 * time.Millisecond
)

// fences is what is known of policies and slices, and of those who wait for them.
type fences struct {
	// last numbers the fences, and joined are those that what comes now may still
	// share, by what is listed.
	last   int
	joined map[source.Key]joinable
	// delivered are the objects that were, and about counts policies and slices by the
	// cause for which they are waited for.
	delivered map[source.Key]awaited
	about     map[source.Key]int
	// uses are the Services of the objects that were delivered, as far as a fence is
	// about them, and routes those of the routes of the Gateway API that have come or
	// are delivered; senders are the routes that send to a Service.
	uses, routes map[source.Key][]source.Key
	senders      map[source.Key]map[source.Key]struct{}
	// opened is what those said that were delivered and let routes through, and permits
	// the ReferenceGrants and delegations of a namespace that have come.
	opened  map[source.Key]string
	permits map[source.Key]map[source.Key]struct{}
	// open are the fences that wait for objects, missing those by object, and waiting,
	// by cause, the objects that wait at a fence.
	open             map[source.Key]*content
	missing, waiting map[source.Key]map[source.Key]struct{}
	// placed are the versions that wait, by place, and gates those that ends may still
	// share.
	placed map[source.Key]map[source.Key]struct{}
	gates  map[source.Key]source.Key
}

// joinable is a fence whose list has not begun before a time.
type joinable struct {
	fence source.Key
	until time.Time
}

// awaited is an object that was delivered, and for what causes it was waited for.
type awaited struct {
	object client.Object
	causes []source.Key
}

func newFences() fences {
	return fences{
		joined: map[source.Key]joinable{}, delivered: map[source.Key]awaited{}, about: map[source.Key]int{},
		uses: map[source.Key][]source.Key{}, routes: map[source.Key][]source.Key{}, senders: map[source.Key]map[source.Key]struct{}{},
		opened: map[source.Key]string{}, permits: map[source.Key]map[source.Key]struct{}{}, open: map[source.Key]*content{},
		missing: map[source.Key]map[source.Key]struct{}{}, waiting: map[source.Key]map[source.Key]struct{}{},
		placed: map[source.Key]map[source.Key]struct{}{}, gates: map[source.Key]source.Key{},
	}
}

// cause is why something waits: for policies or slices of a Service.
func cause(kind schema.GroupVersionKind, service source.Key) source.Key {
	service.GroupVersionKind = kind
	return service
}

// fence returns the fences that an object must wait for, by cause. It goes on to
// wait for the same for a cause for which it waits already, however often it is
// changed.
func (c *contents) fence(h *holder, key source.Key, o client.Object) map[source.Key]source.Key {
	if key.GroupVersionKind == policyKind {
		ends := c.ends(h, key, o)
		if len(ends) > 0 {
			c.uncount(key) // what comes now must not rely on it
		}
		return ends
	}
	uses := c.source.options.Uses(o)
	c.notePresence(key, uses)
	var out map[source.Key]source.Key
	add := func(why, listed source.Key) {
		if out == nil {
			out = map[source.Key]source.Key{}
		}
		f, ok := c.held(h, why, o)
		if !ok {
			f = c.fences.join(listed, time.Now())
		}
		out[why] = f
	}
	known := func(why source.Key, service source.Key) bool {
		return c.fences.about[why] > 0 || slices.Contains(c.fences.uses[key], service) || !c.source.watches(service.Namespace)
	}
	for _, service := range uses {
		why := cause(policyFence, service)
		if len(c.fences.senders[service]) == 0 || known(why, service) {
			continue
		}
		listed := source.Key{GroupVersionKind: policyFence, Namespace: service.Namespace}
		if !c.complete && len(c.source.options.Namespaces) == 0 {
			listed.Namespace = metav1.NamespaceAll // one list for all that there is at the start
		}
		add(why, listed)
	}
	if c.complete {
		c.fenceServed(key, o, known, add)
	}
	return out
}

// held is the fence at which an object waits already for a cause. To an edit an answer
// about what lacked says nothing of what came since.
func (c *contents) held(h *holder, why source.Key, o client.Object) (source.Key, bool) {
	if h == nil || h.fences[why].Kind == "" {
		return source.Key{}, false
	}
	f := h.fences[why]
	return f, !isLack(f) || !c.known[f].settled || h.pending != nil && isSame(h.pending, o)
}

// notePresence notes a permission or a route that has come, be it that it waits.
func (c *contents) notePresence(key source.Key, uses []source.Key) {
	if all, ok := allOf(key); ok {
		enter(c.fences.permits, all, key)
	} else if isRoute(key) {
		c.fences.send(key, uses, c.usesOfDelivered(key))
	}
}

// fenceServed adds the fences that matter only when something is served.
func (c *contents) fenceServed(
	key source.Key, o client.Object, known func(why, service source.Key) bool, add func(why, listed source.Key),
) {
	for _, listed := range c.openings(key, o) {
		add(listed, listed)
	}
	for _, service := range c.source.options.Backends(o) {
		if why := cause(sliceFence, service); !known(why, service) {
			add(why, why)
		}
	}
	for _, why := range c.lacking(key, o) {
		add(why, why)
	}
}

// join returns a fence whose list begins after now.
func (f *fences) join(listed source.Key, now time.Time) source.Key {
	j := f.joined[listed]
	if !now.Before(j.until) {
		f.last++
		j = joinable{fence: listed, until: now.Add(fenceFirst)}
		j.fence.Name += "/" + strconv.Itoa(f.last)
		f.joined[listed] = j
		maps.DeleteFunc(f.joined, func(_ source.Key, j joinable) bool { return !now.Before(j.until) })
	}
	return j.fence
}

// wait notes for what causes an object waits.
func (f *fences) wait(key source.Key, fences map[source.Key]source.Key) {
	for why := range fences {
		enter(f.waiting, why, key)
	}
}

// pass notes that an object waits no more.
func (f *fences) pass(key source.Key, fences map[source.Key]source.Key) {
	for why := range fences {
		leave(f.waiting, why, key)
	}
}

// passed notes that an object is delivered.
func (c *contents) passed(key source.Key, o client.Object) {
	if said := opens(o); said != "" {
		c.fences.opened[key] = said
	}
	c.uncount(key)
	c.fences.delivered[key] = awaited{object: o}
	switch key.GroupVersionKind {
	case policyKind:
		c.came(key, o, policyFence, c.source.options.Targets(o))
	case sliceKind:
		if name := o.GetLabels()[discoveryv1.LabelServiceName]; name != "" {
			c.came(key, o, sliceFence, []source.Key{{Namespace: key.Namespace, Name: name}})
		}
	}
	c.unfence(key, false)
	c.found(key)
	uses, backends := c.source.options.Uses(o), c.source.options.Backends(o)
	if isRoute(key) {
		c.fences.send(key, uses)
	}
	switch {
	case len(backends) > 0:
		c.fences.uses[key] = backends
	case len(uses) > 0 && len(c.fences.senders[uses[0]]) > 0:
		c.fences.uses[key] = uses
	default:
		delete(c.fences.uses, key)
	}
}

// came takes a policy or a slice that is delivered, and lets those go on who have
// waited for it.
func (c *contents) came(key source.Key, o client.Object, kind schema.GroupVersionKind, services []source.Key) {
	x := awaited{object: o}
	for _, s := range services {
		x.causes = append(x.causes, cause(kind, s))
	}
	c.fences.delivered[key] = x
	for _, why := range x.causes {
		c.fences.about[why]++
	}
	for _, why := range x.causes {
		for key := range maps.Clone(c.fences.waiting[why]) {
			if h := c.holders[key]; h != nil && h.pending != nil {
				c.arrive(key, h.pending)
			}
		}
	}
}

// isRoute tells routes of the Gateway API from Services and endpoints.
func isRoute(key source.Key) bool { return key.Group == gatewayv1.GroupName }

// usesOfDelivered are the Services that a route sends to as it was delivered.
func (c *contents) usesOfDelivered(route source.Key) []source.Key {
	if o := c.fences.delivered[route].object; o != nil {
		return c.source.options.Uses(o)
	}
	return nil
}

// send notes which Services a route sends to.
func (f *fences) send(route source.Key, services ...[]source.Key) {
	for _, s := range f.routes[route] {
		leave(f.senders, s, route)
	}
	delete(f.routes, route)
	all := slices.Concat(services...)
	if len(all) == 0 {
		return
	}
	f.routes[route] = all
	for _, s := range all {
		enter(f.senders, s, route)
	}
}

// left notes that an object is gone.
func (c *contents) left(key source.Key) {
	delete(c.fences.uses, key)
	delete(c.fences.opened, key)
	if all, ok := allOf(key); ok {
		leave(c.fences.permits, all, key)
	}
	if isRoute(key) {
		c.fences.send(key)
	}
	c.uncount(key)
	delete(c.fences.delivered, key)
	c.unfence(key, true)
}

// uncount takes back what is counted of a policy or a slice.
func (c *contents) uncount(key source.Key) {
	x := c.fences.delivered[key]
	if len(x.causes) == 0 {
		return
	}
	for _, why := range x.causes {
		c.fences.about[why]--
		if c.fences.about[why] == 0 {
			delete(c.fences.about, why)
		}
	}
	x.causes = nil
	c.fences.delivered[key] = x
}
