package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/kubernetes"
)

// Provisioner brings a cluster to the objects of a fleet.
type Provisioner struct {
	// Client has no cache.
	Client      client.Client
	Authorities *Authorities
	// Image and XDSAddress are handed to kubernetes.Fleet.
	Image, XDSAddress string
	Now               func() time.Time
	Log               logr.Logger
}

// provision brings the cluster to what a fleet asks for, and returns when it is
// due to be looked at again. Secret is where a client certificate of Signet's is
// kept, if the fleet asks for one. Whatever is wrong with the spec or the client
// certificate, the identity is renewed: pods without one are cut off.
func (r *Provisioner) provision(ctx context.Context, f *kubernetes.Fleet, secret string) (Outcome, time.Time, error) {
	var out Outcome
	next, err := r.identify(ctx, f)
	if err != nil {
		return out, next, err
	}
	var broken error
	out.ClientRenewal, broken = r.certify(ctx, f, secret)
	if !out.ClientRenewal.IsZero() && out.ClientRenewal.Before(next) {
		next = out.ClientRenewal
	}
	objects, err := kubernetes.Render(f)
	if err != nil {
		broken = errors.Join(broken, err)
		if objects, err = kubernetes.RenderIdentity(f); err != nil {
			return out, next, errors.Join(broken, err)
		}
	}
	result, err := r.write(ctx, f, objects, broken == nil)
	out.Progress, out.Waiting = result.Workload, result.Waiting
	if s := result.Live["Service"]; s != nil {
		var wrong error
		out.Addresses, out.LoadBalancer, wrong = addresses(s)
		out.Seen = wrong == nil && (result.Live["Deployment"] != nil || result.Live["DaemonSet"] != nil)
		err = errors.Join(err, wrong)
	}
	return out, next, errors.Join(broken, err)
}

// write applies the objects of a fleet; all says that they are all of them, so
// that others are removed.
func (r *Provisioner) write(ctx context.Context, f *kubernetes.Fleet, objects []client.Object, all bool) (kubernetes.Result, error) {
	applier := kubernetes.Applier{Client: r.Client}
	apply := applier.Write
	if all {
		apply = applier.Apply
	}
	result, err := apply(ctx, f, objects)
	for _, x := range slices.Concat(result.Applied, result.Removed) {
		r.Log.Info("object of a fleet written", "fleet", f.Identity.String(), "object", x)
	}
	return result, err
}

// wait is the time until a fleet that is due at next is looked at again.
func (r *Provisioner) wait(next time.Time) time.Duration {
	return max(time.Second, min(longestWait, next.Sub(r.Now())))
}

func issued(s *v1alpha1.EnvoyFleetSpec) *v1alpha1.IssuedCertificate {
	if t := s.UpstreamTLS; t != nil && t.ClientCertificate != nil {
		return t.ClientCertificate.Issued
	}
	return nil
}

// identify gives the fleet its identity: the one that it has, or a new one when
// that is due.
func (r *Provisioner) identify(ctx context.Context, f *kubernetes.Fleet) (time.Time, error) {
	policy, now := certificate.DefaultPolicy(), r.Now()
	select {
	case <-r.Authorities.Loaded():
	default:
		return now, fmt.Errorf("identity: %w: the authority is not loaded yet", certificate.ErrStored)
	}
	s := r.Authorities.Keeper.State()
	pair, err := r.stored(ctx, f.Identity.Namespace, f.SecretName(), f.Owner.UID)
	if err != nil {
		return now, err
	}
	if why := certificate.IdentityDue(pair, s, now, policy); why != "" {
		if pair, err = s.Signing.Identity(f.Identity, now, policy); err != nil {
			return now, err
		}
		r.Log.Info("identity issued", "fleet", f.Identity.String(), "reason", why)
	}
	f.Certificate = certificate.Identity{
		Fleet: f.Identity, ServerName: certificate.ServerName, TrustPEM: s.TrustPEM(), KeyPair: pair,
	}
	return certificate.Renewal(pair, policy), nil
}

// certify gives the fleet a client certificate if it asks for one of Signet's,
// and returns when that is renewed.
func (r *Provisioner) certify(ctx context.Context, f *kubernetes.Fleet, secret string) (time.Time, error) {
	issued := issued(&f.Spec)
	if issued == nil {
		return time.Time{}, nil
	}
	s, err := r.Authorities.Clients(ctx)
	if err != nil {
		return time.Time{}, err
	}
	pair, err := r.stored(ctx, f.Identity.Namespace, secret, f.Owner.UID)
	if err != nil {
		return time.Time{}, err
	}
	request, policy, now := certificate.Requested(f.Identity, issued), certificate.ClientPolicy(), r.Now()
	if why := certificate.ClientDue(pair, request, s.Signing, now, policy); why != "" {
		if pair, err = s.Signing.Client(request, now, policy); err != nil {
			return time.Time{}, fmt.Errorf("upstreamTLS.clientCertificate.issued: %w", err)
		}
		r.Log.Info("client certificate issued", "fleet", f.Identity.String(), "reason", why, "certificate", pair.String())
	}
	f.Client = &kubernetes.ClientCertificate{Secret: secret, KeyPair: pair, AuthoritiesPEM: s.TrustPEM()}
	return certificate.ClientRenewal(pair, request), nil
}

// stored reads a key pair back from the fleet's own Secret; nil when there is
// none that can be used.
func (r *Provisioner) stored(ctx context.Context, namespace, name string, owner types.UID) (*certificate.KeyPair, error) {
	s := &corev1.Secret{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	if !slices.ContainsFunc(s.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == owner }) {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, kubernetes.ErrForeign)
	}
	pair, err := certificate.ParseKeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		r.Log.Info("a key pair is issued anew: what is stored cannot be read", "secret", namespace+"/"+name, "error", err.Error())
		return nil, nil
	}
	return pair, nil
}

// addresses reads where clients reach a Service.
func addresses(u *unstructured.Unstructured) ([]v1alpha1.Address, corev1.LoadBalancerStatus, error) {
	s := &corev1.Service{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s); err != nil {
		return nil, corev1.LoadBalancerStatus{}, fmt.Errorf("service %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	var out []v1alpha1.Address
	for _, i := range s.Status.LoadBalancer.Ingress {
		if i.IP != "" {
			out = append(out, v1alpha1.Address{Type: v1alpha1.IPAddress, Value: i.IP})
		}
		if i.Hostname != "" {
			out = append(out, v1alpha1.Address{Type: v1alpha1.Hostname, Value: i.Hostname})
		}
	}
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		for _, ip := range s.Spec.ClusterIPs {
			if ip != corev1.ClusterIPNone {
				out = append(out, v1alpha1.Address{Type: v1alpha1.IPAddress, Value: ip})
			}
		}
	}
	return out, s.Status.LoadBalancer, nil
}
