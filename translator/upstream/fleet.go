package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// FleetSettings are a fleet's settings for TLS to backends, as written.
type FleetSettings struct {
	// ClientCertificate names the Secret; nil presents none.
	ClientCertificate *ir.Name
	// Min and Max are "1.2" or "1.3"; empty is the default: 1.2 and 1.3.
	Min, Max string
	// Ciphers and Curves by their Envoy names; none is the default.
	Ciphers, Curves []string
	// RequireValidation refuses TLS without validation.
	RequireValidation bool
}

// FleetTLS judges a fleet's settings. With a problem the result has a Failure:
// what was asked for is not replaced by something weaker, so every TLS
// upstream of the fleet fails closed while cleartext ones serve. The problems
// come in the order of the fields.
//
// o.KeyPair must judge the key pair as a client certificate
// (CheckValidity).
func FleetTLS(s FleetSettings, o Objects) (ir.FleetUpstreamTLS, []Problem) {
	out := ir.FleetUpstreamTLS{RequireValidation: s.RequireValidation}
	var problems []Problem
	for _, rule := range fleetRules {
		if p := rule(&s, o, &out); p != nil {
			problems = append(problems, *p)
		}
	}
	if len(problems) > 0 {
		out.Failure, out.FailureReason = problems[0].Message, string(problems[0].Reason)
	}
	return out, problems
}

// fleetRules do not depend on each other: all faults are reported at once.
var fleetRules = [...]func(*FleetSettings, Objects, *ir.FleetUpstreamTLS) *Problem{
	fleetCertificate,
	fleetVersions,
	fleetCiphers,
	fleetCurves,
}

func fleetCertificate(s *FleetSettings, o Objects, out *ir.FleetUpstreamTLS) *Problem {
	if s.ClientCertificate == nil {
		return nil
	}
	ref := ir.CertificateRef{Name: *s.ClientCertificate}
	out.ClientCertificate = &ref
	cause := o.KeyPair(ref)
	if cause == nil {
		return nil
	}
	p := fleetProblem(reason.ClientCertificateInvalid, reason.FormatClientCertificate.With(cause.Message))
	p.Until = cause.Until
	switch cause.Reason {
	case reason.SecretNotFound:
		p.Reason = reason.ClientCertificateNotFound
	case reason.Expired:
		p.Reason = reason.ClientCertificateExpired
	case reason.NotYetValid:
		p.Reason = reason.ClientCertificateNotYetValid
	default:
	}
	p.Category = fleetCategory(p.Reason)
	return p
}

func fleetVersions(s *FleetSettings, _ Objects, out *ir.FleetUpstreamTLS) *Problem {
	lowest, ok := tlsVersion(s.Min, ir.TLS12)
	if !ok {
		return fleetProblem(reason.TLSVersionInvalid,
			fmt.Sprintf(`upstreamTLS.minimumProtocolVersion: invalid TLS minimum protocol version: %q: use "1.2" or "1.3"`, clip(s.Min)))
	}
	highest, ok := tlsVersion(s.Max, ir.TLS13)
	if !ok {
		return fleetProblem(reason.TLSVersionInvalid,
			fmt.Sprintf(`upstreamTLS.maximumProtocolVersion: invalid TLS maximum protocol version: %q: use "1.2" or "1.3"`, clip(s.Max)))
	}
	if lowest > highest {
		return fleetProblem(reason.TLSVersionInvalid, fmt.Sprintf(
			"upstreamTLS: the minimum TLS protocol version is greater than the maximum TLS protocol version: %s and %s", lowest, highest))
	}
	out.Profile.Min, out.Profile.Max = lowest, highest
	return nil
}

// tlsVersion reads a version; the two that exist compare as strings do.
func tlsVersion(written string, otherwise ir.TLSVersion) (ir.TLSVersion, bool) {
	switch v := ir.TLSVersion(written); v {
	case "":
		return otherwise, true
	case ir.TLS12, ir.TLS13:
		return v, true
	default:
		return "", false
	}
}

func fleetCiphers(s *FleetSettings, _ Objects, out *ir.FleetUpstreamTLS) *Problem {
	out.Profile.Ciphers = defaultCiphers
	if len(s.Ciphers) == 0 {
		return nil
	}
	var bad []string
	for _, c := range s.Ciphers {
		if !knownCipher(c) {
			bad = append(bad, clip(c))
		}
	}
	if len(bad) > 0 {
		return fleetProblem(reason.CiphersInvalid, fmt.Sprintf(
			"upstreamTLS.cipherSuites: invalid cipher suites %q: Envoy knows %s, and groups of them as [A|B]",
			bad, strings.Join(cipherNames, ", ")))
	}
	out.Profile.Ciphers = withoutRepeats(s.Ciphers)
	return nil
}

func fleetCurves(s *FleetSettings, _ Objects, out *ir.FleetUpstreamTLS) *Problem {
	if len(s.Curves) == 0 {
		return nil
	}
	var bad []string
	for _, c := range s.Curves {
		if !slices.Contains(curveNames, c) {
			bad = append(bad, clip(c))
		}
	}
	if len(bad) > 0 {
		return fleetProblem(reason.CurvesInvalid, fmt.Sprintf("upstreamTLS.ecdhCurves: invalid ECDH curves %q: Envoy knows %s",
			bad, strings.Join(curveNames, ", ")))
	}
	out.Profile.Curves = withoutRepeats(s.Curves)
	return nil
}

// knownCipher takes a name, or a group of equal preference "[A|B]".
func knownCipher(c string) bool {
	if !strings.HasPrefix(c, "[") || !strings.HasSuffix(c, "]") {
		return slices.Contains(cipherNames, c)
	}
	for name := range strings.SplitSeq(c[1:len(c)-1], "|") {
		if !slices.Contains(cipherNames, name) {
			return false
		}
	}
	return true
}

func withoutRepeats(in []string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func fleetProblem(why reason.Reason, message string) *Problem {
	return &Problem{Reason: why, Type: reason.TLSError, Category: fleetCategory(why), Message: message}
}

// fleetCategory tells a fleet's Secret from its settings.
func fleetCategory(why reason.Reason) reason.Reason {
	switch why {
	case reason.ClientCertificateNotFound, reason.ClientCertificateInvalid,
		reason.ClientCertificateExpired, reason.ClientCertificateNotYetValid:
		return reason.SecretNotValid
	default:
		return reason.TLSConfigNotValid
	}
}

// cipherNames are the cipher suites of TLS 1.2 that Envoy takes
// (envoy.extensions.transport_sockets.tls.v3.TlsParameters.cipher_suites).
// TLS 1.3 has its own, which cannot be chosen.
var cipherNames = []string{
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
	"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
	"ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
	"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA",
}

// defaultCiphers keep forward secrecy (no RSA key exchange) and authenticated
// encryption (no CBC).
var defaultCiphers = []string{
	"[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
	"[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
	"ECDHE-ECDSA-AES256-GCM-SHA384",
	"ECDHE-RSA-AES256-GCM-SHA384",
}

// curveNames are the key exchange groups that Envoy takes
// (TlsParameters.ecdh_curves).
var curveNames = []string{"X25519MLKEM768", "X25519", "P-256", "P-384", "P-521"}

// Finish gives a TLS upstream what its fleet brings: the client certificate
// and the TLS profile. It copies; u and fleet stay as they are. A cleartext
// upstream is returned as it is, whatever state the fleet's TLS is in.
func Finish(u *ir.Upstream, fleet *ir.Fleet) (*ir.Upstream, *Problem) {
	if u.TLS == nil {
		return u, nil
	}
	f := &fleet.Upstream
	if f.Failure != "" {
		why := reason.Reason(f.FailureReason)
		return nil, &Problem{Reason: why, Type: reason.TLSError, Category: fleetCategory(why),
			Message: fmt.Sprintf("fleet %q: %s", fleet.Name, f.Failure)}
	}
	if f.RequireValidation && u.TLS.Verify == nil {
		return nil, &Problem{Reason: reason.ValidationRequired, Type: reason.ServiceError,
			Category: reason.TLSUpstreamValidation,
			Message: reason.FormatUpstreamValidation.With(u.Service.Name.Name, u.Service.Port,
				fmt.Sprintf("fleet %q requires validation of TLS backends: set validation with caSecret and subjectName", fleet.Name))}
	}
	out, tls := *u, *u.TLS
	tls.ClientCertificate = f.ClientCertificate
	tls.Profile = joinProfiles(u.TLS.Profile, f.Profile)
	if why := VersionFault(u.TLS.Profile, fleet); why != "" {
		return nil, &Problem{Reason: reason.TLSVersionInvalid, Type: reason.ServiceError,
			Category: reason.TLSUpstreamValidation,
			Message:  reason.FormatUpstreamValidation.With(u.Service.Name.Name, u.Service.Port, why)}
	}
	out.TLS = &tls
	return &out, nil
}

// VersionFault is why a fleet and what is asked for have no version of TLS in
// common; "" when they have.
func VersionFault(asked ir.TLSProfile, fleet *ir.Fleet) string {
	if p := joinProfiles(asked, fleet.Upstream.Profile); p.Min > p.Max {
		return fmt.Sprintf("fleet %q speaks no version of TLS that is asked for: %s to %s", fleet.Name, p.Min, p.Max)
	}
	return ""
}

// joinProfiles fills what an upstream leaves open with what its fleet says, and
// that with the defaults.
func joinProfiles(own, fleet ir.TLSProfile) ir.TLSProfile {
	out := ir.TLSProfile{
		Min:     cmp.Or(own.Min, fleet.Min, ir.TLS12),
		Max:     cmp.Or(own.Max, fleet.Max, ir.TLS13), // Envoy alone offers at most 1.2 to a backend
		Ciphers: fleet.Ciphers, Curves: fleet.Curves,
	}
	if own.Ciphers != nil {
		out.Ciphers = own.Ciphers
	}
	if own.Curves != nil {
		out.Curves = own.Curves
	}
	return out
}

// ProfileOptions judges the TLS options of one validation, by the rules of a
// fleet's settings: versions "1.2" and "1.3", Envoy's names. What is empty is
// left open. The fault, when there is one, names the setting and its value.
func ProfileOptions(s FleetSettings) (out ir.TLSProfile, fault *Problem) {
	var judged ir.FleetUpstreamTLS
	for _, rule := range [...]func(*FleetSettings, Objects, *ir.FleetUpstreamTLS) *Problem{fleetVersions, fleetCiphers, fleetCurves} {
		if p := rule(&s, nil, &judged); p != nil {
			return ir.TLSProfile{}, p
		}
	}
	out = ir.TLSProfile{Min: ir.TLSVersion(s.Min), Max: ir.TLSVersion(s.Max), Curves: judged.Profile.Curves}
	if len(s.Ciphers) > 0 {
		out.Ciphers = judged.Profile.Ciphers
	}
	return out, nil
}
