package reason

import "fmt"

// Message is the fixed text of a condition.
type Message string

// Fixed texts. Those of HTTPProxy are Contour's.
const (
	// MessageValid is the message and description of a valid HTTPProxy.
	MessageValid Message = "Valid HTTPProxy"
	// MessageErrorPresent is the message of a Valid condition that is False.
	MessageErrorPresent Message = "At least one error present, see Errors for details"
	// MessageOrphaned is the description of an HTTPProxy that no root includes.
	MessageOrphaned Message = "this HTTPProxy is not part of a delegation chain from a root HTTPProxy"
	// MessageTrustUnusable says in a description that a CA cannot be used; the
	// detailed error says which and why.
	MessageTrustUnusable Message = "upstreamValidation requested but secret not found or misconfigured"

	// MessageFQDNNotSpecified goes with FQDNNotSpecified.
	MessageFQDNNotSpecified Message = "Spec.VirtualHost.Fqdn must be specified"
	// MessageRootNamespace goes with RootProxyNotAllowedInNamespace.
	MessageRootNamespace Message = "root HTTPProxy cannot be defined in this namespace"
	// MessageNothingDefined goes with SpecError/NothingDefined.
	MessageNothingDefined Message = "HTTPProxy.Spec must have at least one Route, Include, or a TCPProxy"
	// MessageTLSNothing goes with TLSConfigNotValid.
	MessageTLSNothing Message = "Spec.VirtualHost.TLS: neither Passthrough nor SecretName were specified"
	// MessageTLSBoth goes with TLSConfigNotValid.
	MessageTLSBoth Message = "Spec.VirtualHost.TLS: both Passthrough and SecretName were specified"
	// MessageTLSVersions goes with TLSConfigNotValid.
	MessageTLSVersions Message = "Spec.Virtualhost.TLS the minimum protocol version is greater than the maximum protocol version"
	// MessageTLSMustBeConfigured goes with TLSMustBeConfigured.
	MessageTLSMustBeConfigured Message = "Spec.TCPProxy requires that either Spec.TLS.Passthrough or Spec.TLS.SecretName be set"
	// MessageNoServicesAndInclude goes with NoServicesAndInclude.
	MessageNoServicesAndInclude Message = "cannot specify services and include in the same httpproxy"
	// MessageTCPProxyNothing goes with TCPProxyError/NothingDefined.
	MessageTCPProxyNothing Message = "either services or inclusion must be specified"
	// MessageDuplicateConditions goes with DuplicateMatchConditions.
	MessageDuplicateConditions Message = "duplicate conditions defined on an include"
	// MessageMustHavePrefix goes with MustHavePrefix.
	MessageMustHavePrefix Message = "cannot specify prefix replacements without a prefix condition"
	// MessageOnlyOneMirror goes with OnlyOneMirror.
	MessageOnlyOneMirror Message = "only one service per route may be nominated as mirror"
	// MessageServicePort goes with ServicePortInvalid, behind the service.
	MessageServicePort Message = "port must be in the range 1-65535"
	// MessageSlowStartStrategy goes with SlowStartInvalid.
	MessageSlowStartStrategy Message = "slow start is only supported with RoundRobin or WeightedLeastRequest load balancer strategy"

	// MessageNoSubjectName: validation without a subject name.
	MessageNoSubjectName Message = "missing subject alternative name"
	// MessageSecretNotFound: the Secret does not exist.
	MessageSecretNotFound Message = "Secret not found"
	// MessageWrongSecretType: neither of the two types; the type found follows.
	MessageWrongSecretType Message = `secret type is not "kubernetes.io/tls" or "Opaque"`
	// MessageNoCertificate: tls.crt is absent or empty.
	MessageNoCertificate Message = "missing TLS certificate"
	// MessageNoPrivateKey: tls.key is absent or empty.
	MessageNoPrivateKey Message = "missing TLS private key"
)

// What Envoys have in place of what they refuse; part of FormatRefused.
const (
	// MessageLastGood: the version before, as far as it is as strict.
	MessageLastGood Message = "the last version that it took is served, or 503 where that one would let in or reach what this one does not"
	// MessageFailsClosed: there is none.
	MessageFailsClosed Message = "it fails closed"
	// MessageSetAside: it may be innocent.
	MessageSetAside Message = "it is set aside while the cause is sought"
)

// Format is a message with places to fill in.
type Format string

// With fills in the places as fmt.Sprintf does.
func (f Format) With(args ...any) string { return fmt.Sprintf(string(f), args...) }

// Formats. The arguments stand in the comment, in order. Those of HTTPProxy
// are Contour's.
const (
	// FormatRouteService is the form of descriptions and of errors: path, service
	// name, what is wrong.
	FormatRouteService Format = `route %q: service %q: %s`
	// FormatTCPService is the same for TCP proxies: service name, what is wrong.
	FormatTCPService Format = `tcpproxy: service %q: %s`

	// FormatUnresolved goes with ServiceError/ServiceUnresolvedReference: cause.
	FormatUnresolved Format = "Spec.Routes unresolved service reference: %s"
	// FormatTCPUnresolved goes with TCPProxyError/ServiceUnresolvedReference: cause.
	FormatTCPUnresolved Format = "Spec.TCPProxy unresolved service reference: %s"
	// FormatServiceNotFound is a cause of an unresolved reference: namespace/name.
	FormatServiceNotFound Format = "service %q not found"
	// FormatPortNotFound is a cause of an unresolved reference: port, namespace/name.
	FormatPortNotFound Format = `port "%d" on service %q not matched`
	// FormatPortNotTCP is a cause of an unresolved reference: protocol.
	FormatPortNotTCP Format = "unsupported service protocol %q"
	// FormatExternalLocalhost is a cause of an unresolved reference: namespace/name.
	FormatExternalLocalhost Format = "%s is an ExternalName service that points to localhost, this is not allowed"
	// FormatExternalLoopback is a cause of an unresolved reference: namespace/name.
	FormatExternalLoopback Format = "%s is an ExternalName service that points to a loopback, " +
		"link-local or unspecified IP address, this is not allowed"
	// FormatProtocol goes with UnsupportedProtocol: the value.
	FormatProtocol Format = "unsupported protocol: %s"

	// FormatUpstreamValidation goes with TLSUpstreamValidation: service name, port, cause.
	FormatUpstreamValidation Format = "Service [%s:%d] TLS upstream validation policy error: %s"
	// FormatNotDelegated goes with CACertificateNotDelegated: namespace/name.
	FormatNotDelegated Format = "service.UpstreamValidation.CACertificate Secret %q is not configured for certificate delegation"
	// FormatForeignTrust goes with CACertificateNotDelegated: kind,
	// namespace/name, namespace that asks.
	FormatForeignTrust Format = "service.UpstreamValidation.CACertificate %s %q is of another namespace than %q: " +
		"only Secrets can be delegated"
	// FormatCA is a cause of TLSUpstreamValidation: kind, namespace/name, cause.
	FormatCA Format = "invalid CA %s %q: %s"
	// FormatEmptyKey is a cause: key of the data.
	FormatEmptyKey Format = "empty %q key"
	// FormatBundle is a cause: what is wrong with the PEM bundle.
	FormatBundle Format = "invalid CA certificate bundle: %s"
	// FormatSubjectNames is a cause: first of subjectNames, subjectName.
	FormatSubjectNames Format = "first entry of SubjectNames (%s) does not match SubjectName (%s)"

	// FormatSecret is a cause of SecretNotValid: namespace/name, cause.
	FormatSecret Format = "Secret %q is invalid: %s" //nolint:gosec // G101: a message about a Secret holds none
	// FormatCertificate is a cause: what is wrong with tls.crt.
	FormatCertificate Format = "invalid TLS certificate: %s"
	// FormatPrivateKey is a cause: what is wrong with tls.key.
	FormatPrivateKey Format = "invalid TLS private key: %s"
	// FormatHostSecret goes with SecretNotValid of a virtual host: the
	// FormatSecret cause.
	FormatHostSecret Format = "Spec.VirtualHost.TLS %s"
	// FormatHostDelegation goes with DelegationNotPermitted: secretName as written.
	FormatHostDelegation Format = "Spec.VirtualHost.TLS Secret %q certificate delegation not permitted"
	// FormatClientCertificate goes with SecretNotValid of a fleet's client
	// certificate: the FormatSecret cause.
	FormatClientCertificate Format = "upstreamTLS.clientCertificate %s"
	// FormatAccessLog goes with AccessLogInvalid: what is wrong, what is written
	// instead.
	FormatAccessLog Format = "%s; %s"

	// FormatIncludeNotFound goes with IncludeNotFound: namespace, name.
	FormatIncludeNotFound Format = "include %s/%s not found"
	// FormatRootIncludesRoot goes with RootIncludesRoot: namespace, name.
	FormatRootIncludesRoot Format = "root httpproxy cannot include another root httpproxy (%s/%s)"
	// FormatIncludeCycle goes with IncludeError/IncludeCreatesCycle: path, joined by " -> ".
	FormatIncludeCycle Format = "include creates an include cycle: %s"
	// FormatTCPIncludeCycle goes with TCPProxyIncludeError/IncludeCreatesCycle: path.
	FormatTCPIncludeCycle Format = "include creates a cycle: %s"
	// FormatIncludeConditions goes with IncludeError/PathMatchConditionsNotValid: cause.
	FormatIncludeConditions Format = "include: %s"
	// FormatRouteConditions goes with RouteError/PathMatchConditionsNotValid: cause.
	FormatRouteConditions Format = "route: %s"
	// FormatRequestHeaders goes with RequestHeadersPolicyInvalid: cause.
	FormatRequestHeaders Format = "%s on request headers"
	// FormatResponseHeaders goes with ResponseHeaderPolicyInvalid and
	// ResponseHeadersPolicyInvalid: cause.
	FormatResponseHeaders Format = "%s on response headers"
	// FormatTimeoutPolicy goes with TimeoutPolicyNotValid: cause.
	FormatTimeoutPolicy Format = "route.timeoutPolicy failed to parse: %s"
	// FormatRedirect goes with RequestRedirectPolicy: cause.
	FormatRedirect Format = "route.requestRedirectPolicy is invalid: %s"
	// FormatSlowStart goes with SlowStartInvalid: cause.
	FormatSlowStart Format = "%s on slow start"
	// FormatDuplicateVhost goes with DuplicateVhost: host name, the HTTPProxies as
	// namespace/name joined by ", ".
	FormatDuplicateVhost Format = "fqdn %q is used in multiple HTTPProxies: %s"
	// FormatRefused goes with RefusedByEnvoy: what, fleet, what is served
	// instead, Envoy's words.
	FormatRefused Format = "Envoy refuses %s of fleet %s; %s: %s"
	// FormatNotWarm goes with ResourceWithheld: cluster, fleet, what it waits for.
	FormatNotWarm Format = "cluster %s does not get ready in the Envoys of fleet %s, so its routes answer 503 (mirrors are left out): " +
		"it waits for %s"
	// FormatIgnored goes with SpecError/IgnoredField: path of the field, why.
	FormatIgnored Format = "ignoring field %q; %s"
)
