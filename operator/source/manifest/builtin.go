package manifest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	sigsjson "sigs.k8s.io/json"
)

// Limits of the API server.
const (
	maxAddresses = 100
	maxEndpoints = 1000
	// maxData is in bytes.
	maxData = 1 << 20
)

// decodeStrict decodes JSON into a typed object.
func decodeStrict(raw []byte, content map[string]any, into any) []finding {
	strict, err := sigsjson.UnmarshalStrict(raw, into)
	if err != nil {
		return []finding{decodeFinding(err, content)}
	}
	out := make([]finding, len(strict))
	for i, e := range strict {
		out[i] = strictFinding(e)
	}
	return out
}

// decodeFinding explains why JSON does not fit a type. It says nothing of the
// value: it may be a secret.
func decodeFinding(err error, content map[string]any) finding {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		what, _, _ := strings.Cut(wrong.Value, " ")
		return finding{field: wrong.Field, message: fmt.Sprintf("Invalid value: cannot use a %s as %s", what, wrong.Type)}
	}
	for _, name := range []string{"data", "binaryData"} {
		entries, _ := content[name].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			text, _ := entries[key].(string)
			if _, err := base64.StdEncoding.DecodeString(text); err != nil {
				return finding{field: field.NewPath(name).Key(key).String(), message: "Invalid value: " + err.Error()}
			}
		}
	}
	if content["kind"] == "Secret" {
		return finding{message: "Invalid value: the document does not fit its kind's types"}
	}
	return finding{message: "Invalid value: " + err.Error()}
}

// namespaceRules sets the label that the API server sets on every namespace.
func namespaceRules(o *corev1.Namespace) field.ErrorList {
	if o.Labels == nil {
		o.Labels = map[string]string{}
	}
	o.Labels[corev1.LabelMetadataName] = o.Name
	return nil
}

// trustBundleName takes "<signer's domain>:<path>:<name>" too, which a bundle
// of a signer must have.
func trustBundleName(name string, prefix bool) []string {
	var out []string
	for part := range strings.SplitSeq(name, ":") {
		out = append(out, apivalidation.NameIsDNSSubdomain(part, prefix)...)
	}
	return out
}

// trustBundleRules leaves the bundle to who reads it.
func trustBundleRules(o *certificatesv1beta1.ClusterTrustBundle) field.ErrorList {
	if o.Spec.TrustBundle == "" {
		return field.ErrorList{field.Required(field.NewPath("spec", "trustBundle"), "")}
	}
	return nil
}

func secretRules(o *corev1.Secret) field.ErrorList {
	if len(o.StringData) > 0 && o.Data == nil {
		o.Data = map[string][]byte{}
	}
	for k, v := range o.StringData {
		o.Data[k] = []byte(v)
	}
	o.StringData = nil
	o.Type = cmp.Or(o.Type, corev1.SecretTypeOpaque)

	var errs field.ErrorList
	path, size := field.NewPath("data"), 0
	for _, k := range slices.Sorted(maps.Keys(o.Data)) {
		errs = append(errs, keyRules(path.Key(k), k)...)
		size += len(o.Data[k])
	}
	if size > maxData {
		errs = append(errs, field.TooLong(path, "", maxData))
	}
	if o.Type == corev1.SecretTypeTLS {
		for _, k := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
			if _, ok := o.Data[k]; !ok {
				errs = append(errs, field.Required(path.Key(k), ""))
			}
		}
	}
	return errs
}

func configMapRules(o *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	size := 0
	for _, k := range slices.Sorted(maps.Keys(o.Data)) {
		path := field.NewPath("data").Key(k)
		errs = append(errs, keyRules(path, k)...)
		if _, twice := o.BinaryData[k]; twice {
			errs = append(errs, field.Invalid(path, k, "duplicate of key present in binaryData"))
		}
		size += len(o.Data[k])
	}
	for _, k := range slices.Sorted(maps.Keys(o.BinaryData)) {
		errs = append(errs, keyRules(field.NewPath("binaryData").Key(k), k)...)
		size += len(o.BinaryData[k])
	}
	if size > maxData {
		errs = append(errs, field.TooLong(field.NewPath("data"), "", maxData))
	}
	return errs
}

func keyRules(path *field.Path, key string) field.ErrorList {
	return invalid(path, key, validation.IsConfigMapKey(key))
}

func serviceRules(o *corev1.Service) field.ErrorList {
	spec, path := &o.Spec, field.NewPath("spec")
	spec.Type = cmp.Or(spec.Type, corev1.ServiceTypeClusterIP)
	spec.SessionAffinity = cmp.Or(spec.SessionAffinity, corev1.ServiceAffinityNone)
	var errs field.ErrorList
	switch spec.Type {
	case corev1.ServiceTypeExternalName:
		if spec.ExternalName == "" {
			errs = append(errs, field.Required(path.Child("externalName"), ""))
		} else {
			name := strings.TrimSuffix(spec.ExternalName, ".")
			errs = append(errs, invalid(path.Child("externalName"), spec.ExternalName, validation.IsDNS1123Subdomain(name))...)
		}
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if len(spec.Ports) == 0 && spec.ClusterIP != corev1.ClusterIPNone {
			errs = append(errs, field.Required(path.Child("ports"), ""))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("type"), spec.Type, []corev1.ServiceType{
			corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort,
		}))
	}
	return append(errs, servicePortsRules(path.Child("ports"), spec.Ports)...)
}

func servicePortsRules(path *field.Path, ports []corev1.ServicePort) field.ErrorList {
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	var errs field.ErrorList
	names, numbers := map[string]bool{}, map[number]bool{}
	for i := range ports {
		p, here := &ports[i], path.Index(i)
		p.Protocol = cmp.Or(p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		} else {
			errs = append(errs, targetPortRules(here.Child("targetPort"), p.TargetPort)...)
		}
		if len(ports) > 1 && p.Name == "" {
			errs = append(errs, field.Required(here.Child("name"), ""))
		}
		if p.Name != "" {
			errs = append(errs, portNameRules(here.Child("name"), p.Name, names)...)
		}
		errs = append(errs, invalid(here.Child("port"), p.Port, validation.IsValidPortNum(int(p.Port)))...)
		errs = append(errs, protocolRules(here.Child("protocol"), p.Protocol)...)
		errs = append(errs, appProtocolRules(here.Child("appProtocol"), p.AppProtocol)...)
		if n := (number{p.Protocol, p.Port}); numbers[n] {
			errs = append(errs, field.Duplicate(here, fmt.Sprintf("%s/%d", p.Protocol, p.Port)))
		} else {
			numbers[n] = true
		}
	}
	return errs
}

func targetPortRules(path *field.Path, p intstr.IntOrString) field.ErrorList {
	if p.Type == intstr.Int {
		return invalid(path, p.IntVal, validation.IsValidPortNum(p.IntValue()))
	}
	return invalid(path, p.StrVal, validation.IsValidPortName(p.StrVal))
}

func sliceRules(o *discoveryv1.EndpointSlice) field.ErrorList {
	var errs field.ErrorList
	types := []discoveryv1.AddressType{discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}
	switch path := field.NewPath("addressType"); {
	case o.AddressType == "":
		errs = append(errs, field.Required(path, ""))
	case !slices.Contains(types, o.AddressType):
		errs = append(errs, field.NotSupported(path, o.AddressType, types))
	}
	names := map[string]bool{}
	for i := range o.Ports {
		p, path := &o.Ports[i], field.NewPath("ports").Index(i)
		p.Name = cmp.Or(p.Name, new(string))
		if p.Protocol == nil {
			p.Protocol = new(corev1.ProtocolTCP)
		}
		errs = append(errs, portNameRules(path.Child("name"), *p.Name, names)...)
		errs = append(errs, protocolRules(path.Child("protocol"), *p.Protocol)...)
		errs = append(errs, appProtocolRules(path.Child("appProtocol"), p.AppProtocol)...)
		if p.Port != nil {
			errs = append(errs, invalid(path.Child("port"), *p.Port, validation.IsValidPortNum(int(*p.Port)))...)
		}
	}
	return append(errs, endpointsRules(field.NewPath("endpoints"), o)...)
}

// endpointsRules is milder than the API server in one point: an address may be
// a loopback one, since a folder describes backends of one's own machine too.
func endpointsRules(path *field.Path, o *discoveryv1.EndpointSlice) field.ErrorList {
	if len(o.Endpoints) > maxEndpoints {
		return field.ErrorList{field.TooMany(path, len(o.Endpoints), maxEndpoints)}
	}
	var errs field.ErrorList
	for i := range o.Endpoints {
		addresses, here := o.Endpoints[i].Addresses, path.Index(i).Child("addresses")
		switch {
		case len(addresses) == 0:
			errs = append(errs, field.Required(here, "must contain at least 1 address"))
		case len(addresses) > maxAddresses:
			errs = append(errs, field.TooMany(here, len(addresses), maxAddresses))
		}
		for j, a := range addresses {
			errs = append(errs, addressRules(here.Index(j), o.AddressType, a)...)
		}
	}
	return errs
}

func addressRules(path *field.Path, kind discoveryv1.AddressType, address string) field.ErrorList {
	if kind == discoveryv1.AddressTypeFQDN {
		return validation.IsFullyQualifiedDomainName(path, address)
	}
	ip, err := netip.ParseAddr(address)
	switch {
	case err != nil || ip.Zone() != "":
		return field.ErrorList{field.Invalid(path, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")}
	case kind == discoveryv1.AddressTypeIPv4 && !ip.Is4():
		return field.ErrorList{field.Invalid(path, address, "must be an IPv4 address")}
	case kind == discoveryv1.AddressTypeIPv6 && !ip.Is6():
		return field.ErrorList{field.Invalid(path, address, "must be an IPv6 address")}
	default:
		return nil
	}
}

// portNameRules records the name among those that are taken.
func portNameRules(path *field.Path, name string, taken map[string]bool) field.ErrorList {
	var errs field.ErrorList
	if name != "" {
		errs = invalid(path, name, validation.IsDNS1123Label(name))
	}
	if taken[name] {
		errs = append(errs, field.Duplicate(path, name))
	}
	taken[name] = true
	return errs
}

func protocolRules(path *field.Path, p corev1.Protocol) field.ErrorList {
	all := []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}
	if slices.Contains(all, p) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, p, all)}
}

func appProtocolRules(path *field.Path, p *string) field.ErrorList {
	if p == nil {
		return nil
	}
	return invalid(path, *p, validation.IsQualifiedName(*p))
}

func invalid(path *field.Path, value any, messages []string) field.ErrorList {
	var errs field.ErrorList
	for _, m := range messages {
		errs = append(errs, field.Invalid(path, value, m))
	}
	return errs
}
