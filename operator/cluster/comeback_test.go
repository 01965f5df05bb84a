package cluster_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// renewals are how often an object is made anew: the two events must come together
// once.
const renewals = 5

// renew deletes an object and makes it anew, as it was.
func renew(ctx context.Context, o client.Object) types.UID {
	GinkgoHelper()
	next, ok := o.DeepCopyObject().(client.Object)
	Expect(ok).To(BeTrue())
	next.SetUID("")
	next.SetResourceVersion("")
	Expect(c.Delete(ctx, o)).To(Succeed())
	Expect(c.Create(ctx, next)).To(Succeed())
	return next.GetUID()
}

// leftAlone waits out the look that follows each write of a status, which writes
// nothing.
func leftAlone[T client.Object](o func() T) {
	GinkgoHelper()
	version := o().GetResourceVersion()
	Consistently(func() string { return o().GetResourceVersion() }, "2s").Should(Equal(version))
}

// An HTTPProxy that was made anew, or whose status another controller wrote, as
// Contour does beside Signet in a migration, had no status of ours until it changed.
func proxyStatusComesBack(ctx context.Context) {
	p := &contourv1.HTTPProxy{Namespace: "default", Name: "anew"}
	p.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "anew.test"}
	p.Spec.Routes = []contourv1.Route{{DirectResponsePolicy: &contourv1.HTTPDirectResponsePolicy{StatusCode: 200}}}
	proxy := func() *contourv1.HTTPProxy { return get(ctx, "anew", &contourv1.HTTPProxy{})() }
	says := func() string { return string(proxy().UID) + " " + proxy().Status.CurrentStatus }
	Expect(c.Create(ctx, p.DeepCopy())).To(Succeed())
	Eventually(func() string { return proxy().Status.CurrentStatus }).Should(Equal("valid"))
	for range renewals {
		o := p.DeepCopy()
		uid := renew(ctx, o)
		Eventually(says).Should(Equal(string(uid) + " valid"))
	}
	leftAlone(proxy)
	theirs := proxy()
	before := theirs.DeepCopy()
	theirs.Status.CurrentStatus, theirs.Status.Description = "invalid", "theirs"
	Expect(c.Status().Patch(ctx, theirs, client.MergeFrom(before), client.FieldOwner("contour"))).To(Succeed())
	Eventually(func() string { return proxy().Status.CurrentStatus }).Should(Equal("valid"))
	Expect(proxy().Status.Description).To(Equal(before.Status.Description))
	Expect(c.Delete(ctx, p)).To(Succeed())
}

func routeStatusComesBack(ctx context.Context) {
	r := &gatewayv1.HTTPRoute{Namespace: "default", Name: "anew"}
	r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "gw"}}
	r.Spec.Hostnames = []gatewayv1.Hostname{"anew.test"}
	route := func() *gatewayv1.HTTPRoute { return get(ctx, "anew", &gatewayv1.HTTPRoute{})() }
	verdict := func() string {
		o := route()
		for _, p := range o.Status.Parents {
			if p.ControllerName == "signetproxy.io/gateway-controller" {
				return string(o.UID) + " " + of(p.Conditions, "Accepted")
			}
		}
		return ""
	}
	Expect(c.Create(ctx, r.DeepCopy())).To(Succeed())
	Eventually(verdict).Should(HaveSuffix(" True Accepted"))
	uid := route().UID
	for range renewals {
		uid = renew(ctx, r.DeepCopy())
		Eventually(verdict).Should(Equal(string(uid) + " True Accepted"))
	}
	leftAlone(route)
	theirs := gatewayv1.RouteParentStatus{
		ParentRef: r.Spec.ParentRefs[0], ControllerName: "example.com/other",
		Conditions: []metav1.Condition{{Type: "Accepted", Status: "False", Reason: "Theirs", LastTransitionTime: metav1.Now().Rfc3339Copy()}},
	}
	Eventually(func() error {
		o := route()
		o.Status.Parents = []gatewayv1.RouteParentStatus{theirs}
		return c.Status().Update(ctx, o)
	}).Should(Succeed())
	Eventually(verdict).Should(Equal(string(uid) + " True Accepted"))
	Expect(route().Status.Parents[0].ControllerName).To(Equal(theirs.ControllerName))
	Expect(c.Delete(ctx, r)).To(Succeed())
}

// A ListenerSet whose Gateway was deleted, or that named another, was accepted for
// ever.
func listenerSetLeaves(ctx context.Context) {
	g := &gatewayv1.Gateway{Namespace: "default", Name: "short-lived"}
	g.Spec.GatewayClassName = "signet"
	g.Spec.Listeners = []gatewayv1.Listener{{Name: "http", Protocol: gatewayv1.HTTPProtocolType, Port: 80}}
	g.Spec.AllowedListeners = &gatewayv1.AllowedListeners{Namespaces: &gatewayv1.ListenerNamespaces{From: new(gatewayv1.NamespacesFromSame)}}
	Expect(c.Create(ctx, g)).To(Succeed())
	s := &gatewayv1.ListenerSet{Namespace: "default", Name: "set"}
	s.Spec.ParentRef.Name = "short-lived"
	s.Spec.Listeners = []gatewayv1.ListenerEntry{{Name: "more", Protocol: gatewayv1.HTTPProtocolType, Port: 8080}}
	Expect(c.Create(ctx, s)).To(Succeed())
	set := func() *gatewayv1.ListenerSet { return get(ctx, "set", &gatewayv1.ListenerSet{})() }
	verdict := func() string {
		o := set()
		return of(o.Status.Conditions, "Accepted") + ", " + of(o.Status.Conditions, "Programmed")
	}
	const is, left = "True Accepted, True Programmed", "False ParentNotAccepted, False ParentNotAccepted"
	Eventually(verdict).Should(Equal(is))
	Expect(set().Status.Listeners).To(HaveLen(1))

	By("naming another")
	change(ctx, set(), func(s *gatewayv1.ListenerSet) { s.Spec.ParentRef.Name = "another" })
	Eventually(verdict).Should(Equal(left))
	Expect(set().Status.Listeners).To(BeEmpty())
	change(ctx, set(), func(s *gatewayv1.ListenerSet) { s.Spec.ParentRef.Name = "short-lived" })
	Eventually(verdict).Should(Equal(is))

	By("losing its Gateway")
	Expect(c.Delete(ctx, g)).To(Succeed())
	Eventually(verdict).Should(Equal(left))
	Expect(c.Delete(ctx, s)).To(Succeed())
}
