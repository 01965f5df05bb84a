package kubernetes

import (
	"maps"
	"slices"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// A route asks for more than endpoints: for its Services and their ports, for the
// objects that it includes, for the permission to refer to another namespace. Each of
// these kinds has a watch of its own, which may be behind: the route would be refused
// for want of what was there before it, and what it served until then with it.
//
// So a version that lacks something, which the version before it did not do without,
// waits until that has come, or a list that begins after it says that it was not
// there. Objects that include each other do not wait for one another, and what is there
// and does not come, as it waits itself, is waited for a few seconds: nothing less safe
// is served without it.

var (
	proxyKind      = contourv1.GroupVersion.WithKind("HTTPProxy")
	delegationKind = contourv1.GroupVersion.WithKind("TLSCertificateDelegation")
)

// lackLists is how often is asked for what lacks and does not come.
const lackLists = 10

// lackFences stand for what objects of a kind lack at a time: for one of them, or
// without a name for those of a namespace. lackKinds are their kinds.
var lackFences, lackKinds = lackable(serviceKind, proxyKind, grantKind, delegationKind)

func lackable(kinds ...schema.GroupVersionKind) (fences, back map[schema.GroupVersionKind]schema.GroupVersionKind) {
	fences, back = map[schema.GroupVersionKind]schema.GroupVersionKind{}, map[schema.GroupVersionKind]schema.GroupVersionKind{}
	for _, k := range kinds {
		f := k.GroupVersion().WithKind(k.Kind + "Lack")
		fences[k], back[f] = f, k
	}
	return fences, back
}

func isLack(fence source.Key) bool {
	_, ok := lackKinds[fence.GroupVersionKind]
	return ok
}

// lacking are the fences for what an object lacks and did not before.
func (c *contents) lacking(key source.Key, o client.Object) []source.Key {
	was := c.fences.delivered[key].object
	if c.source.options.Lacks == nil || was != nil && isSame(was, o) {
		return nil
	}
	lacks := c.source.options.Lacks(o, c.there)
	if len(lacks) == 0 {
		return nil
	}
	var before []source.Key
	if was != nil {
		before = c.source.options.Lacks(was, c.there)
	}
	var out []source.Key
	for _, l := range lacks {
		_, ofAll := allOf(l)
		if (ofAll || canBe(l)) && !slices.Contains(before, l) && c.source.watches(l.Namespace) {
			out = append(out, cause(lackFences[l.GroupVersionKind], l))
		}
	}
	return out
}

// included are the places of the objects that an object includes.
func (c *contents) included(o client.Object) []source.Key {
	if c.source.options.Lacks == nil || o == nil {
		return nil
	}
	var out []source.Key
	for _, l := range c.source.options.Lacks(o, func(source.Key) []client.Object { return nil }) {
		if l.GroupVersionKind == proxyKind {
			out = append(out, itself(l))
		}
	}
	return out
}

// itselfPrefix tells the place of an object from those of what it uses.
const itselfPrefix = "itself "

// itself is the place of an object that others include.
func itself(key source.Key) source.Key {
	key.Name = itselfPrefix + key.Name
	return key
}

// there is what is delivered of a key, or without a name of a kind and namespace that
// permits something.
func (c *contents) there(key source.Key) []client.Object {
	if key.Name != "" {
		if o := c.fences.delivered[key].object; o != nil {
			return []client.Object{o}
		}
		return nil
	}
	var out []client.Object
	for k := range c.fences.permits[key] {
		if o := c.fences.delivered[k].object; o != nil {
			out = append(out, o)
		}
	}
	return out
}

// allOf is where an object is found that permits something; false for other kinds.
func allOf(key source.Key) (source.Key, bool) {
	key.Name = ""
	return key, key.GroupVersionKind == grantKind || key.GroupVersionKind == delegationKind
}

// found lets those go on who lacked an object that is delivered.
func (c *contents) found(key source.Key) {
	fence, ok := lackFences[key.GroupVersionKind]
	if !ok {
		return
	}
	one := cause(fence, key)
	all, _ := allOf(one)
	for _, why := range []source.Key{one, all} {
		for key := range maps.Clone(c.fences.waiting[why]) {
			if h := c.holders[key]; h != nil && h.pending != nil {
				c.arrive(key, h.pending)
			}
		}
	}
}
