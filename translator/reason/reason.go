package reason

// Reason is the machine-readable reason of a condition or of an entry in it:
// CamelCase, stable over releases.
type Reason string

// Reasons of conditions as a whole.
const (
	// Valid is the reason of a Valid condition that is True.
	Valid Reason = "Valid"
	// ErrorPresent is the reason of a Valid condition that is False.
	ErrorPresent Reason = "ErrorPresent"
	// Orphaned is the reason of an HTTPProxy that no root includes.
	Orphaned Reason = "Orphaned"
)

// Reasons of an EnvoyFleet's conditions.
const (
	// Accepted: the spec can be honoured as a whole.
	Accepted Reason = "Accepted"
	// Invalid: a field of the spec is wrong.
	Invalid Reason = "Invalid"
	// Provisioned: the fleet's objects exist as wanted.
	Provisioned Reason = "Provisioned"
	// ProvisioningFailed: an object could not be applied.
	ProvisioningFailed Reason = "ProvisioningFailed"
	// Programmed: every Envoy has acknowledged the newest revision.
	Programmed Reason = "Programmed"
	// Pending: work goes on and nothing is wrong.
	Pending Reason = "Pending"
	// NoEnvoys: no Envoy is connected.
	NoEnvoys Reason = "NoEnvoys"
	// Rejected: an Envoy refused a resource.
	Rejected Reason = "Rejected"
	// ClientCertificateNotFound: the Secret does not exist.
	ClientCertificateNotFound Reason = "ClientCertificateNotFound"
	// ClientCertificateInvalid: the Secret does not hold a usable key pair.
	ClientCertificateInvalid Reason = "ClientCertificateInvalid"
	// ClientCertificateExpired: backends would refuse the certificate.
	ClientCertificateExpired Reason = "ClientCertificateExpired"
	// ClientCertificateNotYetValid: backends would refuse the certificate.
	ClientCertificateNotYetValid Reason = "ClientCertificateNotYetValid"
	// TLSVersionInvalid: a version is unknown, or minimum is above maximum.
	TLSVersionInvalid Reason = "TLSVersionInvalid"
	// CiphersInvalid: Envoy does not know a cipher suite.
	CiphersInvalid Reason = "CiphersInvalid"
	// CurvesInvalid: Envoy does not know a curve.
	CurvesInvalid Reason = "CurvesInvalid"
	// AccessLogInvalid: Envoy would not take the format of the access log.
	AccessLogInvalid Reason = "AccessLogInvalid"
)

// Precise causes: what is wrong with an object that an upstream or a host
// needs.
const (
	// Unusable: the object could not be judged.
	Unusable Reason = "Unusable"
	// SecretNotFound: the Secret does not exist.
	SecretNotFound Reason = "SecretNotFound"
	// ConfigMapNotFound: the ConfigMap does not exist.
	ConfigMapNotFound Reason = "ConfigMapNotFound"
	// ClusterTrustBundleNotFound: the ClusterTrustBundle does not exist.
	ClusterTrustBundleNotFound Reason = "ClusterTrustBundleNotFound"
	// SystemTrustNotFound: nobody knows the system's trusted certificates.
	SystemTrustNotFound Reason = "SystemTrustNotFound"
	// UnsupportedKind: trust cannot come from this kind of object.
	UnsupportedKind Reason = "UnsupportedKind"
	// WrongSecretType: neither Opaque nor kubernetes.io/tls.
	WrongSecretType Reason = "WrongSecretType"
	// KeyMissing: a key of the Secret's or ConfigMap's data is absent or empty.
	KeyMissing Reason = "KeyMissing"
	// TooLarge: more bytes or certificates than Signet takes.
	TooLarge Reason = "TooLarge"
	// NotPEM: the data is not PEM, or a block of it is broken.
	NotPEM Reason = "NotPEM"
	// UnexpectedBlock: a PEM block of a type that does not belong there.
	UnexpectedBlock Reason = "UnexpectedBlock"
	// NotACertificate: a CERTIFICATE block that X.509 cannot read.
	NotACertificate Reason = "NotACertificate"
	// NotAKey: a private key that cannot be read.
	NotAKey Reason = "NotAKey"
	// NotACRL: a revocation list that cannot be read or is not signed by its issuer.
	NotACRL Reason = "NotACRL"
	// NotYetValid: the validity begins in the future.
	NotYetValid Reason = "NotYetValid"
	// Expired: the validity is over.
	Expired Reason = "Expired"
	// KeyMismatch: the private key is not the certificate's.
	KeyMismatch Reason = "KeyMismatch"
	// WeakKey: a key that Envoy refuses.
	WeakKey Reason = "WeakKey"
	// NameMissing: a certificate without common name and alternative names.
	NameMissing Reason = "NameMissing"
	// NotDelegated: no TLSCertificateDelegation for another namespace's Secret.
	NotDelegated Reason = "NotDelegated"
	// TrustMissing: validation without a CA.
	TrustMissing Reason = "TrustMissing"
	// SubjectNameMissing: validation without a subject name.
	SubjectNameMissing Reason = "SubjectNameMissing"
	// SubjectNameInvalid: not a DNS name, IP address or URI.
	SubjectNameInvalid Reason = "SubjectNameInvalid"
	// SNIInvalid: not a DNS name.
	SNIInvalid Reason = "SNIInvalid"
	// ValidationWithoutTLS: validation on a cleartext port.
	ValidationWithoutTLS Reason = "ValidationWithoutTLS"
	// ValidationRequired: the fleet refuses TLS that is not verified.
	ValidationRequired Reason = "ValidationRequired"
	// ServiceNotFound: the Service does not exist.
	ServiceNotFound Reason = "ServiceNotFound"
	// PortNotFound: the Service has no such port.
	PortNotFound Reason = "PortNotFound"
	// PortNotTCP: the Service port is not TCP.
	PortNotTCP Reason = "PortNotTCP"
	// ExternalNameNotAllowed: the name points back at the proxy's own host.
	ExternalNameNotAllowed Reason = "ExternalNameNotAllowed"
	// ExternalNameInvalid: neither a DNS name nor an IP address.
	ExternalNameInvalid Reason = "ExternalNameInvalid"
	// AnnotationInvalid: an annotation that Signet reads has a bad value.
	AnnotationInvalid Reason = "AnnotationInvalid"
)
