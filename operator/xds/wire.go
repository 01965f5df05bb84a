package xds

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that requests are read with
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signetproxy/signet/translator/envoy"
)

// Field numbers of envoy.service.discovery.v3.DeltaDiscoveryResponse, of its
// Resource, and of google.protobuf.Any.
const (
	responseSystemVersion = 1
	responseResources     = 2
	responseTypeURL       = 4
	responseNonce         = 5
	responseRemoved       = 6

	resourceVersion = 1
	resourceAny     = 2
	resourceName    = 3

	anyTypeURL = 1
	anyValue   = 2
)

// Field numbers of DeltaDiscoveryRequest, of an entry of a map, and of
// google.rpc.Status.
const (
	requestSubscribe   = 3
	requestUnsubscribe = 4
	requestHad         = 5
	requestError       = 7

	entryKey   = 1
	entryValue = 2

	statusMessage = 2
)

// response is a DeltaDiscoveryResponse whose resources are marshalled already.
type response struct {
	kind     kind
	nonce    uint64
	revision uint64
	rows     []*row
	removed  []string
}

// frame returns the wire bytes of a response's resource up to its Body, which
// is written last so that the bytes need no copy.
func frame(r *envoy.Resource) []byte {
	anySize := sizeString(anyTypeURL, string(r.Type)) + protowire.SizeTag(anyValue) + protowire.SizeBytes(len(r.Body))
	size := sizeString(resourceVersion, r.Version) + sizeString(resourceName, r.Name) +
		protowire.SizeTag(resourceAny) + protowire.SizeBytes(anySize)

	b := make([]byte, 0, protowire.SizeTag(responseResources)+protowire.SizeBytes(size)-len(r.Body))
	b = appendPrefix(b, responseResources, size)
	b = appendString(b, resourceVersion, r.Version)
	b = appendString(b, resourceName, r.Name)
	b = appendPrefix(b, resourceAny, anySize)
	b = appendString(b, anyTypeURL, string(r.Type))
	return appendPrefix(b, anyValue, len(r.Body))
}

// marshal returns the wire bytes: slices of the shared ones, and one of its own
// for the rest.
func (r *response) marshal() mem.BufferSlice {
	out := make(mem.BufferSlice, 0, 2*len(r.rows)+1)
	for _, row := range r.rows {
		out = append(out, mem.SliceBuffer(row.frame))
		if len(row.Body) > 0 {
			out = append(out, mem.SliceBuffer(row.Body))
		}
	}
	var tail []byte
	tail = appendString(tail, responseSystemVersion, strconv.FormatUint(r.revision, 10))
	tail = appendString(tail, responseTypeURL, string(types[r.kind]))
	tail = appendString(tail, responseNonce, formatNonce(r.nonce))
	for _, name := range r.removed {
		tail = appendString(tail, responseRemoved, name)
	}
	return append(out, mem.SliceBuffer(tail))
}

func sizeString(field protowire.Number, s string) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(len(s))
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func appendPrefix(b []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(size)) //nolint:gosec // a length
}

func formatNonce(n uint64) string { return strconv.FormatUint(n, 10) }

// parseNonce refuses every spelling but formatNonce's.
func parseNonce(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && formatNonce(n) == s
}

// codec writes responses from shared bytes, reads requests that hold text which
// is not UTF-8, and leaves all else to protobuf's.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(mem.BufferSlice); ok {
		return r, nil
	}
	out, err := c.CodecV2.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	return out, nil
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	if _, ok := v.(*discoveryv3.DeltaDiscoveryRequest); err == nil || !ok {
		return err //nolint:wrapcheck // gRPC wraps it
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{mem.SliceBuffer(mend(data.Materialize()))}, v) //nolint:wrapcheck // as above
}

// mend returns a request without the text in it that is not UTF-8 and need not
// be: Envoy asks for a secret by what a client says is its server name, and cuts
// what it says of a refusal at a byte. Such a name can be no resource's. It
// becomes empty, which is ignored and counted; it cannot be answered either.
func mend(request []byte) []byte {
	return rewrite(request, func(field protowire.Number, v []byte) ([]byte, bool) {
		switch field {
		case requestSubscribe, requestUnsubscribe:
			if !utf8.Valid(v) {
				return nil, true
			}
		case requestHad:
			return v, validEntry(v)
		case requestError:
			return rewrite(v, mendMessage), true
		default:
		}
		return v, true
	})
}

func mendMessage(field protowire.Number, v []byte) ([]byte, bool) {
	if field == statusMessage {
		v = bytes.ToValidUTF8(v, nil)
	}
	return v, true
}

// validEntry says whether both sides of an entry of a map are UTF-8.
func validEntry(entry []byte) bool {
	valid := true
	rewrite(entry, func(field protowire.Number, v []byte) ([]byte, bool) {
		valid = valid && (field != entryKey && field != entryValue || utf8.Valid(v))
		return v, true
	})
	return valid
}

// rewrite returns a message with what edit makes of its length-delimited fields,
// without those that edit drops. From where it cannot be read it stays as it is.
func rewrite(message []byte, edit func(protowire.Number, []byte) ([]byte, bool)) []byte {
	out := make([]byte, 0, len(message))
	for len(message) > 0 {
		field, typ, n := protowire.ConsumeField(message)
		if n < 0 {
			return append(out, message...)
		}
		if typ != protowire.BytesType {
			out = append(out, message[:n]...)
		} else {
			_, _, tag := protowire.ConsumeTag(message)
			v, _ := protowire.ConsumeBytes(message[tag:n])
			if v, keep := edit(field, v); keep {
				out = protowire.AppendBytes(protowire.AppendTag(out, field, protowire.BytesType), v)
			}
		}
		message = message[n:]
	}
	return out
}
