package kubernetes

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// What a fence waits for is found by object too: thousands of renames are thousands
// of gates, and each object that is delivered looks for those that wait for it.

// enter puts a key into one of several sets, and leave takes it out.
func enter[K comparable](sets map[K]map[source.Key]struct{}, at K, key source.Key) {
	if sets[at] == nil {
		sets[at] = map[source.Key]struct{}{}
	}
	sets[at][key] = struct{}{}
}

func leave[K comparable](sets map[K]map[source.Key]struct{}, at K, key source.Key) {
	delete(sets[at], key)
	if len(sets[at]) == 0 {
		delete(sets, at)
	}
}

// miss notes what a fence waits for from now on; shut, that it waits for nothing.
func (f *fences) miss(fence source.Key, x *content, missing map[source.Key]string) {
	f.shut(fence, x)
	x.missing, f.open[fence] = missing, x
	for key := range missing {
		enter(f.missing, key, fence)
	}
}

func (f *fences) shut(fence source.Key, x *content) {
	for key := range x.missing {
		leave(f.missing, key, fence)
	}
	delete(f.open, fence)
}

// unfence settles the fences that waited for an object and for no other: for one of
// its versions that came, or for any when its end has come.
func (c *contents) unfence(key source.Key, ends bool) {
	for f := range maps.Clone(c.fences.missing[key]) {
		x := c.fences.open[f]
		if x == nil {
			continue // settled by what another has let go on
		}
		version, waits := x.missing[key]
		if !waits || c.isAwaited(f, x, key, version, ends) {
			continue
		}
		delete(x.missing, key)
		leave(c.fences.missing, key, f)
		if len(x.missing) == 0 {
			c.fences.shut(f, x)
			c.settled(x)
		}
	}
}

// isAwaited says that a fence goes on to wait for an object of which something has
// come, or the end, which may wait itself.
func (c *contents) isAwaited(fence source.Key, x *content, key source.Key, version string, ends bool) bool {
	switch fence.GroupVersionKind {
	case gateFence:
		return false
	case useFence:
		return !isUsed(key) && c.isEnding(key)
	case endFence:
		return c.isBehind(x, key, version)
	default:
		return !ends && c.isOlder(key, version)
	}
}

// isBehind says that an object is not yet as it was read for the end of a policy: it
// asks for what it asked for when it was read and found to be another, which counts
// where storage was restored and versions are lower; or it is older.
func (c *contents) isBehind(x *content, key source.Key, version string) bool {
	is := c.now(key)
	if is == nil {
		return false
	}
	was := x.asked[key]
	return was != nil && isSame(was, is) || older(is, version)
}

// now is an object as it is delivered, or the version that is to be the first one.
func (c *contents) now(key source.Key) client.Object {
	if x, ok := c.fences.delivered[key]; ok {
		return x.object
	}
	if h := c.holders[key]; h != nil {
		return h.pending
	}
	return nil
}

// isOlder says that an object was delivered in a version before the given one; one
// that is gone is not.
func (c *contents) isOlder(key source.Key, version string) bool {
	x, ok := c.fences.delivered[key]
	return ok && older(x.object, version)
}

// older says that an object is of a version before the given one; of none, that it has
// gone since.
func older(o client.Object, version string) bool {
	order, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), version)
	return err != nil || order < 0
}

func isFence(key source.Key) bool {
	switch key.GroupVersionKind {
	case policyFence, sliceFence, gateFence, useFence, endFence:
		return true
	}
	return isLack(key)
}

// settleFence takes a list. Whoever may not list policies watches nothing of the
// Gateway API either: then there is none.
func (c *contents) settleFence(f *fetch) {
	x := f.of
	if x.settled {
		return
	}
	missing := map[source.Key]string{}
	for key, version := range f.versions {
		if c.lacks(f.key, x, key, version) {
			missing[key] = version
		}
	}
	x.lists++
	if x.lists >= lackLists && isLack(f.key) {
		clear(missing)
	}
	c.fences.miss(f.key, x, missing)
	if len(missing) == 0 {
		c.fences.shut(f.key, x)
		c.settled(x)
		return
	}
	c.readAfter(fenceAgain, f.key, x)
}

// lacks says that a fence waits for an object. What waits for the end of an object, or
// for what it includes, may be waited for by it, through others, and then does not wait.
func (c *contents) lacks(fence source.Key, x *content, key source.Key, version string) bool {
	waitsFor := func(waiter source.Key) bool { return c.reaches(key, waiter, map[source.Key]bool{}) }
	if fence.GroupVersionKind == endFence {
		return c.isBehind(x, key, version) && !slices.ContainsFunc(x.waiters, waitsFor)
	}
	if _, ok := c.fences.delivered[key]; ok && !c.isOlder(key, version) {
		return false
	}
	return !isLack(fence) || !slices.ContainsFunc(x.waiters, waitsFor)
}
