package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EnvoyFleet is a set of Envoys that get one configuration and share one
// identity towards backends.
//
// Its name is part of the names of Services, which are DNS labels.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=ef,categories=signet
// +kubebuilder:subresource:status
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 48 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS label of at most 48 characters that begins with a letter: Services are named after it"
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Envoys",type=integer,JSONPath=`.status.envoys.desired`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.envoys.ready`
// +kubebuilder:printcolumn:name="Connected",type=integer,priority=1,JSONPath=`.status.envoys.connected`
// +kubebuilder:printcolumn:name="Acknowledged",type=integer,JSONPath=`.status.envoys.acknowledged`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.addresses[0].value`
// +kubebuilder:printcolumn:name="Certificate expires",type=string,JSONPath=`.status.clientCertificate.notAfter`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EnvoyFleet struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what the fleet serves and how it reaches backends. An empty
	// spec serves every HTTPProxy with the defaults below.
	//
	// +optional
	// +kubebuilder:default={}
	Spec EnvoyFleetSpec `json:"spec,omitzero"`

	// Status says what has become of it. It is written by Signet alone.
	//
	// +optional
	Status EnvoyFleetStatus `json:"status,omitzero"`
}

// EnvoyFleetList is a list of EnvoyFleets.
//
// +kubebuilder:object:root=true
type EnvoyFleetList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []EnvoyFleet `json:"items"`
}

// EnvoyFleetSpec is what is asked of a fleet. Without a cluster, as in `signet
// standalone`, httpProxies, upstreamTLS and accessLog count and all else has no
// effect.
//
// +kubebuilder:validation:XValidation:rule="!has(self.service) || !has(self.listeners) || self.service.type != 'ClusterIP' || (!has(self.listeners.http.nodePort) && !has(self.listeners.https.nodePort))",message="a nodePort of a listener needs a service of type NodePort or LoadBalancer"
type EnvoyFleetSpec struct {
	// Workload says how the Envoys run. Default: a Deployment of two.
	//
	// +optional
	// +kubebuilder:default={}
	Workload Workload `json:"workload,omitzero"`

	// Service says how clients reach the Envoys. Default: a Service of type
	// LoadBalancer that keeps the client's address.
	//
	// +optional
	// +kubebuilder:default={}
	Service Service `json:"service,omitzero"`

	// Listeners are the ports that are served. Default: HTTP on 80 and HTTPS on
	// 443.
	//
	// +optional
	// +kubebuilder:default={}
	Listeners Listeners `json:"listeners,omitzero"`

	// NetworkPolicy, when set, lets only the ports of the fleet be reached, the
	// port of its metrics among them. Default: no NetworkPolicy.
	//
	// +optional
	NetworkPolicy *NetworkPolicy `json:"networkPolicy,omitempty"`

	// Metrics says how the Envoys' metrics are found.
	//
	// +optional
	// +kubebuilder:default={}
	Metrics Metrics `json:"metrics,omitzero"`

	// AccessLog says what the Envoys log of requests and connections. A change of
	// it changes their listeners: see docs/accesslog.md. Default: all of them, as
	// text, to standard output.
	//
	// +optional
	// +kubebuilder:default={}
	AccessLog AccessLog `json:"accessLog,omitzero"`

	// Patches change the objects of the fleet after they are made: the last
	// resort for what no field covers. Default: none.
	//
	// +optional
	Patches *Patches `json:"patches,omitempty"`

	// HTTPProxies chooses the HTTPProxies that the fleet serves. Default: those
	// without an ingress class and those of the class "contour", in every
	// namespace.
	//
	// +optional
	HTTPProxies *HTTPProxySelection `json:"httpProxies,omitempty"`

	// UpstreamTLS says how the Envoys speak TLS to backends. Default: no client
	// certificate, TLS 1.2 to 1.3, ECDHE with AES-GCM or ChaCha20-Poly1305,
	// Envoy's curves.
	//
	// +optional
	UpstreamTLS *UpstreamTLS `json:"upstreamTLS,omitempty"`
}

// HTTPProxySelection chooses HTTPProxies.
type HTTPProxySelection struct {
	// IngressClassNames are the ingress classes that the fleet serves: the
	// proxy's spec.ingressClassName, or one of its annotations
	// projectcontour.io/ingress.class and kubernetes.io/ingress.class. Default
	// and empty: proxies without a class and those of the class "contour".
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	IngressClassNames []string `json:"ingressClassNames,omitempty"`

	// RootNamespaces are the namespaces in which an HTTPProxy may have a
	// virtual host. Default and empty: every namespace.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	RootNamespaces []string `json:"rootNamespaces,omitempty"`
}
