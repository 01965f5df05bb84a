package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

	// Addresses at which clients reach the fleet.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Addresses []Address `json:"addresses,omitempty"`

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

	// RenewalTime is the time at which it will be replaced; absent for a Secret
	// that Signet does not keep.
	//
	// +optional
	RenewalTime *metav1.Time `json:"renewalTime,omitempty"`
}

// AddressType is the form of an address.
//
// +kubebuilder:validation:Enum=IPAddress;Hostname
type AddressType string

// The forms of addresses.
const (
	IPAddress AddressType = "IPAddress"
	Hostname  AddressType = "Hostname"
)

// Address is where clients reach a fleet.
type Address struct {
	Type  AddressType `json:"type"`
	Value string      `json:"value"`
}

// EnvoyCounts counts Envoys.
type EnvoyCounts struct {
	// Desired Envoys are asked for; absent without a cluster.
	//
	// +optional
	Desired int32 `json:"desired,omitempty"`

	// Ready Envoys serve traffic, as Kubernetes sees it; absent without a
	// cluster.
	//
	// +optional
	Ready int32 `json:"ready,omitempty"`

	// Connected Envoys have a stream to the xDS server.
	Connected int32 `json:"connected"`

	// Acknowledged Envoys serve the newest revision of their configuration.
	Acknowledged int32 `json:"acknowledged"`
}
