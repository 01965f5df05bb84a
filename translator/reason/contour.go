package reason

// Reasons of AuthError (projectcontour.io/v1).
const (
	AuthBadAllowedHeader       Reason = "AuthBadAllowedHeader"
	AuthBadResourceVersion     Reason = "AuthBadResourceVersion"
	AuthContextForHTTP         Reason = "AuthContextForHTTP"
	AuthNotPermitted           Reason = "AuthNotPermitted"
	AuthResponseTimeoutInvalid Reason = "AuthResponseTimeoutInvalid"
	ExtensionServiceNotFound   Reason = "ExtensionServiceNotFound"
)

// Reasons of CORSError (projectcontour.io/v1).
const (
	PolicyDidNotParse Reason = "PolicyDidNotParse"
)

// Reasons of IPFilterError (projectcontour.io/v1).
const (
	IPFilterPolicyNotValid       Reason = "IPFilterPolicyNotValid"
	IncompatibleIPAddressFilters Reason = "IncompatibleIPAddressFilters"
	InvalidCIDR                  Reason = "InvalidCIDR"
)

// Reasons of IncludeError and TCPProxyIncludeError (projectcontour.io/v1).
const (
	DuplicateMatchConditions    Reason = "DuplicateMatchConditions"
	IncludeCreatesCycle         Reason = "IncludeCreatesCycle"
	IncludeNotFound             Reason = "IncludeNotFound"
	PathMatchConditionsNotValid Reason = "PathMatchConditionsNotValid"
	RootIncludesRoot            Reason = "RootIncludesRoot"
)

// Reasons of JWTVerificationError (projectcontour.io/v1).
const (
	DuplicateProviderName               Reason = "DuplicateProviderName"
	InvalidJWTVerificationPolicy        Reason = "InvalidJWTVerificationPolicy"
	JWKSSourceConflict                  Reason = "JWKSSourceConflict"
	JWKSSourceMissing                   Reason = "JWKSSourceMissing"
	JWTProviderNotDefined               Reason = "JWTProviderNotDefined"
	JWTVerificationNotPermitted         Reason = "JWTVerificationNotPermitted"
	LocalJWKSInvalid                    Reason = "LocalJWKSInvalid"
	MultipleDefaultProvidersSpecified   Reason = "MultipleDefaultProvidersSpecified"
	RemoteJWKSCACertificateNotDelegated Reason = "RemoteJWKSCACertificateNotDelegated"
	RemoteJWKSCacheDurationInvalid      Reason = "RemoteJWKSCacheDurationInvalid"
	RemoteJWKSDNSLookupFamilyInvalid    Reason = "RemoteJWKSDNSLookupFamilyInvalid"
	RemoteJWKSPortInvalid               Reason = "RemoteJWKSPortInvalid"
	RemoteJWKSSchemeInvalid             Reason = "RemoteJWKSSchemeInvalid"
	RemoteJWKSTimeoutInvalid            Reason = "RemoteJWKSTimeoutInvalid"
	RemoteJWKSURIInvalid                Reason = "RemoteJWKSURIInvalid"
	RemoteJWKSUpstreamValidationInvalid Reason = "RemoteJWKSUpstreamValidationInvalid"
)

// Reasons of ListenerError (projectcontour.io/v1).
const (
	ErrorIdentifyingListener Reason = "ErrorIdentifyingListener"
)

// Reasons of PrefixReplaceError (projectcontour.io/v1).
const (
	MustHavePrefix       Reason = "MustHavePrefix"
	DuplicateReplacement Reason = "DuplicateReplacement"
	AmbiguousReplacement Reason = "AmbiguousReplacement"
)

// Reasons of RootNamespaceError (projectcontour.io/v1).
const (
	RootProxyNotAllowedInNamespace Reason = "RootProxyNotAllowedInNamespace"
)

// Reasons of RouteError; PathMatchConditionsNotValid too (projectcontour.io/v1).
const (
	CookieRewritePoliciesInvalid          Reason = "CookieRewritePoliciesInvalid"
	HeaderMatchConditionsNotValid         Reason = "HeaderMatchConditionsNotValid"
	HealthCheckPolicyInvalid              Reason = "HealthCheckPolicyInvalid"
	QueryParameterMatchConditionsNotValid Reason = "QueryParameterMatchConditionsNotValid"
	RateLimitPolicyNotValid               Reason = "RateLimitPolicyNotValid"
	RequestHeadersPolicyInvalid           Reason = "RequestHeadersPolicyInvalid"
	RequestRedirectPolicy                 Reason = "RequestRedirectPolicy"
	ResponseHeaderPolicyInvalid           Reason = "ResponseHeaderPolicyInvalid"
	RouteActionCountNotValid              Reason = "RouteActionCountNotValid"
	TimeoutPolicyNotValid                 Reason = "TimeoutPolicyNotValid"
)

// Reasons of ServiceError (projectcontour.io/v1).
const (
	OnlyOneMirror                Reason = "OnlyOneMirror"
	ResponseHeadersPolicyInvalid Reason = "ResponseHeadersPolicyInvalid"
	ServicePortInvalid           Reason = "ServicePortInvalid"
	ServiceUnresolvedReference   Reason = "ServiceUnresolvedReference"
	SlowStartInvalid             Reason = "SlowStartInvalid"
	TLSUpstreamValidation        Reason = "TLSUpstreamValidation"
	UnsupportedProtocol          Reason = "UnsupportedProtocol"
	UnsupportedServiceType       Reason = "UnsupportedServiceType"
)

// Reasons of SpecError (projectcontour.io/v1).
const (
	InconsistentProtocol Reason = "InconsistentProtocol"
	NothingDefined       Reason = "NothingDefined"
	IgnoredField         Reason = "IgnoredField"
)

// Reasons of TCPProxyError; NothingDefined and ServiceUnresolvedReference too (projectcontour.io/v1).
const (
	NoServicesAndInclude Reason = "NoServicesAndInclude"
	TLSMustBeConfigured  Reason = "TLSMustBeConfigured"
)

// Reasons of TLSError (projectcontour.io/v1).
const (
	CACertificateNotDelegated Reason = "CACertificateNotDelegated"
	ClientValidationInvalid   Reason = "ClientValidationInvalid"
	DelegationNotPermitted    Reason = "DelegationNotPermitted"
	FallbackNotDelegated      Reason = "FallbackNotDelegated"
	FallbackNotPresent        Reason = "FallbackNotPresent"
	FallbackNotValid          Reason = "FallbackNotValid"
	SecretNotValid            Reason = "SecretNotValid"
	TLSConfigNotValid         Reason = "TLSConfigNotValid"
	TLSIncompatibleFeatures   Reason = "TLSIncompatibleFeatures"
)

// Reasons of VirtualHostError (projectcontour.io/v1).
const (
	FQDNNotSpecified Reason = "FQDNNotSpecified"
	DuplicateVhost   Reason = "DuplicateVhost"
)

// Reasons that Contour has no word for, of HTTPProxies.
const (
	// DirectResponsePolicyInvalid: Envoy would refuse the status code or the body.
	DirectResponsePolicyInvalid Reason = "DirectResponsePolicyInvalid"
	// FieldNotSupported: leaving the field out would weaken security.
	FieldNotSupported Reason = "FieldNotSupported"
	// FQDNNotValid: no host name that DNS or a certificate can hold.
	FQDNNotValid Reason = "FQDNNotValid"
	// IncludeTreeTooLarge: includes multiply beyond what a host may hold.
	IncludeTreeTooLarge Reason = "IncludeTreeTooLarge"
	// MirrorNotSupported: a mirror where there can be none.
	MirrorNotSupported Reason = "MirrorNotSupported"
	// RefusedByEnvoy: Envoy refuses what was made of the object; of fleets too.
	RefusedByEnvoy Reason = "RefusedByEnvoy"
	// CertificateExpires: of an Event on the object that holds the certificate.
	CertificateExpires Reason = "CertificateExpires"
	// ReplacementNotValid: a prefix replacement that is no path.
	ReplacementNotValid Reason = "ReplacementNotValid"
	// ResourceWithheld: an Envoy resource was not made or was refused.
	ResourceWithheld Reason = "ResourceWithheld"
	// RetryPolicyNotValid: a retry policy that cannot be read.
	RetryPolicyNotValid Reason = "RetryPolicyNotValid"
	// WeightNotValid: weights that Envoy cannot add up.
	WeightNotValid Reason = "WeightNotValid"
)
