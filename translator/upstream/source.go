package upstream

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Keys of the data of Secrets and ConfigMaps.
const (
	keyCA  = "ca.crt"
	keyCRL = "crl.pem"
)

// trustData returns the bundle and the optional CRL of a trust object.
func trustData(ref ir.TrustRef, secret *corev1.Secret, configMap *corev1.ConfigMap) (ca, crl []byte, f *fault) {
	switch ref.Kind {
	case ir.TrustSecret:
		if f := secretFault(secret); f != nil {
			return nil, nil, f
		}
		ca, f = required(keyCA, secret.Data)
		return ca, secret.Data[keyCRL], f
	case ir.TrustConfigMap:
		if configMap == nil {
			return nil, nil, faultf(reason.ConfigMapNotFound, "ConfigMap not found")
		}
		data := maps.Clone(configMap.BinaryData)
		if data == nil {
			data = make(map[string][]byte, len(configMap.Data))
		}
		for k, v := range configMap.Data {
			data[k] = []byte(v)
		}
		ca, f = required(keyCA, data)
		return ca, data[keyCRL], f
	case ir.TrustClusterTrustBundle, ir.TrustSystem:
	}
	return nil, nil, faultf(reason.UnsupportedKind, "trust cannot come from a %s: use a Secret or a ConfigMap", ref.Kind)
}

func secretFault(s *corev1.Secret) *fault {
	switch {
	case s == nil:
		return faultf(reason.SecretNotFound, "%s", reason.MessageSecretNotFound)
	case s.Type == "", s.Type == corev1.SecretTypeOpaque, s.Type == corev1.SecretTypeTLS:
		return nil // the API server makes "" Opaque
	default:
		return faultf(reason.WrongSecretType, "%s: it is %q", reason.MessageWrongSecretType, s.Type)
	}
}

func required(key string, data map[string][]byte) ([]byte, *fault) {
	v, ok := data[key]
	switch {
	case !ok:
		return nil, faultf(reason.KeyMissing, "%s: the key is missing%s", reason.FormatEmptyKey.With(key), present(data))
	case len(bytes.TrimSpace(v)) == 0:
		return nil, faultf(reason.KeyMissing, "%s: the key is there and holds nothing", reason.FormatEmptyKey.With(key))
	default:
		return v, nil
	}
}

// present lists the keys that are there instead: a misspelled one shows.
func present(data map[string][]byte) string {
	const most = 5
	keys := slices.Sorted(maps.Keys(data))
	if len(keys) == 0 {
		return ", there are none"
	}
	more := ""
	if len(keys) > most {
		keys, more = keys[:most], ", ..."
	}
	return ", there is " + strings.Join(keys, ", ") + more
}
