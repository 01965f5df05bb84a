package upstream

import (
	"fmt"
	"slices"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// requireTLS refuses a validation that could not take place.
func requireTLS(d *draft) *Problem {
	if d.request.Validation == nil || d.out.TLS != nil {
		return nil
	}
	return d.invalid(reason.ValidationWithoutTLS, "validation needs TLS: "+d.whyCleartext())
}

// requireDelegation lets a bundle of another namespace be used only where its
// owner said so. Only Secrets can be delegated.
func requireDelegation(d *draft) *Problem {
	v := d.request.Validation
	if v == nil {
		return nil
	}
	for _, ref := range v.Trust {
		if ref.Namespace == v.From {
			continue
		}
		switch ref.Kind {
		case ir.TrustSystem, ir.TrustClusterTrustBundle: // belong to no namespace
		case ir.TrustSecret:
			if !d.objects.Delegated(ref.Name, v.From) {
				return notDelegated(reason.FormatNotDelegated.With(ref.Name) + fmt.Sprintf(
					": a TLSCertificateDelegation in namespace %q must name it and the target namespace %q", ref.Namespace, v.From))
			}
		case ir.TrustConfigMap:
			return notDelegated(reason.FormatForeignTrust.With(ref.Kind, ref.Name, v.From))
		}
	}
	return nil
}

func notDelegated(message string) *Problem {
	return &Problem{Reason: reason.NotDelegated, Type: reason.TLSError,
		Category: reason.CACertificateNotDelegated, Message: message}
}

func requireTrust(d *draft) *Problem {
	v := d.request.Validation
	if v == nil {
		return nil
	}
	if len(v.Trust) == 0 {
		return d.invalid(reason.TrustMissing, "caSecret is required: name a Secret with a CA bundle in its key "+keyCA)
	}
	for _, ref := range v.Trust {
		if cause := d.objects.Trust(ref); cause != nil {
			p := d.invalid(cause.Reason, cause.Message)
			p.Description, p.Until = reason.MessageTrustUnusable, cause.Until
			return p
		}
	}
	trust := slices.Clone(v.Trust)
	slices.SortFunc(trust, compareTrust)
	d.out.TLS.Verify = &ir.Verify{Trust: slices.Compact(trust)}
	d.out.TLS.Profile = v.Profile
	return nil
}

func acceptNames(d *draft) *Problem {
	v := d.request.Validation
	if v == nil {
		return nil
	}
	if len(v.Names) == 0 || (len(v.Names) == 1 && v.Names[0] == "") {
		return d.invalid(reason.SubjectNameMissing,
			string(reason.MessageNoSubjectName)+": set subjectName to a name in the backend's certificate")
	}
	names := make([]ir.SubjectName, 0, len(v.Names))
	for i, written := range v.Names {
		name, why := subjectName(written)
		if why != "" {
			field := "subjectName"
			if len(v.Names) > 1 {
				field = fmt.Sprintf("subjectNames[%d]", i)
			}
			return d.invalid(reason.SubjectNameInvalid, fmt.Sprintf("%s %q %s", field, clip(written), why))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	d.out.TLS.Verify.Names = names
	return nil
}

// chooseSNI takes the first that is a host name of: what the validation
// demands, the Host rewrites, the ExternalName, the first DNS name accepted.
// An IP address is never sent (RFC 6066, 3), nor is a wildcard.
func chooseSNI(d *draft) *Problem {
	if d.out.TLS == nil {
		return nil
	}
	v := d.request.Validation
	if v != nil && v.SNI != "" {
		sni, ok := sniName(v.SNI)
		if !ok {
			return d.invalid(reason.SNIInvalid, fmt.Sprintf("hostname %q is not a DNS name", clip(v.SNI)))
		}
		d.out.TLS.SNI = sni
		return nil
	}
	for _, host := range d.request.Hosts {
		if sni, ok := sniName(withoutPort(host)); ok {
			d.out.TLS.SNI = sni
			return nil
		}
	}
	if sni, ok := sniName(d.out.ExternalName); ok {
		d.out.TLS.SNI = sni
		return nil
	}
	if d.out.TLS.Verify == nil {
		return nil
	}
	for _, n := range d.out.TLS.Verify.Names {
		if n.Kind != ir.DNSName {
			continue
		}
		if sni, ok := sniName(n.Value); ok {
			d.out.TLS.SNI = sni
			return nil
		}
	}
	return nil
}

// chooseALPN is explicit for HTTP/1.1 too: it is what Envoy offers by itself
// to HTTP clusters, but not for every use of a cluster (health checks).
func chooseALPN(d *draft) *Problem {
	if d.out.TLS == nil {
		return nil
	}
	switch d.out.Protocol {
	case ir.HTTP2:
		d.out.TLS.ALPN = alpnHTTP2
	case ir.HTTP1:
		d.out.TLS.ALPN = alpnHTTP1
	case ir.TCP, ir.UDP: // the two ends agree by themselves
	}
	return nil
}

// Shared by all upstreams: values that cross packages are immutable.
var (
	alpnHTTP1 = []string{"http/1.1"}
	alpnHTTP2 = []string{"h2"}
)

// invalid files a validation that cannot be done as asked.
func (d *draft) invalid(why reason.Reason, cause string) *Problem {
	return &Problem{Reason: why, Type: reason.ServiceError, Category: reason.TLSUpstreamValidation,
		Message: reason.FormatUpstreamValidation.With(d.request.Service.Name.Name, d.request.Service.Port, cause)}
}
