package certificate

import (
	"cmp"
	"slices"
	"time"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/translator/ir"
)

// Requested is the client certificate that is asked for a fleet, with the
// defaults that follow from its name.
func Requested(fleet ir.Name, i *v1alpha1.IssuedCertificate) ClientRequest {
	const longestCommonName = 64 // RFC 5280, ub-common-name
	out := ClientRequest{
		CommonName: i.CommonName, DNSNames: i.DNSNames, URIs: i.URIs,
		Lifetime: cmp.Or(i.Lifetime.Duration, 90*24*time.Hour), KeyType: KeyType(i.KeyType),
	}
	if i.RenewBefore != nil {
		out.RenewBefore = i.RenewBefore.Duration
	}
	if len(out.DNSNames) == 0 && len(out.URIs) == 0 {
		out.URIs = []string{"spiffe://" + TrustDomain + "/client/" + fleet.String()}
	}
	if out.CommonName == "" {
		if first := slices.Concat(out.DNSNames, out.URIs)[0]; len(first) <= longestCommonName {
			out.CommonName = first
		}
	}
	return out
}
