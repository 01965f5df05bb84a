package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

// ClientCertificate says which certificate is presented to backends: one that
// the user names, or one that Signet issues, keeps and rotates.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.issued)",message="set either secretRef or issued"
type ClientCertificate struct {
	// SecretRef names a Secret of type kubernetes.io/tls with tls.crt and
	// tls.key, in any namespace that Signet reads. Who keeps it is not Signet's
	// concern: cert-manager does as well. A changed Secret reaches the Envoys
	// without a restart.
	//
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// Issued asks Signet for a certificate of its own authority. In a cluster the
	// Secret is in the fleet's namespace, and what verifies it is published in
	// signet-client-authorities, a ConfigMap and a Secret in Signet's namespace; in
	// `signet standalone` it is kept in files, and client-authorities.pem among
	// them verifies it.
	//
	// +optional
	Issued *IssuedCertificate `json:"issued,omitempty"`
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

// KeyType is a kind of private key and its size.
//
// +kubebuilder:validation:Enum=ECDSA-P256;ECDSA-P384;RSA-2048;RSA-3072;RSA-4096
type KeyType string

// The kinds of private keys.
const (
	ECDSAP256 KeyType = "ECDSA-P256"
	ECDSAP384 KeyType = "ECDSA-P384"
	RSA2048   KeyType = "RSA-2048"
	RSA3072   KeyType = "RSA-3072"
	RSA4096   KeyType = "RSA-4096"
)

// IssuedCertificate describes a client certificate that Signet issues. In a
// cluster it is kept in a Secret of type kubernetes.io/tls in the fleet's namespace, with the
// authorities to verify it in ca.crt; the same authorities are published, for
// the owners of backends, as a ConfigMap and a Secret named
// signet-client-authorities in Signet's own namespace. Without a cluster both are
// kept in files of the user's, of which `signet standalone` logs the names.
//
// +kubebuilder:validation:XValidation:rule="!has(self.renewBefore) || duration(self.renewBefore) < duration(self.lifetime)",message="renewBefore must be shorter than lifetime"
// +kubebuilder:validation:XValidation:rule="duration(self.lifetime) >= duration('1h') && duration(self.lifetime) <= duration('8760h')",message="lifetime must be from 1h to 8760h"
// +kubebuilder:validation:XValidation:rule="!has(self.renewBefore) || duration(self.renewBefore) >= duration('5m')",message="renewBefore must be at least 5m"
type IssuedCertificate struct {
	// SecretName is the Secret that holds the certificate, in the fleet's
	// namespace. A Secret of that name that Signet has not made is left alone,
	// and the fleet says so. Default: <fleet>-client.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	SecretName string `json:"secretName,omitempty"`

	// CommonName of the subject, for backends that look at nothing else.
	// Default: the first DNS name or URI, if it fits.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	CommonName string `json:"commonName,omitempty"`

	// DNSNames are the DNS subject names. Default: none.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	DNSNames []string `json:"dnsNames,omitempty"`

	// URIs are the URI subject names. Default, if there are no DNS names:
	// spiffe://signetproxy.io/client/<namespace>/<fleet>.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:items:Pattern=`^[a-z][-+.a-z0-9]*://[^\s]+$`
	URIs []string `json:"uris,omitempty"`

	// Lifetime of a certificate, as a Go duration, from 1h to 8760h.
	//
	// +optional
	// +kubebuilder:default="2160h"
	Lifetime metav1.Duration `json:"lifetime,omitzero"`

	// RenewBefore is how long before its end a certificate is replaced, as a Go
	// duration, at least 5m. Default: a third of lifetime.
	//
	// +optional
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// KeyType of the private key, which is made anew with every certificate.
	//
	// +optional
	// +kubebuilder:default=ECDSA-P256
	KeyType KeyType `json:"keyType,omitempty"`
}

// Secret is the name of the Secret that holds the certificate of a fleet.
func (i *IssuedCertificate) Secret(fleet string) string {
	if i.SecretName != "" {
		return i.SecretName
	}
	return fleet + "-client"
}
