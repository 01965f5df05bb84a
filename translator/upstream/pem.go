package upstream

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// maxPEM bounds what is parsed: a Secret or ConfigMap in a cluster is at most
// 1 MiB (core/v1 MaxSecretSize), one in a folder could be anything.
const maxPEM = 1 << 20

// Types of PEM blocks (RFC 7468).
const (
	blockCertificate = "CERTIFICATE"
	blockCRL         = "X509 CRL"
	blockECParams    = "EC PARAMETERS"
	blockPKCS8       = "PRIVATE KEY"
	blockPKCS1       = "RSA PRIVATE KEY"
	blockSEC1        = "EC PRIVATE KEY"
)

// fault is why some data cannot be used, without the object's name.
type fault struct {
	reason reason.Reason
	text   string
}

func faultf(why reason.Reason, format string, args ...any) *fault {
	return &fault{reason: why, text: fmt.Sprintf(format, args...)}
}

// block is a PEM block and where it begins. Both numbers count from 1.
type block struct {
	number, line int
	kind         string
	der          []byte
	encrypted    bool
}

func (b block) where(key string) string {
	return fmt.Sprintf("block %d at line %d of %q", b.number, b.line, key)
}

func (b block) pem() []byte { return pem.EncodeToMemory(&pem.Block{Type: b.kind, Bytes: b.der}) }

const (
	begin  = "-----BEGIN "
	end    = "-----END "
	dashes = "-----"
)

// blocks reads the PEM blocks of the data under a key. Text before, between
// and behind them is skipped. pem.Decode alone would skip a broken block as if
// it were text, and a CA would be lost in silence. No content is ever part of
// a fault: it may be a private key.
func blocks(key string, data []byte) ([]block, *fault) {
	if len(data) > maxPEM {
		return nil, faultf(reason.TooLarge, "%q has %d bytes, more than %d", key, len(data), maxPEM)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var (
		out  []block
		open *block // the block being read
		from int    // its offset
		line int
		at   int
	)
	for text := range bytes.Lines(data) {
		line++
		start := at
		at += len(text)
		trimmed := strings.TrimRight(string(text), " \t\r\n")
		switch {
		case strings.Contains(trimmed, begin):
			kind, why := beginning(trimmed)
			if why == "" && open != nil {
				why = fmt.Sprintf("the block begun at line %d has no END line", open.line)
			}
			if why != "" {
				return nil, notPEM(key, line, why)
			}
			open, from = &block{number: len(out) + 1, line: line, kind: kind}, start
		case strings.Contains(trimmed, end):
			if open == nil || trimmed != end+open.kind+dashes {
				return nil, notPEM(key, line, "the END line does not match a BEGIN line")
			}
			b, ok := open.decode(data[from:at])
			if !ok {
				return nil, notPEM(key, open.line, "the block is not base64")
			}
			out, open = append(out, b), nil
		}
	}
	if open != nil {
		return nil, notPEM(key, open.line, "the block has no END line")
	}
	return out, nil
}

// beginning returns the type that a BEGIN line names, or what is wrong with
// the line.
func beginning(line string) (kind, why string) {
	if !strings.HasPrefix(line, begin) {
		return "", "-----BEGIN does not stand at the beginning of the line"
	}
	kind, ok := strings.CutSuffix(line[len(begin):], dashes)
	if !ok || !isBlockType(kind) {
		return "", "the BEGIN line holds more or less than -----BEGIN, a type and -----"
	}
	return kind, ""
}

func isBlockType(kind string) bool {
	const longest = 32
	for i := range len(kind) {
		if c := kind[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != ' ' {
			return false
		}
	}
	return kind != "" && len(kind) <= longest
}

// decode returns the block with what its text says; false when that is broken.
func (b block) decode(text []byte) (block, bool) {
	p, _ := pem.Decode(text)
	if p == nil || p.Type != b.kind {
		return b, false
	}
	b.der = p.Bytes
	b.encrypted = p.Headers["DEK-Info"] != "" || strings.Contains(p.Headers["Proc-Type"], "ENCRYPTED")
	return b, true
}

func notPEM(key string, line int, why string) *fault {
	return faultf(reason.NotPEM, "failed to parse PEM block: line %d of %q: %s", line, key, why)
}

func unexpected(key string, b block, advice string) *fault {
	return faultf(reason.UnexpectedBlock, "unexpected block type '%s': %s%s", b.kind, b.where(key), advice)
}

// looksLikeDER tells binary X.509 from other data, for a better message.
func looksLikeDER(data []byte) bool { return len(data) > 2 && data[0] == 0x30 && data[1]&0x80 != 0 }

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
	case ir.TrustClusterTrustBundle:
		if configMap == nil {
			return nil, nil, faultf(reason.ClusterTrustBundleNotFound, "ClusterTrustBundle not found")
		}
		return []byte(configMap.Data[keyCA]), nil, nil
	case ir.TrustSystem:
		if configMap == nil {
			return nil, nil, faultf(reason.SystemTrustNotFound, "the system's trusted certificates are not known")
		}
		return []byte(configMap.Data[keyCA]), nil, nil
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
