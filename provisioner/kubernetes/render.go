package kubernetes

import (
	"cmp"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/certificate"
)

func (f *Fleet) account() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		APIVersion: "v1", Kind: "ServiceAccount",
		ObjectMeta: f.meta(f.Name),
		// Envoys ask nothing of the API server.
		AutomountServiceAccountToken: new(false),
	}
}

// pair is a Secret with a key pair and the authorities that go with it.
func (f *Fleet) pair(name string, pair *certificate.KeyPair, authorities []byte) (*corev1.Secret, error) {
	key, err := pair.KeyPEM()
	if err != nil {
		return nil, failf("Secret %s: %w", name, err)
	}
	return &corev1.Secret{
		APIVersion: "v1", Kind: "Secret",
		ObjectMeta: f.meta(name),
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey: pair.CertificatePEM(), corev1.TLSPrivateKeyKey: key, corev1.ServiceAccountRootCAKey: authorities,
		},
	}, nil
}

func (f *Fleet) service() *corev1.Service {
	s := &f.Spec.Service
	out := &corev1.Service{
		APIVersion: "v1", Kind: "Service",
		ObjectMeta: f.meta(f.Name),
		Spec: corev1.ServiceSpec{
			Type: cmp.Or(s.Type, corev1.ServiceTypeLoadBalancer), Selector: f.selector(),
			LoadBalancerClass: s.LoadBalancerClass, LoadBalancerSourceRanges: s.LoadBalancerSourceRanges,
			AllocateLoadBalancerNodePorts: s.AllocateLoadBalancerNodePorts,
			ExternalTrafficPolicy:         s.ExternalTrafficPolicy, IPFamilies: s.IPFamilies,
		},
	}
	out.Labels, out.Annotations = with(s.Labels, out.Labels), with(s.Annotations, out.Annotations)
	if f.Gateway != nil {
		out.Spec.LoadBalancerIP = f.Gateway.Address
	}
	if out.Spec.Type != corev1.ServiceTypeClusterIP {
		out.Spec.ExternalTrafficPolicy = cmp.Or(out.Spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyLocal)
	}
	if s.InternalTrafficPolicy != "" {
		out.Spec.InternalTrafficPolicy = &s.InternalTrafficPolicy
	}
	if s.IPFamilyPolicy != "" {
		out.Spec.IPFamilyPolicy = &s.IPFamilyPolicy
	}
	for _, l := range f.listeners() {
		p := corev1.ServicePort{Name: l.name, Port: l.port, TargetPort: f.target(l), Protocol: l.protocol}
		if l.appProtocol != "" {
			p.AppProtocol = &l.appProtocol
		}
		if l.nodePort != nil {
			p.NodePort = *l.nodePort
		}
		out.Spec.Ports = append(out.Spec.Ports, p)
	}
	return out
}

// target of a Gateway's port is a number: its pods name no ports, so that a new
// listener restarts none.
func (f *Fleet) target(l listener) intstr.IntOrString {
	if f.Gateway != nil {
		return intstr.FromInt32(l.bound)
	}
	return intstr.FromString(l.name)
}

// budget is nil for a DaemonSet that asks for none: Kubernetes cannot count
// what such a workload may miss, and would allow no eviction at all.
func (f *Fleet) budget() *policyv1.PodDisruptionBudget {
	if f.Spec.Workload.Kind == v1alpha1.DaemonSetWorkload && f.Spec.Workload.DisruptionBudget == nil {
		return nil
	}
	spec := policyv1.PodDisruptionBudgetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: f.selector()},
		// A pod that is not ready serves nobody: it must not block a drain.
		UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
	}
	if b := f.Spec.Workload.DisruptionBudget; b != nil {
		spec.MinAvailable, spec.MaxUnavailable = b.MinAvailable, b.MaxUnavailable
	} else {
		spec.MaxUnavailable = new(intstr.FromInt32(1))
	}
	return &policyv1.PodDisruptionBudget{
		APIVersion: "policy/v1", Kind: "PodDisruptionBudget",
		ObjectMeta: f.meta(f.Name), Spec: spec,
	}
}

func (f *Fleet) autoscaler() *autoscalingv2.HorizontalPodAutoscaler {
	a := f.Spec.Workload.Autoscaling
	if a == nil {
		return nil
	}
	return &autoscalingv2.HorizontalPodAutoscaler{
		APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler",
		ObjectMeta: f.meta(f.Name),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: f.Name},
			MinReplicas:    &a.MinReplicas, MaxReplicas: a.MaxReplicas,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ResourceMetricSourceType,
				Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{
					Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &a.TargetCPUUtilization,
				}},
			}},
		},
	}
}

func (f *Fleet) networkPolicy() *networkingv1.NetworkPolicy {
	p := f.Spec.NetworkPolicy
	if p == nil {
		return nil
	}
	traffic := networkingv1.NetworkPolicyIngressRule{}
	for _, l := range f.listeners() {
		traffic.Ports = append(traffic.Ports, policyPort(l.protocol, l.bound))
	}
	metrics := networkingv1.NetworkPolicyIngressRule{Ports: []networkingv1.NetworkPolicyPort{policyPort(corev1.ProtocolTCP, StatusPort)}}
	for _, peer := range p.MetricsFrom {
		metrics.From = append(metrics.From, from(peer))
	}
	return &networkingv1.NetworkPolicy{
		APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy",
		ObjectMeta: f.meta(f.Name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: f.selector()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{traffic, metrics},
		},
	}
}

func from(p v1alpha1.NetworkPolicyPeer) networkingv1.NetworkPolicyPeer {
	out := networkingv1.NetworkPolicyPeer{PodSelector: p.PodSelector, NamespaceSelector: p.NamespaceSelector}
	if out.PodSelector == nil && out.NamespaceSelector == nil {
		out.PodSelector = &metav1.LabelSelector{} // an empty peer is refused
	}
	return out
}

func policyPort(protocol corev1.Protocol, port int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: new(intstr.FromInt32(port))}
}
