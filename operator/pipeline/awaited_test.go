package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/ir"
)

// A fleet that serves does not lose its backends while Signet makes the client
// certificate that it begins to ask for, or makes one anew that somebody deleted.
func TestIssuedCertificateIsAwaited(t *testing.T) {
	const name = "edge"
	ours := ir.Name{Namespace: "default", Name: name}
	gateway := certificate.GatewayFleet(ir.Name{Namespace: "default", Name: "web"})
	fleet := func(generation int64, c *v1alpha1.ClientCertificate) *v1alpha1.EnvoyFleet {
		o := &v1alpha1.EnvoyFleet{ObjectMeta: meta(name)}
		o.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(fleetKind))
		o.Generation = generation
		if c != nil {
			o.Spec.UpstreamTLS = &v1alpha1.UpstreamTLS{ClientCertificate: c}
		}
		return o
	}
	issued := &v1alpha1.ClientCertificate{Issued: &v1alpha1.IssuedCertificate{}}
	renamed := &v1alpha1.ClientCertificate{Issued: &v1alpha1.IssuedCertificate{SecretName: "new"}}
	named := &v1alpha1.ClientCertificate{SecretRef: &v1alpha1.SecretReference{Name: "other"}}
	secret := func(name, owner string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: meta(name)}
		s.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		if owner != "" {
			s.OwnerReferences = []metav1.OwnerReference{{Kind: owner}}
		}
		return s
	}
	gatewayGroup := schema.GroupVersion(gatewayv1.GroupVersion)
	class := &gatewayv1.GatewayClass{}
	class.Name, class.Spec.ControllerName = "ours", gatewayapi.ControllerName
	class.GetObjectKind().SetGroupVersionKind(gatewayGroup.WithKind("GatewayClass"))
	web := &gatewayv1.Gateway{ObjectMeta: meta("web")}
	web.GetObjectKind().SetGroupVersionKind(gatewayGroup.WithKind("Gateway"))
	web.Spec.GatewayClassName = "ours"
	web.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{ParametersRef: &gatewayv1.LocalParametersReference{Name: name}}

	type step struct {
		changed []client.Object
		deleted []client.Object
		after   time.Duration
		want    recorded
	}
	at := func(generation int64, own, its string, secrets ...string) step {
		return step{want: recorded{generation, generation, own, its, secrets}}
	}
	with := func(s step, changed ...client.Object) step { s.changed = changed; return s }
	without := func(s step, deleted ...client.Object) step { s.deleted = deleted; return s }
	after := func(s step, d time.Duration) step { s.after = d; return s }
	for what, steps := range map[string][]step{
		"a new fleet waits for nobody": {
			with(at(1, "edge-client", ""), fleet(1, issued)),
		},
		"it serves as before until the Secret is there": {
			with(at(1, "", ""), fleet(1, nil)),
			with(at(1, "", ""), fleet(2, issued)),
			after(at(1, "", ""), issuance-time.Millisecond),
			with(at(2, "edge-client", "", "edge-client"), secret("edge-client", fleetKind)),
		},
		"with the certificate that it had": {
			with(at(1, "other", "", "other"), fleet(1, named), secret("other", "")),
			// The source lets go what the newest version does not refer to.
			without(with(at(1, "other", "", "other"), fleet(2, issued)), secret("other", "")),
			with(at(2, "edge-client", "", "edge-client"), secret("edge-client", fleetKind)),
		},
		"what is asked for next waits for nothing": {
			with(at(1, "", ""), fleet(1, nil)),
			with(at(1, "", ""), fleet(2, issued)),
			with(at(3, "other", ""), fleet(3, named)),
			after(at(3, "other", ""), issuance),
		},
		"a Secret of the name that somebody else made is not Signet's": {
			with(at(1, "", "", "edge-client"), fleet(1, nil), secret("edge-client", "")),
			with(at(1, "", "", "edge-client"), fleet(2, issued)),
			after(at(2, "edge-client", "", "edge-client"), issuance),
		},
		"a leader that does not come is not waited for": {
			with(at(1, "", ""), fleet(1, nil)),
			with(at(1, "", ""), fleet(2, issued)),
			after(at(2, "edge-client", ""), issuance),
		},
		"a Secret that was deleted counts until it is made anew": {
			with(at(1, "edge-client", "", "edge-client"), fleet(1, issued), secret("edge-client", fleetKind)),
			without(at(1, "edge-client", "", "edge-client"), secret("edge-client", "")),
			with(at(1, "edge-client", "", "edge-client"), secret("edge-client", fleetKind)),
			after(at(1, "edge-client", "", "edge-client"), 2*issuance),
		},
		"nor does one that is kept under another name": {
			with(at(1, "edge-client", "", "edge-client"), fleet(1, issued), secret("edge-client", fleetKind)),
			without(with(at(1, "edge-client", "", "edge-client"), fleet(2, renamed)), secret("edge-client", "")),
			with(at(2, "new", "", "new"), secret("new", fleetKind)),
		},
		"but not one that the user keeps": {
			with(at(1, "other", "", "other"), fleet(1, named), secret("other", "")),
			without(at(1, "other", ""), secret("other", "")),
		},
		"and no longer than that": {
			with(at(1, "edge-client", "", "edge-client"), fleet(1, issued), secret("edge-client", fleetKind)),
			without(at(1, "edge-client", "", "edge-client"), secret("edge-client", "")),
			after(at(1, "edge-client", ""), issuance),
		},
		"others go at once": {
			with(at(1, "other", "", "edge-client", "other"), fleet(1, named), secret("other", ""), secret("edge-client", fleetKind)),
			without(at(1, "other", ""), secret("other", ""), secret("edge-client", "")),
		},
		"a fleet that goes leaves nothing to wait for": {
			with(at(1, "", ""), fleet(1, nil)),
			with(at(1, "", ""), fleet(2, issued)),
			without(step{}, fleet(2, nil)),
			after(step{}, issuance),
		},
		"a Gateway of that shape waits for its own": {
			with(at(1, "", ""), fleet(1, nil), class, web),
			with(at(2, "edge-client", "", "edge-client"),
				fleet(2, issued), secret("edge-client", fleetKind)),
			with(at(2, "edge-client", "web-client", "edge-client", "web-client"), secret("web-client", "Gateway")),
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(Options{
					Each: func(*v1alpha1.EnvoyFleet) translator.FleetSpec { return translator.FleetSpec{} },
					Gateway: func(_ *gatewayv1.Gateway, shape *v1alpha1.EnvoyFleet) translator.FleetSpec {
						out := translator.FleetSpec{Name: gateway}
						if shape != nil && shape.Spec.UpstreamTLS != nil {
							out.Upstream.ClientCertificate = &ir.Name{Namespace: "default", Name: "web-client"}
						}
						return out
					},
				})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- p.translator.Run(ctx, nil) }()
				defer func() {
					cancel()
					if err := <-ended; err != nil {
						t.Error(err)
					}
				}()
				for i, s := range steps {
					time.Sleep(s.after) //nolint:forbidigo // of the bubble
					synctest.Wait()
					b := source.Batch{Changed: s.changed, Complete: true}
					for _, o := range s.deleted {
						b.Deleted = append(b.Deleted, source.KeyOf(o))
					}
					if s.after == 0 {
						p.Apply(b)
					}
					synctest.Wait()
					if diff := cmp.Diff(s.want, recordedBy(p, ours, gateway)); diff != "" {
						t.Errorf("step %d (-want, +got):\n%s", i, diff)
					}
				}
			})
		})
	}
}

// recorded is what a pipeline has: the generation of a fleet, as it is and as it is
// reported, the client certificates of it and of the Gateway's, and the Secrets.
type recorded struct {
	Generation, Reported int64
	Own, Its             string
	Secrets              []string
}

func recordedBy(p *Pipeline, ours, gateway ir.Name) recorded {
	r := p.translator.Current().Reader()
	name := func(fleet ir.Name) string {
		s, ok := p.translator.Fleets.Get(r, fleet)
		if !ok || s.Upstream.ClientCertificate == nil {
			return ""
		}
		return s.Upstream.ClientCertificate.Name
	}
	got := recorded{Own: name(ours), Its: name(gateway)}
	if s, ok := p.translator.Fleets.Get(r, ours); ok {
		got.Generation = s.Generation
	}
	for n := range p.translator.Secrets.All(r) {
		got.Secrets = append(got.Secrets, n.Name)
	}
	for _, o := range p.Fleets() {
		got.Reported = o.Object.Generation
	}
	return got
}
