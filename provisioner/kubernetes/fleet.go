package kubernetes

import (
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// Fleet is what the objects of one fleet are made from.
type Fleet struct {
	// Identity is the fleet's name towards the xDS server. Its namespace is
	// that of the objects.
	Identity ir.Name
	// Name is the name of all objects but the Secret, which is <Name>-identity.
	Name string
	// Owner is the object that the others go with.
	Owner metav1.OwnerReference
	// Spec says what is asked for, with its defaults filled in by the API
	// server.
	Spec v1alpha1.EnvoyFleetSpec
	// Image holds Envoy and signet, where Spec names none.
	Image string
	// XDSAddress is host:port of the xDS server as pods reach it.
	XDSAddress string
	// Certificate is what the pods are known by.
	Certificate certificate.Identity
	// Gateway is set for the fleet of a Gateway, nil for that of an EnvoyFleet.
	Gateway *Gateway
	// Client is the client certificate that Signet keeps for the fleet; nil for
	// none.
	Client *ClientCertificate
}

// ClientCertificate is a Secret of type kubernetes.io/tls.
type ClientCertificate struct {
	Secret  string
	KeyPair *certificate.KeyPair
	// AuthoritiesPEM are what verifies it, in ca.crt.
	AuthoritiesPEM []byte
}

// Labels of all objects; those of LabelFleet and LabelName select the pods.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelFleet     = "operator.signetproxy.io/fleet"

	labelComponent = "app.kubernetes.io/component"

	// Manager is the field manager, and the value of LabelManagedBy.
	Manager = "signet"

	envoyName = "envoy"
)

// Ports of the pods.
const (
	// StatusPort serves readiness and metrics.
	StatusPort = 19001
	// privileged ports are shifted by this much in the pods, which need no
	// right to bind them.
	shift          = 8000
	firstUnguarded = 1024
)

// PodPort is the port on which the pods serve a port of the Service.
func PodPort(port int32) int32 {
	if port < firstUnguarded {
		return port + shift
	}
	return port
}

// ErrFleet says that a fleet's objects cannot be made.
var ErrFleet = errors.New("the fleet's objects cannot be made")

// Render makes the objects of a fleet, in the order in which they are applied.
func Render(f *Fleet) ([]client.Object, error) {
	objects, err := RenderIdentity(f)
	if err != nil {
		return nil, err
	}
	service := f.service()
	workload := f.workload()
	if err := f.patch(service, workload); err != nil {
		return nil, err
	}
	if f.Client != nil {
		s, err := f.pair(f.Client.Secret, f.Client.KeyPair, f.Client.AuthoritiesPEM)
		if err != nil {
			return nil, err
		}
		objects = append(objects, s)
	}
	objects = append(objects, service)
	if p := f.networkPolicy(); p != nil {
		objects = append(objects, p)
	}
	objects = append(objects, workload)
	if b := f.budget(); b != nil {
		objects = append(objects, b)
	}
	if a := f.autoscaler(); a != nil {
		objects = append(objects, a)
	}
	return objects, nil
}

// RenderIdentity makes those of the objects that connect the pods to the xDS
// server. They depend on nothing that a user can get wrong.
func RenderIdentity(f *Fleet) ([]client.Object, error) {
	secret, err := f.pair(f.SecretName(), f.Certificate.KeyPair, f.Certificate.TrustPEM)
	if err != nil {
		return nil, err
	}
	return []client.Object{f.account(), secret}, nil
}

func (f *Fleet) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: f.Identity.Namespace, Name: name, Labels: f.labels(),
		Annotations:     f.annotations(),
		OwnerReferences: []metav1.OwnerReference{f.Owner},
	}
}

// selector chooses the pods of the fleet. It never changes: the selector of a
// workload cannot.
func (f *Fleet) selector() map[string]string {
	out := f.mark()
	out[LabelName] = envoyName
	return out
}

// mark tells the objects of the fleet from all others in its namespace.
func (f *Fleet) mark() map[string]string {
	if f.Gateway != nil {
		return map[string]string{LabelGateway: labelValue(f.Gateway.Name)}
	}
	return map[string]string{LabelFleet: f.Identity.Name}
}

func (f *Fleet) labels() map[string]string {
	out := f.selector()
	out[labelComponent], out[LabelManagedBy] = "proxy", Manager
	if g := f.Gateway; g != nil {
		out[LabelGatewayClass] = labelValue(g.Class)
		return with(g.Labels, out)
	}
	return out
}

func (f *Fleet) annotations() map[string]string {
	if f.Gateway == nil {
		return nil
	}
	return f.Gateway.Annotations
}

// with lays ours over theirs.
func with(theirs, ours map[string]string) map[string]string {
	out := maps.Clone(theirs)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, ours)
	return out
}

// SecretName is the Secret that holds the identity of the fleet.
func (f *Fleet) SecretName() string { return f.Name + "-identity" }

// listener is one port of the fleet: what clients see, and what the pods bind.
type listener struct {
	name        string
	port, bound int32
	protocol    corev1.Protocol
	appProtocol string
	nodePort    *int32
}

func (f *Fleet) listeners() []listener {
	if f.Gateway != nil {
		return f.Gateway.listeners()
	}
	var out []listener
	add := func(name string, port int32, l *v1alpha1.Listener) {
		if l.Enabled == nil || *l.Enabled {
			out = append(out, listener{name, port, PodPort(port), corev1.ProtocolTCP, name, l.NodePort})
		}
	}
	add("http", f.Spec.Listeners.HTTP.Port, &f.Spec.Listeners.HTTP.Listener)
	add("https", f.Spec.Listeners.HTTPS.Port, &f.Spec.Listeners.HTTPS.Listener)
	return out
}

func failf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFleet, fmt.Errorf(format, args...))
}
