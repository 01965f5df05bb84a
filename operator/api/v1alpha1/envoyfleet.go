package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EnvoyFleet is a set of Envoys that get one configuration and share one
// identity towards backends.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=ef,categories=signet
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Connected",type=integer,JSONPath=`.status.envoys.connected`
// +kubebuilder:printcolumn:name="Acknowledged",type=integer,JSONPath=`.status.envoys.acknowledged`
// +kubebuilder:printcolumn:name="Certificate expires",type=date,JSONPath=`.status.clientCertificate.notAfter`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EnvoyFleet struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what the fleet serves and how it reaches backends. An empty
	// spec serves every HTTPProxy with the defaults below.
	//
	// +optional
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

// EnvoyFleetSpec is what is asked of a fleet.
type EnvoyFleetSpec struct {
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

// TLSVersion is a version of TLS.
//
// +kubebuilder:validation:Enum="1.2";"1.3"
type TLSVersion string

// The versions of TLS that may be spoken to backends.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

// UpstreamTLS says how Envoys speak TLS to backends.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minimumProtocolVersion) || !has(self.maximumProtocolVersion) || self.minimumProtocolVersion <= self.maximumProtocolVersion",message="minimumProtocolVersion must not be above maximumProtocolVersion"
type UpstreamTLS struct {
	// ClientCertificate is presented to every backend that asks for one.
	// Default: none.
	//
	// +optional
	ClientCertificate *ClientCertificate `json:"clientCertificate,omitempty"`

	// MinimumProtocolVersion is the lowest version of TLS that is offered.
	// Default: "1.2".
	//
	// +optional
	MinimumProtocolVersion TLSVersion `json:"minimumProtocolVersion,omitempty"`

	// MaximumProtocolVersion is the highest version of TLS that is offered.
	// Default: "1.3".
	//
	// +optional
	MaximumProtocolVersion TLSVersion `json:"maximumProtocolVersion,omitempty"`

	// CipherSuites are offered with TLS 1.2, by BoringSSL's names, first
	// preferred; a group in brackets, as [A|B], is equally preferred. TLS 1.3
	// has its own, which cannot be chosen. Default: Envoy's.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	CipherSuites []string `json:"cipherSuites,omitempty"`

	// ECDHCurves are offered for the key exchange, by BoringSSL's names, first
	// preferred, as X25519 or P-256. Default: Envoy's.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	ECDHCurves []string `json:"ecdhCurves,omitempty"`

	// RequireValidation refuses every route that would speak TLS to a backend
	// without verifying its certificate: it answers 503 and its object says so.
	// Default: false.
	//
	// +optional
	RequireValidation bool `json:"requireValidation,omitempty"`
}

// ClientCertificate says which certificate is presented to backends.
type ClientCertificate struct {
	// SecretRef names a Secret of type kubernetes.io/tls with tls.crt and
	// tls.key.
	SecretRef SecretReference `json:"secretRef"`
}

// SecretReference names a Secret.
type SecretReference struct {
	// Namespace of the Secret. Default: the fleet's namespace.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`

	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// EnvoyFleetStatus is what has become of a fleet.
type EnvoyFleetStatus struct {
	// ObservedGeneration is the metadata.generation that this status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Accepted (the spec can be honoured), Provisioned (the
	// fleet's objects exist) and Programmed (its Envoys have acknowledged the
	// configuration).
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ClientCertificate is the certificate that is presented now; absent when
	// there is none.
	//
	// +optional
	ClientCertificate *ClientCertificateStatus `json:"clientCertificate,omitempty"`

	// Envoys counts the Envoys of the fleet.
	//
	// +optional
	Envoys *EnvoyCounts `json:"envoys,omitempty"`
}

// ClientCertificateStatus describes the client certificate in use.
type ClientCertificateStatus struct {
	// Secret that holds it, as namespace/name.
	Secret string `json:"secret"`

	// Fingerprint is the SHA-256 of the certificate's DER, in lower-case
	// hexadecimal digits.
	//
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`

	// NotAfter is the time at which it expires.
	//
	// +optional
	NotAfter *metav1.Time `json:"notAfter,omitempty"`
}

// EnvoyCounts counts Envoys.
type EnvoyCounts struct {
	// Connected Envoys have a stream to the xDS server.
	Connected int32 `json:"connected"`

	// Acknowledged Envoys serve the newest revision of their configuration.
	Acknowledged int32 `json:"acknowledged"`
}
