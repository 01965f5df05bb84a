package reason

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
)

// The classes of errors are those of Contour's API, all of them.
func TestErrorTypesAreContours(t *testing.T) {
	cases := map[ErrorType]string{
		AuthError:            contourv1.ConditionTypeAuthError,
		CORSError:            contourv1.ConditionTypeCORSError,
		IPFilterError:        contourv1.ConditionTypeIPFilterError,
		JWTVerificationError: contourv1.ConditionTypeJWTVerificationError,
		IncludeError:         contourv1.ConditionTypeIncludeError,
		OrphanedError:        contourv1.ConditionTypeOrphanedError,
		PrefixReplaceError:   contourv1.ConditionTypePrefixReplaceError,
		RootNamespaceError:   contourv1.ConditionTypeRootNamespaceError,
		RouteError:           contourv1.ConditionTypeRouteError,
		ServiceError:         contourv1.ConditionTypeServiceError,
		SpecError:            contourv1.ConditionTypeSpecError,
		TCPProxyIncludeError: contourv1.ConditionTypeTCPProxyIncludeError,
		TCPProxyError:        contourv1.ConditionTypeTCPProxyError,
		TLSError:             contourv1.ConditionTypeTLSError,
		VirtualHostError:     contourv1.ConditionTypeVirtualHostError,
		ListenerError:        contourv1.ConditionTypeListenerError,
	}
	for got, want := range cases {
		if string(got) != want {
			t.Errorf("error type %q, want %q", got, want)
		}
	}
	if got := string(ConditionValid); got != contourv1.ValidConditionType {
		t.Errorf("condition type %q, want %q", got, contourv1.ValidConditionType)
	}
}

// Tools match on these words: they change only on purpose.
func TestContract(t *testing.T) {
	cases := map[string]struct {
		reason string
		got    string
		want   string
	}{
		"Valid":       {reason: "currentStatus", got: string(StatusValid), want: "valid"},
		"Invalid":     {reason: "currentStatus", got: string(StatusInvalid), want: "invalid"},
		"Orphaned":    {reason: "currentStatus", got: string(StatusOrphaned), want: "orphaned"},
		"ValidReason": {reason: "condition", got: string(Valid), want: "Valid"},
		"ErrorReason": {reason: "condition", got: string(ErrorPresent), want: "ErrorPresent"},
		"ValidText":   {reason: "condition", got: string(MessageValid), want: "Valid HTTPProxy"},
		"ErrorText":   {reason: "condition", got: string(MessageErrorPresent), want: "At least one error present, see Errors for details"},
		"OrphanText": {
			reason: "description", got: string(MessageOrphaned),
			want: "this HTTPProxy is not part of a delegation chain from a root HTTPProxy",
		},
		"Description": {
			reason: "the description that users know",
			got:    FormatRouteService.With("/", "tls-nginx", MessageTrustUnusable),
			want:   `route "/": service "tls-nginx": upstreamValidation requested but secret not found or misconfigured`,
		},
		"Detail": {
			reason: "the detail that users know",
			got:    FormatUpstreamValidation.With("good", 443, FormatCA.With("Secret", "hand/nope", MessageSecretNotFound)),
			want:   `Service [good:443] TLS upstream validation policy error: invalid CA Secret "hand/nope": Secret not found`,
		},
		"HostSecret": {
			reason: "a host's certificate", got: FormatHostSecret.With(FormatSecret.With("a/b", MessageSecretNotFound)),
			want: `Spec.VirtualHost.TLS Secret "a/b" is invalid: Secret not found`,
		},
		"Unresolved": {
			reason: "a port that is not there", got: FormatUnresolved.With(FormatPortNotFound.With(443, "a/b")),
			want: `Spec.Routes unresolved service reference: port "443" on service "a/b" not matched`,
		},
		"Duplicate": {
			reason: "two roots", got: FormatDuplicateVhost.With("a.example", "x/a, x/b"),
			want: `fqdn "a.example" is used in multiple HTTPProxies: x/a, x/b`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// metav1.Condition.reason has this pattern in every CRD.
func TestReasonsAreConditionReasons(t *testing.T) {
	pattern := regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)
	for name, value := range constants(t, "Reason") {
		if value != name || !pattern.MatchString(value) {
			t.Errorf("constant %s is %q: a reason is spelled as its constant", name, value)
		}
	}
}
