package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// askAgain is the time between two looks for a right that is missing.
const askAgain = 10 * time.Second

// errMoreRights ends a term: the next one watches what may be watched now.
var errMoreRights = errors.New("rights were given that were missing: a new term begins")

// watchable returns which kinds this account may list and watch in every
// namespace that is served. A kind that it may not would keep the caches from
// ever being complete, and so all fleets from being looked at. Every account may
// ask this of itself.
func (c *Cluster) watchable(ctx context.Context, kinds []client.Object) (may, not []client.Object, err error) {
	for _, o := range kinds {
		denied, err := c.denied(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		if denied == nil {
			may = append(may, o)
			continue
		}
		not = append(not, o)
		c.cfg.Log.Error(denied, "a kind is not watched: what others change of it is found later")
	}
	return may, not, nil
}

// denied says which right on a kind is missing; nil is none.
func (c *Cluster) denied(ctx context.Context, o client.Object) (denied, err error) {
	gvk, err := apiutil.GVKForObject(o, c.scheme)
	if err != nil {
		return nil, fmt.Errorf("rights: %w", err)
	}
	mapping, err := c.direct.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("rights: %w", err)
	}
	namespaces := c.cfg.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{corev1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		for _, verb := range []string{"list", "watch"} {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: verb, Group: gvk.Group, Resource: mapping.Resource.Resource,
				},
			}}
			if err := c.direct.Create(ctx, review); err != nil {
				return nil, fmt.Errorf("rights: %w", err)
			}
			if !review.Status.Allowed {
				return &deniedError{verb, mapping.Resource.GroupResource().String(), namespace}, nil
			}
		}
	}
	return nil, nil
}

// deniedError is a right that is missing.
type deniedError struct{ verb, resource, namespace string }

// Error names the verb, the resource and the namespace.
func (e *deniedError) Error() string {
	where := "all namespaces"
	if e.namespace != "" {
		where = "namespace " + e.namespace
	}
	return fmt.Sprintf("this account may not %s %s in %s", e.verb, e.resource, where)
}

// await returns errMoreRights when a kind that may not be watched may be.
func (c *Cluster) await(ctx context.Context, not []client.Object) error {
	ticker := time.NewTicker(askAgain)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, o := range not {
			// An API server that does not answer now is asked again.
			if denied, err := c.denied(ctx, o); err == nil && denied == nil {
				return errMoreRights
			}
		}
	}
}
