package kubernetes

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"golang.org/x/sync/errgroup"

	"github.com/signetproxy/signet/operator/source"
)

// A route may have been deleted, or sent elsewhere, before the policy of its Service
// goes, or the Service may: delivered late, it would lead there in cleartext. The end
// of a policy, and a version that drops a Service, waits until what it was about is
// delivered as it is now, if routes send there and no other policy is about it: the
// Service, the routes, and what lets them through. These are asked for at once, beside
// each other, as nothing is asked for otherwise: mostly they are as they were
// delivered, and the policy goes on.

// endFence stands for a Service, and what leads there, at a time.
var endFence = policyKind.GroupVersion().WithKind("End")

var serviceKind = corev1.SchemeGroupVersion.WithKind("Service")

// listFrom is the number of objects of one kind and namespace from which they are
// listed and not asked for one by one. That is high, as a list waits until the API
// server's memory of the kind is as new as its storage, which takes up to 100 ms while
// nothing of it is written; a get asks the storage, and fetchers of them at a time take
// a millisecond or so.
const listFrom = 256

// closing returns a fence for the Service of which a policy says nothing any more;
// false where there is nothing to wait for.
func (c *contents) closing(policy, service source.Key) (source.Key, bool) {
	others, why := c.fences.about[cause(policyFence, service)], cause(policyFence, service)
	if slices.Contains(c.fences.delivered[policy].causes, why) {
		others--
	}
	if others > 0 || len(c.fences.senders[service]) == 0 {
		return source.Key{}, false
	}
	c.fences.last++
	f := cause(endFence, service)
	f.Name += "/" + strconv.Itoa(c.fences.last)
	return f, true
}

// asks are the objects, as they are delivered, that the end of a policy asks for; a
// first version that still waits is one of them, as it is to be delivered.
func (c *contents) asks(fence source.Key) map[source.Key]client.Object {
	service := cause(serviceKind, fence)
	service.Name, _, _ = strings.Cut(fence.Name, "/")
	w := ways{contents: c, asked: map[source.Key]client.Object{}}
	w.add(service)
	for route := range c.fences.senders[service] {
		w.addParents(route.Namespace, w.add(route))
	}
	w.addGrants(service)
	return w.asked
}

// differing returns the versions of those objects that are not as they were, empty
// for what is gone.
func (s *Source) differing(ctx context.Context, asked map[source.Key]client.Object) (map[source.Key]string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	type group struct {
		schema.GroupVersionKind

		namespace string
	}
	groups := map[group][]source.Key{}
	for key := range asked {
		g := group{key.GroupVersionKind, key.Namespace}
		groups[g] = append(groups[g], key)
	}
	var mu sync.Mutex
	out := map[source.Key]string{}
	note := func(key source.Key, is *metav1.PartialObjectMetadata) {
		mu.Lock()
		defer mu.Unlock()
		if is == nil {
			out[key] = ""
		} else if !isSame(asked[key], is) {
			out[key] = is.ResourceVersion
		}
	}
	var all errgroup.Group
	all.SetLimit(fetchers)
	for g, keys := range groups {
		if len(keys) >= listFrom {
			all.Go(func() error { return s.noteListed(ctx, g.GroupVersionKind, g.namespace, keys, note) })
			continue
		}
		for _, key := range keys {
			all.Go(func() error {
				is, err := s.metadata(ctx, key)
				if apierrors.IsForbidden(err) {
					return nil // the rest is waited for
				}
				if err == nil {
					note(key, is)
				}
				return err
			})
		}
	}
	return out, all.Wait() //nolint:wrapcheck // persist judges it
}

// isSame says that an object asks for the same as when it was delivered: a status that
// is written does not change its generation.
func isSame(was, is metav1.Object) bool {
	return was.GetResourceVersion() == is.GetResourceVersion() ||
		was.GetUID() == is.GetUID() && is.GetGeneration() > 0 && was.GetGeneration() == is.GetGeneration()
}

// noteListed notes what objects of a namespace are now.
func (s *Source) noteListed(
	ctx context.Context, of schema.GroupVersionKind, namespace string, keys []source.Key,
	note func(source.Key, *metav1.PartialObjectMetadata),
) error {
	list, err := s.listOf(ctx, of, []client.ListOption{client.InNamespace(namespace)})
	if err != nil {
		return err
	}
	there := map[string]*metav1.PartialObjectMetadata{}
	if list != nil {
		for i := range list.Items {
			there[list.Items[i].Name] = &list.Items[i]
		}
	}
	for _, key := range keys {
		note(key, there[key.Name])
	}
	return nil
}

// metadata reads that of an object, in the first version of its kind that has it; nil
// for none.
func (s *Source) metadata(ctx context.Context, key source.Key) (*metav1.PartialObjectMetadata, error) {
	i := slices.IndexFunc(s.kinds, func(k *kind) bool { return k.gvk == key.GroupVersionKind })
	for _, v := range s.kinds[i].versions() {
		o := &metav1.PartialObjectMetadata{}
		o.SetGroupVersionKind(v)
		err := s.client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, o)
		if err == nil {
			return o, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, err //nolint:wrapcheck // it names the object
		}
	}
	return nil, nil
}
