package upstream

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"

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
			if !open.decode(data[from:at]) {
				return nil, notPEM(key, open.line, "the block is not base64")
			}
			out, open = append(out, *open), nil
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

func (b *block) decode(text []byte) bool {
	p, _ := pem.Decode(text)
	if p == nil || p.Type != b.kind {
		return false
	}
	b.der = p.Bytes
	b.encrypted = p.Headers["DEK-Info"] != "" || strings.Contains(p.Headers["Proc-Type"], "ENCRYPTED")
	return true
}

func notPEM(key string, line int, why string) *fault {
	return faultf(reason.NotPEM, "failed to parse PEM block: line %d of %q: %s", line, key, why)
}

func unexpected(key string, b block, advice string) *fault {
	return faultf(reason.UnexpectedBlock, "unexpected block type '%s': %s%s", b.kind, b.where(key), advice)
}

// looksLikeDER tells binary X.509 from other data, for a better message.
func looksLikeDER(data []byte) bool { return len(data) > 2 && data[0] == 0x30 && data[1]&0x80 != 0 }
