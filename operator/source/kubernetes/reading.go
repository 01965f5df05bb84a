package kubernetes

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// read starts to read a content.
func (c *contents) read(key source.Key, x *content) { c.readAfter(0, key, x) }

// readAfter starts to read a content after a pause.
func (c *contents) readAfter(pause time.Duration, key source.Key, x *content) {
	x.fetching = true
	ctx, cancel := context.WithCancel(c.ctx)
	x.cancel = cancel
	told := x.told
	if key.GroupVersionKind == endFence {
		x.asked = c.asks(key)
	}
	asked := x.asked
	go func() {
		defer cancel()
		f := fetch{key: key, of: x}
		if pause > 0 && !rest(ctx, pause) || ctx.Err() != nil {
			return
		}
		f.object, f.versions, f.err = c.get(ctx, key, told, asked)
		if ctx.Err() != nil {
			return // what was cut off is no answer
		}
		select {
		case c.fetched <- f:
		case <-ctx.Done():
		}
	}()
}

// get reads a content as it is now, or not older than the version that an event
// told of. It waits out an API server that is away, and returns an error only if
// reading is not allowed. What no object can be called is not asked for: such a name
// would be a part of a path, or an error that looks as if it went away by itself.
func (c *contents) get(
	ctx context.Context, key source.Key, told string, asked map[source.Key]client.Object,
) (o client.Object, versions map[source.Key]string, err error) {
	if !canBe(key) {
		return nil, nil, nil
	}
	again := func(err error) bool { return passes(err) && !apierrors.IsForbidden(err) }
	at := slot{slots: c.slots}
	defer at.free()
	if isFence(key) {
		versions, err = persist(ctx, c.source.log, again, attempt(ctx, &at, func() (map[source.Key]string, error) {
			if asked != nil {
				return c.source.differing(ctx, asked)
			}
			return c.source.list(ctx, key)
		}))
		return nil, versions, err
	}
	k := c.objects[key.GroupVersionKind]
	if k == nil {
		return nil, nil, errors.New("contents of this kind are not read")
	}
	o, err = persist(ctx, c.source.log, again, attempt(ctx, &at, func() (client.Object, error) {
		return c.source.getOnce(ctx, k, key, told)
	}))
	return o, nil, err
}

// slot is one of so many that may ask at a time.
type slot struct {
	slots chan struct{}
	held  bool
}

func (s *slot) free() {
	if s.held {
		s.held = false
		<-s.slots
	}
}

// attempt asks in a slot. It keeps that until the next attempt while the API server is
// away or asks for patience; an object that alone cannot be read must not keep others
// from it.
func attempt[T any](ctx context.Context, s *slot, ask func() (T, error)) func() (T, error) {
	return func() (out T, err error) {
		if !s.held {
			select {
			case s.slots <- struct{}{}:
				s.held = true
			case <-ctx.Done():
				return out, ctx.Err()
			}
		}
		if out, err = ask(); apierrors.IsInternalError(err) {
			s.free()
		}
		return out, err
	}
}

// canBe says that there may be an object of that name, or for a fence without one, a
// namespace. References are texts that anybody writes.
func canBe(key source.Key) bool {
	name := key.Name
	if isFence(key) {
		name, _, _ = strings.Cut(name, "/")
	}
	if key.Namespace != "" && len(validation.IsDNS1123Label(key.Namespace)) > 0 {
		return false
	}
	switch {
	case name == "":
		return isFence(key)
	case key.GroupVersionKind == sliceFence || key.Kind == serviceKind.Kind:
		return len(validation.IsDNS1123Label(name)) == 0 // a Service's
	}
	return len(validation.IsDNS1123Subdomain(name)) == 0
}

// getOnce asks for a version that the API server has in memory, as it told of it
// from there; without a version it asks its storage. After storage was restored
// the version may be one that it waits for in vain: then it is asked without.
func (s *Source) getOnce(ctx context.Context, k *kind, key source.Key, told string) (client.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	o := k.object()
	at := client.ObjectKey{Namespace: key.Namespace, Name: key.Name}
	var err error
	if told != "" {
		soon, cancel := context.WithTimeout(ctx, toldTimeout)
		err = s.client.Get(soon, at, o, &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: told}})
		cancel()
	}
	if told == "" || err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		err = s.client.Get(ctx, at, o)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err //nolint:wrapcheck // persist judges it, and its text names the object
	}
	o.GetObjectKind().SetGroupVersionKind(k.gvk)
	o.SetManagedFields(nil)
	usable(o)
	return o, nil
}

// list returns the versions of what a fence stands for, as it is now.
func (s *Source) list(ctx context.Context, fence source.Key) (map[source.Key]string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	kind := policyKind
	options := []client.ListOption{client.InNamespace(fence.Namespace)}
	name, _, _ := strings.Cut(fence.Name, "/")
	if of, ok := lackKinds[fence.GroupVersionKind]; ok {
		kind = of
		if name != "" {
			return s.version(ctx, source.Key{GroupVersionKind: kind, Namespace: fence.Namespace, Name: name})
		}
	}
	if fence.GroupVersionKind == sliceFence {
		kind = sliceKind
		options = append(options, client.MatchingLabels{discoveryv1.LabelServiceName: name})
	}
	list, err := s.listOf(ctx, kind, options)
	if err != nil || list == nil {
		return nil, err // persist judges it
	}
	out := make(map[source.Key]string, len(list.Items))
	for i := range list.Items {
		o := &list.Items[i]
		out[source.Key{GroupVersionKind: kind, Namespace: o.Namespace, Name: o.Name}] = o.ResourceVersion
	}
	return out, nil
}

// version is that of one object, if it is there.
func (s *Source) version(ctx context.Context, key source.Key) (map[source.Key]string, error) {
	o, err := s.metadata(ctx, key)
	if err != nil || o == nil {
		return nil, err
	}
	return map[source.Key]string{key: o.ResourceVersion}, nil
}

// listOf lists a kind in the first of its versions that is there; nil for none.
func (s *Source) listOf(
	ctx context.Context, of schema.GroupVersionKind, options []client.ListOption,
) (*metav1.PartialObjectMetadataList, error) {
	i := slices.IndexFunc(s.kinds, func(k *kind) bool { return k.gvk == of })
	for _, v := range s.kinds[i].versions() {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v.GroupVersion().WithKind(v.Kind + "List"))
		err := s.client.List(ctx, list, options...)
		if err == nil {
			return list, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, err //nolint:wrapcheck // it says what was listed
		}
	}
	return nil, nil
}
