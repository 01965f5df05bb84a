package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Service says how clients reach the Envoys.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'LoadBalancer' || !has(self.loadBalancerClass)",message="loadBalancerClass needs type LoadBalancer"
// +kubebuilder:validation:XValidation:rule="self.type == 'LoadBalancer' || !has(self.loadBalancerSourceRanges) || self.loadBalancerSourceRanges.size() == 0",message="loadBalancerSourceRanges needs type LoadBalancer"
// +kubebuilder:validation:XValidation:rule="self.type == 'LoadBalancer' || !has(self.allocateLoadBalancerNodePorts)",message="allocateLoadBalancerNodePorts needs type LoadBalancer"
// +kubebuilder:validation:XValidation:rule="self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)",message="externalTrafficPolicy needs type NodePort or LoadBalancer"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.loadBalancerClass) || oldSelf.type != 'LoadBalancer' || self.type != 'LoadBalancer' || (has(self.loadBalancerClass) && self.loadBalancerClass == oldSelf.loadBalancerClass)",message="loadBalancerClass cannot be changed: Kubernetes does not allow it"
type Service struct {
	// Type is ClusterIP, NodePort or LoadBalancer.
	//
	// +optional
	// +kubebuilder:default=LoadBalancer
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type corev1.ServiceType `json:"type,omitempty"`

	// LoadBalancerClass chooses who provides the load balancer. It cannot be
	// changed while type is LoadBalancer. Default: the cluster's.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	LoadBalancerClass *string `json:"loadBalancerClass,omitempty"`

	// LoadBalancerSourceRanges are the networks that the load balancer serves,
	// in CIDR notation, as 192.0.2.0/24. Default: all.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.all(c, isCIDR(c))",message="each of loadBalancerSourceRanges must be a network in CIDR notation, as 192.0.2.0/24"
	LoadBalancerSourceRanges []string `json:"loadBalancerSourceRanges,omitempty"`

	// AllocateLoadBalancerNodePorts is false for load balancers that need no
	// node ports. Default: true.
	//
	// +optional
	AllocateLoadBalancerNodePorts *bool `json:"allocateLoadBalancerNodePorts,omitempty"`

	// Labels are added to the Service. Default: none.
	//
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations are added to the Service; load balancers read them. Default:
	// none.
	//
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// ExternalTrafficPolicy is Local, which keeps the client's address, or
	// Cluster. Default: Local, and none for type ClusterIP.
	//
	// +optional
	// +kubebuilder:validation:Enum=Cluster;Local
	ExternalTrafficPolicy corev1.ServiceExternalTrafficPolicy `json:"externalTrafficPolicy,omitempty"`

	// InternalTrafficPolicy is for clients in the cluster: Cluster, or Local for
	// Envoys on their own node alone. Default: Cluster.
	//
	// +optional
	// +kubebuilder:validation:Enum=Cluster;Local
	InternalTrafficPolicy corev1.ServiceInternalTrafficPolicy `json:"internalTrafficPolicy,omitempty"`

	// IPFamilyPolicy is SingleStack, PreferDualStack or RequireDualStack.
	// Default: the cluster's.
	//
	// +optional
	// +kubebuilder:validation:Enum=SingleStack;PreferDualStack;RequireDualStack
	IPFamilyPolicy corev1.IPFamilyPolicy `json:"ipFamilyPolicy,omitempty"`

	// IPFamilies are IPv4 and IPv6, first preferred. Default: the cluster's.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=IPv4;IPv6
	IPFamilies []corev1.IPFamily `json:"ipFamilies,omitempty"`
}

// Listeners are the ports that a fleet serves.
//
// +kubebuilder:validation:XValidation:rule="!has(self.http) || !has(self.https) || self.http.enabled || self.https.enabled",message="at least one of http and https must be enabled"
// +kubebuilder:validation:XValidation:rule="!has(self.http) || !has(self.https) || !self.http.enabled || !self.https.enabled || self.http.port != self.https.port",message="http and https need different ports"
// +kubebuilder:validation:XValidation:rule="!has(self.http) || !has(self.https) || !self.http.enabled || !self.https.enabled || (self.http.port + 8000 != self.https.port && self.https.port + 8000 != self.http.port)",message="a port below 1024 is served on that port plus 8000 of the pods, which the other listener has"
type Listeners struct {
	// HTTP serves cleartext: hosts without TLS, and redirects to HTTPS.
	//
	// +optional
	// +kubebuilder:default={}
	HTTP HTTPListener `json:"http,omitzero"`

	// HTTPS serves hosts with a certificate.
	//
	// +optional
	// +kubebuilder:default={}
	HTTPS HTTPSListener `json:"https,omitzero"`
}

// HTTPListener is the port for cleartext.
type HTTPListener struct {
	Listener `json:",inline"`

	// Port of the Service. The pods need no privilege: for a port below 1024
	// they listen on that port plus 8000 (8080 for 80), else on the same. It
	// must not be 19001, which serves the pods' readiness and metrics.
	//
	// +optional
	// +kubebuilder:default=80
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self != 19001",message="port 19001 of the pods serves readiness and metrics"
	Port int32 `json:"port,omitempty"`
}

// HTTPSListener is the port for TLS.
type HTTPSListener struct {
	Listener `json:",inline"`

	// Port of the Service. The pods need no privilege: for a port below 1024
	// they listen on that port plus 8000 (8443 for 443), else on the same. It
	// must not be 19001, which serves the pods' readiness and metrics.
	//
	// +optional
	// +kubebuilder:default=443
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self != 19001",message="port 19001 of the pods serves readiness and metrics"
	Port int32 `json:"port,omitempty"`
}

// Listener is what both have.
type Listener struct {
	// Enabled is false for a port that is not served.
	//
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// NodePort is the port on every node, for a Service of type NodePort or
	// LoadBalancer. Default: one that Kubernetes chooses.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	NodePort *int32 `json:"nodePort,omitempty"`
}
