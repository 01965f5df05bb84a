package httpproxy

import "github.com/signetproxy/signet/translator/reason"

// Reasons that Contour has no equal for; its own are in package reason.
const (
	// reasonDirectResponse: Envoy would refuse the status code or the body.
	reasonDirectResponse reason.Reason = "DirectResponsePolicyInvalid"
	// reasonNotSupported: leaving the field out would weaken security.
	reasonNotSupported reason.Reason = "FieldNotSupported"
	// reasonFQDN: no host name that DNS or a certificate can hold.
	reasonFQDN reason.Reason = "FQDNNotValid"
	// reasonTooLarge: includes multiply beyond what a host may hold.
	reasonTooLarge reason.Reason = "IncludeTreeTooLarge"
	// reasonMirror: a mirror where there can be none.
	reasonMirror reason.Reason = "MirrorNotSupported"
	// reasonReplacement: a prefix replacement that is no path.
	reasonReplacement reason.Reason = "ReplacementNotValid"
	// reasonWithheld: an Envoy resource was not made or was refused.
	reasonWithheld reason.Reason = "ResourceWithheld"
	// reasonRetry: a retry policy that cannot be read.
	reasonRetry reason.Reason = "RetryPolicyNotValid"
	// reasonWeight: weights that Envoy cannot add up.
	reasonWeight reason.Reason = "WeightNotValid"
)
