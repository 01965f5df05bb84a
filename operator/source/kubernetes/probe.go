package kubernetes

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

// probed is what the API server has of the kinds that may come and go.
type probed struct {
	// found is the version in which a kind is to be watched.
	found map[*kind]schema.GroupVersionKind
	// refused are kinds that are there and may not be listed.
	refused map[*kind]string
}

// prober finds out again and again. A kind that may be listed once is not asked
// about again while it is there: a right that is lost later shows in its watch.
type prober struct {
	source   *Source
	listable map[*kind]bool
}

// probe hands each answer on. A failed probe is no answer.
func (s *Source) probe(ctx context.Context, to chan<- probed) {
	p := prober{source: s, listable: map[*kind]bool{}}
	for {
		found, err := p.once(ctx)
		pause := s.options.ProbeInterval
		if err != nil {
			s.log.V(1).Info("discovery failed", "error", err.Error())
			pause = min(pause, time.Second)
		} else {
			select {
			case <-ctx.Done():
				return
			case to <- found:
			}
		}
		if !rest(ctx, pause) {
			return
		}
	}
}

func (p *prober) once(ctx context.Context) (probed, error) {
	out := probed{found: map[*kind]schema.GroupVersionKind{}, refused: map[*kind]string{}}
	has, err := p.source.discover(ctx)
	if err != nil {
		return out, err
	}
	together := map[schema.GroupVersionKind][]*kind{}
	for _, k := range p.source.kinds {
		version, there := k.served(has)
		switch {
		case k.always() || !there:
		case k.with == nil:
			out.found[k] = version
		case has[*k.with]:
			if err := p.judge(ctx, k, version, &out); err != nil {
				return out, err
			}
			together[*k.with] = append(together[*k.with], k)
		}
	}
	// What goes together is watched together or not at all.
	for _, kinds := range together {
		for _, k := range kinds {
			if _, refused := out.refused[k]; !refused || k.optional {
				continue
			}
			for _, k := range kinds {
				delete(out.found, k)
			}
			break
		}
	}
	return out, nil
}

// served is the version in which a kind is there.
func (k *kind) served(has map[schema.GroupVersionKind]bool) (schema.GroupVersionKind, bool) {
	if !k.custom {
		return k.gvk, true
	}
	for _, v := range k.versions() {
		if has[v] {
			return v, true
		}
	}
	return k.gvk, false
}

// judge finds out whether a kind may be listed.
func (p *prober) judge(ctx context.Context, k *kind, version schema.GroupVersionKind, out *probed) error {
	if !p.listable[k] {
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(version.GroupVersion().WithKind(version.Kind + "List"))
		options := []client.ListOption{client.Limit(1)}
		if n := p.source.options.Namespaces; len(n) > 0 && !k.clusterWide {
			options = append(options, client.InNamespace(n[0]))
		}
		err := p.source.client.List(ctx, list, options...)
		switch {
		case apierrors.IsForbidden(err):
			out.refused[k] = err.Error()
			return nil
		case err != nil:
			return fmt.Errorf("list %s: %w", k.gvk.Kind, err)
		}
		p.listable[k] = true
	}
	out.found[k] = version
	return nil
}

// problems say what is not watched for want of a right.
func (p *probed) problems() []source.Problem {
	var out []source.Problem
	for k, why := range p.refused {
		consequence := "nothing of the Gateway API is served"
		if k.optional {
			consequence = "it is taken for absent"
		}
		out = append(out, source.Problem{
			Object: k.gvk.Kind, Severity: source.Warning,
			Message: fmt.Sprintf("%s, because the operator's service account may not list %s: allow it to get, list and watch them (%s)",
				consequence, k.resource, why),
		})
	}
	sortProblems(out)
	return out
}

func (s *Source) discover(ctx context.Context) (map[schema.GroupVersionKind]bool, error) {
	found, asked := map[schema.GroupVersionKind]bool{}, map[schema.GroupVersion]bool{}
	for _, k := range s.kinds {
		for _, gvk := range k.versions() {
			gv := gvk.GroupVersion()
			if !k.custom || asked[gv] {
				continue
			}
			asked[gv] = true
			list := &metav1.APIResourceList{}
			err := s.discovery.Get().AbsPath("/apis", gv.Group, gv.Version).Do(ctx).Into(list)
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("discovery of %s: %w", gv, err)
			}
			for i := range list.APIResources {
				found[gv.WithKind(list.APIResources[i].Kind)] = true
			}
		}
	}
	return found, nil
}
