package upstream

import (
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Finish gives a TLS upstream what its fleet brings: the client certificate
// and the TLS profile. It copies; u and f stay as they are. A cleartext
// upstream is returned as it is, whatever state the fleet's TLS is in.
func Finish(u *ir.Upstream, f *ir.FleetUpstreamTLS) (*ir.Upstream, *Problem) {
	if u.TLS == nil {
		return u, nil
	}
	if f.Failure != "" {
		return nil, &Problem{Reason: reason.ClientCertificateInvalid, Type: reason.TLSError,
			Category: reason.SecretNotValid, Message: f.Failure}
	}
	if f.RequireValidation && u.TLS.Verify == nil {
		return nil, &Problem{Reason: reason.ValidationRequired, Type: reason.ServiceError,
			Category: reason.TLSUpstreamValidation,
			Message: reason.FormatUpstreamValidation.With(u.Service.Name.Name, u.Service.Port,
				"the fleet requires validation of TLS backends: set validation with caSecret and subjectName")}
	}
	out, tls := *u, *u.TLS
	tls.ClientCertificate = f.ClientCertificate
	tls.Profile = f.Profile
	if tls.Profile.Min == "" {
		tls.Profile.Min = ir.TLS12
	}
	if tls.Profile.Max == "" {
		tls.Profile.Max = ir.TLS13 // Envoy alone offers at most 1.2 to a backend
	}
	out.TLS = &tls
	return &out, nil
}
