package kubernetes

import (
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// While a version of an object waits, or its end, the version before it serves on, and
// needs what it uses: a route that is sent to another Service waits for the endpoints
// there, and the Service before is deleted behind it; a host that is renamed is served
// by the old object, whose Certificate is deleted with it. So the end of a Service, of
// its EndpointSlices, of an included HTTPProxy and of a content waits for those that
// wait, are delivered with it, and do without it from then on. What the version that
// waits uses too goes at once: nothing is gained by keeping it.
//
// Nobody waits for such an end but the end of a policy, which finds it out if that
// waits for it, a list that is made again, and that of an HTTPProxy, which is not begun
// where it is waited for: no wait is for ever.

// useFence stands for those that waited at a time and were delivered with a Service.
var useFence = policyKind.GroupVersion().WithKind("Use")

func isUsed(at source.Key) bool {
	return at.GroupVersionKind == serviceKind || at.GroupVersionKind == sliceKind ||
		at.GroupVersionKind == proxyKind && strings.HasPrefix(at.Name, itselfPrefix)
}

// isEnding says that an object's end waits: it is delivered still.
func (c *contents) isEnding(key source.Key) bool {
	h := c.holders[key]
	return h != nil && h.waits && h.pending == nil
}

// place notes where an object waits: beside others of its kind, and at what it uses no
// more when it waits no more. Nil is its end.
func (c *contents) place(key source.Key, h *holder, o client.Object) {
	if o != nil {
		h.places = c.places(key, o)
	}
	h.places = append(h.places, c.drops(key, h, o)...)
	for _, at := range h.places {
		enter(c.fences.placed, at, key)
		delete(c.fences.gates, at)
	}
}

// unplace notes that it waits there no more.
func (c *contents) unplace(key source.Key, h *holder) {
	for _, at := range h.places {
		leave(c.fences.placed, at, key)
		if len(c.fences.placed[at]) == 0 {
			delete(c.fences.gates, at)
		}
	}
	h.places = nil
}

// drops are what an object is delivered with, and another version of it does without.
func (c *contents) drops(key source.Key, h *holder, o client.Object) []source.Key {
	was := c.fences.delivered[key].object
	if was == nil {
		return nil
	}
	var out, stays []source.Key
	if o != nil {
		stays = c.source.options.Backends(o)
	}
	for _, s := range c.source.options.Backends(was) {
		if !slices.Contains(stays, s) {
			out = append(out, cause(serviceKind, s), cause(sliceKind, s))
		}
	}
	stays = c.included(o)
	for _, p := range c.included(was) {
		if !slices.Contains(stays, p) {
			out = append(out, p)
		}
	}
	for _, content := range h.delivered {
		if !slices.Contains(h.wants, content) {
			out = append(out, content)
		}
	}
	return out
}

// vacate delivers the end of contents that nobody who waits is served with any more.
func (c *contents) vacate() {
	for key := range c.vacant {
		if len(c.fences.placed[key]) == 0 {
			delete(c.vacant, key)
			c.known[key].version = ""
			c.out[key] = nil
		}
	}
}
