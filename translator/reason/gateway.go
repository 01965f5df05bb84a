package reason

// Condition types of the Gateway API (gateway.networking.k8s.io/v1) beside
// Accepted and Programmed.
const (
	// ConditionResolvedRefs: every reference leads to something usable.
	ConditionResolvedRefs ConditionType = "ResolvedRefs"
	// ConditionConflicted of a listener: another one has its port and host.
	ConditionConflicted ConditionType = "Conflicted"
	// ConditionOverlappingTLSConfig of a listener: a client may reach it over a
	// connection that was opened for another.
	ConditionOverlappingTLSConfig ConditionType = "OverlappingTLSConfig"
	// ConditionPartiallyInvalid of a route: some of its rules are not served.
	ConditionPartiallyInvalid ConditionType = "PartiallyInvalid"
	// ConditionSupportedVersion of a GatewayClass: the CRDs are of a version
	// that Signet knows.
	ConditionSupportedVersion ConditionType = "SupportedVersion"
	// ConditionInsecureFrontendValidationMode of a Gateway: clients are served
	// whatever certificate they present.
	ConditionInsecureFrontendValidationMode ConditionType = "InsecureFrontendValidationMode"
)

// Reasons of the Gateway API. Accepted, Programmed, Pending, Invalid and
// UnsupportedProtocol serve here too.
const (
	ResolvedRefs                Reason = "ResolvedRefs"
	RefNotPermitted             Reason = "RefNotPermitted"
	InvalidKind                 Reason = "InvalidKind"
	BackendNotFound             Reason = "BackendNotFound"
	NoMatchingParent            Reason = "NoMatchingParent"
	NotAllowedByListeners       Reason = "NotAllowedByListeners"
	NoMatchingListenerHostname  Reason = "NoMatchingListenerHostname"
	UnsupportedValue            Reason = "UnsupportedValue"
	IncompatibleFilters         Reason = "IncompatibleFilters"
	ListenersNotValid           Reason = "ListenersNotValid"
	ListenersNotResolved        Reason = "ListenersNotResolved"
	InvalidParameters           Reason = "InvalidParameters"
	UnsupportedAddress          Reason = "UnsupportedAddress"
	AddressNotUsable            Reason = "AddressNotUsable"
	InvalidClientCertificateRef Reason = "InvalidClientCertificateRef"
	ConfigurationChanged        Reason = "ConfigurationChanged"
	HostnameConflict            Reason = "HostnameConflict"
	ProtocolConflict            Reason = "ProtocolConflict"
	NoConflicts                 Reason = "NoConflicts"
	OverlappingHostnames        Reason = "OverlappingHostnames"
	PortUnavailable             Reason = "PortUnavailable"
	InvalidCertificateRef       Reason = "InvalidCertificateRef"
	InvalidRouteKinds           Reason = "InvalidRouteKinds"
	InvalidCACertificateRef     Reason = "InvalidCACertificateRef"
	InvalidCACertificateKind    Reason = "InvalidCACertificateKind"
	NoValidCACertificate        Reason = "NoValidCACertificate"
	Conflicted                  Reason = "Conflicted"
	TargetNotFound              Reason = "TargetNotFound"
	SupportedVersion            Reason = "SupportedVersion"
	UnsupportedVersion          Reason = "UnsupportedVersion"
	AddressNotAssigned          Reason = "AddressNotAssigned"
	NotAllowed                  Reason = "NotAllowed"
	ParentNotAccepted           Reason = "ParentNotAccepted"
	ParentNotProgrammed         Reason = "ParentNotProgrammed"
	// InvalidBackendTLSPolicy is Signet's own: a backend of a route is ruled by
	// a policy that cannot be honoured.
	InvalidBackendTLSPolicy Reason = "InvalidBackendTLSPolicy"
)

// Messages of the Gateway API's conditions.
const (
	// MessageRouteAccepted goes with Accepted of a route.
	MessageRouteAccepted Message = "the route is accepted"
	// MessageRefsResolved goes with ResolvedRefs.
	MessageRefsResolved Message = "all references are resolved"
	// MessageListenerAccepted goes with Accepted of a listener.
	MessageListenerAccepted Message = "the listener is accepted"
	// MessageListenerProgrammed goes with Programmed of a listener.
	MessageListenerProgrammed Message = "the listener is configured"
	// MessageGatewayAccepted goes with Accepted of a Gateway.
	MessageGatewayAccepted Message = "the Gateway is accepted"
	// MessageGatewayProgrammed goes with Programmed of a Gateway.
	MessageGatewayProgrammed Message = "the Gateway is configured"
	// MessagePolicyAccepted goes with Accepted of a BackendTLSPolicy.
	MessagePolicyAccepted Message = "the policy is in force"
	// MessageClassAccepted goes with Accepted of a GatewayClass.
	MessageClassAccepted Message = "Signet serves the Gateways of this class"
	// MessageSetAccepted goes with Accepted of a ListenerSet.
	MessageSetAccepted Message = "the ListenerSet is accepted"
	// MessageSetProgrammed goes with Programmed of a ListenerSet.
	MessageSetProgrammed Message = "the ListenerSet is configured"
	// MessageDroppedRule begins the message of PartiallyInvalid; the API asks for it.
	MessageDroppedRule Message = "Dropped Rule"
)

// Formats. The arguments stand in the comment.
const (
	// FormatRegex is a cause of UnsupportedValue: the expression.
	FormatRegex Format = "%q is no RE2 expression"
	// FormatRegexLarge is a cause of UnsupportedValue: the expression.
	FormatRegexLarge Format = "%q is too large an expression for Envoy: simplify its classes and repetitions"
)
