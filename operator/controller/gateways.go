package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/kubernetes"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/gatewayapi/listener"
	"github.com/signetproxy/signet/translator/ir"
)

// unseenAgain is the time between two looks at a Gateway that translation has not
// seen, as before the first revision.
const unseenAgain = 10 * time.Second

// Gateways reconciles the Gateways of Signet's classes: the fleet of each.
type Gateways struct {
	Provisioner

	// Exposure tells the ports that a Gateway serves, by translation; nil for a
	// Gateway that is not of a class of Signet's; false for one that translation
	// has not seen, of which nothing can be said.
	Exposure func(ir.Name) (*listener.Exposure, bool)
	// Settled is told of each outcome; nil means that there is no fleet of the
	// Gateway.
	Settled func(ir.Name, *Outcome)
}

// ClientSecret is where the client certificate of a Gateway is kept, if its fleet
// has one of Signet's. The secretName of an EnvoyFleet is that of the EnvoyFleet's
// own: Gateways share no certificate.
func ClientSecret(g *gatewayv1.Gateway) string {
	return kubernetes.GatewayObjects(g.Name, string(g.Spec.GatewayClassName)) + "-client"
}

// Reconcile implements reconcile.Reconciler.
func (r *Gateways) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	name := ir.Name{Namespace: request.Namespace, Name: request.Name}
	g := &gatewayv1.Gateway{}
	err := r.Client.Get(ctx, request.NamespacedName, g)
	if apierrors.IsNotFound(err) || err == nil && !g.DeletionTimestamp.IsZero() {
		// The objects go with their owner.
		r.Settled(name, nil)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("gateway %s: %w", name, err)
	}
	exposure, seen := r.Exposure(name)
	if !seen {
		// A revision that serves it looks at it again, but it may have left us.
		return reconcile.Result{RequeueAfter: unseenAgain}, nil
	}
	if exposure == nil {
		r.Settled(name, nil)
		return reconcile.Result{}, r.release(ctx, g)
	}
	if exposure.Fault != nil {
		// What it had before stays until it is right again, or gone.
		r.Settled(name, &Outcome{Generation: g.Generation})
		return reconcile.Result{}, nil
	}
	out, next, err := r.serve(ctx, g, exposure)
	out.Generation, out.Err = g.Generation, err
	r.Settled(name, &out)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("gateway %s: %w", name, err)
	}
	return reconcile.Result{RequeueAfter: r.wait(next)}, nil
}

func (r *Gateways) serve(ctx context.Context, g *gatewayv1.Gateway, exposure *listener.Exposure) (Outcome, time.Time, error) {
	f := r.fleet(g)
	f.Gateway.Ports = ports(exposure)
	class := &gatewayv1.GatewayClass{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: string(g.Spec.GatewayClassName)}, class); err != nil {
		return Outcome{}, r.Now(), fmt.Errorf("GatewayClass %s: %w", g.Spec.GatewayClassName, err)
	}
	if n, ok := listener.Shape(g, class); ok {
		shape := &v1alpha1.EnvoyFleet{}
		if err := r.Client.Get(ctx, client.ObjectKey{Namespace: n.Namespace, Name: n.Name}, shape); err != nil {
			return Outcome{}, r.Now(), fmt.Errorf("EnvoyFleet %s, which parametersRef names: %w", n, err)
		}
		f.Spec = shape.Spec
	}
	return r.provision(ctx, f, ClientSecret(g))
}

// fleet is that of a Gateway, without what others say of it.
func (r *Gateways) fleet(g *gatewayv1.Gateway) *kubernetes.Fleet {
	class := string(g.Spec.GatewayClassName)
	out := &kubernetes.Fleet{
		Identity: certificate.GatewayFleet(gatewayapi.NameOf(g)), Name: kubernetes.GatewayObjects(g.Name, class),
		Owner: metav1.OwnerReference{
			APIVersion: gatewayv1.GroupVersion.String(), Kind: gatewayapi.KindGateway, Name: g.Name, UID: g.UID,
			Controller: new(true), BlockOwnerDeletion: new(true),
		},
		Gateway: &kubernetes.Gateway{Name: g.Name, Class: class, Labels: map[string]string{}, Annotations: map[string]string{}},
		Image:   r.Image, XDSAddress: r.XDSAddress,
	}
	if i := g.Spec.Infrastructure; i != nil {
		for k, v := range i.Labels {
			out.Gateway.Labels[string(k)] = string(v)
		}
		for k, v := range i.Annotations {
			out.Gateway.Annotations[string(k)] = string(v)
		}
	}
	if asked := AskedAddresses(g); len(asked) > 0 {
		out.Gateway.Address = asked[0]
	}
	return out
}

// release removes the objects of a Gateway that Signet does not serve any more.
// What serves traffic goes only when the API server says so too: translation may
// be behind, or have failed for this Gateway.
func (r *Gateways) release(ctx context.Context, g *gatewayv1.Gateway) error {
	class := &gatewayv1.GatewayClass{}
	switch err := r.Client.Get(ctx, client.ObjectKey{Name: string(g.Spec.GatewayClassName)}, class); {
	case err == nil && class.Spec.ControllerName == gatewayapi.ControllerName:
		return nil
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("GatewayClass %s: %w", g.Spec.GatewayClassName, err)
	}
	f := r.fleet(g)
	applier := kubernetes.Applier{Client: r.Client}
	result, err := applier.Remove(ctx, f)
	for _, x := range result.Removed {
		r.Log.Info("object of a fleet removed", "fleet", f.Identity.String(), "object", x)
	}
	return err
}

// AskedAddresses are the addresses that a Gateway asks for by their values.
func AskedAddresses(g *gatewayv1.Gateway) []string {
	var out []string
	for _, a := range g.Spec.Addresses {
		if a.Value != "" && gatewayapi.Or(a.Type, gatewayv1.IPAddressType) == gatewayv1.IPAddressType {
			out = append(out, a.Value)
		}
	}
	return out
}

func ports(e *listener.Exposure) []kubernetes.Port {
	out := make([]kubernetes.Port, len(e.Ports))
	for i, p := range e.Ports {
		out[i] = kubernetes.Port{Port: p.Port, Bound: int32(p.Bound), Protocol: corev1.ProtocolTCP} //nolint:gosec // a port
		switch p.Protocol {
		case gatewayv1.HTTPProtocolType:
			out[i].AppProtocol = "http"
		case gatewayv1.HTTPSProtocolType:
			out[i].AppProtocol = "https"
		default:
		}
		if p.UDP {
			out[i].Protocol = corev1.ProtocolUDP
		}
	}
	return out
}
