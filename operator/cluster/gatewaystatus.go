package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/consts"

	fleets "github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// eachGateway calls to for every object of the Gateway API that may have a status
// of ours.
func eachGateway(t *translator.Translator, r *graph.Reader, to func(status.Kind, ir.Name)) {
	for n := range t.GatewayClassStatuses.All(r) {
		to(status.GatewayClass, n)
	}
	for n := range t.GatewayStatuses.All(r) {
		to(status.Gateway, n)
	}
	for n := range t.ListenerSetStatuses.All(r) {
		to(status.ListenerSet, n)
	}
	for n := range t.Routes(r) {
		to(status.Kind(n.Kind), n.Name)
	}
	for n := range t.Policies.All(r) {
		to(status.BackendTLSPolicy, n)
	}
}

// eachGatewayChange calls to for what a revision has changed, and counts for that
// of which only the numbers of attached routes have.
func eachGatewayChange(t *translator.Translator, rev *graph.Revision, to, counts func(status.Kind, ir.Name)) {
	for _, c := range graph.ChangesOf(rev, t.GatewayClassStatuses) {
		to(status.GatewayClass, c.Key)
	}
	for _, c := range graph.ChangesOf(rev, t.GatewayStatuses) {
		if c.HadOld && c.HasNew && countsOnly(c.Old, c.New) {
			counts(status.Gateway, c.Key)
			continue
		}
		to(status.Gateway, c.Key)
	}
	for _, c := range graph.ChangesOf(rev, t.ListenerSetStatuses) {
		if c.HadOld && c.HasNew && setCountsOnly(c.Old, c.New) {
			counts(status.ListenerSet, c.Key)
			continue
		}
		to(status.ListenerSet, c.Key)
	}
	for _, c := range graph.ChangesOf(rev, t.RouteStatuses) {
		to(status.Kind(c.Key.Kind), c.Key.Name)
	}
	for _, c := range graph.ChangesOf(rev, t.PolicyStatuses) {
		to(status.BackendTLSPolicy, c.Key)
	}
}

// countsOnly says that two statuses of a Gateway differ in numbers of routes alone.
func countsOnly(was, is gatewayv1.GatewayStatus) bool {
	was.Listeners, is.Listeners = slices.Clone(was.Listeners), slices.Clone(is.Listeners)
	for _, l := range [][]gatewayv1.ListenerStatus{was.Listeners, is.Listeners} {
		for i := range l {
			l[i].AttachedRoutes = 0
		}
	}
	return equality.Semantic.DeepEqual(was, is)
}

// setCountsOnly is countsOnly for a ListenerSet.
func setCountsOnly(was, is gatewayv1.ListenerSetStatus) bool {
	was.Listeners, is.Listeners = slices.Clone(was.Listeners), slices.Clone(is.Listeners)
	for _, l := range [][]gatewayv1.ListenerEntryStatus{was.Listeners, is.Listeners} {
		for i := range l {
			l[i].AttachedRoutes = 0
		}
	}
	return equality.Semantic.DeepEqual(was, is)
}

// ofGatewayAPI is the status of an object of the Gateway API.
func (s *statuses) ofGatewayAPI(k status.Kind, n ir.Name) (any, bool) {
	t := s.pipeline.Translator()
	r := t.Current().Reader()
	switch k {
	case status.GatewayClass:
		x, ok := t.GatewayClassStatuses.Get(r, n)
		if !ok {
			return nil, false
		}
		version := metav1.Condition{Type: string(reason.ConditionSupportedVersion), ObservedGeneration: generationOf(x.Conditions)}
		version.Status, version.Reason, version.Message = s.bundle.Load().judge()
		x.Conditions = append(slices.Clone(x.Conditions), version)
		return &x, true
	case status.Gateway:
		x, ok := s.gateway(n)
		return x, ok
	case status.ListenerSet:
		return s.listenerSet(n)
	case status.BackendTLSPolicy:
		x, ok := t.PolicyStatuses.Get(r, n)
		return &x, ok
	default:
		ref := ir.ObjectRef{Kind: string(k), Name: n}
		x, ok := t.RouteStatuses.Get(r, ref)
		if !ok && (s.pipeline.Served() == 0 || t.RouteStatuses.Failure(r, ref) != nil) {
			return nil, false
		}
		// A route that has left the Gateways of ours loses the entries that are.
		return &x, true
	}
}

// settledGateway takes what became of the objects of a Gateway.
func (s *statuses) settledGateway(n ir.Name, o *fleets.Outcome) {
	s.mu.Lock()
	before := s.gateways[n]
	if o != nil && o.Err != nil && before != nil {
		o = unknown(o, before)
	}
	if o == nil {
		delete(s.gateways, n)
	} else {
		s.gateways[n] = o
	}
	s.mu.Unlock()
	if o == nil {
		return
	}
	if before == nil || fmt.Sprint(before.Err) != fmt.Sprint(o.Err) || !equality.Semantic.DeepEqual(before.Addresses, o.Addresses) {
		s.touch(status.Gateway, n)
	}
}

// bundle is the version of the Gateway API's CRDs.
type bundle struct {
	version string
	err     error
}

var errNotRead = errors.New("it was not looked at yet")

// lookAtBundle is how often the CRDs are looked at.
const lookAtBundle = 10 * time.Second

// bundleCRD is the CRD that stands for all: they are installed together.
const bundleCRD = "gatewayclasses.gateway.networking.k8s.io"

// readBundle needs the right to get that one CRD.
func (s *statuses) readBundle(ctx context.Context) bundle {
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	err := s.options.Client.Get(ctx, client.ObjectKey{Name: bundleCRD}, crd)
	return bundle{version: crd.Annotations[consts.BundleVersionAnnotation], err: err}
}

// watchBundle has all GatewayClasses looked at when the CRDs' version changes.
func (s *statuses) watchBundle(ctx context.Context) {
	ticker := time.NewTicker(lookAtBundle)
	defer ticker.Stop()
	for {
		now := s.readBundle(ctx)
		if apierrors.IsNotFound(now.err) || now.err == nil || apierrors.IsForbidden(now.err) {
			if before := s.bundle.Swap(&now); before.version != now.version || (before.err == nil) != (now.err == nil) {
				t := s.pipeline.Translator()
				for n := range t.GatewayClassStatuses.All(t.Current().Reader()) {
					s.touch(status.GatewayClass, n)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// judge says whether the CRDs are of a version that Signet knows: of the minor
// release of the types that it is built with.
func (b *bundle) judge() (state metav1.ConditionStatus, why, message string) {
	minor := consts.BundleVersion[:strings.LastIndex(consts.BundleVersion, ".")+1]
	switch {
	case b.err != nil:
		return metav1.ConditionUnknown, string(reason.Pending), fmt.Sprintf("the CRD %s cannot be read: %v", bundleCRD, b.err)
	case strings.HasPrefix(b.version, minor):
		return metav1.ConditionTrue, string(reason.SupportedVersion), fmt.Sprintf("the CRDs are of version %s", b.version)
	case b.version == "":
		return metav1.ConditionFalse, string(reason.UnsupportedVersion),
			fmt.Sprintf("the CRD %s tells no version: install those of %s", bundleCRD, consts.BundleVersion)
	default:
		return metav1.ConditionFalse, string(reason.UnsupportedVersion),
			fmt.Sprintf("the CRDs are of version %s, which Signet serves as far as it can: install those of %s", b.version, consts.BundleVersion)
	}
}
