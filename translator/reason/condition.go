package reason

// ConditionType is the type of a status condition.
type ConditionType string

// Condition types.
const (
	// ConditionValid is the condition of an HTTPProxy.
	ConditionValid ConditionType = "Valid"
	// ConditionAccepted of an EnvoyFleet: its spec can be honoured.
	ConditionAccepted ConditionType = "Accepted"
	// ConditionProvisioned of an EnvoyFleet: its objects exist.
	ConditionProvisioned ConditionType = "Provisioned"
	// ConditionProgrammed of an EnvoyFleet: its Envoys serve the newest revision.
	ConditionProgrammed ConditionType = "Programmed"
)

// Status is the currentStatus of an HTTPProxy.
type Status string

// Status words of an HTTPProxy.
const (
	StatusValid    Status = "valid"
	StatusInvalid  Status = "invalid"
	StatusOrphaned Status = "orphaned"
	// StatusNotReconciled is what the API server sets before anyone looked.
	StatusNotReconciled Status = "NotReconciled"
)

// ErrorType is the class of a detailed error or warning: the type of a
// sub-condition of an HTTPProxy's Valid condition.
type ErrorType string

// Classes of detailed errors (projectcontour.io/v1 DetailedCondition).
const (
	AuthError            ErrorType = "AuthError"
	CORSError            ErrorType = "CORSError"
	IPFilterError        ErrorType = "IPFilterError"
	JWTVerificationError ErrorType = "JWTVerificationError"
	IncludeError         ErrorType = "IncludeError"
	OrphanedError        ErrorType = "Orphaned"
	PrefixReplaceError   ErrorType = "PrefixReplaceError"
	RootNamespaceError   ErrorType = "RootNamespaceError"
	RouteError           ErrorType = "RouteError"
	ServiceError         ErrorType = "ServiceError"
	SpecError            ErrorType = "SpecError"
	TCPProxyIncludeError ErrorType = "TCPProxyIncludeError"
	TCPProxyError        ErrorType = "TCPProxyError"
	TLSError             ErrorType = "TLSError"
	VirtualHostError     ErrorType = "VirtualHostError"
	ListenerError        ErrorType = "ListenerError"
)
